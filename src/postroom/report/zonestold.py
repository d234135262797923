"""What the log says about the reports of the DNS: level, event and fields, as ``told`` does for the others."""

from typing import assert_never

from postroom.report.line import DEBUG, ERROR, INFO, WARNING, Told, cut
from postroom.report.zones import DnsBroken, DnsLooked, DnsMended, ZoneReport


def tell_zones(report: ZoneReport) -> Told:
    """The line that a report makes."""
    match report:
        case DnsBroken():
            about = {"domain": report.domain, "fault": report.fault, "subject": cut(report.subject)}
            words = {"what": report.what, "consequence": report.consequence, "remedy": report.remedy}
            level = ERROR if report.level == "error" else WARNING
            return Told(level, "dns_broken", about | {name: cut(text) for name, text in words.items()})
        case DnsMended():
            about = {"domain": report.domain, "fault": report.fault, "subject": cut(report.subject)}
            return Told(INFO, "dns_mended", about | {"what": cut(report.what), "since": report.since})
        case DnsLooked():
            counts = {"domains": report.domains, "errors": report.errors, "warnings": report.warnings}
            return Told(DEBUG, "dns_looked", counts)
        case _:
            assert_never(report)
