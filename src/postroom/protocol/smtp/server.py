"""The SMTP server engine: bytes in, questions out, one at a time (RFC 5321)."""

from dataclasses import dataclass, field

from postroom.mail.reply import Reply
from postroom.protocol.smtp.events import ServerEvent, Signal


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What this side announces and enforces. Sizes in octets, content lines without CRLF."""

    hostname: str
    max_size: int = 50 * 1024 * 1024
    max_recipients: int = 1000
    max_line: int = 8192
    starttls: bool = True
    auth_mechanisms: tuple[str, ...] = ()
    """Announced and accepted; only once TLS is up unless ``auth_without_tls``."""
    auth_without_tls: bool = False
    require_tls: bool = False
    """Before TLS only EHLO, HELO, STARTTLS, NOOP, RSET, HELP and QUIT: others get 530 5.7.0 (RFC 3207 §4)."""
    require_auth: bool = False
    """MAIL before AUTH gets 530 5.7.0 (RFC 6409 §4.3)."""
    smtputf8: bool = True
    normalise_newlines: bool = False
    """Bare CR and LF in content become CRLF instead of being refused. They never end the content."""
    lmtp: bool = False
    max_errors: int = 20
    """Commands refused by the engine, after which it answers 421 4.7.0 and is over."""
    extra: tuple[str, ...] = field(default=())
    """Further EHLO lines."""


class SmtpServer:
    """One session, server side. ``tls`` is true from the start for implicit TLS (RFC 8314 §3.3)."""

    def __init__(self, options: ServerOptions, *, tls: bool = False) -> None:
        raise NotImplementedError

    def receive_data(self, data: bytes) -> None:
        """Take what came from the peer; ``b""`` means that it closed. Never raises on any input."""
        raise NotImplementedError

    def next_event(self) -> ServerEvent | Signal:
        """The next event, NEED_DATA, or PAUSED while a question is open."""
        raise NotImplementedError

    def answer(self, reply: Reply) -> bytes:
        """Answer the open question. Returns what to send. LocalProtocolError if there is no open question."""
        raise NotImplementedError

    def refuse_content(self, reply: Reply) -> None:
        """While content comes in: drop the rest of it and answer ``reply`` at its end."""
        raise NotImplementedError

    def tls_established(self) -> None:
        """The handshake is done: back to the state before EHLO (RFC 3207 §4.2), with nothing buffered."""
        raise NotImplementedError

    def authenticated(self) -> None:
        """Called before answering 235, so that MAIL is open and a second AUTH is not."""
        raise NotImplementedError

    def shut_down(self, reply: Reply) -> bytes:
        """End the session from our side (421): drain, timeout. Returns what to send; the engine is over."""
        raise NotImplementedError

    @property
    def is_over(self) -> bool:
        """Nothing more will be read: send what is left and close."""
        raise NotImplementedError

    @property
    def between_transactions(self) -> bool:
        """No transaction is open: a drain may end the session now."""
        raise NotImplementedError
