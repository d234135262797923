"""One line of the log before it is rendered, and the bounds of what stands in it."""

from typing import Any

from postroom.mail.value import value

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40
LEVELS = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR}

LONGEST = 300  # characters of any text that a peer chose
LONGEST_TRACE = 8000
MOST_NAMES = 20  # recipients named on one line; the rest is counted

Fields = dict[str, Any]


@value(frozen=True, slots=True)
class Told:
    """One log line before it is rendered."""

    level: int
    event: str
    fields: Fields


def cut(text: str, longest: int = LONGEST) -> str:
    """Text from a peer, bounded."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
