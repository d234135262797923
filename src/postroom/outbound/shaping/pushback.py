"""What the outcomes of one request say about the traffic to a site: taken, too much, too many connections, blocked.

Only what concerns the whole site counts: a recipient who is greylisted, full or receives too fast says nothing of the
others. Where nobody has said why (``Cause.OTHER``) code, status and text are looked at here.
"""

import re
from collections.abc import Iterable
from enum import Enum

from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Delivered, Failed, Outcome


class Sign(Enum):
    """What became of a request, as the traffic sees it."""

    TAKEN = "taken"
    """The site dealt with it, whatever it thought of the recipients."""
    SLOWER = "slower"
    """Too much, too fast."""
    FEWER = "fewer"
    """Too many connections at once."""
    BUSY = "busy"
    """Not now, and no word of why: either of them."""
    BLOCKED = "blocked"
    """It takes nothing from us for the time being."""
    BROKEN = "broken"
    """Nobody answered, or the connection broke."""
    NOTHING = "nothing"
    """It came to nothing for a reason of our own, or of the message."""


_CONNECTIONS = re.compile(
    r"connections?\b.{0,40}\b(?:limit|exceed|max|many|open|concurren)|"
    r"(?:too many|maximum|max|concurrent|simultaneous|parallel)\b.{0,30}\b(?:connections?|sessions?|concurren)",
    re.IGNORECASE,
)
_RATE = re.compile(
    r"\brat(?:e|ing)[ -]?limit|throttl|slow(?:ing)? down|too (?:many|much|fast|quick|frequent)|"
    r"(?:limit|quota|rate|volume)s?\b.{0,40}\b(?:exceed|reached|high)|exceed\w*\b.{0,40}\b(?:limit|quota|rate|volume)|"
    r"unusual rate|unexpected volume|message rate|receiving .{0,20}rate",
    re.IGNORECASE,
)
_BLOCK = re.compile(
    r"\bblock(?:ed|ing|list)|black ?list|\bbanned\b|reputation|\blisted\b|user complaints|denied", re.IGNORECASE
)
_GREY = re.compile(r"gr[ae]y ?-?list", re.IGNORECASE)

_BY_CAUSE = {
    Cause.BUSY: Sign.BUSY,
    Cause.CONNECTION: Sign.BROKEN,
    Cause.DNS: Sign.NOTHING,
    Cause.TLS: Sign.NOTHING,
    Cause.LOCAL: Sign.NOTHING,
    Cause.SUPPRESSED: Sign.NOTHING,
    Cause.EXPIRED: Sign.NOTHING,
}


def read_sign(outcomes: Iterable[Outcome]) -> tuple[Sign, Outcome | None]:
    """The sign, and the outcome that gave it. A request with a recipient that was delivered was taken."""
    sign, by = Sign.NOTHING, None
    for outcome in outcomes:
        if isinstance(outcome, Delivered):
            return Sign.TAKEN, outcome
        found = _of_failed(outcome) if isinstance(outcome, Failed) else _of_deferred(outcome)
        if by is None or sign is Sign.NOTHING or found is Sign.TAKEN:
            sign, by = found, outcome  # where it dealt with one of them, what it said of the others is about them
    return sign, by


def _of_failed(outcome: Failed) -> Sign:
    if outcome.cause is Cause.REPUTATION:
        return Sign.BLOCKED
    return _BY_CAUSE.get(outcome.cause, Sign.TAKEN) if outcome.peer.host else Sign.NOTHING


def _of_deferred(outcome: Deferred) -> Sign:
    if outcome.retry_at is not None:  # our own word: nothing was tried
        return Sign.NOTHING
    reply = outcome.reply
    if reply.status.startswith("4.2.") or outcome.ambiguous:  # RFC 3463 §3.3: of the mailbox
        return Sign.TAKEN
    if outcome.cause is Cause.OTHER:
        return _of_reply(outcome)
    if outcome.cause is Cause.RATE_LIMIT:
        return Sign.FEWER if _CONNECTIONS.search(reply.text) else Sign.SLOWER
    if outcome.cause is Cause.REPUTATION:
        return Sign.SLOWER if _RATE.search(reply.text) else Sign.BLOCKED
    return _BY_CAUSE.get(outcome.cause, Sign.TAKEN)


def _of_reply(outcome: Deferred) -> Sign:
    """Nobody has classified it: by its words, else by its numbers."""
    reply = outcome.reply
    text = reply.text
    if _GREY.search(text):
        return Sign.TAKEN
    if _CONNECTIONS.search(text):
        return Sign.FEWER
    if _RATE.search(text):
        return Sign.SLOWER
    if _BLOCK.search(text):
        return Sign.BLOCKED
    if (
        reply.status.startswith("4.4.") and reply.status != "4.4.5"
    ):  # RFC 3463 §3.5: of the network; X.4.5 is congestion
        return Sign.BROKEN
    if reply.code == 421 or reply.status in {"4.3.2", "4.4.5"}:  # RFC 5321 §3.8, RFC 3463 §3.4
        return Sign.BUSY
    return Sign.TAKEN
