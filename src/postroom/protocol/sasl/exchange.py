"""The words of a SASL exchange, whatever the mechanism: challenges, responses, what they claim or prove (RFC 4422 §3).

Data is raw here; base64 and the words of SMTP and POP3 are the engines' matter.
"""

from collections.abc import Callable
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
class KeysWanted:
    """Look up the ``ScramKeys`` of ``name`` for ``algorithm`` (SHA-256 or SHA-1) and go on by ``with_keys``."""

    name: str
    authzid: str
    algorithm: str
    with_keys: Callable[[ScramKeys], Challenge]


@value(frozen=True, slots=True)
class Proved:
    """The client has the password of ``name``: the one called ``credential``, ``""`` for the account's own.

    If the account may log in, send ``data`` as a challenge; whatever the client answers, it has succeeded (RFC 4954 §4
    and RFC 5034 §4 know no data with success). If not, ``refusal`` is sent in the same way, and it has failed.
    """

    name: str
    authzid: str
    credential: str
    data: bytes
    refusal: bytes


@value(frozen=True, slots=True)
class Disproved:
    """The client has failed. ``data`` is to be sent as a challenge; whatever it answers, it is refused (535)."""

    name: str
    reason: str
    data: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Bearer:
    """A token, and whom the client says it is for, or ``""``. Not verified yet.

    ``refusal`` is to be sent as a challenge if the token is not good; whatever the client answers, it has failed.
    """

    token: str
    name: str
    refusal: bytes

    def __repr__(self) -> str:
        return f"Bearer(hidden, {self.name!r})"


@value(frozen=True, slots=True)
class External:
    """Who the client is stands in what is below, its certificate; it wants to act as ``authzid`` (``""``: as that)."""

    authzid: str


@value(frozen=True, slots=True)
class Malformed:
    """The peer's data is not what the mechanism has; the exchange is over. ``reason`` holds nothing of the data."""

    reason: str


Step = Challenge | Credentials | KeysWanted | Proved | Disproved | Bearer | External | Malformed

Binding = Callable[[str], bytes | None]
"""The channel binding of the TLS session by its type's name (RFC 5929, RFC 9266), None where there is none of it."""


def no_binding(kind: str) -> bytes | None:
    """A connection without channel bindings."""
    return None


@value(frozen=True, slots=True)
class Around:
    """What a server's mechanism needs to know of the session.

    ``nonce`` is fresh and unguessable: printable ASCII without commas. ``announced`` are the mechanisms that the client
    was told of, ``host`` is what it calls us in TLS (SNI), or ``""``.
    """

    nonce: str
    announced: tuple[str, ...] = ()
    binding: Binding = no_binding
    host: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """What a client has to log in with: a password, an OAuth token, or a certificate that TLS has shown already."""

    name: str
    password: Password | None = None
    token: Password | None = None
    certificate: bool = False
    authzid: str = ""


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

    @property
    def is_satisfied(self) -> bool:
        """The server has shown what the mechanism has it show. If not, do not believe that we are in."""
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
