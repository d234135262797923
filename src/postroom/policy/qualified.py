"""What is submitted goes to whole domain names: nobody guesses where ``ann@sales`` should go (RFC 6409 §4.2)."""

from postroom.directory.model import NotLocal
from postroom.mail.reply import Reply
from postroom.policy.stage import AtRcpt, Stage
from postroom.policy.verdict import ACCEPT, Refuse, Verdict

_SHORT = Refuse(
    Reply.of(554, "5.1.2", "The domain of the recipient is not a whole one: write it with all its labels"),
    "the recipient's domain has one label and is not local",
)


def qualified_stage() -> Stage:
    """Refuses recipients elsewhere whose domain has one label (554 5.1.2). The sender's is an account's anyway."""

    async def on_rcpt(moment: AtRcpt) -> Verdict:
        domain = moment.recipient.address.domain
        if isinstance(moment.resolution, NotLocal) and "." not in domain and not domain.startswith("["):
            return _SHORT
        return ACCEPT

    return Stage(name="qualified", on_rcpt=on_rcpt)
