"""Looks at mail that came back, after it is safe: finds the messages that it is about, and notes what follows.

Which mail is looked at is noted with its intake and stays noted until what follows is written, in one transaction, so
that a crash neither loses nor doubles anything. It goes on to its recipients whatever comes of this.
"""

import asyncio
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from postroom.clock import Clock
from postroom.config.reports import ReportsSettings
from postroom.config.road import ReturnsSettings, SuppressionSettings
from postroom.mail.address import Address
from postroom.mail.bounces.model import Bounce, Complaint
from postroom.mail.message import QueueId, read_queue_id, show_queue_id
from postroom.mail.reply import Reply
from postroom.mail.returnpath import Forwarded, ReturnPaths, Sent
from postroom.mailauth.reports.failure import complaint_report
from postroom.mailauth.reports.store import NewReport
from postroom.mailauth.reports.unpack import sender_of
from postroom.queue.carrier import ContentSource
from postroom.queue.expansion import to_json
from postroom.queue.matching import (
    BOUNCED,
    COMPLAINED,
    DELAYED,
    Match,
    Trail,
    by_record,
    by_token,
    read_address,
    reports_trouble,
    tokens_in,
    trail_of,
)
from postroom.queue.returnmodel import FIRST, Finding, ReturnedMail, ReturnedStore
from postroom.report.events import InternalError, Report
from postroom.report.history import HistoryRow, HistoryStore
from postroom.report.reporter import Reporter
from postroom.report.road import AddressSuppressed, BounceReturned, ComplaintReturned
from postroom.reputation.model import Suppression
from postroom.reputation.noting import of_bounce, of_complaint

MOST_LOOKED_AT = 256 * 1024
"""Octets of a returned mail that are looked at."""

EARLY = 60.0
"""Seconds in which a bounce may overtake our own note that the message was relayed: until then it is asked again."""

MOST_AT_ONCE = 200
"""Returned mails that are looked at in one go."""

_TOGETHER = 50
_DAY = 86400.0
_AGAIN = 2.0  # seconds until one that came too early is asked again
_MOST_MESSAGES = 5  # that one returned mail may be about by what it says
_MOST_TEXT = 400

_TOKEN = re.compile(rb"\bb-[a-z2-7]{32}@[a-z0-9.-]{1,255}", re.IGNORECASE)

ReadReturned = Callable[[bytes], Bounce | Complaint | None]
"""``mail.bounces.read.read_bounce`` with its rules."""


@dataclass(slots=True)
class _Found:
    """What came of one returned mail so far. ``early``: it is to be asked again."""

    history: list[HistoryRow] = field(default_factory=list)
    suppressions: list[Suppression] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    complaints: list[NewReport] = field(default_factory=list)
    early: bool = False


class ReturnDesk:
    """``work`` is for every second or so."""

    def __init__(
        self,
        *,
        store: ReturnedStore,
        contents: ContentSource,
        history: HistoryStore,
        paths: ReturnPaths,
        read: ReadReturned,
        hostname: str,
        returns: ReturnsSettings,
        suppression: SuppressionSettings,
        reports: ReportsSettings,
        clock: Clock,
        reporter: Reporter,
    ) -> None:
        self._store = store
        self._contents = contents
        self._history = history
        self._paths = paths
        self._read = read
        self._returns = returns
        self._suppression = suppression
        self._reports = reports
        self._clock = clock
        self._reporter = reporter
        self._later: dict[QueueId, float] = {}  # when those are asked again that came too early
        # As our Received field writes it (see inbound/trace.py)
        self._received = re.compile(
            rb"\bby[ \t]+" + re.escape(hostname.encode()) + rb"\b[^;]{0,200}?\bid[ \t\r\n]+([0-9a-z]{13})\b",
            re.IGNORECASE,
        )

    async def work(self) -> int:
        """Look at what is noted; returns how many are done. Raises StoreUnavailable.

        So many at once and no more: a flood of bounces must not take the time of the mail that comes in.
        """
        after, count, looked = FIRST, 0, 0
        now = self._clock.now()
        self._later = {queue_id: at for queue_id, at in self._later.items() if at > now}
        while looked < MOST_AT_ONCE and (pending := await self._store.pending(_TOGETHER, after)):
            after = pending[-1].queue_id
            due = [mail for mail in pending if mail.queue_id not in self._later]
            looked += len(due)
            count += await self._work(due)
        return count

    async def _work(self, pending: Sequence[ReturnedMail]) -> int:
        trails: dict[QueueId, Trail | None] = {}  # of this batch: two bounces of one recipient count once
        looked = [(mail, await self._look(mail, trails)) for mail in pending]
        ready = [(mail, found) for mail, found in looked if not found.early]
        again = self._clock.now() + _AGAIN
        self._later |= {mail.queue_id: again for mail, found in looked if found.early}
        findings = [_finding(mail, found) for mail, found in ready]
        done = await self._store.finish(findings)
        for (_, found), was_open in zip(ready, done, strict=True):
            for report in found.reports if was_open else ():
                self._reporter.tell(report)
        return sum(done)

    async def _look(self, mail: ReturnedMail, trails: dict[QueueId, Trail | None]) -> _Found:
        """What comes of it. A mail on which this fails for a fault of ours is passed over, and that is told."""
        content = await self._start_of(mail)
        try:
            report = await asyncio.to_thread(self._read, content)
        except Exception as error:  # noqa: BLE001 - one mail that nobody foresaw must not stop the others
            trace = "".join(traceback.format_exception(error))
            self._reporter.tell(InternalError("returned mail", repr(error), trace))
            return _Found()
        if report is None:
            return _Found()
        found = _Found()
        for match in await self._matches(mail, content, report, trails, found):
            self._note(mail, report, match, found)
        if isinstance(report, Complaint):
            found.complaints.append(self._listed(mail, content, report, found))
        if isinstance(report, Complaint) and not found.reports and not found.early:
            named = report.recipients[0] if report.recipients else ""
            found.reports.append(ComplaintReturned(QueueId(0), named, report.kind))
        return found

    async def _start_of(self, mail: ReturnedMail) -> bytes:
        pieces = [b"Return-Path: <>\r\n"] if mail.null_sender else []
        if mail.content is not None:
            return b"".join([*pieces, mail.content[:MOST_LOOKED_AT]])
        size = 0
        try:
            async for piece in self._contents.read_content(mail.queue_id):
                pieces.append(piece[: MOST_LOOKED_AT - size])
                size += len(piece)
                if size >= MOST_LOOKED_AT:
                    break
        except KeyError:  # it was delivered on, or collected and deleted, meanwhile
            return b""
        return b"".join(pieces)

    # Matching

    async def _matches(
        self,
        mail: ReturnedMail,
        content: bytes,
        report: Bounce | Complaint,
        trails: dict[QueueId, Trail | None],
        found: _Found,
    ) -> list[Match]:
        def read(address: Address) -> object:
            return self._paths.read(address, mail.received_at)

        inside = [token.decode() for token in _TOKEN.findall(content)[:_MOST_MESSAGES]]
        tokens = tokens_in([*mail.recipients, *inside], read)
        is_young = mail.received_at > self._clock.now() - EARLY
        if tokens:
            token = tokens[0]
            trail = await self._trail(token.queue_id, trails)
            match = None if trail is None else by_token(trail, token, report)
            found.early = match is None and trail is not None and is_young
            return [] if match is None else [match]
        since = mail.received_at - self._returns.lifetime
        came_for = frozenset(_keys(mail.recipients, read))
        for queue_id, by in await self._candidates(content, report):
            trail = await self._trail(queue_id, trails)
            if trail is None:
                continue
            matches = list(by_record(trail, report, by, came_for=came_for, since=since))
            if matches:
                found.early = False
                return matches
            is_senders = trail.sender is not None and trail.sender.key in came_for
            found.early = is_young and not trail.journeys and is_senders
        return []

    async def _candidates(self, content: bytes, report: Bounce | Complaint) -> list[tuple[QueueId, str]]:
        """Messages of ours that it may be about, by what it says."""
        found: dict[QueueId, str] = {}
        written = [(report.envelope_id, "envid")]
        written += [(text.decode(), "queue_id") for text in self._received.findall(content)]
        for text, by in written[:_MOST_MESSAGES]:
            try:
                found.setdefault(read_queue_id(text), by)
            except ValueError:
                continue  # the ENVID of a client, or none
        if report.message_id and not found:
            for number in await self._history.find(report.message_id, _MOST_MESSAGES):
                found.setdefault(QueueId(number), "message_id")
        return list(found.items())[:_MOST_MESSAGES]

    async def _trail(self, queue_id: QueueId, trails: dict[QueueId, Trail | None]) -> Trail | None:
        if queue_id not in trails:
            trails[queue_id] = trail_of(queue_id, await self._history.of_message(queue_id))
        return trails[queue_id]

    # Noting

    def _note(self, mail: ReturnedMail, report: Bounce | Complaint, match: Match, found: _Found) -> None:
        """The row for the message, the report, and what the suppression list learns."""
        entry, trail, address = match.entry, match.trail, match.recipient
        kind = COMPLAINED if entry is None else BOUNCED
        permanent = entry is None or entry.permanent
        if not reports_trouble(match) or trail.knows(kind, address.key, permanent=permanent):
            return
        trail.told.add((kind, address.key, permanent))
        now = self._clock.now()
        detail: dict[str, object] = {"by": match.by, "returned": show_queue_id(mail.queue_id)}
        if entry is not None:
            detail |= {"cause": entry.cause.value, "reply": _said(entry.reply)}
            if entry.host:
                detail["host"] = entry.host[:_MOST_TEXT]
            found.reports.append(BounceReturned(trail.queue_id, str(address), entry.cause, permanent, match.by))
        elif isinstance(report, Complaint):
            detail["type"] = report.kind[:_MOST_TEXT]
            found.reports.append(ComplaintReturned(trail.queue_id, str(address), report.kind))
        kind = kind if permanent else DELAYED
        found.history.append(HistoryRow(trail.queue_id, now, kind, str(address), address.domain, "", to_json(detail)))
        event = self._suppression_of(report, match, now)
        if event is not None:
            found.suppressions.append(event)
            if event.stands(self._suppression.bounces, now):
                found.reports.append(AddressSuppressed(event.sender_domain, str(address), event.cause, event.until))

    def _listed(self, mail: ReturnedMail, content: bytes, complaint: Complaint, found: _Found) -> NewReport:
        """The complaint among the reports of others (``postroom reports complaints``)."""
        about = show_queue_id(found.history[0].queue_id) if found.history else ""
        report = complaint_report(complaint, sender_of(content), report_id=show_queue_id(mail.queue_id), about=about)
        came_to = mail.recipients[0].rpartition("@")[2] if mail.recipients else ""
        now, most = mail.received_at, self._reports.max_per_day
        return NewReport(report, now, came_to, mail.queue_id, most=most, day=now - now % _DAY)

    def _suppression_of(self, report: Bounce | Complaint, match: Match, now: float) -> Suppression | None:
        """What counts for the suppression list: of mail that an account sent, a hard bounce or a complaint."""
        trail, entry, settings = match.trail, match.entry, self._suppression
        if not settings.enabled or not trail.account or trail.sender is None:
            return None
        domain, queue_id = trail.sender.domain, trail.queue_id
        if entry is not None:
            if not (entry.permanent and entry.hard and entry.cause.suppresses):
                return None
            reason = _said(entry.reply)
            return of_bounce(settings, domain, match.recipient, entry.cause, reason=reason, now=now, queue_id=queue_id)
        if isinstance(report, Complaint) and report.is_unwelcome:
            return of_complaint(settings, domain, match.recipient, report.kind, now=now, queue_id=queue_id)
        return None


def _finding(mail: ReturnedMail, found: _Found) -> Finding:
    return Finding(mail.queue_id, tuple(found.history), tuple(found.suppressions), tuple(found.complaints))


def _said(reply: Reply) -> str:
    """What the reporter said; its text often begins with the code and the status itself."""
    text = reply.text
    return (text if text.startswith(str(reply.code)) else str(reply))[:_MOST_TEXT]


def _keys(names: Sequence[str], read: Callable[[Address], object]) -> list[str]:
    """Whom the mail came back to: for a forward's return path whoever sent what was forwarded."""
    keys = []
    for name in names:
        address = read_address(name)
        if address is None:
            continue
        meant = read(address)
        if isinstance(meant, Forwarded):
            keys.append(meant.original.key)
        elif not isinstance(meant, Sent):
            keys.append(address.key)
    return keys
