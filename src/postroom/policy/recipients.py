"""Refuses recipients that nobody here is, and those whose mailboxes are full, before the content is sent."""

from collections.abc import Callable, Sequence
from typing import assert_never

from postroom.config.section import Network
from postroom.directory.directory import Directory
from postroom.directory.model import Account, NotLocal, Resolved, Unknown
from postroom.mail.reply import Reply
from postroom.policy.networks import member_of
from postroom.policy.stage import AtRcpt, Stage
from postroom.policy.verdict import ACCEPT, Refuse, Verdict

_UNKNOWN = Reply.of(550, "5.1.1", "No such recipient here")
_FULL = Refuse(Reply.of(552, "5.2.2", "The mailbox is full"), "every mailbox that would receive is over its quota")


Abuse = Callable[[str, int, str], None]
"""Counts points against an address, for a reason: ``Lockout.abuse``."""


def recipients_stage(
    directory: Directory, abuse: Abuse | None = None, trusted_networks: Sequence[Network] = ()
) -> Stage:
    """Refuses unknown local recipients (550 5.1.1), and recipients all of whose mailboxes are full (552 5.2.2).

    ``abuse`` is told of each unknown one that a client names who neither logged in nor is trusted: guessing addresses.
    """
    is_trusted = member_of(trusted_networks)

    async def all_full(accounts: tuple[Account, ...], size: int) -> bool:
        for account in accounts:
            if not await directory.over_quota(account, size):
                return False
        return True

    async def on_rcpt(moment: AtRcpt) -> Verdict:
        match moment.resolution:
            case Resolved(accounts, forwards):
                # An address that the server itself reads has neither
                if accounts and not forwards and await all_full(accounts, moment.size or 0):
                    return _FULL
                return ACCEPT
            case NotLocal():
                return ACCEPT
            case Unknown(reason, told):
                client = moment.client
                if abuse is not None and not client.account and not is_trusted(client.address):
                    abuse(client.address, 1, "an unknown recipient")
                return Refuse(Reply.of(550, "5.1.1", told) if told else _UNKNOWN, reason)
            case _:
                assert_never(moment.resolution)

    return Stage(name="recipients", on_rcpt=on_rcpt)
