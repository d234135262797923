"""The reports: what happened, frozen. Telling never decides and never blocks (DESIGN §3).

Every report that concerns a message carries its queue id; none carries a password, content or AUTH material.
Times are seconds since the Unix epoch, sizes octets, durations seconds.
"""

from postroom.mail.delivery import Outcome, RecipientState, Site
from postroom.mail.message import Message, QueueId
from postroom.mail.reply import Reply
from postroom.mail.session import Client
from postroom.mail.value import value
from postroom.report.checking import CheckingReport
from postroom.report.keys import KeyReport
from postroom.report.received import ReceivedReport
from postroom.report.road import RoadReport
from postroom.report.zones import ZoneReport


@value(frozen=True, slots=True)
class ServerReady:
    """All listeners are open. ``listeners`` are shown as ``role address:port``."""

    listeners: tuple[str, ...]


@value(frozen=True, slots=True)
class ServerDraining:
    """No new sessions; those that are open may finish."""

    sessions: int


@value(frozen=True, slots=True)
class SettingsReloaded:
    """SIGHUP, or a new certificate.

    ``trouble`` is ``""`` or says why the old settings stay; ``waiting`` names the tables whose changes wait for a
    restart.
    """

    trouble: str = ""
    waiting: tuple[str, ...] = ()


@value(frozen=True, slots=True)
class SessionOpened:
    """A client connected."""

    client: Client


@value(frozen=True, slots=True)
class SessionClosed:
    """It is over; ``reason`` is one of quit, closed, timeout, drain, errors, tls, failure."""

    client: Client
    reason: str
    duration: float
    messages: int = 0


@value(frozen=True, slots=True)
class SessionRefused:
    """A connection was turned away. ``reason``: total, address, rate, banned, or proxy (no PROXY header; ``detail``).

    In a flood one report stands for ``count`` of them; ``address`` is ``""`` where it comes from too many to list.
    """

    role: str
    address: str
    reason: str
    count: int = 1
    detail: str = ""


@value(frozen=True, slots=True)
class ListenerPaused:
    """Accepting stopped for a while: out of file descriptors or memory."""

    role: str
    reason: str
    seconds: float


@value(frozen=True, slots=True)
class TlsFailed:
    """A handshake that did not succeed."""

    client: Client
    reason: str


@value(frozen=True, slots=True)
class CommandRefused:
    """A command was answered with 4xx or 5xx. ``line`` is cut and free of AUTH material."""

    client: Client
    command: str
    line: str
    reply: Reply


@value(frozen=True, slots=True)
class LoginSucceeded:
    """AUTH, or POP3 login."""

    client: Client
    mechanism: str


@value(frozen=True, slots=True)
class LoginFailed:
    """``account`` is the name that was tried, cut; the counts are failures in the current window, this one included."""

    client: Client
    mechanism: str
    account: str
    reason: str
    failures_from_address: int
    failures_for_account: int


@value(frozen=True, slots=True)
class LockedOut:
    """An address (``scope`` address) or an account (``scope`` account) is shut out until ``until``.

    ``address`` is the client's whose act it was, ``reason`` what it did.
    """

    scope: str
    subject: str
    address: str
    reason: str
    until: float


@value(frozen=True, slots=True)
class LockoutLifted:
    """A ban ended before its time; ``by`` says by whom."""

    scope: str
    subject: str
    by: str


@value(frozen=True, slots=True)
class AbuseSeen:
    """What a well-behaved client does not do.

    ``kind``: pregreet, commands, garbage, slow, guessing, refusals, smuggling.
    """

    client: Client
    kind: str
    detail: str


@value(frozen=True, slots=True)
class LimitNear:
    """A rate limit is used up to the share at which people are told. ``rate`` is as written in the settings.

    ``scope``: account_messages, account_recipients, sender_domain_messages, address_messages, address_recipients,
    destination_messages.
    """

    scope: str
    subject: str
    rate: str
    share: float


@value(frozen=True, slots=True)
class LimitReached:
    """A rate limit refused something; there is room again at ``until``. Told once a window."""

    scope: str
    subject: str
    rate: str
    until: float
    address: str = ""


@value(frozen=True, slots=True)
class CertificateExpiring:
    """A certificate of ours ends soon, or has."""

    names: tuple[str, ...]
    path: str
    expires_at: float


@value(frozen=True, slots=True)
class CertificateRenewed:
    """ACME brought a new certificate, and new sessions are given it."""

    names: tuple[str, ...]
    expires_at: float


@value(frozen=True, slots=True)
class CertificateTrouble:
    """ACME did not bring one; it is tried again at ``next_try``."""

    names: tuple[str, ...]
    reason: str
    next_try: float


@value(frozen=True, slots=True)
class AlertRaised:
    """An alert went out, or did not (``trouble``). ``target`` is the webhook's host or the command."""

    on: str
    count: int
    target: str
    trouble: str = ""


@value(frozen=True, slots=True)
class RecipientRefused:
    """RCPT answered with 4xx or 5xx; ``reason`` is for the log."""

    client: Client
    reverse_path: str
    recipient: str
    reply: Reply
    reason: str


@value(frozen=True, slots=True)
class SenderRefused:
    """MAIL answered with 4xx or 5xx."""

    client: Client
    reverse_path: str
    reply: Reply
    reason: str


@value(frozen=True, slots=True)
class MessageRefused:
    """Content answered with 4xx or 5xx."""

    client: Client
    reverse_path: str
    recipients: int
    size: int
    reply: Reply
    reason: str


@value(frozen=True, slots=True)
class MessageAccepted:
    """An intake committed: ``250`` means safe.

    ``client`` is None for mail of our own; ``seconds`` is from end of content to commit.
    """

    message: Message
    client: Client | None
    placed: tuple[str, ...]
    queued: tuple[str, ...]
    seconds: float


@value(frozen=True, slots=True)
class AttemptMade:
    """One try at one recipient.

    ``state`` is where the recipient stands now, ``next_attempt`` when it is tried again.
    """

    queue_id: QueueId
    recipient: str
    site: Site | None
    outcome: Outcome
    state: RecipientState
    attempts: int
    next_attempt: float | None
    seconds: float


@value(frozen=True, slots=True)
class LeaseLost:
    """A lease ended without settlement (a node died).

    The attempt under it may have succeeded; the message is tried again.
    """

    queue_id: QueueId
    recipient: str


@value(frozen=True, slots=True)
class DsnMade:
    """A DSN about ``about`` entered by intake as ``queue_id``; ``kind`` is failed, delayed, relayed or delivered."""

    queue_id: QueueId
    about: QueueId
    kind: str
    recipient: str


@value(frozen=True, slots=True)
class QueueActed:
    """An operator held, released, retried or removed."""

    action: str
    recipients: int
    what: str


@value(frozen=True, slots=True)
class StoreTrouble:
    """The store failed (``recovered`` False) or works again."""

    reason: str
    recovered: bool = False


@value(frozen=True, slots=True)
class SourceTrouble:
    """Something is wrong with a source of credentials (``auth.sources``), for one account or for all."""

    source: str
    trouble: str


@value(frozen=True, slots=True)
class MailboxOpened:
    """A POP3 session took a mailbox."""

    client: Client
    messages: int
    octets: int


@value(frozen=True, slots=True)
class MailboxClosed:
    """A POP3 session ended. ``removed`` were deleted for good; ``forgotten`` were marked as deleted, but stay: the
    session ended without QUIT (RFC 1939 §6), or the store failed.
    """

    client: Client
    retrieved: int
    removed: int
    forgotten: int = 0


@value(frozen=True, slots=True)
class InternalError:
    """A bug: an exception nobody expected. ``trace`` is for the log."""

    where: str
    error: str
    trace: str


Report = (
    ServerReady
    | ServerDraining
    | SettingsReloaded
    | SessionOpened
    | SessionClosed
    | SessionRefused
    | ListenerPaused
    | TlsFailed
    | CommandRefused
    | LoginSucceeded
    | LoginFailed
    | LockedOut
    | LockoutLifted
    | AbuseSeen
    | LimitNear
    | LimitReached
    | CertificateExpiring
    | CertificateRenewed
    | CertificateTrouble
    | AlertRaised
    | RecipientRefused
    | SenderRefused
    | MessageRefused
    | MessageAccepted
    | AttemptMade
    | LeaseLost
    | DsnMade
    | QueueActed
    | StoreTrouble
    | SourceTrouble
    | MailboxOpened
    | MailboxClosed
    | InternalError
    | RoadReport
    | KeyReport
    | CheckingReport
    | ReceivedReport
    | ZoneReport
)
