"""What the log says about the reports of signing keys."""

from typing import assert_never

from postroom.report.keys import DkimKeyChanged, DkimKeyWaits, DkimTrouble, KeyReport
from postroom.report.line import INFO, WARNING, Told, cut


def tell_keys(report: KeyReport) -> Told:
    """The line that a report makes."""
    match report:
        case DkimKeyChanged():
            fields = {"domain": report.domain, "selector": report.selector, "algorithm": report.algorithm}
            state = {"state": report.state, "record": report.record}
            return Told(INFO, "dkim_key", fields | state | ({"reason": cut(report.reason)} if report.reason else {}))
        case DkimKeyWaits():
            fields = {"domain": report.domain, "selector": report.selector, "record": report.record}
            level = INFO if report.what == "remove" else WARNING
            return Told(level, "dkim_key_waits", fields | {"what": report.what, "detail": cut(report.detail)})
        case DkimTrouble():
            fields = {"domain": report.domain, "selector": report.selector}
            return Told(WARNING, "dkim_trouble", fields | {"reason": cut(report.reason)})
        case _:
            assert_never(report)
