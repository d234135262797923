"""Return paths at the door: made for recipients at the intake, understood when mail comes back to them."""

import contextlib
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence

from postroom.clock import Clock
from postroom.config.road import ReturnsSettings
from postroom.directory.cache import LruCache
from postroom.directory.model import NotLocal, Resolution, Resolved, Unknown
from postroom.mail.address import Address
from postroom.mail.envelope import Recipient
from postroom.mail.message import Message, QueueId
from postroom.mail.returnpath import Flaw, Forwarded, ReturnPaths, Sent, may_return
from postroom.mail.value import value
from postroom.queue.model import Draft
from postroom.queue.returnmodel import MOST_NAMES
from postroom.report.history import HistoryStore

Resolve = Callable[[Address], Awaitable[Resolution]]
IsLocal = Callable[[str], Awaitable[bool]]

_SENDERS = 10_000

_FORGED = Unknown("a return path that is not of our making", told="This return path was not made here")
_EXPIRED = Unknown("a return path that has expired", told="This return path has expired")
_FORGOTTEN = Unknown("a return path of a message that is not known any more", told="This return path has expired")


@value(frozen=True, slots=True)
class Marks:
    """Makes the return paths of one message's recipients. ``at`` is when it leaves at the earliest.

    ``forwards``: it is another's mail, so that only what is forwarded gets one (SRS), at ``domain`` or, where that is
    ``""``, at the domain that forwards. Else it is an account's, and every recipient elsewhere gets one (VERP).
    """

    paths: ReturnPaths
    sender: Address
    domain: str
    at: float
    forwards: bool

    def of(self, message: Message, recipient: Recipient, number: int, forwarder: Address | None) -> Address | None:
        """See ``queue.carrier.ReturnPaths``."""
        if not self.forwards:
            return self.paths.verp(message.queue_id, recipient.address, self.domain or self.sender.domain, self.at)
        if forwarder is None:
            return None
        domain = self.domain or forwarder.domain
        path = self.paths.srs(self.sender, domain, self.at)
        # What would be too long for others gets a token instead; the sender stands in the history
        return path or self.paths.verp(message.queue_id, recipient.address, domain, self.at)


class Returns:
    """Between the door and the directory. Everything is decided by values at hand but where mail really came back."""

    def __init__(
        self,
        *,
        settings: ReturnsSettings,
        paths: ReturnPaths,
        resolve: Resolve,
        is_local: IsLocal,
        history: HistoryStore,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._paths = paths
        self._resolve = resolve
        self._is_local = is_local
        self._history = history
        self._clock = clock
        self._complaints = frozenset([Address.parse(text).key for text in settings.complaints])
        self._senders: LruCache[QueueId, Address] = LruCache(_SENDERS)

    # What comes in

    def resolve(self, address: Address) -> Awaitable[Resolution]:
        """What the address leads to: as the directory says, and for a return path of ours to whoever sent the mail.

        That opens no relay: only who was sent mail with a return path can write to it, and only for its lifetime.
        """
        return self._resolve_path(address) if may_return(address.local) else self._resolve(address)

    async def _resolve_path(self, address: Address) -> Resolution:
        if not address.domain or not await self._is_local(address.domain):
            return await self._resolve(address)
        match self._paths.read(address, self._clock.now()):
            case None:
                return await self._resolve(address)
            case Flaw.FORGED:
                return _FORGED
            case Flaw.EXPIRED:
                return _EXPIRED
            case Forwarded(original):
                return await self._back_to(original)
            case Sent(queue_id, _):
                sender = await self.sender_of(queue_id)
                return _FORGOTTEN if sender is None else await self._back_to(sender)

    async def sender_of(self, queue_id: QueueId) -> Address | None:
        """Who sent a message of ours, as its history knows it; None where that is not known or the null sender."""
        found = self._senders.get(queue_id)
        if found is None:
            for row in await self._history.of_message(queue_id):
                if row.kind == "accepted":
                    with contextlib.suppress(ValueError):  # the null sender, or a row of another make
                        found = Address.parse(str(json.loads(row.detail).get("from", "")))
                        self._senders.put(queue_id, found)
                    break
        return found

    async def _back_to(self, original: Address) -> Resolution:
        resolution = await self._resolve(original)
        return Resolved((), (original,)) if isinstance(resolution, NotLocal) else resolution

    # What goes out

    def may_mark(self, draft: Draft, resolutions: Sequence[Resolution]) -> bool:
        """Whether ``marks_for`` need be asked: seldom, and this is asked for every message."""
        if draft.account:
            return self._settings.verp
        for resolution in resolutions:  # noqa: SIM110 - asked for every message: a generator takes thrice as long
            if resolution.forwards:
                return True
        return False

    async def marks_for(self, draft: Draft, resolutions: Iterable[Resolution]) -> Marks | None:
        """What makes the return paths of the draft's recipients; None where they all keep the envelope's."""
        sender = draft.envelope.reverse_path
        settings = self._settings
        if sender is None or not sender.domain:
            return None
        if draft.account:
            if not settings.verp:
                return None
        elif not settings.srs or not any(one.forwards for one in resolutions) or await self._is_local(sender.domain):
            return None
        forwards = not draft.account
        comes_back_to = settings.domain or ("" if forwards else sender.domain)
        if comes_back_to and not await self._is_local(comes_back_to):
            return None  # a return path that leads elsewhere is worse than none
        at = max(draft.received_at, draft.envelope.hold_until or 0.0)
        return Marks(self._paths, sender, settings.domain, at, forwards)

    # What may be a bounce or a complaint

    def may_be_returned(self, draft: Draft, resolutions: Sequence[Resolution]) -> tuple[str, ...]:
        """The recipients for whose sake the message is looked at once it is in; none for nearly every message.

        Mail to a return path of a message, mail of the null sender to an account or a return path, mail to where
        feedback loops send. Not what accounts submit, nor what this server makes itself.
        """
        if draft.account or draft.client is None:
            return ()
        null = draft.envelope.reverse_path is None
        if not null and not self._complaints:
            for recipient in draft.envelope.recipients:
                if may_return(recipient.address.local):
                    break
            else:
                return ()
        found = [
            str(recipient.address)
            for recipient, resolution in zip(draft.envelope.recipients, resolutions, strict=True)
            if (null and resolution.is_ours)
            or self._is_token(recipient.address)
            or (self._complaints and recipient.address.key in self._complaints)
        ]
        return tuple(found[:MOST_NAMES])

    def _is_token(self, address: Address) -> bool:
        if not may_return(address.local):
            return False
        return isinstance(self._paths.read(address, self._clock.now()), Sent)
