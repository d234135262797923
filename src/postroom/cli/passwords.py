"""Where passwords come from: standard input or a terminal, never the command line (other users can see it)."""

import secrets
import string
import sys

import typer

from postroom.admin.refusal import Refused

_LETTERS = string.ascii_letters + string.digits
SHORTEST = 8  # characters
_MOST_READ = 8192  # characters: a line that is longer is no password


def obtain_password(*, from_stdin: bool) -> str:
    """The password that the person gives. Refused if there is no way to ask, or the password is unfit."""
    if from_stdin:
        return check(sys.stdin.readline(_MOST_READ).rstrip("\r\n"))
    if not sys.stdin.isatty():
        raise Refused("no password: there is no terminal to ask on", "use --password-stdin, or --no-password")
    return check(str(typer.prompt("Password", hide_input=True, confirmation_prompt=True)))


def check(password: str) -> str:
    """The password itself. Refused if nobody should have it."""
    if len(password) < SHORTEST:
        raise Refused(f"the password has fewer than {SHORTEST} characters", "choose a longer one")
    return password


def invent_password() -> str:
    """A random password that can be typed, and pasted into any shell: 95 bits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(16))
