"""Who a submitted message says it is from, and what is done about it (RFC 6409 §8.1, RFC 5322 §3.6.2)."""

from typing import Literal, Protocol

from postroom.directory.model import Account
from postroom.inbound.heading import TOO_LONG
from postroom.inbound.submitted import SubmittedSpool
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope
from postroom.mail.headers import Field
from postroom.mail.mailboxes import read_mailboxes
from postroom.mail.reply import Reply
from postroom.mailauth.author import count_authors
from postroom.policy.verdict import Refuse

_FOLDED = Refuse(
    Reply.of(550, "5.6.0", "The header is malformed: its first line begins with white space"),
    "the first line would be a part of the fields that are put in front",
)

Mode = Literal["off", "sender", "refuse"]

_TWICE = Refuse(
    Reply.of(550, "5.6.0", "The message has more than one From or Sender field"), "From or Sender stands there twice"
)
_HIDDEN = Refuse(
    Reply.of(550, "5.6.0", "The header is malformed: a line before From or Sender is no field"),
    "From or Sender stands behind a line that is no field",
)


class Accounts(Protocol):
    """Knows whose an address is: the directory."""

    async def account(self, name: str) -> Account | None:
        """The account whose address is ``name``."""
        ...

    async def may_send_as(self, account: Account, address: Address) -> bool:
        """Whether mail for ``address`` reaches the account."""
        ...


class Originator:
    """Compares From with the account that submits. What is missing is added in front; what is there stays as it is."""

    __slots__ = ("_accounts", "_mode")

    def __init__(self, accounts: Accounts, mode: Mode) -> None:
        self._accounts = accounts
        self._mode = mode

    async def settle(self, spool: SubmittedSpool, login: str, envelope: Envelope) -> bytes | Refuse:
        """The fields to add, as whole lines, or why the message is refused. May raise StoreUnavailable."""
        if spool.is_too_long:
            return TOO_LONG
        if spool.original[:1] in {b" ", b"\t"}:
            return _FOLDED
        if spool.has_hidden_origin and self._mode != "off":
            return _HIDDEN
        header = spool.header
        authors, senders = header.all(b"from"), header.all(b"sender")
        if not authors:
            return _field("From", login, envelope)  # RFC 5322 §3.6: it must be there
        if self._mode == "off":
            return b""
        if len(authors) > 1 or len(senders) > 1 or count_authors(spool.original) > 1:
            return _TWICE
        mailboxes = read_mailboxes(authors[0].text)
        account = await self._accounts.account(login)
        own = [await self._is_own(account, mailbox) for mailbox in mailboxes]
        if self._mode == "refuse" and not (own and all(own)):
            return _foreign("From", authors[0], login)
        if len(own) == 1 and own[0]:
            return b""
        if not senders:
            return _field("Sender", login, envelope)  # RFC 5322 §3.6.2: several authors, or somebody else sends
        named = read_mailboxes(senders[0].text)
        if any(own) or (len(named) == 1 and await self._is_own(account, named[0])):
            return b""
        return _foreign("Sender", senders[0], login)  # it cannot be replaced in content that stays as it is

    async def _is_own(self, account: Account | None, mailbox: Address | None) -> bool:
        if account is None or mailbox is None:
            return False
        return await self._accounts.may_send_as(account, mailbox)


def _field(name: str, login: str, envelope: Envelope) -> bytes:
    """The field with the account's address; none where it could not be written (RFC 6531 §3.2)."""
    if not login or not (login.isascii() or envelope.smtputf8):
        return b""
    return f"{name}: {login}\r\n".encode()


def _foreign(name: str, field: Field, login: str) -> Refuse:
    shown = f"{name} must be an address of {login}" if login.isascii() else f"{name} must be an address of yours"
    return Refuse(Reply.of(550, "5.7.1", shown), f"{name} is {field.text[:200]!r}, which is not the account's")
