"""Deliveries and their outcomes: the one shape that every carrier returns (DESIGN §3)."""

from enum import Enum

from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.mail.envelope import Recipient
from postroom.mail.message import Message
from postroom.mail.reply import Reply
from postroom.mail.value import Words, value


class RecipientState(Words):
    """Where one recipient of one message stands."""

    QUEUED = "queued"
    LEASED = "leased"
    HELD = "held"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    FAILED = "failed"
    EXPIRED = "expired"
    REMOVED = "removed"

    @property
    def is_final(self) -> bool:
        """Nothing more will be tried."""
        return self in _FINAL


_FINAL = frozenset(
    {
        RecipientState.DELIVERED,
        RecipientState.RELAYED,
        RecipientState.FAILED,
        RecipientState.EXPIRED,
        RecipientState.REMOVED,
    }
)


@value(frozen=True, slots=True)
class Peer:
    """The other side of an attempt: host name, address as text, port, and TLS protocol and cipher or ``""``.

    ``policy`` is what was asked of TLS and whether it held, as people read it (``dane``, ``sts enforce``,
    ``opportunistic``), ``source`` the local address that it went out from where one was chosen.
    """

    host: str = ""
    address: str = ""
    port: int = 0
    tls: str = ""
    policy: str = ""
    source: str = ""


NO_PEER = Peer()


@value(frozen=True, slots=True)
class Delivered:
    """The next hop took responsibility (RFC 5321 §6.1).

    ``notifies`` says that it was given the sender's NOTIFY and so reports success itself (RFC 3461 §5.2.1); where it
    does not, the sender who asked for it gets our DSN (RFC 3461 §5.2.2 b). ``keeps_time`` says that it was given the
    time that is left of DELIVERBY (RFC 2852 §4.1.4). ``detail`` is what was done that nobody asked for, for the log.
    """

    reply: Reply
    peer: Peer = NO_PEER
    notifies: bool = False
    keeps_time: bool = False
    detail: str = ""


@value(frozen=True, slots=True)
class Deferred:
    """Not now. ``ambiguous`` says that the connection ended after the final dot and before the reply, so that the
    peer may have the message already (RFC 5321 §4.5.4.1, RFC 1047). ``detail`` is for the log, never for a peer.
    ``retry_at`` is when to go on (seconds since the Unix epoch) where that is known: nothing was tried, so that no
    attempt is counted. None: after the usual wait.
    """

    reply: Reply
    peer: Peer = NO_PEER
    ambiguous: bool = False
    detail: str = ""
    cause: Cause = Cause.OTHER
    retry_at: float | None = None


@value(frozen=True, slots=True)
class Failed:
    """Never. ``detail`` is for the log, never for a peer."""

    reply: Reply
    peer: Peer = NO_PEER
    detail: str = ""
    cause: Cause = Cause.OTHER


Outcome = Delivered | Deferred | Failed


@value(frozen=True, slots=True)
class QueuedRecipient:
    """A recipient with its place in the queue.

    ``number`` is its ordinal in the message (queue id and number are its key), ``attempts`` how many were made,
    ``next_attempt`` and ``last_attempt`` seconds since the Unix epoch (None: none), ``last_reply`` what the last
    attempt was told, ``delay_told`` whether a delay warning has been sent. ``destination`` is under what it waits: the
    domain, or the domain and the rule that it goes by (``""``: the domain). ``return_path`` is the reverse-path that it
    is sent with instead of the envelope's (VERP, SRS).
    """

    number: int
    recipient: Recipient
    state: RecipientState = RecipientState.QUEUED
    attempts: int = 0
    next_attempt: float | None = None
    last_attempt: float | None = None
    last_reply: Reply | None = None
    last_peer: Peer = NO_PEER
    delay_told: bool = False
    destination: str = ""
    return_path: Address | None = None

    @property
    def waits_under(self) -> str:
        """Its destination, whatever the field says."""
        return self.destination or self.recipient.address.domain


class RouteKind(Words):
    """By which means a recipient leaves."""

    MAILBOX = "mailbox"
    MX = "mx"
    SMARTHOST = "smarthost"
    LMTP = "lmtp"
    MAILDIR = "maildir"
    COMMAND = "command"
    DISCARD = "discard"


class StsMode(Enum):
    """What a domain's MTA-STS policy asks for (RFC 8461 §3.2)."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@value(frozen=True, slots=True)
class StsPolicy:
    """The MTA-STS policy of a domain (RFC 8461 §3.2): ``mx`` are its patterns, ``policy_id`` that of its TXT record.

    ``expires_at`` is seconds since the Unix epoch; ``text`` the lines of the policy, as TLSRPT repeats them.
    """

    domain: str
    mode: StsMode
    mx: tuple[str, ...]
    policy_id: str
    expires_at: float
    text: tuple[str, ...] = ()


@value(frozen=True, slots=True)
class Site:
    """The set of hosts that serve a destination: limits and connections belong to it.

    ``key`` names the set (equal sets have equal keys), ``hosts`` are in order of preference, equal preferences grouped.
    ``route`` names the settings entry for smarthost, LMTP, maildir and command, ``""`` for MX. ``relays`` are the
    smarthosts in order of preference where there are several. ``pool`` is the pool of source addresses it is reached
    from, ``schedule`` the schedule of its retries, ``""`` for the usual ones. ``dnssec``: the DNS vouches for the hosts
    (RFC 7672 §2.2.1); ``sts`` is the policy of the domain that leads here, where it has one.
    """

    key: str
    kind: RouteKind
    hosts: tuple[tuple[str, ...], ...] = ()
    port: int = 25
    route: str = ""
    relays: tuple[str, ...] = ()
    pool: str = ""
    schedule: str = ""
    dnssec: bool = False
    sts: StsPolicy | None = None

    @property
    def line(self) -> str:
        """Under which its mail waits: what differs in more than the hosts stands in another line."""
        if not (self.pool or self.schedule or self.dnssec or self.sts is not None):
            return self.key
        marks = [self.key]
        if self.pool:
            marks.append(f"pool={self.pool}")
        if self.schedule:
            marks.append(f"schedule={self.schedule}")
        if self.dnssec:
            marks.append("dnssec")
        if self.sts is not None:
            marks.append(f"sts={self.sts.domain}/{self.sts.policy_id}")
        return " ".join(marks)


@value(frozen=True, slots=True)
class DeliveryRequest:
    """One message for some of its recipients at one site: what the scheduler hands to the carrier.

    ``content`` is there when it is still at hand from the intake; otherwise the carrier reads it from the store.
    ``source`` names the source address that it goes out from, ``""`` for the system's choice.
    """

    message: Message
    recipients: tuple[QueuedRecipient, ...]
    site: Site
    content: bytes | None = None
    source: str = ""
