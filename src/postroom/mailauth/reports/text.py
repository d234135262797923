"""Texts, numbers, times and addresses that a stranger wrote, made harmless before anything is kept."""

import math
import re
from datetime import UTC, datetime
from ipaddress import ip_address

from postroom.mailauth.reports.model import MOST_COUNT

LONGEST_DOMAIN = 255
LONGEST_WORD = 64
LONGEST_TEXT = 500

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_LATEST = datetime(2200, 1, 1, tzinfo=UTC).timestamp()
_BLANKS = re.compile(r"\s+")
_DIGITS = re.compile(r"[+-]?\d{1,30}(?:\.\d{0,30})?", re.ASCII)


def clean(text: str, longest: int = LONGEST_TEXT) -> str:
    """The text on one line, without what cannot be seen or changes the order of letters, cut to so many characters."""
    text = _BLANKS.sub(" ", text[: longest * 4]).strip()
    if not text.isprintable():
        text = "".join([letter for letter in text if letter.isprintable()]).strip()
    return text if len(text) <= longest else text[: longest - 1] + "…"


def word(text: str) -> str:
    """One of a few words of a standard, in lower case."""
    return clean(text, LONGEST_WORD).lower()


def domain(text: str) -> str:
    """A domain in lower case without a final dot, as it was written otherwise."""
    return clean(text, LONGEST_DOMAIN).lower().rstrip(".")


def address(text: str) -> str:
    """The IP address in its shortest form, ``""`` for what is none."""
    try:
        found = ip_address(text.strip().strip("[]")[:50])
    except ValueError:
        return ""
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def count(text: str) -> int:
    """A number of messages, between 0 and MOST_COUNT; what is no number is 0."""
    match = _DIGITS.fullmatch(text.strip())
    return 0 if match is None else min(max(int(float(match[0])), 0), MOST_COUNT)


def moment(text: str) -> float:
    """Seconds since the Unix epoch, from a number or from RFC 3339; 0 for what is neither, or from another age."""
    text = text.strip()[:64]
    if _DIGITS.fullmatch(text):
        at = float(text)
    else:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return 0.0
        at = (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    return at if math.isfinite(at) and _EARLIEST <= at <= _LATEST else 0.0
