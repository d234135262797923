"""The command line of ``sendmail``, as programs have called it for decades: flags are understood or ignored."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer

from postroom.admin.refusal import Refused
from postroom.cli.desk import Desk, telling_troubles
from postroom.cli.house import House
from postroom.cli.send import Order, into_store

_WITH_VALUE = frozenset("BCFfhLNOopRrVX")  # sendmail(8): these flags take a value, attached or as the next word
_MODES_ELSEWHERE = {"p": "postroom queue list", "i": "nothing: there is no alias file to rebuild"}


@dataclass(slots=True)
class Call:
    """What the command line asks for."""

    sender: str | None = None
    name: str = ""
    from_header: bool = False
    dot_ends: bool = True
    mode: str = "m"
    config: Path | None = None
    recipients: list[str] = field(default_factory=list)


def parse(arguments: Sequence[str]) -> Call:
    """Read a sendmail command line. Refused where a flag lacks its value."""
    call = Call()
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--":
            call.recipients += words
            break
        if not word.startswith("-") or word == "-":
            call.recipients.append(word)
            continue
        flag, value = word[1], word[2:]
        if flag in _WITH_VALUE and not value:
            if not words:
                raise Refused(f"-{flag} lacks its value", "see sendmail(8)")
            value = words.pop(0)
        _apply(call, flag, value)
    return call


def _apply(call: Call, flag: str, value: str) -> None:
    match flag:
        case "f" | "r":
            call.sender = value
        case "F":
            call.name = value
        case "t":
            call.from_header = True
        case "i":
            call.dot_ends = False
            if value.startswith("t"):  # "-it" is common
                call.from_header = True
        case "o" if value == "i":
            call.dot_ends = False
        case "b":
            call.mode = value
        case "C":
            call.config = Path(value)
        case _:  # -o options, -v, -q, -N and others: nothing here depends on them
            return


def run(house: House, arguments: Sequence[str]) -> int:
    """Act as sendmail; returns the exit code."""
    try:
        with telling_troubles():
            call = parse(arguments)
            if call.mode not in ("m", ""):
                instead = _MODES_ELSEWHERE.get(call.mode, "the mx or submission port")
                raise Refused(f"sendmail -b{call.mode} is not offered", f"use {instead}")
            if not call.recipients and not call.from_header:
                raise Refused("no recipients", "name them, or use -t")
            order = Order(
                sender=call.sender,
                recipients=tuple(call.recipients),
                from_header=call.from_header,
                name=call.name,
                dot_ends=call.dot_ends,
            )
            into_store(Desk(house), call.config, order, sys.stdin.buffer, quiet=True)
    except typer.Exit as ended:
        return ended.exit_code
    return 0
