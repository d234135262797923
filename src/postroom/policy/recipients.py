"""Refuses recipients that nobody here is, and those whose mailboxes are full, before the content is sent."""

from typing import assert_never

from postroom.directory.directory import Directory
from postroom.directory.model import Account, NotLocal, Resolved, Unknown
from postroom.mail.reply import Reply
from postroom.policy.stage import AtRcpt, Stage
from postroom.policy.verdict import ACCEPT, Refuse, Verdict

_UNKNOWN = Reply.of(550, "5.1.1", "No such recipient here")
_FULL = Refuse(Reply.of(552, "5.2.2", "The mailbox is full"), "every mailbox that would receive is over its quota")


def recipients_stage(directory: Directory) -> Stage:
    """Refuses unknown local recipients (550 5.1.1), and recipients all of whose mailboxes are full (552 5.2.2)."""

    async def all_full(accounts: tuple[Account, ...], size: int) -> bool:
        for account in accounts:
            if not await directory.over_quota(account, size):
                return False
        return True

    async def on_rcpt(moment: AtRcpt) -> Verdict:
        match moment.resolution:
            case Resolved(accounts, forwards):
                if not forwards and await all_full(accounts, moment.size or 0):
                    return _FULL
                return ACCEPT
            case NotLocal():
                return ACCEPT
            case Unknown(reason):
                return Refuse(_UNKNOWN, reason)
            case _:
                assert_never(moment.resolution)

    return Stage(name="recipients", on_rcpt=on_rcpt)
