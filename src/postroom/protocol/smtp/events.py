"""What the SMTP engines tell their shell. A question waits for ``answer``; a notice does not."""

from enum import Enum

from postroom.mail.address import Address
from postroom.mail.envelope import Body, DeliverBy, Recipient, Ret
from postroom.mail.reply import Reply
from postroom.mail.value import value
from postroom.protocol.smtp.commands import Command


class Signal(Enum):
    """Why ``next_event`` has no event."""

    NEED_DATA = "need data"
    """Everything received is used up."""
    PAUSED = "paused"
    """A question is unanswered, or a TLS handshake is under way, or the session is over."""


NEED_DATA = Signal.NEED_DATA
PAUSED = Signal.PAUSED


class Flaw(Enum):
    """Why content that ended properly must be refused; the engine refuses it itself unless told to normalise."""

    BARE_CR = "bare CR"
    BARE_LF = "bare LF"
    LONG_LINE = "line too long"
    TOO_BIG = "too big"


# Questions: the shell answers each with one Reply.


@value(frozen=True, slots=True)
class Connected:
    """The session begins; the reply is the greeting: 220, 421 or 554."""


@value(frozen=True, slots=True)
class Hello:
    """EHLO, HELO (or LHLO). On 250 the engine adds the extensions to an EHLO reply by itself."""

    domain: str
    esmtp: bool


@value(frozen=True, slots=True)
class StartTls:
    """STARTTLS. After a 220 the engine is PAUSED until ``tls_established``; what came before that is dropped."""


@value(frozen=True, slots=True)
class Auth:
    """AUTH with the mechanism in upper case and the decoded initial response, if any.

    A 334 whose text is the *raw* challenge line (base64) leads to ``AuthResponse``; any other reply ends the exchange.
    """

    mechanism: str
    initial: bytes | None


@value(frozen=True, slots=True)
class AuthResponse:
    """The client's decoded answer to a challenge."""

    data: bytes


@value(frozen=True, slots=True)
class XClient:
    """XCLIENT: a proxy says for whom it speaks. The reply is a greeting, and EHLO is due again.

    ``address``, ``helo`` and ``login`` are None where nothing was said, ``""`` for ``[UNAVAILABLE]``; ``port`` and
    ``esmtp`` are None for both. What the attributes NAME, DESTADDR and DESTPORT say is not needed.
    """

    address: str | None = None
    port: int | None = None
    esmtp: bool | None = None
    helo: str | None = None
    login: str | None = None


@value(frozen=True, slots=True)
class Mail:
    """MAIL FROM. ``size`` is the declared SIZE in octets or None; ``auth`` the decoded AUTH= mailbox or ``""``.

    ``hold_for`` is HOLDFOR in seconds, ``hold_until`` HOLDUNTIL in seconds since the Unix epoch; one of them at most
    (RFC 4865 §4.2). ``priority`` is MT-PRIORITY as given, which the shell may lower (RFC 6710 §4.1).
    """

    reverse_path: Address | None
    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    size: int | None = None
    ret: Ret | None = None
    envid: str = ""
    auth: str = ""
    deliver_by: DeliverBy | None = None
    hold_for: int | None = None
    hold_until: float | None = None
    priority: int = 0
    require_tls: bool = False


@value(frozen=True, slots=True)
class Rcpt:
    """RCPT TO. A bare ``postmaster`` has the domain ``""``."""

    recipient: Recipient


@value(frozen=True, slots=True)
class Data:
    """DATA, or the first BDAT of a transaction (``chunking``). A positive reply opens the content.

    To DATA the answer goes out (354). For BDAT a positive answer is not sent, as BDAT has no go-ahead of its own, and
    a refusal goes out as ``Answered`` once the chunk has been consumed (RFC 3030 §2). A refusal ends the transaction.
    """

    chunking: bool = False


@value(frozen=True, slots=True)
class ContentEnd:
    """The content is complete: ``size`` octets. The reply says whether the message is ours now."""

    size: int


@value(frozen=True, slots=True)
class Reset:
    """Drop the transaction: RSET, or, where ``silent``, the last chunk of an LMTP message for nobody.

    Nobody hears the answer to that, for there is a reply for each recipient (RFC 2033 §4.3).
    """

    silent: bool = False


@value(frozen=True, slots=True)
class Verify:
    """VRFY or EXPN, with its argument."""

    command: str
    argument: str


class EtrnKind(Enum):
    """What ETRN names, by the character before the name (RFC 1985)."""

    DOMAIN = ""
    BELOW = "@"
    """The domain and all below it."""
    QUEUE = "#"


@value(frozen=True, slots=True)
class Etrn:
    """ETRN: whoever takes the mail of ``name`` is there now, and asks for what waits for it.

    ``name`` is a domain in canonical form, or what stood behind the ``#``.
    """

    kind: EtrnKind
    name: str


@value(frozen=True, slots=True)
class Quit:
    """QUIT. After the answer the engine is over."""


# Notices: nothing to answer.


@value(frozen=True, slots=True)
class Content:
    """A piece of content, dot-unstuffed, CRLF lines; a CRLF pair is never split between two pieces."""

    data: bytes


@value(frozen=True, slots=True)
class ContentDropped:
    """The content ended but was flawed or refused in mid-stream; the engine has answered (an ``Answered`` follows)
    and the transaction is over.
    """

    flaw: Flaw | None


@value(frozen=True, slots=True)
class Answered:
    """The engine answered by itself (NOOP, HELP, BDAT chunks, syntax, order). ``data`` goes to the peer.

    ``command`` is the verb, ``""`` where none could be read; ``line`` the offending line, cut to 200 characters and
    with AUTH material removed, for the log only. ``counted`` says whether a refusal is the peer's fault.
    """

    reply: Reply
    data: bytes
    command: str = ""
    line: str = ""
    counted: bool = True


@value(frozen=True, slots=True)
class Closed:
    """The peer closed the connection (``receive_data(b"")``), or the engine gave up after its last ``Answered``."""


ServerEvent = (
    Connected
    | Hello
    | StartTls
    | Auth
    | AuthResponse
    | XClient
    | Mail
    | Rcpt
    | Data
    | ContentEnd
    | Reset
    | Verify
    | Etrn
    | Quit
    | Content
    | ContentDropped
    | Answered
    | Closed
)


# The client engine's events.


@value(frozen=True, slots=True)
class Replied:
    """The server's reply to ``command``; None is the greeting. Replies come in the order of the commands.

    For LMTP the end of content brings one ``Replied`` per accepted recipient, with ``recipient`` its ordinal among
    the RCPT commands of the transaction (RFC 2033 §4.2).
    """

    command: Command | None
    reply: Reply
    recipient: int | None = None


ClientEvent = Replied | Closed
