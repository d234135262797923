"""Messages to people about limits: to the account's owner and to the operator, plain text through the one door in.

A notice has the null sender and says that a program wrote it (RFC 3834 §5), so nothing ever answers it. It comes in by
the intake and not by a session, so it never counts against a limit, and none can follow from another.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Protocol

from postroom.clock import Clock
from postroom.config.guard import LimitSettings
from postroom.config.section import read_rate
from postroom.directory.cache import LruCache
from postroom.directory.operator import postmaster_of
from postroom.mail.address import Address
from postroom.mail.envelope import Body, Envelope, Recipient
from postroom.mail.headers import show_date
from postroom.mail.message import Message, QueueId, show_queue_id
from postroom.mail.value import value
from postroom.policy.scope import say_rate
from postroom.queue.model import Draft
from postroom.report.events import LimitNear, LimitReached, Report

SILENCE = 20 * 3600.0
"""Seconds for which the same is not told again: a day, a little less, so that it comes no later each day."""

_MOST_WAITING = 100  # notices that wait to be written; what comes beyond is in the log all the same
_MOST_AN_HOUR = 50  # notices to the operator: an attack with many accounts must not fill a mailbox
_KEPT = 10_000

_OF_ACCOUNT = ("account_messages", "account_recipients")
_TOLD = (*_OF_ACCOUNT, "sender_domain_messages", "destination_messages")
"""The scopes that people are written about. Clients of mx are strangers: log and metrics tell of them."""

_WHAT = {
    "account_messages": "messages that the account {subject} may send",
    "account_recipients": "recipients that the account {subject} may send to",
    "sender_domain_messages": "messages that all accounts of {subject} together may send",
    "destination_messages": "messages that may go to {subject}",
}


class Door(Protocol):
    """Where messages come in: the intake."""

    async def accept(self, draft: Draft) -> Message:
        """On return the message is safe. Raises StoreUnavailable."""
        ...


@value(frozen=True, slots=True, kw_only=True)
class NoticeRooms:
    """Whom the notices ask. ``postmaster`` is that of the settings or ``""``."""

    hostname: str
    postmaster: str
    settings: LimitSettings
    is_local: Callable[[str], Awaitable[bool]]
    door: Door
    next_id: Callable[[], QueueId]
    clock: Clock


class Notices:
    """Listens to a Reporter (``choose``): ``tell`` remembers, ``write`` brings it in; it is called again and again."""

    def __init__(self, rooms: NoticeRooms) -> None:
        self._rooms = rooms
        self._waiting: deque[LimitNear | LimitReached] = deque()
        self._told: LruCache[tuple[type, str, str], float] = LruCache(_KEPT)
        self._to_operator: deque[float] = deque(maxlen=_MOST_AN_HOUR)
        self._something = asyncio.Event()

    def choose(self, kind: type[Report]) -> Callable[[Report], None] | None:
        """``tell`` for reports about limits."""
        return self.tell if kind in (LimitNear, LimitReached) else None

    def tell(self, report: Report) -> None:
        """Remember what people must be told of; never waits."""
        if not isinstance(report, LimitNear | LimitReached) or report.scope not in _TOLD:
            return
        key, now = (type(report), report.scope, report.subject), self._rooms.clock.now()
        until = self._told.get(key)
        if (until is not None and until > now) or len(self._waiting) >= _MOST_WAITING:
            return
        self._told.put(key, now + SILENCE)
        self._waiting.append(report)
        self._something.set()

    async def write(self) -> None:
        """Wait until there is something to tell, and bring it in. Raises StoreUnavailable; then it is lost but for the
        log: a store in trouble is told of by others.
        """
        await self._something.wait()
        self._something.clear()
        while self._waiting:
            report = self._waiting.popleft()
            for recipient in await self._recipients(report):
                await self._rooms.door.accept(self._draft(report, recipient))

    async def _recipients(self, report: LimitNear | LimitReached) -> tuple[Address, ...]:
        found = {}
        if report.scope in _OF_ACCOUNT and self._rooms.settings.tell_owner:
            owner = Address.parse(report.subject)
            found[owner.key] = owner
        operator = await self._operator()
        if operator is not None and self._may_tell_operator():
            found.setdefault(operator.key, operator)
        return tuple(found.values())

    async def _operator(self) -> Address | None:
        """The postmaster of the settings, else of the domain of ours that this host belongs to."""
        if self._rooms.postmaster:
            return Address.parse(self._rooms.postmaster)
        return await postmaster_of(self._rooms.hostname, self._rooms.is_local)

    def _may_tell_operator(self) -> bool:
        now, last = self._rooms.clock.now(), self._to_operator
        if len(last) == _MOST_AN_HOUR and last[0] > now - 3600:
            return False
        last.append(now)
        return True

    def _draft(self, report: LimitNear | LimitReached, recipient: Address) -> Draft:
        rooms = self._rooms
        queue_id, now = rooms.next_id(), rooms.clock.now()
        message_id = f"<{show_queue_id(queue_id)}@{rooms.hostname}>"
        text = compose(report, recipient, hostname=rooms.hostname, message_id=message_id, now=now)
        envelope = Envelope(
            None,  # RFC 3834 §3.3: nothing can come back
            (Recipient(recipient),),
            Body.SEVEN_BIT if text.isascii() else Body.EIGHT_BIT,
            recipient.needs_smtputf8 or not _header_of(text).isascii(),
        )
        return Draft(queue_id, now, envelope, text, len(text), message_id=message_id)


def compose(
    report: LimitNear | LimitReached, recipient: Address, *, hostname: str, message_id: str, now: float
) -> bytes:
    """The notice, as content with CRLF."""
    rate = read_rate(report.rate)
    what = _WHAT[report.scope].format(subject=report.subject)
    limit = say_rate(rate, report.scope.rpartition("_")[2])
    if isinstance(report, LimitReached):
        subject = f"Limit reached: {report.subject}"
        said = [f"The limit of {limit} has been reached.", f"There is room again from {_utc(report.until)} on."]
        said.append("Until then mail programs are asked to try again later; no message that was accepted is lost.")
        if report.address:
            said.append(f"The last client came from the address {report.address}.")
    else:
        subject = f"Limit nearly reached: {report.subject}"
        said = [f"{report.share:.0%} of the limit of {limit} are used up."]
    lines = [
        f"From: Postmaster <postmaster@{hostname}>",
        f"To: <{recipient}>",
        f"Subject: {subject}",
        f"Date: {show_date(now)}",
        f"Message-ID: {message_id}",
        "Auto-Submitted: auto-generated",  # RFC 3834 §5
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        f"This is the mail server {hostname}.",
        "",
        "It is about the",
        f"    {what}.",
        "",
        *said,
        "",
        *_advice(report, recipient),
    ]
    return "\r\n".join([*lines, ""]).encode("utf-8", "replace")


def _advice(report: LimitNear | LimitReached, recipient: Address) -> Iterator[str]:
    if report.scope in _OF_ACCOUNT and recipient.key == report.subject:
        yield "If this was not you, somebody else may know your password: change it now,"
        yield "and tell your postmaster. If it was, ask your postmaster for a higher limit."
    elif report.scope in _OF_ACCOUNT:
        yield f"postroom limits show {report.subject}   shows what is used up,"
        yield f"postroom limits set {report.subject} …   gives this account limits of its own."
    else:
        yield f"The limit is {report.scope} under [limits] in the settings."
    yield "You are told of this once a day at most."


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _header_of(text: bytes) -> bytes:
    return text.partition(b"\r\n\r\n")[0]
