"""What the sessions of one role have in common, made once by the service."""

from collections.abc import Callable

from postroom.directory.login import LoginDesk
from postroom.inbound.conduct import Manners
from postroom.inbound.etrn import QueueStarter
from postroom.inbound.transaction import Rooms
from postroom.mail.reply import Reply
from postroom.mail.value import value
from postroom.protocol.smtp.options import ServerOptions


@value(frozen=True, slots=True, kw_only=True)
class SessionSetup:
    """What the sessions of one role have in common. ``greeting`` is the 220; timeouts are seconds.

    ``may_introduce`` says whether a client's address is that of a proxy that may use XCLIENT; ``starter`` answers ETRN,
    None where it is not offered.
    """

    options: ServerOptions
    rooms: Rooms
    desk: LoginDesk | None
    greeting: Reply
    hello: Reply
    tls_timeout: float
    manners: Manners
    may_introduce: Callable[[str], bool]
    starter: QueueStarter | None
