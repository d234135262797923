"""The queue as operators see it: listed, shown, retried, held, released, redirected, removed."""

from collections.abc import Sequence
from dataclasses import dataclass

from postroom.admin.accounts import read_address
from postroom.admin.domains import read_domain
from postroom.admin.moments import iso, maybe_iso
from postroom.admin.refusal import Refused
from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.message import QueueId, read_queue_id, show_queue_id
from postroom.queue.model import QueueAction, QueueEntry, QueueFilter
from postroom.queue.pauses import Pauses, name_of
from postroom.queue.store import QueueStore

PAGE = 500  # messages read at once
WAITING = tuple(state for state in RecipientState if not state.is_final)


@dataclass(frozen=True, slots=True)
class RecipientView:
    """Where one recipient stands; times are RFC 3339 in UTC or None, ``host`` is who answered last.

    ``destination`` is under what it waits: its domain, and the rule that it goes by where it goes by one. ``paused``
    says by which pause it is stopped, if by any; ``return_path`` is its own, or ``""`` for that of the message.
    """

    address: str
    state: str
    attempts: int
    next_attempt: str | None
    last_attempt: str | None
    last_reply: str
    host: str
    destination: str
    return_path: str
    paused: str


@dataclass(frozen=True, slots=True)
class QueueView:
    """One message in the queue; ``sender`` is ``""`` for the null sender, ``node`` who attempts it now or ``""``.

    ``released_at`` is until when its sender holds it back (FUTURERELEASE), ``deliver_by`` when it is to be delivered
    (DELIVERBY), ``deliver_by_mode`` what happens then: ``return``, ``notify`` or ``""``; ``priority`` is -9 to 9.
    """

    queue_id: str
    sender: str
    size: int
    received_at: str
    message_id: str
    account: str
    client: str
    node: str
    released_at: str | None
    deliver_by: str | None
    deliver_by_mode: str
    priority: int
    require_tls: bool
    tags: tuple[str, ...]
    recipients: tuple[RecipientView, ...]


def make_filter(
    ids: Sequence[str] = (),
    domain: str = "",
    sender: str | None = None,
    recipient: str = "",
    states: Sequence[str] = (),
    *,
    destination: str = "",
    before: float | None = None,
    reply: str = "",
    host: str = "",
    account: str = "",
    tag: str = "",
    priority: int | None = None,
) -> QueueFilter:
    """The filter that an operator wrote. Refused where a part of it is malformed."""
    try:
        queue_ids = tuple(read_queue_id(text) for text in ids)
    except ValueError as error:
        raise Refused(str(error), "postroom queue list shows the ids") from error
    return QueueFilter(
        queue_ids=queue_ids,
        domain=read_domain(domain) if domain else "",
        sender=str(read_address(sender)) if sender else sender,
        recipient=str(read_address(recipient)) if recipient else "",
        states=frozenset(_read_state(state) for state in states),
        destination=destination,
        before=before,
        reply=reply,
        host=host,
        account=account,
        tag=tag,
        priority=priority,
    )


async def list_queue(store: QueueStore, which: QueueFilter, limit: int) -> tuple[Sequence[QueueView], bool]:
    """The first ``limit`` messages that match, oldest first, and whether there are more."""
    found: list[QueueEntry] = []
    after: QueueId | None = None
    while len(found) <= limit:
        page = await store.entries(which, limit=min(PAGE, limit + 1 - len(found)), after=after)
        found.extend(page)
        if not page:
            break
        after = page[-1].message.queue_id
    pauses = await find_pauses(store)
    return [_view(entry, pauses) for entry in found[:limit]], len(found) > limit


async def show_entry(store: QueueStore, queue_id: QueueId) -> QueueView | None:
    """One message, if it is in the queue."""
    entries = await store.entries(QueueFilter(queue_ids=(queue_id,)), limit=1)
    return _view(entries[0], await find_pauses(store)) if entries else None


async def act(store: QueueStore, action: QueueAction, which: QueueFilter, now: float, to: Address | None = None) -> int:
    """Do it; returns how many recipients it met. Refused if none matched ids that were named."""
    met = await store.act(action, which, now, to)
    if not met and which.queue_ids:
        ids = ", ".join(show_queue_id(queue_id) for queue_id in which.queue_ids)
        raise Refused(f"nothing to {action.value} under {ids}", "postroom why ID tells what became of a message")
    return met


async def flush(store: QueueStore, which: QueueFilter, now: float) -> int:
    """Try now what waits, and have running servers forget which sites do not work. Returns how many are due."""
    met = await store.act(QueueAction.RETRY, which, now)
    await store.flush()
    return met


async def find_pauses(store: QueueStore) -> Pauses:
    """The pauses that are written down."""
    orders = await store.orders(0)
    return Pauses(() if orders is None else orders.pauses)


def _read_state(text: str) -> RecipientState:
    for state in WAITING:
        if state.value == text.lower():
            return state
    names = ", ".join(state.value for state in WAITING)
    raise Refused(f"{text!r} is not a state of the queue", f"one of {names}")


def _view(entry: QueueEntry, pauses: Pauses) -> QueueView:
    message = entry.message
    envelope = message.envelope
    sender, by = envelope.reverse_path, envelope.deliver_by
    return QueueView(
        queue_id=show_queue_id(message.queue_id),
        sender="" if sender is None else str(sender),
        size=message.size,
        received_at=iso(message.received_at),
        message_id=message.message_id,
        account=message.account,
        client=message.client,
        node="" if entry.lease is None else entry.lease.node,
        released_at=maybe_iso(envelope.hold_until),
        deliver_by=None if by is None else iso(by.ends_at(message.received_at)),
        deliver_by_mode="" if by is None else by.mode.name.lower(),
        priority=envelope.priority,
        require_tls=envelope.require_tls,
        tags=message.tags,
        recipients=tuple(_view_recipient(recipient, sender, pauses) for recipient in entry.recipients),
    )


def _view_recipient(queued: QueuedRecipient, sender: Address | None, pauses: Pauses) -> RecipientView:
    pause = pauses.of_recipient(sender, queued.recipient.address.domain) if pauses else None
    return RecipientView(
        address=str(queued.recipient.address),
        state=queued.state.value,
        attempts=queued.attempts,
        next_attempt=maybe_iso(queued.next_attempt),
        last_attempt=maybe_iso(queued.last_attempt),
        last_reply="" if queued.last_reply is None else str(queued.last_reply),
        host=queued.last_peer.host,
        destination=queued.waits_under,
        return_path="" if queued.return_path is None else str(queued.return_path),
        paused="" if pause is None else name_of(pause),
    )
