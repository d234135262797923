"""Watches the certificates of a running server: their files, their ends, and the age of the key of its tickets."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from postroom.clock import Clock
from postroom.net.certificates import Certificate, CertificateError
from postroom.net.tls import ServerTls
from postroom.report.events import CertificateExpiring, SettingsReloaded
from postroom.report.reporter import Reporter

DAY = 86400.0

TICKET_KEY = DAY
"""Seconds that tickets are made with one key; whoever gets hold of it reads no TLS 1.2 session of another day."""


class CertificateWatch:
    """``look`` is called now and then. ``show`` is given the end of each certificate by its file."""

    def __init__(
        self,
        tls: ServerTls | None,
        warn_before: float,
        *,
        clock: Clock,
        reporter: Reporter,
        show: Callable[[Mapping[str, float]], None],
    ) -> None:
        self._tls = tls
        self._expiry = ExpiryWatch(warn_before)
        self._clock = clock
        self._reporter = reporter
        self._show = show
        self._keyed = clock.monotonic()

    async def look(self) -> None:
        """Take up changed files, show the ends, tell of those that are near, renew the key of the tickets."""
        if self._tls is None:
            return
        try:
            if self._tls.reload_if_changed():
                self._reporter.tell(SettingsReloaded())
        except CertificateError as error:
            self._reporter.tell(SettingsReloaded(str(error)))
        certificates = [each for each in self._tls.certificates if each.path is not None]
        self._show({str(each.path): each.expires_at for each in certificates})
        for each in self._expiry.due(certificates, self._clock.now()):
            self._reporter.tell(CertificateExpiring(each.names, str(each.path), each.expires_at))
        if self._clock.monotonic() - self._keyed >= TICKET_KEY:
            self._keyed = self._clock.monotonic()
            self._tls.renew_tickets()  # RFC 9325 §3.4


class ExpiryWatch:
    """Names a certificate once a day from ``warn_before`` seconds before its end on."""

    def __init__(self, warn_before: float) -> None:
        self._warn_before = warn_before
        self._told: dict[tuple[Path | None, float], float] = {}

    def due(self, certificates: Iterable[Certificate], now: float) -> list[Certificate]:
        """Those to speak of now."""
        found: dict[tuple[Path | None, float], float] = {}
        due = []
        for each in certificates:
            if each.expires_at - now > self._warn_before:
                continue
            key = each.path, each.expires_at  # a renewed one is another
            found[key] = self._told.get(key, now - DAY)
            if now - found[key] >= DAY:
                found[key] = now
                due.append(each)
        self._told = found
        return due
