"""What a report says and looks like: XML, file name, mail (RFC 9990 §3). Pure."""

import gzip
import hashlib
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import orjson

from postroom import __version__
from postroom.mail.address import Address
from postroom.mail.value import value
from postroom.outbound.daily.counts import DAY
from postroom.outbound.daily.letter import Letter, compose, file_name, show_day
from postroom.outbound.dmarcrpt.store import DmarcCount
from postroom.outbound.dmarcrpt.tally import LEFT_OUT, legal, read_row

NAMESPACE = "urn:ietf:params:xml:ns:dmarc-2.0"

_LONGEST_ERROR = 1000  # characters; RFC 9990 §3.1.5: not an extremely large body


@value(frozen=True, slots=True, kw_only=True)
class Reporting:
    """Who reports. ``sender`` is From and return path, whose domain is the submitter; ``contact`` for questions."""

    organization: str
    sender: Address
    contact: str
    extra_contact: str
    hostname: str


@value(frozen=True, slots=True)
class DmarcReport:
    """One report on one domain, day and policy. ``body`` is the XML, compressed; ``messages`` how many it counts."""

    domain: str
    day: int
    report_id: str
    body: bytes
    messages: int


def make_report(reporting: Reporting, counts: Sequence[DmarcCount], errors: Sequence[str]) -> DmarcReport | None:
    """The report on counts of one domain, day and policy, which have its ``row`` or are LEFT_OUT; None without a row.

    The same counts make the same report, with the same name, so that one that is sent twice is seen to be the same
    (RFC 9990 §3.5.2).
    """
    first = counts[0]
    rows: dict[bytes, int] = {}
    for one in counts:
        if one.row != LEFT_OUT:
            shown = read_row(one.row)
            del shown["report"]  # for us alone
            alike = orjson.dumps(shown)
            rows[alike] = rows.get(alike, 0) + one.count
    if not rows:
        return None
    left_out = sum(one.count for one in counts if one.row == LEFT_OUT)
    if left_out:
        errors = (*errors, f"{left_out} more messages are not shown: they differ in too many ways")
    mark = hashlib.sha256(f"{reporting.hostname} {first.domain} {first.day} {first.policy}".encode()).hexdigest()[:24]
    report_id = f"{mark}@{reporting.sender.domain}"
    root = Element("feedback", {"xmlns": NAMESPACE})
    _put(root, "version", "1.0")
    _show_metadata(root, reporting, report_id, first.day, "; ".join(errors)[:_LONGEST_ERROR])
    _show_policy(root, first)
    for alike, count in sorted(rows.items()):
        _show_record(root, alike, count)
    indent(root, " ")
    text = tostring(root, encoding="utf-8", xml_declaration=True)
    return DmarcReport(first.domain, first.day, report_id, gzip.compress(text, mtime=0), sum(rows.values()))


def compose_mail(
    reporting: Reporting, report: DmarcReport, recipient: Address, *, message_id: str, now: float
) -> bytes:
    """The mail that carries it, as content with CRLF (RFC 9990 §3.5.2)."""
    submitter = reporting.sender.domain
    return compose(
        Letter(
            sender=reporting.sender,
            recipient=recipient,
            domain=report.domain,
            submitter=submitter,
            report_id=report.report_id,
            day=report.day,
            message_id=message_id,
            now=now,
            container="multipart/mixed",
            extra=(),
            words=(
                f"This is a DMARC aggregate report, made by {reporting.hostname}.",
                f"It is about mail from {report.domain} on {show_day(report.day)} (UTC):",
                f"{report.messages} messages.",
            ),
            media_type="application/gzip",
            file_name=file_name(submitter, report.domain, report.day, report.report_id, "xml.gz"),
            body=report.body,
        )
    )


def _show_metadata(root: Element, reporting: Reporting, report_id: str, day: int, error: str) -> None:
    """RFC 9990 §3.1.1.3."""
    metadata = SubElement(root, "report_metadata")
    _put(metadata, "org_name", reporting.organization)
    _put(metadata, "email", reporting.contact)
    if reporting.extra_contact:
        _put(metadata, "extra_contact_info", reporting.extra_contact)
    _put(metadata, "report_id", report_id)
    date_range = SubElement(metadata, "date_range")
    _put(date_range, "begin", str(day * DAY))
    _put(date_range, "end", str((day + 1) * DAY - 1))
    if error:
        _put(metadata, "error", error)
    _put(metadata, "generator", f"Postroom {__version__}")


def _show_policy(root: Element, count: DmarcCount) -> None:
    """RFC 9990 §3.1.1.5."""
    published = SubElement(root, "policy_published")
    _put(published, "domain", count.domain)
    _put(published, "discovery_method", "treewalk")
    for name, text in orjson.loads(count.policy).items():
        _put(published, name, text)


def _show_record(root: Element, row: bytes, count: int) -> None:
    """RFC 9990 §3.1.1.7 to §3.1.1.14."""
    shown = orjson.loads(row)
    record = SubElement(root, "record")
    place = SubElement(record, "row")
    _put(place, "source_ip", shown["ip"])
    _put(place, "count", str(count))
    evaluated = SubElement(place, "policy_evaluated")
    for name in ("disposition", "dkim", "spf"):
        _put(evaluated, name, shown[name])
    for kind, comment in shown["reasons"]:
        reason = SubElement(evaluated, "reason")
        _put(reason, "type", kind)
        if comment:
            _put(reason, "comment", comment)
    identifiers = SubElement(record, "identifiers")
    _put(identifiers, "header_from", shown["from"])
    _put(identifiers, "envelope_from", shown["envelope_from"])  # empty for the null reverse-path
    if shown["envelope_to"]:
        _put(identifiers, "envelope_to", shown["envelope_to"])
    results = SubElement(record, "auth_results")
    for domain, selector, result, why in shown["dkim_results"]:
        dkim = SubElement(results, "dkim")
        _put(dkim, "domain", domain)
        _put(dkim, "selector", selector)
        _put(dkim, "result", result)
        if why:
            _put(dkim, "human_result", why)
    if shown["spf_result"]:
        domain, result = shown["spf_result"]
        spf = SubElement(results, "spf")
        _put(spf, "domain", domain)
        _put(spf, "scope", "mfrom")
        _put(spf, "result", result)


def _put(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = legal(text)
