"""Never an open relay: mail to elsewhere is taken from those who logged in and from networks that the settings name."""

from collections.abc import Sequence

from postroom.config.section import Network
from postroom.directory.model import NotLocal
from postroom.mail.reply import Reply
from postroom.policy.networks import member_of
from postroom.policy.stage import AtRcpt, Stage
from postroom.policy.verdict import ACCEPT, Refuse, Verdict

_DENIED = Refuse(
    Reply.of(550, "5.7.1", "Relaying denied"),
    "the recipient is not local and the client neither logged in nor is in smtp.trusted_networks",
)


def relaying_stage(trusted_networks: Sequence[Network]) -> Stage:
    """Refuses recipients elsewhere (550 5.7.1) unless the client may relay."""
    is_trusted = member_of(trusted_networks)

    async def on_rcpt(moment: AtRcpt) -> Verdict:
        client = moment.client
        if not isinstance(moment.resolution, NotLocal) or client.account:
            return ACCEPT
        if is_trusted(client.address):
            return ACCEPT
        return _DENIED

    return Stage(name="relaying", on_rcpt=on_rcpt)
