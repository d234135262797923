"""What a policy stage decides: a value, matched exhaustively, never an exception (DESIGN §3)."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from postroom.mail.reply import Reply
from postroom.mail.value import value


@value(frozen=True, slots=True)
class Accept:
    """No objection: the next stage is asked.

    For a message, what is to go with it: ``fields`` in front of it (whole lines with CRLF), ``tags`` that rules of
    routing go by, ``hold`` why an operator is to look at it before anybody gets it (``""``: it goes on), ``facts`` for
    its history.
    """

    fields: bytes = b""
    tags: tuple[str, ...] = ()
    hold: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


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
