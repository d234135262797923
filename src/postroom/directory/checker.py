"""The port to whoever knows if a claim is true: what a login asks, and what it is answered.

``directory/credentials.py`` implements it; ``directory/login.py`` drives a SASL exchange against it.
"""

from typing import Protocol

from postroom.directory.model import Account
from postroom.mail.value import value
from postroom.protocol.sasl.exchange import Password, ScramKeys


@value(frozen=True, slots=True)
class Asker:
    """Who wants to log in: the client's textual address, and the ``protocol`` (smtp or pop3) it wants to use."""

    address: str
    protocol: str


@value(frozen=True, slots=True)
class Authenticated:
    """The account may log in and has. ``credential`` names the app password that was used, ``""`` for its own."""

    account: Account
    credential: str = ""


@value(frozen=True, slots=True)
class Refused:
    """No (535 5.7.8, ``-ERR [AUTH]``). ``reason`` is for the log, never for the peer."""

    reason: str


@value(frozen=True, slots=True)
class Unavailable:
    """It cannot be told now (454 4.7.0, ``-ERR [SYS/TEMP]``). ``reason`` is for the log."""

    reason: str


LoginResult = Authenticated | Refused | Unavailable


class Checker(Protocol):
    """Knows who may log in. ``name`` is an address in any writing; ``authzid`` must be the same account, or ``""``."""

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms that can be checked, in the order of preference."""
        ...

    async def check(self, name: str, password: Password, asker: Asker, *, authzid: str = "") -> LoginResult:
        """Whether the password belongs to the account; the same time for a stranger and a wrong password."""
        ...

    async def scram_keys(self, name: str, algorithm: str, asker: Asker) -> ScramKeys | Unavailable:
        """What SCRAM is checked against; ``algorithm`` is SHA-256 or SHA-1.

        For a stranger, or an account without keys, keys that nobody can prove, the same ones each time
        (RFC 4422 §3.6: nobody learns who lives here).
        """
        ...

    async def proved(self, name: str, asker: Asker, *, authzid: str = "", credential: str = "") -> LoginResult:
        """SCRAM proved the password (``credential``: of that app password): whether the account may log in."""
        ...

    async def bearer(self, token: str, asker: Asker, *, name: str = "") -> LoginResult:
        """Whether the OAuth token is good, and for whom; ``name`` is whom the client says it is, or ``""``."""
        ...

    async def external(self, names: tuple[str, ...], asker: Asker, *, authzid: str = "") -> LoginResult:
        """Whether one of the mail addresses in a verified client certificate is the account (``authzid`` if given)."""
        ...
