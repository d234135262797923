"""What the POP3 engine tells its shell. A question waits for an answer; a notice does not."""

from dataclasses import dataclass

from postroom.mail.value import value
from postroom.protocol.pop3.answers import Answer
from postroom.protocol.sasl.exchange import Password
from postroom.protocol.smtp.events import NEED_DATA, PAUSED, Signal

__all__ = [
    "NEED_DATA",
    "PAUSED",
    "Answered",
    "Auth",
    "AuthResponse",
    "Closed",
    "Connected",
    "Event",
    "Login",
    "Outgoing",
    "Retrieve",
    "Signal",
    "StartTls",
    "Update",
]

# Questions.


@value(frozen=True, slots=True)
class Connected:
    """The session begins: ``answer`` with the greeting, or with a refusal, after which it is over."""


@value(frozen=True, slots=True)
class StartTls:
    """STLS: ``answer``. After +OK the engine is PAUSED until ``tls_established``; what came before is dropped."""


@value(frozen=True, slots=True)
class Login:
    """USER and PASS: the client says who it is. Call ``open_maildrop``, or ``answer`` with -ERR."""

    name: str
    password: Password


@dataclass(frozen=True, slots=True, repr=False)
class Auth:
    """AUTH, with a mechanism that is offered, and the initial response, None if there is none (RFC 5034 §4).

    Call ``challenge``, ``open_maildrop``, or ``answer`` with -ERR.
    """

    mechanism: str
    initial: bytes | None

    def __repr__(self) -> str:
        return f"Auth({self.mechanism!r})"


@dataclass(frozen=True, slots=True, repr=False)
class AuthResponse:
    """The response to a challenge. Answer it as ``Auth``."""

    data: bytes


@value(frozen=True, slots=True)
class Retrieve:
    """RETR, or TOP where ``lines`` is a number. ``number`` counts from 1, as in the maildrop that was opened.

    After ``answer`` with +OK comes the message, by ``content`` and ``end_content``; nothing else is read meanwhile.
    """

    number: int
    lines: int | None = None


@value(frozen=True, slots=True)
class Update:
    """QUIT after login: remove the messages with these numbers, then ``answer``; then the session is over."""

    deleted: tuple[int, ...]


# Notices.


@value(frozen=True, slots=True)
class Answered:
    """The engine answered by itself; ``data`` goes to the client.

    ``command`` is the keyword, ``""`` where there is none; ``line`` what the client sent, cut, without passwords, for
    the log only.
    """

    answer: Answer
    data: bytes
    command: str = ""
    line: str = ""


@value(frozen=True, slots=True)
class Outgoing:
    """Goes to the client: a challenge, or a further piece of a long answer."""

    data: bytes


@value(frozen=True, slots=True)
class Closed:
    """The client closed the connection. Nothing is removed (RFC 1939 §6)."""


Event = Connected | StartTls | Login | Auth | AuthResponse | Retrieve | Update | Answered | Outgoing | Closed
