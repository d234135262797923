"""Reads TLSRPT reports (RFC 8460 §4.4), also where numbers are texts, lists are single texts, fields are missing."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from postroom.mailauth.reports.model import (
    MOST_RECORDS,
    NO_REST,
    Rest,
    TlsFailure,
    TlsPolicyResult,
    TlsReport,
    Unreadable,
)
from postroom.mailauth.reports.text import LONGEST_DOMAIN, address, clean, count, domain, moment, word

MAX_JSON = 4 << 20
MAX_VALUES = 300_000
MAX_CONTAINERS = 60_000
"""What is parsed stands in memory whole: these bound how much the octets above can become."""

_MOST_POLICIES = 200
_MOST_LINES = 50
_LONGEST_NAME = 200


def read_tls(pieces: Iterable[bytes]) -> TlsReport:
    """The report that the JSON is. Raises Unreadable."""
    data = _gather(pieces)
    try:
        found = orjson.loads(data)  # which refuses to nest deeper than 1024
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"the JSON is broken: {clean(str(error), 100)}") from error
    if not isinstance(found, dict) or not isinstance(found.get("policies"), list):
        raise Unreadable("the JSON is no TLS report")
    policies, rest = _policies(found["policies"])
    if not any(policy.domain for policy in policies):
        raise Unreadable("the report does not name the domain that it is about")
    span = found.get("date-range")
    span = span if isinstance(span, dict) else {}
    begin, end = moment(_text(span, "start-datetime")), moment(_text(span, "end-datetime"))
    contact = clean(_text(found, "contact-info"), LONGEST_DOMAIN + 65)
    return TlsReport(
        clean(_text(found, "organization-name"), _LONGEST_NAME) or contact.rpartition("@")[2] or "?",
        contact,
        clean(_text(found, "report-id"), LONGEST_DOMAIN) or hashlib.sha256(data).hexdigest()[:32],
        min(begin, end) if begin and end else begin or end,
        max(begin, end),
        policies,
        rest,
    )


def _gather(pieces: Iterable[bytes]) -> bytes:
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > MAX_JSON:
            raise Unreadable(f"the JSON has more than {MAX_JSON >> 20} MiB")
    if data.count(b"[") + data.count(b"{") > MAX_CONTAINERS or data.count(b",") > MAX_VALUES:
        raise Unreadable("the JSON has more values than any report has")
    return bytes(data).removeprefix(b"\xef\xbb\xbf")


def _policies(listed: Iterable[Any]) -> tuple[tuple[TlsPolicyResult, ...], Rest]:
    found: list[TlsPolicyResult] = []
    rows = left_out = lost = 0
    for entry in listed:
        if not isinstance(entry, dict) or len(found) >= _MOST_POLICIES:
            continue
        policy, summary = (part if isinstance(part := entry.get(name), dict) else {} for name in ("policy", "summary"))
        written = entry.get("failure-details")
        details = [_failure(each) for each in (written if isinstance(written, list) else ()) if isinstance(each, dict)]
        kept = details[: MOST_RECORDS - rows]
        rows += len(kept)
        left_out += len(details) - len(kept)
        lost += sum(each.count for each in details[len(kept) :])
        found.append(
            TlsPolicyResult(
                word(_text(policy, "policy-type")) or "no-policy-found",
                domain(_text(policy, "policy-domain")),
                count(_text(summary, "total-successful-session-count")),
                count(_text(summary, "total-failure-session-count")) or sum(each.count for each in details),
                tuple([domain(host) for host in _texts(policy, "mx-host")]),
                tuple([clean(line) for line in _texts(policy, "policy-string")]),
                tuple(kept),
            )
        )
    return tuple(found), Rest(left_out, 0, lost) if left_out else NO_REST


def _failure(entry: Mapping[str, Any]) -> TlsFailure:
    return TlsFailure(
        word(_text(entry, "result-type")) or "validation-failure",
        count(_text(entry, "failed-session-count")),
        address(_text(entry, "sending-mta-ip")),
        domain(_text(entry, "receiving-mx-hostname")),
        domain(_text(entry, "receiving-mx-helo")),
        address(_text(entry, "receiving-ip")),
        clean(_text(entry, "failure-reason-code")),
        # RFC 8460 §4.4 says additional-information in the schema and additional-info-uri in its text
        clean(_text(entry, "additional-information") or _text(entry, "additional-info-uri")),
    )


def _text(entry: Mapping[str, Any], name: str) -> str:
    """The field as text: numbers may be texts and texts numbers; what is neither is not there."""
    found = entry.get(name)
    return found if isinstance(found, str) else str(found) if isinstance(found, int | float) else ""


def _texts(entry: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts, which some write as one text."""
    found = entry.get(name)
    listed = found if isinstance(found, list) else [found]
    return [each for each in listed if isinstance(each, str)][:_MOST_LINES]
