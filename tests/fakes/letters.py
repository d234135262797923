"""Messages, intakes and settlements with everything that a test does not care about filled in."""

from collections.abc import Sequence
from dataclasses import replace

from postroom.mail.address import Address
from postroom.mail.delivery import Peer, QueuedRecipient, RecipientState
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.message import Message, QueueId
from postroom.mail.reply import Reply
from postroom.mailbox.model import NewEntry
from postroom.queue.model import Intake, Lease, Settlement
from postroom.report.history import HistoryRow

NOON = 1_750_000_000.25
"""The moment at which letters are received unless told otherwise."""

GONE_AWAY = Reply(451, "4.4.1", ("host is away", "try again"))
TAKEN = Reply.of(250, "2.0.0", "queued as 4711")
NO_SUCH_USER = Reply.of(550, "5.1.1", "no such user")
PEER = Peer(host="mx.example.org", address="192.0.2.9", port=25, tls="TLSv1.3 TLS_AES_128_GCM_SHA256")


def queue_id(number: int) -> QueueId:
    """A queue id; a greater number is a later message."""
    return QueueId((1 << 50) + number)


def a_message(
    number: int,
    *,
    to: Sequence[str] = ("rita@remote.example",),
    sender: str | None = "sam@ours.example",
    at: float = NOON,
    prefix: bytes = b"Received: from there\r\n",
    size: int = 0,
    message_id: str = "",
) -> Message:
    """A message by number."""
    return Message(
        queue_id=queue_id(number),
        received_at=at,
        envelope=Envelope(
            reverse_path=None if sender is None else Address.parse(sender),
            recipients=tuple(Recipient(Address.parse(one)) for one in to),
        ),
        prefix=prefix,
        content_size=size,
        account="sam@ours.example",
        client="192.0.2.1",
        message_id=message_id,
    )


def queued(message: Message, *, due: float | None = None) -> tuple[QueuedRecipient, ...]:
    """All recipients of the message, queued."""
    return tuple(
        QueuedRecipient(number=number, recipient=one, next_attempt=due, destination=one.address.domain)
        for number, one in enumerate(message.envelope.recipients)
    )


def an_intake(
    number: int,
    *,
    to: Sequence[str] = ("rita@remote.example",),
    sender: str | None = "sam@ours.example",
    content: bytes = b"Subject: hi\r\n\r\nhello\r\n",
    at: float = NOON,
    due: float | None = None,
    lease: Lease | None = None,
    boxes: Sequence[int] = (),
    history: Sequence[HistoryRow] = (),
    message_id: str = "",
) -> Intake:
    """An intake whose recipients all leave the house; ``boxes`` are account ids that get an entry."""
    message = a_message(number, to=to, sender=sender, at=at, size=len(content), message_id=message_id)
    entries = tuple(
        NewEntry(account_id=box, recipient=f"box{box}@ours.example", prefix=b"Delivered-To: box\r\n") for box in boxes
    )
    return Intake(
        message=message,
        content=content,
        queued=queued(message, due=due),
        entries=entries,
        lease=lease,
        history=tuple(history),
    )


def a_local_intake(number: int, boxes: Sequence[int], content: bytes = b"Subject: hi\r\n\r\nhello\r\n") -> Intake:
    """An intake that goes to mailboxes only."""
    return replace(an_intake(number, boxes=boxes, content=content), queued=())


def asking(intake: Intake, **options: object) -> Intake:
    """The intake of a message whose MAIL asked for more: ``priority=3``, ``hold_until=…``."""
    message = replace(intake.message, envelope=replace(intake.message.envelope, **options))  # type: ignore[arg-type]
    return replace(intake, message=message)


def settled(
    number: int,
    node: str,
    *recipients: QueuedRecipient,
    dsn: Intake | None = None,
    history: Sequence[HistoryRow] = (),
) -> Settlement:
    """A settlement of a message by number."""
    return Settlement(queue_id(number), node, tuple(recipients), dsn=dsn, history=tuple(history))


def relayed(recipient: QueuedRecipient, *, at: float = NOON) -> QueuedRecipient:
    """The recipient after an attempt that delivered."""
    return replace(
        recipient,
        state=RecipientState.RELAYED,
        attempts=recipient.attempts + 1,
        next_attempt=None,
        last_attempt=at,
        last_reply=TAKEN,
        last_peer=PEER,
    )


def failed(recipient: QueuedRecipient, *, at: float = NOON) -> QueuedRecipient:
    """The recipient after an attempt that failed for good."""
    return replace(relayed(recipient, at=at), state=RecipientState.FAILED, last_reply=NO_SUCH_USER)


def deferred(recipient: QueuedRecipient, *, until: float, at: float = NOON) -> QueuedRecipient:
    """The recipient after an attempt that is to be repeated."""
    return replace(relayed(recipient, at=at), state=RecipientState.DEFERRED, next_attempt=until, last_reply=GONE_AWAY)
