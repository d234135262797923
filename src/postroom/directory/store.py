"""The port to the stored directory."""

from collections.abc import Sequence
from typing import Protocol

from postroom.directory.model import Account, Alias, DirectoryChange, Domain, Entry, Logins, Usage
from postroom.mail.address import Address


class DirectoryStore(Protocol):
    """Keys are ``Address.key`` and normalised domain names. Any method may raise ``StoreUnavailable``."""

    async def generation(self) -> int:
        """A counter that every committed change raises, whichever process made it."""
        ...

    async def find_domain(self, name: str) -> Domain | None:
        """The domain, if it is ours."""
        ...

    async def find(self, keys: Sequence[str]) -> Sequence[Entry | None]:
        """The account or alias of each key, in order."""
        ...

    async def aliases_to(self, address: Address) -> Sequence[Alias]:
        """The aliases that name the address as a direct target."""
        ...

    async def usage(self, account_ids: Sequence[int]) -> Sequence[Usage]:
        """What each mailbox holds now, in order."""
        ...

    async def logins(self, key: str) -> Logins:
        """The SCRAM keys and app passwords of an account; empty ones for a key that is no account's."""
        ...

    async def secret(self) -> bytes:
        """32 random octets, the same ones as long as the store lives."""
        ...

    async def used(self, app_passwords: Sequence[tuple[int, float]]) -> None:
        """App passwords (by id) were used at a time; those that are gone are passed over. No change of the counter."""
        ...

    async def domains(self) -> Sequence[Domain]:
        """All domains by name."""
        ...

    async def accounts(self, domain: str | None = None) -> Sequence[Account]:
        """All accounts, or a domain's, by address."""
        ...

    async def aliases(self, domain: str | None = None) -> Sequence[Alias]:
        """All aliases, or a domain's, by address."""
        ...

    async def change(self, changes: Sequence[DirectoryChange]) -> None:
        """All of the changes or none. Raises DirectoryError for the first that is refused."""
        ...
