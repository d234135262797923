"""A policy step: what it is told at each moment of a session, and where it says that it wants to be asked."""

from collections.abc import Awaitable, Callable

from postroom.directory.model import Resolution
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.headers import Glance
from postroom.mail.message import QueueId
from postroom.mail.session import Client
from postroom.mail.value import value
from postroom.mailauth.content import Content
from postroom.policy.verdict import Verdict


@value(frozen=True, slots=True)
class AtMail:
    """MAIL: ``reverse_path`` None is the null sender; ``size`` is declared, in octets, or None."""

    client: Client
    reverse_path: Address | None
    size: int | None


@value(frozen=True, slots=True)
class AtRcpt:
    """RCPT: what the recipient resolved to, and the transaction so far."""

    client: Client
    reverse_path: Address | None
    size: int | None
    recipient: Recipient
    resolution: Resolution


@value(frozen=True, slots=True)
class AtMessage:
    """The content is complete: ``size`` octets, of which ``start`` is the first part (all of a small message).

    ``header`` and ``content`` are as they came, before anything was taken out or converted: the fields with their
    CRLFs, and all of it. The header is there where mail is checked.
    """

    client: Client
    envelope: Envelope
    size: int
    start: bytes
    glance: Glance
    queue_id: QueueId = QueueId(0)
    header: bytes = b""
    content: Content = b""


def _everybody(_: Client) -> bool:
    return True


OnClient = Callable[[Client], Awaitable[Verdict]]
OnMail = Callable[[AtMail], Awaitable[Verdict]]
OnRcpt = Callable[[AtRcpt], Awaitable[Verdict]]
OnMessage = Callable[[AtMessage], Awaitable[Verdict]]
OnEnd = Callable[[Client, bool], None]


@value(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step. A moment that is None costs nothing: the chain is built without it.

    A stage may raise StoreUnavailable or ResolverUnavailable: the session answers 4yz.
    """

    name: str
    on_connect: OnClient | None = None
    """Before the greeting."""
    on_hello: OnClient | None = None
    """After each EHLO or HELO; ``client.helo`` is the name given."""
    on_mail: OnMail | None = None
    on_rcpt: OnRcpt | None = None
    on_message: OnMessage | None = None
    reads: Callable[[Client], bool] = _everybody
    """Whose messages it wants to be asked about; where no stage wants to be, no moment is made of them."""
    on_end: OnEnd | None = None
    """The transaction that an accepted MAIL began is over; True: with a message taken in. Decides nothing any more."""
