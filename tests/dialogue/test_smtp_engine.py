"""The SMTP transcripts, played to the pure server engine, whole and octet by octet."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.dialogue.transcript import Player, Transcript, read_transcript
from tests.fakes.smtp_shell import SmtpShell

from postroom.mail.reply import Reply
from postroom.protocol.smtp.options import ServerOptions

TRANSCRIPTS = sorted((Path(__file__).parent / "smtp").glob("*.txt"))


class EnginePeer:
    """The engine in its small shell; fed in pieces of ``size`` octets."""

    def __init__(self, transcript: Transcript, size: int) -> None:
        settings = dict(transcript.settings)
        tls = settings.pop("tls", "") == "up"
        xclient = settings.pop("xclient", "") == "yes"
        etrn = settings.pop("etrn", "") == "yes"
        options = ServerOptions("mx.example", **{name: _READ[name](value) for name, value in settings.items()})
        self._shell = SmtpShell(
            options,
            tls=tls,
            xclient=xclient,
            etrn=etrn,
            refusals={name: _reply(text) for name, text in transcript.refusals.items()},
        )
        self._size = size
        self._output = self._shell.start()

    async def send(self, data: bytes) -> None:
        if not data:
            self._output += self._shell.feed(b"")
        for at in range(0, len(data), self._size):
            self._output += self._shell.feed(data[at : at + self._size])

    async def receive(self) -> bytes:
        output, self._output = self._output, b""
        return output

    async def shake_hands(self) -> None:
        assert self._shell.handshake_due
        self._shell.shake_hands()

    async def next_message(self) -> bytes:
        return self._shell.messages.pop(0)

    @property
    def is_closed(self) -> bool:
        return self._shell.engine.is_over


def _yes(value: str) -> bool:
    return {"yes": True, "no": False}[value]


_READ: dict[str, Callable[[str], Any]] = {
    "max_size": int,
    "max_recipients": int,
    "max_line": int,
    "max_errors": int,
    "starttls": _yes,
    "auth_mechanisms": lambda value: tuple(value.split()),
    "auth_without_tls": _yes,
    "require_tls": _yes,
    "require_auth": _yes,
    "smtputf8": _yes,
    "normalise_newlines": _yes,
    "lmtp": _yes,
    "binary": _yes,
    "max_transactions": int,
    "min_deliver_by": lambda value: None if value == "none" else int(value),
    "max_hold": int,
    "now": lambda value: lambda: float(value),
    "extra": lambda value: (value,),
}


def _reply(text: str) -> Reply:
    code, status, words = text.split(" ", 2)
    return Reply.of(int(code), status, words)


@pytest.mark.parametrize("size", [1 << 20, 1, 7], ids=["whole", "octets", "sevens"])
@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
async def test_transcript(path: Path, size: int) -> None:
    transcript = read_transcript(path)
    assert transcript.steps
    await Player(transcript, EnginePeer(transcript, size)).play()
