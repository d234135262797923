"""What DELIVERBY means for queued mail: when the time is up, and what happens then (RFC 2852 §4.1). Pure."""

from postroom.mail.delivery import NO_PEER, Deferred, Failed, Outcome, Peer
from postroom.mail.envelope import ByMode
from postroom.mail.message import Message
from postroom.mail.reply import Reply
from postroom.mail.status import EXPIRED

_LATE = "not delivered within the time that was asked for"
_UP = f"{_LATE}, and not tried any more"
_LAST = "the last trouble was:"
_DETAIL = "the time of DELIVERBY is up"


def must_arrive_by(message: Message) -> float | None:
    """When the message is given up because its sender wants it returned then (mode R); None: never for this reason."""
    by = message.envelope.deliver_by
    return by.ends_at(message.received_at) if by is not None and by.mode is ByMode.RETURN else None


def tells_delay_at(message: Message) -> float | None:
    """When its sender wants to be told that it is not delivered yet (mode N); None: not at any such time.

    A time that was up when the message arrived is not told again: whoever it came from has done that.
    """
    by = message.envelope.deliver_by
    if by is None or by.mode is not ByMode.NOTIFY or by.seconds <= 0:
        return None
    return by.ends_at(message.received_at)


def next_deadline(message: Message) -> float | None:
    """Either of the two: there is something to do then, delivered or not."""
    at = must_arrive_by(message)
    return tells_delay_at(message) if at is None else at


def in_time(message: Message, outcome: Outcome, now: float) -> Outcome:
    """The outcome of an attempt that ended at ``now``: a Deferred after the time is Failed (RFC 2852 §4.1.3)."""
    at = must_arrive_by(message)
    if at is None or now < at or not isinstance(outcome, Deferred):
        return outcome
    return time_is_up(outcome.reply, outcome.peer)


def time_is_up(last: Reply | None, peer: Peer = NO_PEER) -> Failed:
    """The failure of mode R; ``last`` is what the last attempt was told, if there was one (RFC 2852 §4.1.3)."""
    lines = (_UP,) if last is None else (f"{_UP}; {_LAST}", str(last))
    return Failed(Reply(554, f"5.{EXPIRED}", lines), peer, _DETAIL)


def late(last: Reply) -> Reply:
    """What the "delayed" DSN of mode N says of a recipient (RFC 2852 §4.1.3)."""
    return Reply(451, f"4.{EXPIRED}", (f"{_LATE}; {_LAST}", str(last)))
