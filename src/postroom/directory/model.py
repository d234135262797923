"""The directory's values: domains, accounts, aliases, and what an address resolves to."""

from dataclasses import dataclass, field
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

    ``quota`` is in octets, 0 for none; ``password`` an argon2 hash, ``""`` for none. ``app_passwords_only``: mail
    programs must use an app password. ``forwards`` are those to whom its mail goes too, or goes instead where it does
    not ``keep`` it.
    """

    account_id: int
    address: Address
    password: str
    quota: int
    enabled: bool
    created_at: float
    app_passwords_only: bool = False
    forwards: tuple[Address, ...] = ()
    keep: bool = True


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


@dataclass(frozen=True, slots=True, repr=False)
class ScramKey:
    """What is kept of one password for one algorithm of SCRAM (RFC 5802 §3). It does not show itself."""

    algorithm: str
    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


@dataclass(frozen=True, slots=True)
class AppPassword:
    """A password of the machine's own making, for one mail program, revocable.

    ``app_password_id`` is 0 until it is stored; no ``protocols``: for all; ``digest`` is what it is recognised by.
    """

    app_password_id: int
    label: str
    protocols: tuple[str, ...]
    digest: bytes = field(repr=False)
    created_at: float
    last_used: float | None
    keys: tuple[ScramKey, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Logins:
    """By what else an account logs in: the SCRAM keys of its own password, and its app passwords in order of age."""

    keys: tuple[ScramKey, ...] = field(default=(), repr=False)
    app_passwords: tuple[AppPassword, ...] = ()


@dataclass(frozen=True, slots=True)
class NewPassword:
    """What is kept of an account's own password: a hash, ``""`` for none, and keys for SCRAM where it can be used."""

    hash: str = field(default="", repr=False)
    keys: tuple[ScramKey, ...] = field(default=(), repr=False)


PROTOCOLS = ("smtp", "pop3")
"""What an app password can be restricted to."""

MAX_APP_PASSWORDS = 50  # of one account: each login looks at all of them


@value(frozen=True, slots=True)
class NotLocal:
    """The domain is not ours: relay, if the sender may."""

    is_ours: ClassVar[bool] = False
    accounts: ClassVar[tuple[Account, ...]] = ()
    forwards: ClassVar[tuple[Address, ...]] = ()


@value(frozen=True, slots=True)
class Unknown:
    """The domain is ours, the address is not (550 5.1.1). ``reason`` is for the log, ``told`` for the peer (``""``: the
    usual words).
    """

    reason: str = "no such account or alias"
    told: str = ""

    is_ours: ClassVar[bool] = True
    accounts: ClassVar[tuple[Account, ...]] = ()
    forwards: ClassVar[tuple[Address, ...]] = ()


@value(frozen=True, slots=True)
class Resolved:
    """The accounts that receive, and the addresses elsewhere that aliases and accounts forward to; sorted, no
    duplicates.

    ``senders`` are the ids of the accounts that may send as the address, where they are others than those that receive:
    who gets mail because another account forwards it does not speak for that one.
    """

    accounts: tuple[Account, ...]
    forwards: tuple[Address, ...] = ()
    senders: frozenset[int] | None = None

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
    keys: tuple[ScramKey, ...] = ()


@value(frozen=True, slots=True)
class ChangeAccount:
    """None leaves a field as it is. Refused if there is no such account. ``keys`` go with a new password: without one
    they are not looked at, and with one they replace those of the old.
    """

    address: Address
    password: str | None = None
    quota: int | None = None
    enabled: bool | None = None
    app_passwords_only: bool | None = None
    keys: tuple[ScramKey, ...] = ()


@value(frozen=True, slots=True)
class SetForwards:
    """No ``targets``: its mail is its own again. Refused if there is no such account, or it would forward to itself."""

    address: Address
    targets: tuple[Address, ...] = ()
    keep: bool = True


@value(frozen=True, slots=True)
class KeepKeys:
    """SCRAM keys of the password that has this hash. Refused if the account's password is another by now."""

    address: Address
    password: str
    keys: tuple[ScramKey, ...]


@value(frozen=True, slots=True)
class AddAppPassword:
    """Refused if there is no such account, it has one of this label, or MAX_APP_PASSWORDS already."""

    address: Address
    app_password: AppPassword


@value(frozen=True, slots=True)
class RemoveAppPassword:
    """Refused if there is none of this label."""

    address: Address
    label: str


@value(frozen=True, slots=True)
class RemoveAccount:
    """With its mailbox and all of its credentials. Refused if there is no such account."""

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
    AddDomain
    | SetCatchAll
    | RemoveDomain
    | AddAccount
    | ChangeAccount
    | SetForwards
    | KeepKeys
    | AddAppPassword
    | RemoveAppPassword
    | RemoveAccount
    | PutAlias
    | RemoveAlias
)


class DirectoryError(Exception):
    """A change that the directory refuses; the text is for the person who asked."""
