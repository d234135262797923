"""POP3 command lines: keyword and arguments (RFC 1939 §3, RFC 2449 §3, RFC 5034 §4)."""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from dataclasses import dataclass

from postroom.protocol.lines import visible

MAX_COMMAND = 512  # octets, CRLF included; RFC 2449 §4 asks for 255
MAX_AUTH = 12288  # octets; as in RFC 4954 §4, for what mechanisms to come may need

HIDDEN = "..."
"""Stands in a log for what may be a password."""

_SHOWN = 200  # characters of a line that a log may show
_SECRET = frozenset({"PASS", "AUTH"})
_NUMBER = re.compile(rb"[0-9]{1,10}")


@dataclass(frozen=True, slots=True, repr=False)
class CommandLine:
    """A keyword in upper case and what follows its space, as it came. Not shown whole: it may be a password."""

    keyword: str
    argument: bytes | None

    def __repr__(self) -> str:
        return f"CommandLine({self.keyword!r})"

    @property
    def shown(self) -> str:
        """The line for the log: cut, and without what is or may be a password."""
        if not self.keyword:
            return HIDDEN
        if self.argument is None:
            return self.keyword
        if self.keyword in _SECRET:
            return f"{self.keyword} {HIDDEN}"
        return show(b"%s %s" % (self.keyword.encode(), self.argument))


def read_line(line: bytes) -> CommandLine:
    """Keyword and argument of any line; a keyword with anything but ASCII letters and digits is ``""``."""
    keyword, space, argument = line.partition(b" ")
    if not keyword.isalnum() or len(keyword) > 16:
        return CommandLine("", argument if space else None)
    return CommandLine(keyword.upper().decode("ascii"), argument if space else None)


def read_numbers(argument: bytes | None) -> list[int] | None:
    """The decimal numbers of an argument, none where there is no argument; None if something else is among them."""
    words = (argument or b"").split()
    if len(words) > 2 or not all(_NUMBER.fullmatch(word) for word in words):
        return None
    return [int(word) for word in words]


def read_base64(text: bytes) -> bytes | None:
    """The octets that base64 encodes; None for anything but RFC 4648 §4, as RFC 5034 §4 demands."""
    try:
        return a2b_base64(text, strict_mode=True) if text else b""
    except Base64Error:
        return None


def show(line: bytes) -> str:
    """A line for the log: cut, without control characters."""
    return visible(line[:_SHOWN].decode("utf-8", "replace"))
