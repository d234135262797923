"""FakeChecker and FakeGuard: who may log in, as the test says it; failures are fields."""

from collections import Counter
from dataclasses import dataclass, field

from postroom.directory.checker import Asker, Authenticated, LoginResult, Refused, Unavailable
from postroom.directory.directory import Directory
from postroom.directory.guard import LoginFailure, LoginStanding
from postroom.directory.model import Account
from postroom.protocol.sasl import scram_words
from postroom.protocol.sasl.exchange import Password, ScramKeys
from postroom.protocol.sasl.mechanisms import SERVER

SALT = b"twelve octets and more"


@dataclass
class FakeChecker:
    """Passwords, app passwords and tokens in the clear, each by the account's name.

    ``result`` is given in place of every answer, if it is set; ``asked`` keeps who asked.
    """

    directory: Directory
    passwords: dict[str, str] = field(default_factory=dict)
    app_passwords: dict[str, dict[str, str]] = field(default_factory=dict)
    """By account: passwords by their labels."""
    tokens: dict[str, str] = field(default_factory=dict)
    """By token: the account."""
    mechanisms: tuple[str, ...] = tuple(SERVER)
    result: LoginResult | None = None
    asked: list[Asker] = field(default_factory=list)

    async def check(self, name: str, password: Password, asker: Asker, *, authzid: str = "") -> LoginResult:
        """By password, or app password."""
        known = self._known(name)
        for credential, text in known.items():
            if text == password.text:
                return await self._may(name, asker, authzid, credential)
        return self._said(asker) or Refused("wrong password")

    async def scram_keys(self, name: str, algorithm: str, asker: Asker) -> ScramKeys | Unavailable:
        """Of all of the account's passwords."""
        self.asked.append(asker)
        if isinstance(self.result, Unavailable):
            return self.result
        secrets = [
            scram_words.secret_of(algorithm, scram_words.salted(algorithm, text.encode(), SALT, 4096), credential)
            for credential, text in (self._known(name) or {"": "nobody knows this"}).items()
        ]
        return ScramKeys(SALT, 4096, tuple(secrets))

    async def proved(self, name: str, asker: Asker, *, authzid: str = "", credential: str = "") -> LoginResult:
        """An enabled account."""
        return await self._may(name, asker, authzid, credential)

    async def bearer(self, token: str, asker: Asker, *, name: str = "") -> LoginResult:
        """By token."""
        owner = self.tokens.get(token)
        if owner is None or name not in {"", owner}:
            return self._said(asker) or Refused("no such token")
        return await self._may(owner, asker, "", "")

    async def external(self, names: tuple[str, ...], asker: Asker, *, authzid: str = "") -> LoginResult:
        """The first of the names that is an account."""
        for name in names:
            if authzid in {"", name} and await self.directory.account(name) is not None:
                return await self._may(name, asker, "", "")
        return self._said(asker) or Refused("no account in the certificate")

    def _known(self, name: str) -> dict[str, str]:
        own = {"": self.passwords[name]} if name in self.passwords else {}
        return {**own, **self.app_passwords.get(name, {})}

    def _said(self, asker: Asker) -> LoginResult | None:
        self.asked.append(asker)
        return self.result

    async def _may(self, name: str, asker: Asker, authzid: str, credential: str) -> LoginResult:
        said = self._said(asker)
        if said is not None:
            return said
        account: Account | None = await self.directory.account(name)
        if account is None or not account.enabled:
            return Refused("no such account, or it is disabled")
        if authzid not in {"", name}:
            return Refused("it may not act as another")
        return Authenticated(account, credential)


@dataclass
class FakeGuard:
    """Counts. ``locked`` are addresses and names that may not try; ``delay`` is that of each failure."""

    locked: set[str] = field(default_factory=set)
    delay: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    successes: list[tuple[str, str]] = field(default_factory=list)

    def standing(self, address: str, name: str) -> LoginStanding:
        """Locked or not."""
        return LoginStanding("too many failed", 1.0) if self.locked & {address, name} else LoginStanding()

    def failed(self, address: str, name: str) -> LoginFailure:
        """One more."""
        self.failures[address] += 1
        self.failures[name] += 1
        return LoginFailure(self.failures[address], self.failures[name], self.delay)

    def succeeded(self, address: str, name: str) -> None:
        """Kept."""
        self.successes.append((address, name))
