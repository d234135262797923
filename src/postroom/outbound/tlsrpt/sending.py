"""Sends the reports of yesterday: to each domain that asks, by mail or HTTPS, once (RFC 8460 §4.1, §5)."""

import hashlib
import random
from collections.abc import Callable
from typing import Protocol

from postroom.clock import Clock
from postroom.config.road import TlsrptSettings
from postroom.dns.resolver import Resolver
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.trouble import ResolverUnavailable
from postroom.mail.value import value
from postroom.outbound.daily.counts import DAY
from postroom.outbound.daily.door import ReportPost
from postroom.outbound.daily.rounds import DailyRounds
from postroom.outbound.https import HttpsFailed
from postroom.outbound.mxtls import TLS_REQUIRED_NO
from postroom.outbound.tlsrpt.record import ReportTarget, read_targets
from postroom.outbound.tlsrpt.report import Reporting, TlsReport, compose_mail, make_report
from postroom.outbound.tlsrpt.tally import TlsTally
from postroom.outbound.tlsstore import TlsStore
from postroom.report.events import Report
from postroom.report.road import TlsReportSent

JITTER = 4 * 3600.0
"""Seconds after midnight within which reports begin to leave (RFC 8460 §4.1)."""

_POST_TIMEOUT = 60.0
_MAX_POSTED = 10 * 1024 * 1024  # octets; RFC 8460 §5.2: more is commonly not taken


class Poster(Protocol):
    """What posts."""

    async def post(self, url: str, body: bytes, media_type: str, *, seconds: float) -> int:
        """The status. Raises HttpsFailed."""
        ...


@value(frozen=True, slots=True, kw_only=True)
class ReportRooms:
    """Whom the reporter asks. ``chance`` gives a number from 0 to 1."""

    tally: TlsTally
    store: TlsStore
    resolver: Resolver
    https: Poster
    post: ReportPost
    clock: Clock
    tell: Callable[[Report], None]
    chance: Callable[[], float] = random.random


class TlsReporter:
    """``send_due`` is to be called again and again, every minute or so."""

    def __init__(self, settings: TlsrptSettings, hostname: str, rooms: ReportRooms) -> None:
        """ValueError if ``settings.contact`` is no address."""
        self._rooms = rooms
        contact = Address.parse(settings.contact or f"postmaster@{hostname}")
        self._reporting = Reporting(settings.organization or hostname, contact, hostname)
        self._begins: dict[int, float] = {}
        self._rounds = DailyRounds(rooms.tally.counts, self._begin_of)

    async def send_due(self) -> None:
        """Send what is due, ``AT_ONCE`` domains at most. Raises StoreUnavailable; what was not sent stays due."""
        rooms = self._rooms
        for day, domain in self._rounds.due(rooms.clock.now()):
            await self._deal_with(day, domain)
        self._begins = {day: at for day, at in self._begins.items() if day in rooms.tally.counts.days()}

    def _begin_of(self, day: int, _domain: str) -> float:
        """Some hours after the day's end, always the same."""
        if day not in self._begins:
            self._begins[day] = (day + 1) * DAY + self._rooms.chance() * JITTER
        return self._begins[day]

    async def _deal_with(self, day: int, domain: str) -> None:
        rooms = self._rooms
        try:
            targets = read_targets((await rooms.resolver.txt(f"_smtp._tls.{domain}")).records)
        except ResolverUnavailable as error:
            await self._put_off(day, domain, "", None, str(error))
            return
        tallies = rooms.tally.of_domain(day, domain)
        if not targets or not tallies:
            await self._done(day, domain)
            return
        # The same report has the same name, should it be sent twice (RFC 8460 §5.3).
        mark = hashlib.sha256(f"{self._reporting.hostname} {domain} {day}".encode()).hexdigest()[:24]
        report_id = f"{mark}@{self._reporting.contact.domain}"
        report = make_report(self._reporting, domain, day, tallies, report_id)
        troubles = {target: await self._send(report, target) for target in targets}
        if all(troubles.values()):  # RFC 8460 §3: one endpoint that takes it is enough
            target, trouble = next(iter(troubles.items()))
            await self._put_off(day, domain, str(target), report, trouble)
            return
        for target, trouble in troubles.items():
            rooms.tell(TlsReportSent(domain, str(target), report.sessions, report.failures, trouble))
        await self._done(day, domain)

    async def _send(self, report: TlsReport, target: ReportTarget) -> str:
        """Hand it over; why it was not taken, or nothing."""
        if len(report.body) > _MAX_POSTED:
            return f"the report has more than {_MAX_POSTED} octets"
        if target.mail is not None:
            await self._mail(report, target.mail)
            return ""
        try:
            status = await self._rooms.https.post(
                target.url, report.body, "application/tlsrpt+gzip", seconds=_POST_TIMEOUT
            )
        except HttpsFailed as error:
            return str(error)
        return "" if 200 <= status < 300 else f"the answer was {status}"

    async def _mail(self, report: TlsReport, recipient: Address) -> None:
        """Through the one door; the queue does the rest. The null sender: nothing answers it (RFC 3834 §3.3)."""
        reporting = self._reporting
        await self._rooms.post.send(
            Envelope(None, (Recipient(recipient),)),
            lambda message_id, now: compose_mail(reporting, report, recipient, message_id=message_id, now=now),
            # RFC 8460 §5.3: neither MTA-STS nor DANE may hold it up; and what comes of TLS with it is not counted.
            tags=(TLS_REQUIRED_NO,),
        )

    async def _put_off(self, day: int, domain: str, target: str, report: TlsReport | None, trouble: str) -> None:
        if self._rounds.put_off(day, domain, self._rooms.clock.now()):
            return
        sessions, failures = (0, 0) if report is None else (report.sessions, report.failures)
        self._rooms.tell(TlsReportSent(domain, target, sessions, failures, trouble))
        await self._done(day, domain)

    async def _done(self, day: int, domain: str) -> None:
        await self._rooms.store.reported(day, domain)
        self._rounds.done(day, domain)
