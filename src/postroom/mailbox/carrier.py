"""Carries queued mail into mailboxes: recipients whose domain became ours after their message was taken in.

Mail that is local from the start never comes here: its entries are made by the intake (DESIGN §4 step 6).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from postroom.clock import Clock
from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Delivered, DeliveryRequest, Failed, Outcome
from postroom.mail.reply import Reply
from postroom.mail.trouble import StoreUnavailable
from postroom.mailbox.model import NewEntry
from postroom.mailbox.store import MailboxStore

_PLACED = Reply.of(250, "2.1.5", "Placed in the mailbox")
_UNKNOWN = Reply.of(550, "5.1.1", "No such mailbox here")
_MOVED = Reply.of(550, "5.1.6", "The address is forwarded now: please send the message again")
_NOT_OURS = Reply.of(451, "4.4.4", "The destination has changed, trying again later")
_TROUBLE = Reply.of(451, "4.3.0", "The mailbox cannot be written now")
_FULL = Reply.of(452, "4.3.1", "There is no space left now")


class Resident(Protocol):
    """Someone with a mailbox."""

    @property
    def account_id(self) -> int:
        """Whose mailbox."""
        ...

    @property
    def address(self) -> Address:
        """The account's own address."""
        ...


class Destination(Protocol):
    """What an address leads to; the directory's resolutions are such."""

    @property
    def is_ours(self) -> bool:
        """The domain is ours."""
        ...

    @property
    def accounts(self) -> Sequence[Resident]:
        """Who receives here; none where the address is unknown."""
        ...

    @property
    def forwards(self) -> Sequence[Address]:
        """Who receives elsewhere."""
        ...


def entry_prefix(reverse_path: Address | None, delivered_to: Address) -> bytes:
    """The header that a mailbox entry has of its own: where bounces go, and the address it was delivered for.

    RFC 5321 §4.4: exactly one Return-Path, added at final delivery.
    """
    sender = "" if reverse_path is None else str(reverse_path)
    return f"Return-Path: <{sender}>\r\nDelivered-To: {delivered_to}\r\n".encode()


class MailboxCarrier:
    """A carrier (see ``postroom.queue.carrier.Carrier``) to the mailboxes of this house."""

    def __init__(self, resolve: Callable[[Address], Awaitable[Destination]], store: MailboxStore, clock: Clock) -> None:
        self._resolve = resolve
        self._store = store
        self._clock = clock

    async def deliver(self, request: DeliveryRequest) -> Mapping[int, Outcome]:
        """Place the message for all of the recipients at once, in one mailbox never twice."""
        outcomes: dict[int, Outcome] = {}
        entries: dict[int, NewEntry] = {}
        for queued in request.recipients:
            address = queued.recipient.address
            try:
                found = await self._resolve(address)
            except StoreUnavailable as error:
                outcomes[queued.number] = _deferred(error)
                continue
            outcome = _obstacle(found, address)
            outcomes[queued.number] = Delivered(_PLACED) if outcome is None else outcome
            if outcome is None:
                prefix = entry_prefix(request.message.envelope.reverse_path, address)
                for account in _receivers(found, address):
                    entries.setdefault(account.account_id, NewEntry(account.account_id, str(account.address), prefix))
        if entries:
            trouble = await self._place(request, list(entries.values()))
            if trouble is not None:
                return {n: trouble if isinstance(each, Delivered) else each for n, each in outcomes.items()}
        return outcomes

    async def _place(self, request: DeliveryRequest, entries: Sequence[NewEntry]) -> Deferred | None:
        try:
            await self._store.place(request.message.queue_id, entries, self._clock.now())
        except StoreUnavailable as error:
            return _deferred(error)
        except KeyError as error:  # an account was removed since it was resolved: the next attempt resolves anew
            return Deferred(_TROUBLE, detail=f"gone meanwhile: {error}", cause=Cause.LOCAL)
        return None


def _receivers(found: Destination, address: Address) -> Sequence[Resident]:
    """Who gets a place: the account itself where it keeps what it forwards, since the copies went their own way."""
    own = [account for account in found.accounts if account.address == address]
    return own if found.forwards and own else found.accounts


def _obstacle(found: Destination, address: Address) -> Outcome | None:
    """Why nothing can be placed for a recipient, if so."""
    if not found.is_ours:
        return Deferred(_NOT_OURS, detail="the domain is not ours any more", cause=Cause.LOCAL)
    if found.forwards and not any(account.address == address for account in found.accounts):
        # A queued message cannot be split between mailboxes and the world; sent anew, the intake does it.
        return Failed(_MOVED, detail="the alias forwards to other hosts", cause=Cause.LOCAL)
    if not found.accounts:
        return Failed(_UNKNOWN, detail="no such account or alias", cause=Cause.MAILBOX_UNKNOWN)
    return None


def _deferred(error: StoreUnavailable) -> Deferred:
    return Deferred(_FULL if error.full else _TROUBLE, detail=str(error), cause=Cause.LOCAL)
