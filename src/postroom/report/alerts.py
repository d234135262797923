"""Counts reports until something happens often enough for an alert: pure, the times are given.

``AlertCounter`` decides; who sends what it raises is another's business, and neither needs the store nor the queue.
"""

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from postroom.mail.value import value
from postroom.report.events import (
    CertificateExpiring,
    CertificateTrouble,
    InternalError,
    LimitNear,
    LimitReached,
    ListenerPaused,
    LockedOut,
    LoginFailed,
    Report,
    SessionRefused,
    StoreTrouble,
)
from postroom.report.keys import DkimKeyWaits, DkimTrouble
from postroom.report.line import cut
from postroom.report.road import CarriersEnded, QueueEnded
from postroom.report.zones import DnsBroken, DnsMended

WORDS: Mapping[type[Report], str] = {
    LoginFailed: "login_failed",
    LockedOut: "lockout",
    LimitNear: "limit",
    LimitReached: "limit",
    SessionRefused: "session_refused",
    StoreTrouble: "store_trouble",
    ListenerPaused: "listener_paused",
    CertificateExpiring: "certificate",
    CertificateTrouble: "certificate",
    DkimKeyWaits: "dkim",
    DkimTrouble: "dkim",
    DnsBroken: "dns",
    DnsMended: "dns_mended",
    InternalError: "internal_error",
    CarriersEnded: "internal_error",
    QueueEnded: "internal_error",
}
"""What counts under which word of the settings."""

MOST_EXAMPLES = 20
MOST_COUNTED = 10_000
"""Reports held of a window; where more come, the count says so many."""


@value(frozen=True, slots=True)
class Example:
    """One of the reports that were counted. What does not apply is ``""``."""

    at: float
    address: str
    account: str
    reason: str


@value(frozen=True, slots=True)
class Alert:
    """Something happened often enough. Times are seconds since the epoch, ``window`` seconds.

    ``silenced`` reports came while the same alert was silent before.
    """

    what: str
    count: int
    window: float
    since: float
    at: float
    silenced: int
    examples: tuple[Example, ...]


class AlertCounter:
    """Counts one word: raises at ``count`` within ``window`` seconds, then is silent for ``pause`` seconds."""

    def __init__(self, what: str, count: int, window: float, pause: float) -> None:
        self.what = what
        self._threshold = count
        self._window = window
        self._pause = pause
        self._times: deque[float] = deque(maxlen=max(count, MOST_COUNTED))
        self._latest: deque[tuple[float, Report]] = deque(maxlen=MOST_EXAMPLES)
        self._silent_until: float | None = None
        self._silenced = 0

    def count(self, report: Report, now: float) -> Alert | None:
        """One more report of this word, ``now``; the alert that it raises, if it does."""
        times = self._times
        times.append(now)
        self._latest.append((now, report))
        while times[0] <= now - self._window:
            times.popleft()
        if self._silent_until is not None and now < self._silent_until:
            self._silenced += 1
            return None
        if len(times) < self._threshold:
            return None
        alert = self._make(now)
        self._silent_until, self._silenced = now + self._pause, 0
        times.clear()
        self._latest.clear()
        return alert

    def _make(self, now: float) -> Alert:
        since = self._times[0]
        examples = tuple([_example(at, report) for at, report in self._latest if at >= since])
        return Alert(self.what, len(self._times), self._window, since, now, self._silenced, examples)


def word_of(report: Report) -> str:
    """Under which word a report counts; ``""`` for none."""
    if isinstance(report, StoreTrouble) and report.recovered:
        return ""
    if isinstance(report, DkimKeyWaits) and report.what == "remove":  # tidying up can wait
        return ""
    return WORDS.get(type(report), "")


def _example(at: float, report: Report) -> Example:
    """The report, for someone outside: no more than address, account and reason, and none of what a bug may show."""
    match report:
        case LoginFailed(client=client):
            return Example(at, client.address, cut(report.account), cut(report.reason))
        case LockedOut(address=address):
            account = report.subject if report.scope == "account" else ""
            return Example(at, address, cut(account), cut(report.reason))
        case LimitNear():
            account = report.subject if report.scope.startswith("account") else ""
            reason = f"{report.scope} of {report.subject}: {report.share:.0%} of {report.rate}"
            return Example(at, "", cut(account), cut(reason))
        case LimitReached():
            account = report.subject if report.scope.startswith("account") else ""
            return Example(at, report.address, cut(account), cut(f"{report.scope} of {report.subject}: {report.rate}"))
        case SessionRefused():
            return Example(at, report.address, "", cut(f"{report.role}: {report.reason}"))
        case StoreTrouble():
            return Example(at, "", "", cut(report.reason))
        case ListenerPaused():
            return Example(at, "", "", cut(f"{report.role}: {report.reason}"))
        case CarriersEnded():
            return Example(at, "", "", cut(f"the carriers' process ended: {report.status}"))
        case QueueEnded():
            return Example(at, "", "", cut(f"the queue's process ended: {report.status}"))
        case InternalError():
            return Example(at, "", "", cut(f"{report.where}: {report.error.partition('(')[0]}"))
        case _:
            return Example(at, "", "", cut(_upkeep_reason(report)))


def _upkeep_reason(report: Report) -> str:
    """What is to be seen to, of certificates, keys and the DNS."""
    match report:
        case DnsBroken():
            return f"{report.fault}: {report.what}; {report.remedy}"
        case DnsMended():
            return f"{report.fault} is gone: {report.what}"
        case CertificateExpiring():
            return f"{', '.join(report.names)} ends soon"
        case CertificateTrouble():
            return f"{', '.join(report.names)}: {report.reason}"
        case DkimKeyWaits():
            return f"{report.what} {report.record}" + (f": {report.detail}" if report.detail else "")
        case DkimTrouble():
            return f"{report.domain}: {report.reason}"
        case _:
            return ""


def trial(now: float) -> Alert:
    """An alert that nothing raised: what ``postroom alerts test`` sends."""
    example = Example(now, "192.0.2.1", "someone@example.org", "this is a test")  # RFC 5737 §3: nobody's address
    return Alert("test", 1, 0, now, now, 0, (example,))


def shape(alert: Alert, *, node: str, hostname: str) -> dict[str, Any]:
    """The JSON object that webhooks and commands get. Fields may be added; none is renamed or removed."""
    return {
        "what": alert.what,
        "count": alert.count,
        "window": alert.window,
        "node": node,
        "hostname": hostname,
        "since": _show(alert.since),
        "at": _show(alert.at),
        "silenced": alert.silenced,
        "examples": [
            {"at": _show(each.at), "address": each.address, "account": each.account, "reason": each.reason}
            for each in alert.examples
        ],
    }


def _show(moment: float) -> str:
    """RFC 3339, UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
