"""Sends the DMARC reports of yesterday: to each domain that asks now, by mail, once (RFC 9990 §3.5)."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from itertools import groupby

from postroom.clock import Clock
from postroom.config.dmarcreports import DmarcReportSettings
from postroom.directory.operator import postmaster_of
from postroom.dns.resolver import Resolver
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope, Notify, Recipient
from postroom.mail.trouble import ResolverUnavailable
from postroom.mail.value import value
from postroom.outbound.daily.counts import DAY
from postroom.outbound.daily.door import ReportPost
from postroom.outbound.daily.rounds import DailyRounds
from postroom.outbound.dmarcrpt.destinations import Destinations, find_destinations
from postroom.outbound.dmarcrpt.report import DmarcReport, Reporting, compose_mail, make_report
from postroom.outbound.dmarcrpt.store import DmarcCount, DmarcStore
from postroom.outbound.dmarcrpt.tally import LEFT_OUT, DmarcTally, read_row
from postroom.report.events import Report
from postroom.report.road import DmarcReportSent

SPREAD = 6 * 3600.0
"""Seconds after midnight over which the reports of a day leave, each domain's at a moment of its own."""

DNS_SECONDS = 30.0
"""Seconds for the questions about who is to get a domain's reports: others' reports wait meanwhile."""

SETTLING = 300.0
"""Seconds after midnight before which none leaves: what was counted last is to be written first."""


@value(frozen=True, slots=True, kw_only=True)
class ReportRooms:
    """Whom the reporter asks. ``signs`` says whether our mail from a domain is signed now, so that it passes DMARC."""

    tally: DmarcTally
    store: DmarcStore
    resolver: Resolver
    post: ReportPost
    signs: Callable[[str], bool]
    is_local: Callable[[str], Awaitable[bool]]
    clock: Clock
    tell: Callable[[Report], None]


class DmarcReporter:
    """``send_due`` is to be called again and again, every minute or so."""

    def __init__(self, settings: DmarcReportSettings, hostname: str, rooms: ReportRooms) -> None:
        self._settings = settings
        self._hostname = hostname
        self._rooms = rooms
        self._suppressed = frozenset(settings.suppress)
        self._reporting = Reporting(
            organization=settings.organization or hostname,
            sender=report_sender(settings, hostname),
            contact=settings.contact,
            extra_contact=settings.extra_contact,
            hostname=hostname,
        )
        self._rounds = DailyRounds(rooms.tally.counts, self._begin_of)
        self._sent: dict[tuple[int, str], set[Address]] = {}
        self._complained_on = -1

    async def send_due(self) -> None:
        """Send what is due, some domains at a time. Raises StoreUnavailable; what was not sent stays due."""
        rooms = self._rooms
        now = rooms.clock.now()
        due = list(self._rounds.due(now))
        if not due:
            return
        sender = self._reporting.sender
        if not rooms.signs(sender.domain):
            # RFC 9990 §3.5.2: reports must pass DMARC themselves. Told once a day.
            if self._complained_on != int(now // DAY):
                self._complained_on = int(now // DAY)
                trouble = f"nothing signs mail from {sender.domain}: see postroom dkim"
                rooms.tell(DmarcReportSent("", "", 0, trouble))
            return
        if not self._settings.contact:
            operator = await postmaster_of(self._hostname, rooms.is_local)
            contact = f"postmaster@{self._hostname}" if operator is None else str(operator)
            self._reporting = replace(self._reporting, contact=contact)
        for day, domain in due:
            await self._deal_with(day, domain)

    def _begin_of(self, day: int, domain: str) -> float:
        """A moment of the domain's own, the same after a restart."""
        mark = hashlib.blake2b(f"{self._reporting.hostname} {domain}".encode(), digest_size=4).digest()
        return (day + 1) * DAY + SETTLING + int.from_bytes(mark) / 2**32 * SPREAD

    async def _deal_with(self, day: int, domain: str) -> None:
        counts = self._rooms.tally.of_domain(day, domain)
        if domain in self._suppressed or not _is_called_for(counts):
            await self._done(day, domain)
            return
        try:
            async with asyncio.timeout(DNS_SECONDS):
                found = await find_destinations(self._rooms.resolver, domain)
        except TimeoutError:
            await self._put_off(day, domain, "the DNS took too long to say who is to get them")
            return
        except ResolverUnavailable as error:
            await self._put_off(day, domain, str(error))
            return
        if not found.wanted:
            await self._done(day, domain)
            return
        # Away from the loop: a report may have thousands of rows.
        reports = await asyncio.to_thread(self._make, counts, found.faults)
        await self._send(day, domain, reports, found)
        if found.unsure:
            await self._put_off(day, domain, "the DNS had no answer for some of those who are to get it")
            return
        if not found.addresses:
            self._rooms.tell(DmarcReportSent(domain, "", _messages(reports), "; ".join(found.faults)))
        await self._done(day, domain)

    def _make(self, counts: Sequence[DmarcCount], errors: Sequence[str]) -> list[DmarcReport]:
        """One for each policy that was seen (RFC 9990 §3.3)."""
        of_policies = [list(group) for _, group in groupby(counts, lambda one: one.policy)]
        made = [make_report(self._reporting, of_policy, errors) for of_policy in of_policies]
        return [report for report in made if report is not None]

    async def _send(self, day: int, domain: str, reports: Collection[DmarcReport], found: Destinations) -> None:
        """To everyone who has not got it yet (RFC 9990 §3.5: to every URI, not just one)."""
        rooms = self._rooms
        sent = self._sent.setdefault((day, domain), set())
        for address in found.addresses:
            if address in sent or {address.key, address.domain} & self._suppressed:
                continue
            for report in reports:
                await self._mail(report, address)
            sent.add(address)
            rooms.tell(DmarcReportSent(domain, str(address), _messages(reports)))

    async def _mail(self, report: DmarcReport, address: Address) -> None:
        reporting = self._reporting
        # No null sender, so that SPF speaks for it too. No DSN (RFC 3461 §4.1): nobody could do anything about it.
        envelope = Envelope(reporting.sender, (Recipient(address, Notify.NEVER),))
        await self._rooms.post.send(
            envelope,
            lambda message_id, now: compose_mail(reporting, report, address, message_id=message_id, now=now),
        )

    async def _put_off(self, day: int, domain: str, trouble: str) -> None:
        if self._rounds.put_off(day, domain, self._rooms.clock.now()):
            return
        self._rooms.tell(DmarcReportSent(domain, "", 0, trouble))
        await self._done(day, domain)

    async def _done(self, day: int, domain: str) -> None:
        await self._rooms.store.reported(day, domain)
        self._rounds.done(day, domain)
        self._sent.pop((day, domain), None)


def report_sender(settings: DmarcReportSettings, hostname: str) -> Address:
    """From and return path of our reports."""
    return Address.parse(settings.sender or f"noreply-dmarc@{hostname}")


def _is_called_for(counts: Sequence[DmarcCount]) -> bool:
    """Whether there is anything but reports of others (see ``tally``)."""
    return any(one.row == LEFT_OUT or not read_row(one.row)["report"] for one in counts)


def _messages(reports: Collection[DmarcReport]) -> int:
    return sum(report.messages for report in reports)
