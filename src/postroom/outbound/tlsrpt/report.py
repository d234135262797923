"""What a report says and looks like: JSON, file name, mail (RFC 8460 §4.4, §5). Pure."""

import gzip
import json
from collections.abc import Sequence
from typing import Any

from postroom.mail.address import Address
from postroom.mail.value import value
from postroom.outbound.daily.letter import Letter, compose, file_name, show_day
from postroom.outbound.tlsstore import Tally


@value(frozen=True, slots=True)
class Reporting:
    """Who reports. ``contact`` is the address for questions, whose domain is the submitter (RFC 8460 §5.3)."""

    organization: str
    contact: Address
    hostname: str


@value(frozen=True, slots=True)
class TlsReport:
    """One report on one domain and one day. ``body`` is the JSON, compressed; ``sessions`` those of both kinds."""

    domain: str
    day: int
    report_id: str
    body: bytes
    sessions: int
    failures: int


def make_report(reporting: Reporting, domain: str, day: int, tallies: Sequence[Tally], report_id: str) -> TlsReport:
    """The report on what was counted."""
    policies: dict[str, list[Tally]] = {}
    for tally in tallies:
        policies.setdefault(tally.policy, []).append(tally)
    successes = sum(tally.count for tally in tallies if not tally.failure)
    failures = sum(tally.count for tally in tallies if tally.failure)
    shown = {
        "organization-name": reporting.organization,
        "date-range": {
            "start-datetime": f"{show_day(day)}T00:00:00Z",
            "end-datetime": f"{show_day(day)}T23:59:59Z",
        },
        "contact-info": str(reporting.contact),
        "report-id": report_id,
        "policies": [_show_policy(domain, policy, of_policy) for policy, of_policy in sorted(policies.items())],
    }
    text = json.dumps(shown, ensure_ascii=False, indent=1).encode()
    # mtime=0: the same counts make the same file, so that a report that is sent twice is seen to be the same.
    return TlsReport(domain, day, report_id, gzip.compress(text, mtime=0), successes + failures, failures)


def compose_mail(reporting: Reporting, report: TlsReport, recipient: Address, *, message_id: str, now: float) -> bytes:
    """The mail that carries it, as content with CRLF (RFC 8460 §5.3)."""
    submitter = reporting.contact.domain
    return compose(
        Letter(
            sender=reporting.contact,
            recipient=recipient,
            domain=report.domain,
            submitter=submitter,
            report_id=report.report_id,
            day=report.day,
            message_id=message_id,
            now=now,
            container='multipart/report; report-type="tlsrpt"',
            extra=(
                f"TLS-Report-Domain: {report.domain}",
                f"TLS-Report-Submitter: {submitter}",
                "TLS-Required: No",  # RFC 8689 §3; RFC 8460 §5.3: failures of TLS must not hold it up
            ),
            words=(
                f"This is an aggregate report on TLS, made by {reporting.hostname}.",
                f"It is about mail for {report.domain} on {show_day(report.day)} (UTC):",
                f"{report.sessions} sessions, {report.failures} of which failed.",
            ),
            media_type="application/tlsrpt+gzip",
            file_name=file_name(submitter, report.domain, report.day, report.report_id, "json.gz"),  # RFC 8460 §5.1
            body=report.body,
        )
    )


def _show_policy(domain: str, policy: str, tallies: Sequence[Tally]) -> dict[str, Any]:
    failures = [{**json.loads(each.failure), "failed-session-count": each.count} for each in tallies if each.failure]
    shown: dict[str, Any] = {
        "policy": {**json.loads(policy), "policy-domain": domain},
        "summary": {
            "total-successful-session-count": sum(each.count for each in tallies if not each.failure),
            "total-failure-session-count": sum(each.count for each in tallies if each.failure),
        },
    }
    if failures:
        shown["failure-details"] = failures
    return shown
