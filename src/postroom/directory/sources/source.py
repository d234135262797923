"""The ports to whoever knows a secret, and the words for what they are asked. An account is always the directory's."""

from dataclasses import dataclass
from typing import Protocol

from postroom.mail.address import Address
from postroom.protocol.sasl.exchange import Password


class SourceUnavailable(Exception):
    """It cannot be told now; the text is for the log."""


@dataclass(frozen=True, slots=True, repr=False)
class Claim:
    """Somebody says that ``password`` belongs to ``address``.

    ``prepared`` is the password in its one form, never empty; ``stored`` the hash in the directory, ``""`` for none.
    """

    address: Address
    password: Password
    prepared: bytes
    stored: str = ""


class Source(Protocol):
    """One of ``auth.sources``."""

    @property
    def name(self) -> str:
        """What the settings call it."""
        ...

    async def mark(self, claim: Claim) -> str | None:
        """What this source's answer hangs on, so that it may be remembered while that stays; None: it may not."""
        ...

    async def verify(self, claim: Claim) -> bool | None:
        """Whether the password is right; None if it does not know the account. SourceUnavailable."""
        ...

    async def imitate(self, claim: Claim) -> None:
        """Take as long as for an account that it knows. SourceUnavailable."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...


@dataclass(frozen=True, slots=True)
class Bearing:
    """Whom a good token is for: the address in its claim, as it stands there."""

    name: str


class TokenChecker(Protocol):
    """Knows whether an OAuth token is good."""

    async def verify(self, token: str) -> Bearing | str:
        """Whom it is for, or why it is not good (for the log, and without any of the token). SourceUnavailable."""
        ...

    async def try_out(self) -> None:
        """Whether it could tell now. SourceUnavailable if not."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
