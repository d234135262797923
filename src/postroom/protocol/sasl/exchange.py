"""The words of a SASL exchange, whatever the mechanism: challenges, responses, credentials (RFC 4422 §3).

Data is raw here; base64 and the words of SMTP and POP3 are the engines' matter. SCRAM, OAUTHBEARER and EXTERNAL join
as a file each, with what they prove as a further member of ``Step``.
"""

from dataclasses import dataclass
from typing import Protocol

from postroom.mail.value import value

MAX_FIELD = 1024  # octets; RFC 4616 §2 asks for 255 at least


@dataclass(frozen=True, slots=True, repr=False)
class Password:
    """A password in the clear. It does not show itself: take ``text`` where it is checked or sent, and nowhere else."""

    text: str

    def __repr__(self) -> str:
        return "Password(hidden)"


@value(frozen=True, slots=True)
class Challenge:
    """Send this to the client and come back with its response."""

    data: bytes


@value(frozen=True, slots=True)
class Credentials:
    """Whom the client says it is: ``name``, acting as ``authzid`` (``""``: as itself). Not verified yet."""

    name: str
    password: Password
    authzid: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class ScramSecret:
    """StoredKey and ServerKey (RFC 5802 §3) of one password; ``credential`` names an app password, or ``""``."""

    stored_key: bytes
    server_key: bytes
    credential: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class ScramKeys:
    """What an account's passwords are proved against: all of them under one salt, so that any of them may be used."""

    salt: bytes
    iterations: int
    secrets: tuple[ScramSecret, ...]


@value(frozen=True, slots=True)
class Malformed:
    """The peer's data is not what the mechanism has; the exchange is over. ``reason`` holds nothing of the data."""

    reason: str


Step = Challenge | Credentials | Malformed


class ServerMechanism(Protocol):
    """One exchange, server side."""

    def step(self, data: bytes | None) -> Step:
        """The client's initial response (None: it sent none), then its response to each challenge."""
        ...


class ClientMechanism(Protocol):
    """One exchange, client side."""

    @property
    def name(self) -> str:
        """What AUTH calls it."""
        ...

    def initial(self) -> bytes | None:
        """The initial response; None where the server speaks first (RFC 4422 §5)."""
        ...

    def respond(self, challenge: bytes) -> bytes | Malformed:
        """The response to a challenge. On Malformed cancel the exchange (``*``)."""
        ...


def read_text(data: bytes, what: str) -> str | Malformed:
    """One field as text: UTF-8, not empty, no NUL, bounded (the ``1*SAFE`` of RFC 4616 §2)."""
    if not data:
        return Malformed(f"the {what} is empty")
    if len(data) > MAX_FIELD:
        return Malformed(f"the {what} is longer than {MAX_FIELD} octets")
    if b"\x00" in data:
        return Malformed(f"the {what} has a NUL")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return Malformed(f"the {what} is not UTF-8")
