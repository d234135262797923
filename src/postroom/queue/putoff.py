"""What it means that mail was not tried: by a shaper's wish, or because an operator stopped it. Pure.

Such mail goes back to the store until there is a reason to try. No attempt is counted, and its history says so once.
"""

from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred
from postroom.mail.reply import Reply
from postroom.queue.model import Pause
from postroom.queue.pauses import name_of

PAUSE_LOOK = 4 * 3600.0
"""Seconds after which paused mail is looked at again where nobody said when the pause ends. What is due before, a
warning or the end of its life, is not missed; an end of the pause is told to the store at once.
"""

_MARK = "not tried: "
_NOT_NOW = "4.4.5"  # RFC 3463 §3.5: system congestion
_STOPPED = "4.3.2"  # RFC 3463 §3.4: system not accepting network messages


def rested(reason: str, until: float) -> Deferred:
    """A rule lets nobody go before ``until`` (seconds since the Unix epoch); ``reason`` names it."""
    reply = Reply.of(451, _NOT_NOW, f"{_MARK}{reason}")
    return Deferred(reply, detail=reason, cause=Cause.RATE_LIMIT, retry_at=until)


def paused(pause: Pause, now: float) -> Deferred:
    """An operator stopped it."""
    until = now + PAUSE_LOOK
    if pause.until is not None:
        until = min(until, pause.until)
    reply = Reply.of(451, _STOPPED, mark_of(pause))
    return Deferred(reply, detail=pause.reason, cause=Cause.LOCAL, retry_at=until)


def mark_of(pause: Pause) -> str:
    """The text by which the store finds what was put off for a pause."""
    return f"{_MARK}{name_of(pause)} is paused"


def is_put_off(reply: Reply | None) -> bool:
    """Whether the last word on a recipient was that it was not tried."""
    return reply is not None and reply.code == 451 and reply.lines[0].startswith(_MARK)
