"""The domains whose mail is ours: listed, shown, added, removed."""

from collections.abc import Sequence
from dataclasses import dataclass

from postroom.admin.moments import iso
from postroom.admin.refusal import Refused
from postroom.directory.model import AddDomain, Domain, RemoveDomain, SetCatchAll
from postroom.directory.store import DirectoryStore
from postroom.mail.address import Address
from postroom.mail.domain import normalise_domain, show_domain


@dataclass(frozen=True, slots=True)
class DomainView:
    """One domain as listed. ``shown`` has U-labels; ``catch_all`` is ``""`` for none."""

    name: str
    shown: str
    accounts: int
    aliases: int
    catch_all: str
    created_at: str


def read_domain(text: str) -> str:
    """The domain name that an operator wrote. Refused if it is none."""
    try:
        name = normalise_domain(text)
    except ValueError as error:
        raise Refused(f"{text!r} is not a domain: {error}", "write it as in example.org") from error
    if name.startswith("["):
        raise Refused(f"{text!r} is an address literal", "a local domain has a name, as in example.org")
    return name


async def list_domains(directory: DirectoryStore) -> Sequence[DomainView]:
    """All domains by name."""
    accounts: dict[str, int] = {}
    aliases: dict[str, int] = {}
    for account in await directory.accounts():
        accounts[account.address.domain] = accounts.get(account.address.domain, 0) + 1
    for alias in await directory.aliases():
        aliases[alias.address.domain] = aliases.get(alias.address.domain, 0) + 1
    return [
        _view(domain, accounts.get(domain.name, 0), aliases.get(domain.name, 0)) for domain in await directory.domains()
    ]


async def show_one(directory: DirectoryStore, text: str) -> DomainView:
    """One domain. Refused if it is not ours."""
    domain = await _find(directory, read_domain(text))
    return _view(domain, len(await directory.accounts(domain.name)), len(await directory.aliases(domain.name)))


async def add_domain(directory: DirectoryStore, text: str, now: float) -> str:
    """Make the domain ours; returns its canonical name. DirectoryError if it is already."""
    name = read_domain(text)
    await directory.change([AddDomain(Domain(name, now))])
    return name


async def remove_domain(directory: DirectoryStore, text: str, *, with_content: bool) -> str:
    """Give the domain up; with its accounts, their mail and its aliases only if asked to."""
    domain = await _find(directory, read_domain(text))
    if not with_content:
        accounts, aliases = await directory.accounts(domain.name), await directory.aliases(domain.name)
        if accounts or aliases:
            raise Refused(
                f"{domain.name} has {len(accounts)} accounts and {len(aliases)} aliases",
                "remove them first, or repeat with --with-content: their mail goes too",
            )
    await directory.change([RemoveDomain(domain.name, with_content)])
    return domain.name


async def set_catch_all(directory: DirectoryStore, text: str, target: Address | None) -> str:
    """Who receives what no account or alias of the domain does; None: nobody."""
    domain = await _find(directory, read_domain(text))
    await directory.change([SetCatchAll(domain.name, target)])
    return domain.name


async def _find(directory: DirectoryStore, name: str) -> Domain:
    domain = await directory.find_domain(name)
    if domain is None:
        raise Refused(f"{name} is not a domain of this server", f"postroom domain add {name}")
    return domain


def _view(domain: Domain, accounts: int, aliases: int) -> DomainView:
    catch_all = "" if domain.catch_all is None else str(domain.catch_all)
    return DomainView(domain.name, show_domain(domain.name), accounts, aliases, catch_all, iso(domain.created_at))
