"""What the log says about reports of others, as ``told`` does for the rest."""

from typing import assert_never

from postroom.mail.message import show_queue_id
from postroom.report.line import INFO, WARNING, Told, cut
from postroom.report.received import ReceivedReport, ReportReceived, ReportUnread


def tell_received(report: ReceivedReport) -> Told:
    """The line that a report makes."""
    match report:
        case ReportReceived():
            about = {"queue_id": show_queue_id(report.queue_id), "kind": report.kind, "domain": cut(report.domain)}
            who = {"reporter": cut(report.reporter), "report_id": cut(report.report_id)}
            author = {} if report.author is None else {"author": report.author}
            counts = {"passed": report.passed, "failed": report.failed, "outcome": report.outcome}
            level = WARNING if report.outcome == "too many" else INFO
            return Told(level, "report_received", about | who | author | counts)
        case ReportUnread():
            fields = {"queue_id": show_queue_id(report.queue_id), "domain": cut(report.domain)}
            what = {"reporter": cut(report.reporter), "reason": cut(report.reason)}
            return Told(WARNING, "report_unreadable", fields | what)
        case _:
            assert_never(report)
