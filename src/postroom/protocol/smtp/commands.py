"""The commands that the client engine sends (RFC 5321 §4.1.1); the server's parser reads the same words."""

from postroom.mail.address import Address
from postroom.mail.envelope import Body, DeliverBy, Recipient, Ret
from postroom.mail.value import value


@value(frozen=True, slots=True)
class SayHello:
    """EHLO, or HELO where ``esmtp`` is false, or LHLO for an LMTP engine."""

    domain: str
    esmtp: bool = True


@value(frozen=True, slots=True)
class SayStartTls:
    """STARTTLS (RFC 3207 §4)."""


@value(frozen=True, slots=True)
class SayAuth:
    """AUTH with an initial response, or None for none (RFC 4954 §4). Never shown in logs."""

    mechanism: str
    initial: bytes | None = None


@value(frozen=True, slots=True)
class SayAuthResponse:
    """The answer to a 334."""

    data: bytes


@value(frozen=True, slots=True)
class SayAuthCancel:
    """``*`` in answer to a 334: the exchange is called off (RFC 4954 §4)."""


@value(frozen=True, slots=True)
class SayMail:
    """MAIL FROM. Parameters whose extension the server did not announce are left out by the engine.

    All but BODY=BINARYMIME, which binary content cannot do without (RFC 3030 §3): whoever has such content looks
    before. ``deliver_by`` has the seconds that are left (RFC 2852 §4.1.4), ``priority`` is -9 to 9 (RFC 6710 §4.2),
    ``no_submitter`` says that it is not known who submitted the message: AUTH=<> (RFC 4954 §5).
    """

    reverse_path: Address | None
    size: int | None = None
    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str = ""
    deliver_by: DeliverBy | None = None
    priority: int = 0
    require_tls: bool = False
    no_submitter: bool = False


@value(frozen=True, slots=True)
class SayRcpt:
    """RCPT TO, with NOTIFY and ORCPT where DSN was announced."""

    recipient: Recipient


@value(frozen=True, slots=True)
class SayData:
    """DATA. After the 354 the content goes out by ``content`` and ``end_content``."""


@value(frozen=True, slots=True)
class SayChunk:
    """BDAT: not sent with ``send`` but by ``chunk``; here so that its reply has a name (RFC 3030 §2)."""


@value(frozen=True, slots=True)
class EndOfContent:
    """The final dot, or the last chunk: not sent with ``send`` but by ``end_content`` or ``chunk``; here so that its
    reply has a name.
    """


@value(frozen=True, slots=True)
class SayReset:
    """RSET."""


@value(frozen=True, slots=True)
class SayNoop:
    """NOOP: is the connection still there?"""


@value(frozen=True, slots=True)
class SayQuit:
    """QUIT."""


Command = (
    SayHello
    | SayStartTls
    | SayAuth
    | SayAuthResponse
    | SayAuthCancel
    | SayMail
    | SayRcpt
    | SayData
    | SayChunk
    | EndOfContent
    | SayReset
    | SayNoop
    | SayQuit
)
