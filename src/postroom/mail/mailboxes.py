"""The addresses in From or Sender: mailboxes, groups, comments and display names taken apart (RFC 5322 §3.4)."""

import re

from postroom.mail.address import Address

MAX_VALUE = 8192
"""Characters of a field that is looked at; no honest field has so many authors."""

# A quoted string, a domain literal, what brackets hold, a separator, white space, or a piece of anything else.
_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*"|\[[^\[\]\\]*\]|<(?:[^<>"]|"(?:[^"\\]|\\.)*")*>|[,:;]|\s+|[^\s,:;<>"\[\]]+|.', re.DOTALL
)
# What nearly every From is: one address in angle brackets behind a display name, with nothing odd in either.
_USUAL = re.compile(r'(?:"[^"\\(]*+"|[^,:;<>"()\[\]\0]++)*+<([^\s@,:;<>"()\[\]]+@[^\s@,:;<>"()\[\]]+)>\s*')
_OUTSIDE = re.compile(r'"(?:[^"\\]|\\.)*"|[^"(]+|.', re.DOTALL)
_IN_COMMENT = re.compile(r"\\.|[^\\()]+|.", re.DOTALL)  # a quote is only a character there


def read_mailboxes(value: str) -> tuple[Address | None, ...]:
    """The mailboxes of an unfolded field value in order, those of groups included; None for one that is malformed.

    ``()`` where there are none, as in an empty group (RFC 6854 §2). A value above MAX_VALUE is malformed.
    """
    if len(value) > MAX_VALUE:
        return (None,)
    usual = _USUAL.fullmatch(value)
    if usual is not None:
        return (_read(usual[1]),)
    found: list[Address | None] = []
    words: list[str] = []  # of the mailbox at hand, outside angle brackets
    angle: str | None = None
    for match in _TOKEN.finditer(_without_comments(value)):
        piece = match[0]
        if piece in {",", ";"}:
            _add(found, words, angle)
            words, angle = [], None
        elif piece == ":" and angle is None:  # a display name that begins a group
            words = []
        elif piece[0] == "<" and len(piece) > 1 and angle is None:
            angle = piece[1:-1]
        elif not piece.isspace():
            words.append(piece if angle is None else "\0")  # nothing but a separator may follow the brackets
    _add(found, words, angle)
    return tuple(found)


def _add(found: list[Address | None], words: list[str], angle: str | None) -> None:
    if angle is None and not words:
        return
    text = "".join(words) if angle is None else angle.strip()
    if angle is not None and text.startswith("@"):  # RFC 5322 §4.4: an obsolete route
        text = text.partition(":")[2].strip()
    found.append(None if "\0" in words else _read(text))


def _read(text: str) -> Address | None:
    try:
        address = Address.parse(text)
    except ValueError:
        return None
    return address if address.domain else None


def _without_comments(value: str) -> str:
    """The value with each comment replaced by a space (RFC 5322 §3.2.2). One that is not closed takes all the rest."""
    if "(" not in value:
        return value
    kept: list[str] = []
    depth = at = 0
    while at < len(value):
        match = (_IN_COMMENT if depth else _OUTSIDE).match(value, at)
        assert match is not None  # noqa: S101 - both patterns take any character
        token, at = match[0], match.end()
        if token == "(":  # noqa: S105 - a parenthesis
            depth += 1
            kept.append(" ")
        elif depth:
            depth -= token == ")"  # noqa: S105 - the same
        else:
            kept.append(token)
    return "".join(kept)
