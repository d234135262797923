"""The aliases: addresses that stand for others, here or elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from postroom.admin.accounts import read_address
from postroom.admin.refusal import Refused
from postroom.directory.model import Alias, PutAlias, RemoveAlias
from postroom.directory.store import DirectoryStore
from postroom.mail.address import Address


@dataclass(frozen=True, slots=True)
class AliasView:
    """One alias as listed."""

    address: str
    targets: tuple[str, ...]


async def list_aliases(directory: DirectoryStore, domain: str | None) -> Sequence[AliasView]:
    """All aliases, or those of a domain, by address."""
    return [_view(alias) for alias in await directory.aliases(domain)]


async def show_alias(directory: DirectoryStore, text: str) -> AliasView:
    """One alias. Refused if there is none."""
    return _view(await _find(directory, read_address(text)))


async def put_alias(directory: DirectoryStore, text: str, targets: Sequence[str]) -> AliasView:
    """Add the alias, or replace its targets."""
    address = read_address(text)
    read = tuple(dict.fromkeys(read_address(target) for target in targets))
    if address in read:
        raise Refused(f"{address} would stand for itself", "name other targets")
    if await directory.find_domain(address.domain) is None:
        raise Refused(f"{address.domain} is not a domain of this server", f"postroom domain add {address.domain}")
    alias = Alias(address, read)
    await directory.change([PutAlias(alias)])
    return _view(alias)


async def remove_alias(directory: DirectoryStore, text: str) -> Address:
    """Remove the alias. Refused if there is none."""
    alias = await _find(directory, read_address(text))
    await directory.change([RemoveAlias(alias.address)])
    return alias.address


async def _find(directory: DirectoryStore, address: Address) -> Alias:
    (entry,) = await directory.find([address.key])
    if not isinstance(entry, Alias):
        raise Refused(f"there is no alias {address}", f"postroom alias add {address} TARGET")
    return entry


def _view(alias: Alias) -> AliasView:
    return AliasView(str(alias.address), tuple(str(target) for target in alias.targets))
