"""The envelope: reverse-path, recipients and their ESMTP parameters (RFC 5321 §2.3.1, RFC 3461 §4)."""

import math
from enum import Enum, Flag, auto

from postroom.mail.address import Address
from postroom.mail.value import Words, value


class Body(Words):
    """What the client declared about the content (RFC 6152 §2, RFC 3030 §3)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"
    BINARY = "BINARYMIME"


class Ret(Enum):
    """How much of the message a DSN returns (RFC 3461 §4.3)."""

    FULL = "FULL"
    HDRS = "HDRS"


class Notify(Flag):
    """When the sender wants a DSN (RFC 3461 §4.1). Without the parameter: FAILURE | DELAY at our choice."""

    NEVER = 0
    SUCCESS = auto()
    FAILURE = auto()
    DELAY = auto()


NOTIFY_DEFAULT = Notify.FAILURE | Notify.DELAY


MAX_BY = 999_999_999
"""Seconds of BY=, in either direction (RFC 2852 §4)."""


class ByMode(Enum):
    """What happens when a message could not be delivered in time (RFC 2852 §4)."""

    RETURN = "R"
    NOTIFY = "N"


@value(frozen=True, slots=True)
class DeliverBy:
    """BY=: ``seconds`` from when MAIL was received. Not positive, which only NOTIFY may be: the time is up already."""

    seconds: int
    mode: ByMode
    trace: bool = False

    def ends_at(self, received_at: float) -> float:
        """The deliver-by-time of a message that was received then, in seconds since the Unix epoch (RFC 2852 §4)."""
        return received_at + self.seconds

    def remaining(self, received_at: float, now: float) -> int:
        """The by-time to give to the next hop at ``now`` (RFC 2852 §4.1.4): whole seconds, within the nine digits.

        Not positive where the time is up: then mode R must not be relayed any more.
        """
        return max(min(math.floor(self.ends_at(received_at) - now), MAX_BY), -MAX_BY)


@value(frozen=True, slots=True)
class Recipient:
    """One forward-path with its parameters.

    ``notify`` is None where the client gave none; ``orcpt`` is the original recipient as the decoded
    ``addr-type;address`` of RFC 3461 §4.2, or ``""``.
    """

    address: Address
    notify: Notify | None = None
    orcpt: str = ""

    def wants(self, when: Notify) -> bool:
        """Whether the sender wants a DSN in the case ``when``."""
        return bool((NOTIFY_DEFAULT if self.notify is None else self.notify) & when)

    @property
    def wants_trace(self) -> bool:
        """Whether "relayed" DSNs may be sent that nobody asked for by SUCCESS (RFC 2852 §4.1.4): all but NEVER."""
        return self.notify is not Notify.NEVER

    @property
    def notify_without_deadline(self) -> Notify:
        """NOTIFY for a next hop that knows DSN and not DELIVERBY, where the mode is N (RFC 2852 §4.1.4.2)."""
        if self.notify is None:
            return NOTIFY_DEFAULT
        return self.notify | Notify.DELAY if self.notify else Notify.NEVER


@value(frozen=True, slots=True)
class Envelope:
    """Reverse-path (None is the null sender), recipients, and what MAIL declared.

    ``envid`` is decoded from xtext, ``""`` where absent. ``hold_until`` is when it may leave, in seconds since the
    Unix epoch, None for at once (RFC 4865), and ``hold_request`` how that was asked for, as a DSN repeats it:
    ``for;seconds`` or ``until;date-time``; ``priority`` is -9 to 9 (RFC 6710); ``require_tls`` is RFC 8689.
    """

    reverse_path: Address | None
    recipients: tuple[Recipient, ...] = ()
    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str = ""
    deliver_by: DeliverBy | None = None
    hold_until: float | None = None
    priority: int = 0
    require_tls: bool = False
    hold_request: str = ""

    @property
    def has_options(self) -> bool:
        """Whether MAIL asked for anything that most messages do not ask for."""
        return bool(self.deliver_by is not None or self.hold_until is not None or self.priority or self.require_tls)
