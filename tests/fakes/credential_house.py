"""CredentialHouse: who checks logins, over a store and a clock in hand; FakeSource and FakeTokens fail as told."""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.clock import ManualClock
from tests.fakes.directory_store import MemoryDirectoryStore

from postroom.config.identity import AuthSettings
from postroom.config.model import DeliverySettings
from postroom.directory.apppasswords import make_app_password
from postroom.directory.checker import Asker, LoginResult, Refused
from postroom.directory.credentials import Credentials
from postroom.directory.directory import Directory
from postroom.directory.hashing import HashThreads
from postroom.directory.model import Account, AddAppPassword, ChangeAccount, RemoveAppPassword
from postroom.directory.passwords import hash_password, new_password
from postroom.directory.sources.source import Bearing, Claim, Source, SourceUnavailable
from postroom.mail.address import Address
from postroom.protocol.sasl.exchange import Password, ScramKeys

HASH, OTHER_HASH = hash_password("secret"), hash_password("other")
ANNA = "anna@example.org"
PHONE = "abcde-fghij-kmnpq-rstuv-wxyz2"


@dataclass
class FakeSource:
    """Knows ``passwords`` by address. ``trouble``: it cannot tell. ``claims`` is whom it was asked about."""

    name: str
    passwords: dict[str, str] = field(default_factory=dict)
    trouble: str = ""
    claims: list[Claim] = field(default_factory=list)
    imitations: list[Claim] = field(default_factory=list)
    closed: bool = False

    async def mark(self, claim: Claim) -> None:
        return None

    async def verify(self, claim: Claim) -> bool | None:
        self.claims.append(claim)
        if self.trouble:
            raise SourceUnavailable(self.trouble)
        known = self.passwords.get(claim.address.key)
        return None if known is None else known == claim.password.text

    async def imitate(self, claim: Claim) -> None:
        self.imitations.append(claim)
        if self.trouble:
            raise SourceUnavailable(self.trouble)

    async def close(self) -> None:
        self.closed = True


@dataclass
class FakeTokens:
    """Good ``tokens`` by whom they are for."""

    tokens: dict[str, str] = field(default_factory=dict)
    trouble: str = ""
    closed: bool = False

    async def verify(self, token: str) -> Bearing | str:
        if self.trouble:
            raise SourceUnavailable(self.trouble)
        return Bearing(self.tokens[token]) if token in self.tokens else "the token has expired"

    async def try_out(self) -> None:
        await self.verify("")

    async def close(self) -> None:
        self.closed = True


class Verifier:
    """Stands where argon2 stands: counts, and holds on until it is let go."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes]] = []
        self.go = threading.Event()
        self.go.set()
        self.trouble: Exception | None = None

    def __call__(self, stored: str, prepared: bytes) -> bool:
        self.calls.append((stored, prepared))
        self.go.wait(10)
        if self.trouble is not None:
            raise self.trouble
        return (stored, prepared) in {(HASH, b"secret"), (OTHER_HASH, b"other")}


class CredentialHouse:
    """One account, anna@example.org with the password ``secret``. Close it at the end."""

    def __init__(
        self,
        settings: Mapping[str, Any] | None = None,
        further: Mapping[str, Source] | None = None,
        bearer: FakeTokens | None = None,
        certificates: bool = False,
        **bounds: int,
    ) -> None:
        self.store = MemoryDirectoryStore()
        self.anna = self.store.add_account(ANNA, password=HASH)
        self.clock = ManualClock()
        self.directory = Directory(self.store, DeliverySettings(), self.clock)
        self.credentials = Credentials(
            AuthSettings.model_validate(settings or {}),
            self.directory,
            self.store,
            self.clock,
            threads=HashThreads(2),
            further=further,
            bearer=bearer,
            certificates=certificates,
            **bounds,
        )

    # Setting the scene.

    async def change(self, **fields: Any) -> Account:
        """Change anna's account, and let it be known."""
        await self.store.change([ChangeAccount(self.anna.address, **fields)])
        self.directory.forget()
        account = await self.directory.account(ANNA)
        assert account is not None
        return account

    async def set_password(self, text: str, address: str = ANNA) -> None:
        """As ``postroom user password`` does."""
        parsed = Address.parse(address)
        new = new_password(text, parsed, await self.store.secret(), await self.store.logins(parsed.key))
        await self.store.change([ChangeAccount(parsed, password=new.hash, keys=new.keys)])
        self.directory.forget()

    async def add_app_password(self, text: str = PHONE, label: str = "phone", protocols: tuple[str, ...] = ()) -> None:
        """As ``postroom user app-password add`` does."""
        made = make_app_password(
            text,
            key=ANNA,
            label=label,
            protocols=protocols,
            secret=await self.store.secret(),
            logins=await self.store.logins(ANNA),
            now=self.clock.now(),
        )
        await self.store.change([AddAppPassword(self.anna.address, made)])
        self.directory.forget()

    async def remove_app_password(self, label: str = "phone") -> None:
        await self.store.change([RemoveAppPassword(self.anna.address, label)])
        self.directory.forget()

    # Asking.

    async def check(
        self, name: str, password: str, address: str = "192.0.2.1", *, authzid: str = "", protocol: str = "smtp"
    ) -> LoginResult:
        return await self.credentials.check(name, Password(password), Asker(address, protocol), authzid=authzid)

    async def refused(self, name: str, password: str, **more: Any) -> str:
        """Why not."""
        result = await self.check(name, password, **more)
        assert isinstance(result, Refused)
        return result.reason

    async def scram_keys(self, name: str, algorithm: str = "SHA-256", protocol: str = "smtp") -> ScramKeys:
        keys = await self.credentials.scram_keys(name, algorithm, Asker("192.0.2.1", protocol))
        assert isinstance(keys, ScramKeys)
        return keys

    async def settled(self) -> None:
        """Wait for what goes on in the background."""
        while tasks := [task for task in asyncio.all_tasks() if task.get_name() in ("SCRAM keys", "app password used")]:
            await asyncio.gather(*tasks, return_exceptions=True)
