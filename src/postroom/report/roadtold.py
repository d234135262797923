"""What the log says about the reports of the road: level, event and fields, as ``told`` does for the others."""

from typing import assert_never

from postroom.mail.message import show_queue_id
from postroom.report.line import DEBUG, ERROR, INFO, WARNING, Fields, Told, cut
from postroom.report.road import (
    AddressSuppressed,
    BounceReturned,
    CarriersEnded,
    CarriersReady,
    ComplaintReturned,
    DmarcReportSent,
    QueueBack,
    QueueEnded,
    QueuePaused,
    RoadReport,
    SiteBlocked,
    SiteReopened,
    SiteShaped,
    StsPolicyFetched,
    TlsDowngraded,
    TlsReportSent,
    WarmupFull,
)


def tell_road(report: RoadReport) -> Told:
    """The line that a report makes."""
    match report:
        case SiteBlocked():
            fields = {"site": cut(report.site), "source": report.source, "reason": cut(report.reason)}
            return Told(WARNING, "site_blocked", fields | {"until": report.until})
        case SiteReopened():
            return Told(INFO, "site_reopened", {"site": cut(report.site), "source": report.source})
        case SiteShaped():
            fields = {"site": cut(report.site), "source": report.source, "what": report.what}
            change = {"before": round(report.before, 3), "after": round(report.after, 3), "reason": cut(report.reason)}
            return Told(DEBUG, "site_shaped", fields | change)
        case WarmupFull():
            fields = {"source": report.source, "provider": report.provider}
            return Told(INFO, "warmup_full", fields | {"limit": report.limit, "until": report.until})
        case TlsDowngraded():
            fields = {"site": cut(report.site), "host": report.host, "before": report.before, "now": report.now}
            return Told(WARNING, "tls_downgraded", fields)
        case StsPolicyFetched():
            fields = {"domain": report.domain, "mode": report.mode, "policy_id": cut(report.policy_id)}
            if report.trouble:
                return Told(WARNING, "sts_policy_trouble", fields | {"trouble": cut(report.trouble)})
            return Told(INFO, "sts_policy_fetched", fields)
        case TlsReportSent() | DmarcReportSent():
            return _of_reports(report)
        case BounceReturned() | ComplaintReturned() | AddressSuppressed() | QueuePaused():
            return _of_mail(report)
        case CarriersEnded() | CarriersReady() | QueueEnded() | QueueBack():
            return _of_processes(report)
        case _:
            assert_never(report)


def _of_processes(report: CarriersEnded | CarriersReady | QueueEnded | QueueBack) -> Told:
    match report:
        case CarriersReady(pid=pid):
            return Told(INFO, "carriers_ready", {"pid": pid})
        case QueueBack(pid=pid):
            return Told(INFO, "queue_back", {"pid": pid})
        case CarriersEnded():
            return Told(ERROR, "carriers_ended", _of_end(report))
        case QueueEnded():
            return Told(ERROR, "queue_ended", _of_end(report))
        case _:
            assert_never(report)


def _of_end(report: CarriersEnded | QueueEnded) -> Fields:
    fields: Fields = {"status": report.status, "under_way": report.under_way, "wait": report.wait}
    if report.trouble:
        fields["trouble"] = cut(report.trouble)
    return fields


def _of_reports(report: TlsReportSent | DmarcReportSent) -> Told:
    match report:
        case TlsReportSent():
            kind, counts = "tls", {"sessions": report.sessions, "failures": report.failures}
        case DmarcReportSent():
            kind, counts = "dmarc", {"messages": report.messages}
        case _:
            assert_never(report)
    fields = {"domain": report.domain, "target": cut(report.target)} | counts
    if report.trouble:
        return Told(WARNING, f"{kind}_report_failed", fields | {"trouble": cut(report.trouble)})
    return Told(INFO, f"{kind}_report_sent", fields)


def _of_mail(report: BounceReturned | ComplaintReturned | AddressSuppressed | QueuePaused) -> Told:
    match report:
        case BounceReturned():
            about = {"queue_id": show_queue_id(report.queue_id), "recipient": cut(report.recipient)}
            what = {"cause": report.cause.value, "permanent": report.permanent, "by": report.by}
            return Told(INFO, "bounce_returned", about | what)
        case ComplaintReturned():
            about = {"queue_id": show_queue_id(report.queue_id), "recipient": cut(report.recipient)}
            return Told(WARNING, "complaint_returned", about | {"kind": cut(report.kind)})
        case AddressSuppressed():
            fields = {"sender_domain": report.sender_domain, "recipient": cut(report.recipient)}
            return Told(INFO, "address_suppressed", fields | {"cause": report.cause, "until": report.until})
        case QueuePaused():
            event = "queue_resumed" if report.resumed else "queue_paused"
            return Told(INFO, event, {"kind": report.kind, "subject": cut(report.subject), "by": report.by})
        case _:
            assert_never(report)
