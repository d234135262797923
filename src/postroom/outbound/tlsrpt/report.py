"""What a report says and looks like: JSON, file name, mail (RFC 8460 §4.4, §5). Pure."""

import base64
import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from textwrap import wrap
from typing import Any

from postroom.mail.address import Address
from postroom.mail.headers import show_date
from postroom.mail.value import value
from postroom.outbound.tlsrpt.tally import DAY
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
    start = datetime.fromtimestamp(day * DAY, UTC)
    shown = {
        "organization-name": reporting.organization,
        "date-range": {
            "start-datetime": f"{start:%Y-%m-%d}T00:00:00Z",
            "end-datetime": f"{start:%Y-%m-%d}T23:59:59Z",
        },
        "contact-info": str(reporting.contact),
        "report-id": report_id,
        "policies": [_show_policy(domain, policy, of_policy) for policy, of_policy in sorted(policies.items())],
    }
    text = json.dumps(shown, ensure_ascii=False, indent=1).encode()
    # mtime=0: the same counts make the same file, so that a report that is sent twice is seen to be the same.
    return TlsReport(domain, day, report_id, gzip.compress(text, mtime=0), successes + failures, failures)


def file_name(reporting: Reporting, report: TlsReport) -> str:
    """RFC 8460 §5.1."""
    start = report.day * DAY
    mark = report.report_id.partition("@")[0]
    return f"{reporting.contact.domain}!{report.domain}!{start}!{start + DAY - 1}!{mark}.json.gz"


def compose(reporting: Reporting, report: TlsReport, recipient: Address, *, message_id: str, now: float) -> bytes:
    """The mail that carries it, as content with CRLF (RFC 8460 §5.3)."""
    boundary = f"=_{report.report_id.partition('@')[0]}"
    submitter = reporting.contact.domain
    day = f"{datetime.fromtimestamp(report.day * DAY, UTC):%Y-%m-%d}"
    lines = [
        f"From: <{reporting.contact}>",
        f"To: <{recipient}>",
        f"Subject: Report Domain: {report.domain}",
        f" Submitter: {submitter}",
        f" Report-ID: <{report.report_id}>",
        f"Date: {show_date(now)}",
        f"Message-ID: {message_id}",
        f"TLS-Report-Domain: {report.domain}",
        f"TLS-Report-Submitter: {submitter}",
        "TLS-Required: No",  # RFC 8689 §3; RFC 8460 §5.3: failures of TLS must not hold it up
        "Auto-Submitted: auto-generated",  # RFC 3834 §5
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type="tlsrpt";',
        f' boundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "Content-Transfer-Encoding: 7bit",
        "",
        f"This is an aggregate report on TLS, made by {reporting.hostname}.",
        f"It is about mail for {report.domain} on {day} (UTC):",
        f"{report.sessions} sessions, {report.failures} of which failed.",
        "",
        f"--{boundary}",
        "Content-Type: application/tlsrpt+gzip",
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment;",
        f' filename="{file_name(reporting, report)}"',
        "",
        *wrap(base64.b64encode(report.body).decode(), 76),
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode()


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
