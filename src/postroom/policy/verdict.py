"""What a policy stage decides: a value, matched exhaustively, never an exception (DESIGN §3)."""

from postroom.mail.reply import Reply
from postroom.mail.value import value


@value(frozen=True, slots=True)
class Accept:
    """No objection: the next stage is asked."""


@value(frozen=True, slots=True)
class Refuse:
    """Never like this. ``reply`` (5yz) is for the peer, ``reason`` for the log."""

    reply: Reply
    reason: str


@value(frozen=True, slots=True)
class Defer:
    """Not now. ``reply`` (4yz) is for the peer, ``reason`` for the log."""

    reply: Reply
    reason: str


Verdict = Accept | Refuse | Defer

ACCEPT = Accept()
"""The one that most stages give most of the time."""
