"""The queue's values: what goes in, what is leased, what is settled, what is asked."""

from collections.abc import Mapping
from dataclasses import field
from enum import Enum
from typing import Any

from postroom.directory.model import Resolution
from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.envelope import Envelope
from postroom.mail.message import Message, QueueId
from postroom.mail.session import Client
from postroom.mail.value import value
from postroom.mailbox.model import NewEntry
from postroom.queue.reportmodel import ReportNote
from postroom.report.history import HistoryRow
from postroom.reputation.model import Suppression

INLINE_LIMIT = 64 * 1024
"""Octets of content that ride in the intake commit; larger content is written in chunks as it arrives (DESIGN §5)."""

CHUNK_SIZE = 256 * 1024
"""Octets of one chunk of larger content."""


@value(frozen=True, slots=True)
class Lease:
    """The right of ``node`` to attempt until ``until`` (seconds since the Unix epoch)."""

    node: str
    until: float


@value(frozen=True, slots=True)
class Draft:
    """A message that asks to come in; the intake makes the rest of it.

    ``received_at`` is seconds since the Unix epoch. ``resolutions`` stand in the order of ``envelope.recipients``, as
    RCPT found them; empty: the intake resolves. ``content`` is None where it stands in chunks under the queue id: then
    ``content_size`` counts (-1: the length of ``content``), and ``content_start`` may hold the first piece, from
    which the header of a "delivered" DSN is taken. ``account`` is the login that submits it or ``""``, ``client`` None
    for mail of our own, ``tags`` those of ``Message.tags``. ``hold`` says why an operator is to look at it before
    anybody gets it (``""``: nobody needs to); ``facts`` go to the row that opens its history.
    """

    queue_id: QueueId
    received_at: float
    envelope: Envelope
    content: bytes | None
    content_size: int = -1
    content_start: bytes = b""
    prefix: bytes = b""
    resolutions: tuple[Resolution, ...] = ()
    account: str = ""
    client: Client | None = None
    message_id: str = ""
    tags: tuple[str, ...] = ()
    hold: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def with_facts(self, facts: Mapping[str, Any], fields: bytes = b"") -> "Draft":
        """The same with these facts too, and with header fields in front of the others."""
        return Draft(  # by hand: dataclasses.replace takes four times as long, and this is done for every message
            self.queue_id,
            self.received_at,
            self.envelope,
            self.content,
            self.content_size,
            self.content_start,
            fields + self.prefix,
            self.resolutions,
            self.account,
            self.client,
            self.message_id,
            self.tags,
            self.hold,
            {**self.facts, **facts},
        )


@value(frozen=True, slots=True)
class Intake:
    """Everything that one message writes, in one transaction.

    ``content`` is None where chunks under the message's queue id were written before. ``queued`` are the recipients
    that leave the house; with ``lease`` they are leased from the start, without they are due at their ``next_attempt``.
    ``entries`` are the mailbox entries of local recipients. ``message.envelope.recipients`` is what the client asked
    for, before aliases. ``returned`` are recipients for whose sake it is to be looked at: it may be a bounce or a
    complaint (see ``queue/returned.py``); ``reported`` is there if it may bring a report of others
    (``queue/reported.py``).
    """

    message: Message
    content: bytes | None
    queued: tuple[QueuedRecipient, ...] = ()
    entries: tuple[NewEntry, ...] = ()
    lease: Lease | None = None
    history: tuple[HistoryRow, ...] = ()
    returned: tuple[str, ...] = ()
    reported: ReportNote | None = None


@value(frozen=True, slots=True)
class ContentChunk:
    """A piece of content larger than INLINE_LIMIT, written while it arrives; ``sequence`` counts from 0."""

    queue_id: QueueId
    sequence: int
    data: bytes


@value(frozen=True, slots=True)
class LeaseQuestion:
    """What the scheduler asks for: recipients due at ``now``, at most ``limit``, at most ``per_destination`` of one
    destination (or as many as ``shares`` says of it), none of the ``excluded`` destinations.
    """

    now: float
    lease: Lease
    limit: int
    per_destination: int
    excluded: frozenset[str] = frozenset()
    shares: Mapping[str, int] = field(default_factory=dict)


@value(frozen=True, slots=True)
class LeasedMessage:
    """A message with those of its recipients that were leased.

    ``content`` is there when the intake has it at hand still.

    ``lost_leases`` are the numbers of recipients whose previous lease ended without a settlement: the attempt under
    that lease may have succeeded (an ambiguous end).
    """

    message: Message
    recipients: tuple[QueuedRecipient, ...]
    content: bytes | None = None
    lost_leases: frozenset[int] = frozenset()


@value(frozen=True, slots=True)
class LeaseAnswer:
    """What was leased, and when the next recipient is due that is not excluded (None: never)."""

    messages: tuple[LeasedMessage, ...]
    next_due: float | None


@value(frozen=True, slots=True)
class Settlement:
    """The new standing of recipients of one message after an attempt, with a DSN to take in in the same transaction.

    A message none of whose recipients is left unsettled goes, and its content with it unless a mailbox refers to it.
    Settling a recipient that is gone or no longer leased by ``node`` changes nothing for it. ``suppressions`` are what
    the suppression list learns of it.
    """

    queue_id: QueueId
    node: str
    recipients: tuple[QueuedRecipient, ...]
    dsn: Intake | None = None
    history: tuple[HistoryRow, ...] = ()
    suppressions: tuple[Suppression, ...] = ()


class QueueAction(Enum):
    """What an operator does to queued recipients."""

    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
    REMOVE = "remove"
    REDIRECT = "redirect"
    RESUME = "resume"
    """What was put off for a pause is due again; the history does not speak of it."""


class PauseKind(Enum):
    """What an operator stops."""

    DOMAIN = "domain"
    SITE = "site"
    SENDER = "sender"


@value(frozen=True, slots=True)
class Pause:
    """Mail that an operator stopped: it waits, and its life goes on.

    ``subject`` is a recipient domain; the key of a site, one of its hosts, or the settings entry that it goes by; or a
    sender: an address, a domain, ``""`` for the null sender. In lower case. Times are seconds since the Unix epoch,
    ``until`` None where nobody said when it ends. ``author`` is who did it.
    """

    kind: PauseKind
    subject: str
    since: float
    until: float | None = None
    reason: str = ""
    author: str = ""


@value(frozen=True, slots=True)
class Orders:
    """What operators want of a running server. Each order raises ``generation``, each flush ``flushes``; ``recalls`` is
    raised when recipients were held or removed that a server had in hand.
    """

    generation: int
    flushes: int = 0
    recalls: int = 0
    pauses: tuple[Pause, ...] = ()


@value(frozen=True, slots=True)
class QueueFilter:
    """Which recipients; every given condition must hold. Empty: all that are not final."""

    queue_ids: tuple[QueueId, ...] = ()
    domain: str = ""
    """A recipient domain; with a dot before it all below."""
    sender: str | None = None
    """The reverse-path as text; ``""`` is the null sender, None any."""
    recipient: str = ""
    states: frozenset[RecipientState] = frozenset()
    destination: str = ""
    rule: str = ""
    """The rule of routing that it goes by."""
    before: float | None = None
    """Received before then (seconds since the Unix epoch)."""
    reply: str = ""
    """What the last reply contains, in either case."""
    host: str = ""
    """Who answered last."""
    account: str = ""
    """Who submitted it."""
    tag: str = ""
    priority: int | None = None
    one_in: int = 1
    """Only every so-manyth message, by the remainder of its queue id."""


@value(frozen=True, slots=True)
class QueueEntry:
    """A message in the queue with its recipients, as listed and shown."""

    message: Message
    recipients: tuple[QueuedRecipient, ...]
    lease: Lease | None = None


@value(frozen=True, slots=True)
class QueueCounts:
    """How full the queue is: recipients by state, and by recipient domain (the fullest first, bounded).

    ``oldest`` is when the delivery of the oldest began, in the future where it is still to begin.
    """

    messages: int
    by_state: dict[RecipientState, int] = field(default_factory=dict)
    by_domain: tuple[tuple[str, int], ...] = ()
    oldest: float | None = None
