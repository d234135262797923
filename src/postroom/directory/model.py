"""The directory's values: domains, accounts, aliases, and what an address resolves to."""

from typing import ClassVar

from postroom.mail.address import Address
from postroom.mail.value import value


@value(frozen=True, slots=True)
class Domain:
    """A domain whose mail is ours. ``catch_all`` receives what no account or alias does, None: nobody."""

    name: str
    created_at: float
    catch_all: Address | None = None


@value(frozen=True, slots=True)
class Account:
    """Someone who logs in and has a mailbox.

    ``quota`` is in octets, 0 for none; ``password`` an argon2 hash, ``""`` for no login.
    """

    account_id: int
    address: Address
    password: str
    quota: int
    enabled: bool
    created_at: float


@value(frozen=True, slots=True)
class Alias:
    """An address that stands for others, here or elsewhere. Who is a local target may also send as the alias."""

    address: Address
    targets: tuple[Address, ...]


@value(frozen=True, slots=True)
class Usage:
    """What an account's mailbox holds now."""

    octets: int
    messages: int


Entry = Account | Alias


@value(frozen=True, slots=True)
class NotLocal:
    """The domain is not ours: relay, if the sender may."""

    is_ours: ClassVar[bool] = False
    accounts: ClassVar[tuple[Account, ...]] = ()
    forwards: ClassVar[tuple[Address, ...]] = ()


@value(frozen=True, slots=True)
class Unknown:
    """The domain is ours, the address is not (550 5.1.1). ``reason`` is for the log."""

    reason: str = "no such account or alias"

    is_ours: ClassVar[bool] = True
    accounts: ClassVar[tuple[Account, ...]] = ()
    forwards: ClassVar[tuple[Address, ...]] = ()


@value(frozen=True, slots=True)
class Resolved:
    """The accounts that receive, and the addresses elsewhere that aliases forward to; sorted, no duplicates."""

    accounts: tuple[Account, ...]
    forwards: tuple[Address, ...] = ()

    is_ours: ClassVar[bool] = True


Resolution = NotLocal | Unknown | Resolved


# Changes: one batch of them is one transaction.


@value(frozen=True, slots=True)
class AddDomain:
    """Refused if it exists."""

    domain: Domain


@value(frozen=True, slots=True)
class SetCatchAll:
    """None removes it. Refused if the domain does not exist."""

    domain: str
    target: Address | None


@value(frozen=True, slots=True)
class RemoveDomain:
    """Refused while it has accounts or aliases, unless ``with_content``: then they go with their mail."""

    name: str
    with_content: bool = False


@value(frozen=True, slots=True)
class AddAccount:
    """Refused if the address is taken or its domain is not ours."""

    address: Address
    password: str
    quota: int
    created_at: float


@value(frozen=True, slots=True)
class ChangeAccount:
    """None leaves a field as it is. Refused if there is no such account."""

    address: Address
    password: str | None = None
    quota: int | None = None
    enabled: bool | None = None


@value(frozen=True, slots=True)
class RemoveAccount:
    """With its mailbox. Refused if there is no such account."""

    address: Address


@value(frozen=True, slots=True)
class PutAlias:
    """Adds the alias or replaces its targets. Refused if an account has the address or its domain is not ours."""

    alias: Alias


@value(frozen=True, slots=True)
class RemoveAlias:
    """Refused if there is no such alias."""

    address: Address


DirectoryChange = (
    AddDomain | SetCatchAll | RemoveDomain | AddAccount | ChangeAccount | RemoveAccount | PutAlias | RemoveAlias
)


class DirectoryError(Exception):
    """A change that the directory refuses; the text is for the person who asked."""
