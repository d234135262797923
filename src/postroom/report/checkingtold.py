"""What the log says about checked mail: level, event and fields, as ``told`` does for the others."""

from postroom.mail.message import show_queue_id
from postroom.report.checking import CheckingReport
from postroom.report.line import INFO, WARNING, Fields, Told, cut


def tell_checking(report: CheckingReport) -> Told:
    """The line that a report makes."""
    client = report.client
    fields: Fields = {"address": client.address, "session": client.session_id, "role": client.role.value}
    fields |= {"queue_id": show_queue_id(report.queue_id), "from": cut(report.reverse_path)}
    fields["author"] = cut(report.author)
    fields["results"] = [cut(f"{method}={result} {name}".rstrip()) for method, result, name in report.results]
    fields["action"] = report.action
    if report.reason:
        fields["reason"] = cut(report.reason)
    if report.leniency:
        fields["leniency"] = report.leniency
    fields["seconds"] = round(report.seconds, 4)
    return Told(WARNING if report.action in {"refuse", "quarantine"} else INFO, "mail_checked", fields)
