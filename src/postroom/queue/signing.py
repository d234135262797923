"""Which mail is ours and by whose key it is signed, at the intake (RFC 6376 §5.1, DESIGN §4 step 6; docs/adr/0020).

Ours is what accounts submit, what this server writes itself, and what clients of ``smtp.trusted_networks`` relay. Mail
that only passes through (aliases, forwards, lists) is not: a signature of ours would vouch for a stranger's words.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from postroom.clock import Clock
from postroom.directory.model import Account, NotLocal, Resolution
from postroom.mail.address import Address
from postroom.mail.headers import field_values, find_body, unfold
from postroom.mail.mailboxes import read_mailboxes
from postroom.mail.message import QueueId
from postroom.mail.session import Client, Role
from postroom.mail.value import value
from postroom.mailauth.content import Content
from postroom.queue.model import Draft

MOST_LOOKED_AT = 20
"""DKIM-Signature fields that a message brought, and authors, that are looked at."""


@value(frozen=True, slots=True)
class Signed:
    """What came of it: whole fields to stand in front of the prefix, the names of the keys (``r1._domainkey.…``), or
    why mail of ours goes without. Nothing at all for mail that is not ours.
    """

    fields: bytes = b""
    by: tuple[str, ...] = ()
    why_not: str = ""


_NOT_OURS = Signed()


class Signer(Protocol):
    """Signs what is ours."""

    async def fields(self, draft: Draft) -> Signed:
        """The signatures of a draft whose resolutions are known. Raises StoreUnavailable."""
        ...


class SigningKey(Protocol):
    """A key, as far as it is looked at here."""

    @property
    def domain(self) -> str: ...  # noqa: D102 - the name says it
    @property
    def name(self) -> str: ...  # noqa: D102


Key = TypeVar("Key", bound=SigningKey)
Held_co = TypeVar("Held_co", bound=SigningKey, covariant=True)


class Ring(Protocol[Held_co]):
    """The keys that may sign now: ``mailauth.keys.ring``."""

    def keys_for(self, domain: str) -> tuple[Held_co, ...]:
        """Those for an author at ``domain``."""
        ...

    def knows(self, domain: str, selector: str) -> bool:
        """Whether this is one of them."""
        ...


class Accounts(Protocol):
    """Knows whose an address is: the directory."""

    async def account(self, name: str) -> Account | None:
        """The account whose address is ``name``."""
        ...

    async def may_send_as(self, account: Account, address: Address) -> bool:
        """Whether mail for ``address`` reaches the account."""
        ...


class Chunks(Protocol):
    """Where large content lies before its intake: the queue's store."""

    def read_chunks(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        """The chunks in order."""
        ...


class KeySigner(Generic[Key]):
    """Signs by the ring of this node. ``sign`` makes the fields (``mailauth.dkim.signing.sign``), or raises ValueError
    for what cannot be signed. ``is_trusted`` says which clients may relay by their address.
    """

    def __init__(
        self,
        ring: Ring[Key],
        *,
        sign: Callable[[Content, bytes, Sequence[Key], float], Awaitable[bytes]],
        accounts: Accounts,
        is_trusted: Callable[[str], bool],
        contents: Chunks,
        clock: Clock,
    ) -> None:
        self._ring = ring
        self._sign = sign
        self._accounts = accounts
        self._is_trusted = is_trusted
        self._contents = contents
        self._clock = clock

    async def fields(self, draft: Draft) -> Signed:
        """The signatures of a draft."""
        if not self._may_be_ours(draft):
            return _NOT_OURS
        start = draft.content_start if draft.content is None else draft.content
        end, _ = find_body(start)
        header = draft.prefix + start[:end]
        if draft.client is None and _came_from_elsewhere(header, draft.prefix):
            return _NOT_OURS  # a program of this machine only passes it on
        authors = field_values(header, b"from")
        if len(authors) != 1:
            return Signed(why_not=f"it has {len(authors) or 'no'} From fields")
        mailboxes = read_mailboxes(unfold(authors[0]))
        if draft.client is not None and draft.account:
            domain = await self._domain_for(draft.account, mailboxes[:MOST_LOOKED_AT])
            if not domain:
                return Signed(why_not="its account is gone")
        else:
            domain = _first_domain(mailboxes[:MOST_LOOKED_AT])
            if not domain:
                return Signed(why_not="its From names nobody")
        keys = self._ring.keys_for(domain)
        if not keys:
            return Signed(why_not=f"no key of {domain} or above signs now: see postroom dkim list")
        if self._bears_one_of(field_values(header, b"dkim-signature"), keys):
            return Signed(why_not="it bears a signature of ours already")
        try:
            fields = await self._sign(self._content(draft), draft.prefix, keys, self._clock.now())
        except ValueError as error:
            return Signed(why_not=str(error))
        return Signed(fields, tuple([key.name for key in keys]))

    def _may_be_ours(self, draft: Draft) -> bool:
        client = draft.client
        if client is None or draft.account:
            return True
        return self._is_relay(client, draft.resolutions)

    def _is_relay(self, client: Client, resolutions: Sequence[Resolution]) -> bool:
        """A machine of ours that sends out through mx. What a gateway of ours brings in for mailboxes here does not
        count: that is strangers' mail.
        """
        if client.role is not Role.MX or not self._is_trusted(client.address):
            return False
        for resolution in resolutions:  # noqa: SIM110 - any() would make a generator for each message
            if isinstance(resolution, NotLocal):
                return True
        return False

    async def _domain_for(self, login: str, authors: Sequence[Address | None]) -> str:
        """The domain that signs what an account submits: that of the author, or of the account where it may not write
        as that author; ``""`` where there is no such account.

        So nobody gets a signature of a domain of ours for an address that is not theirs.
        """
        account = await self._accounts.account(login)
        if account is None:
            return ""
        for author in authors:
            if author is None or not await self._accounts.may_send_as(account, author):
                return account.address.domain
        return _first_domain(authors) or account.address.domain

    def _bears_one_of(self, signatures: Sequence[bytes], keys: Sequence[Key]) -> bool:
        """Whether it was signed here before: by a key that signs now, for the same domain."""
        domain = keys[0].domain
        for signature in signatures[:MOST_LOOKED_AT]:
            tags = dict(_tag(piece) for piece in unfold(signature).split(";"))
            if tags.get("d", "").lower() == domain and self._ring.knows(domain, tags.get("s", "").lower()):
                return True
        return False

    def _content(self, draft: Draft) -> Content:
        content = draft.content
        if content is not None:
            return content
        return lambda: self._contents.read_chunks(draft.queue_id)


def _came_from_elsewhere(header: bytes, prefix: bytes) -> bool:
    """Whether Received fields stand behind our own."""
    return len(field_values(header, b"received")) > len(field_values(prefix, b"received"))


def _first_domain(authors: Sequence[Address | None]) -> str:
    """That of the first author who can be read; ``""`` where there is none."""
    for author in authors:
        if author is not None:
            return author.domain
    return ""


def _tag(piece: str) -> tuple[str, str]:
    name, _, text = piece.partition("=")
    return name.strip(), text.strip()


async def signed(draft: Draft, signer: Signer, resolutions: tuple[Resolution, ...]) -> Draft:
    """The draft with its signatures in front, if it is ours. Raises StoreUnavailable."""
    if not draft.resolutions:
        draft = replace(draft, resolutions=resolutions)
    found = await signer.fields(draft)
    if found.fields:
        return draft.with_facts({"signed": found.by}, found.fields)
    return draft.with_facts({"unsigned": found.why_not}) if found.why_not else draft
