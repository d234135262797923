"""Plain-text transcripts of SMTP sessions: read from a file, played to any peer that can talk.

::

    ! max_size 1000              a setting of the server
    ! refuse RCPT a@b.example 550 5.1.1 No such user
    # a comment
    C: EHLO client.example       a line of the client, CRLF added; lines in a row go out in one piece
    C! \\n.\\r\\n                   raw octets, with Python's escapes
    S: 250 ...                   one whole reply; lines are joined by a space; ... stands for anything
    S+ SIZE 1000                 the reply before has a line with this text
    S- STARTTLS                  it has not
    M: .text                     the next lines of the next message that was accepted
    M? Name                      the next field of the message has that name, whatever it says
    M! a\\nb                      the rest of the message, or all of the next one, with Python's escapes
    -- handshake                 TLS comes up
    -- close                     the client closes
    -- closed                    the server has closed
    -- auth MECHANISM NAME SECRET    the client logs in; see ``auth.py``
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.dialogue.auth import begin, client_of, go_on

from postroom.protocol.sasl.exchange import ClientMechanism


class Peer(Protocol):
    """A session to talk to, over whatever there is."""

    async def send(self, data: bytes) -> None:
        """Send these octets; ``b""`` closes."""

    async def receive(self) -> bytes:
        """The next octets, at least one; ``b""`` once the session has closed or has nothing to say."""

    async def shake_hands(self) -> None:
        """Bring TLS up."""

    async def next_message(self) -> bytes:
        """The content of the next message that was accepted."""

    @property
    def is_closed(self) -> bool:
        """The session has closed."""


@dataclass(frozen=True)
class Step:
    """One line of a transcript."""

    number: int
    kind: str
    text: str


@dataclass(frozen=True)
class Transcript:
    """A file of them, with its settings and refusals."""

    path: Path
    steps: tuple[Step, ...]
    settings: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)


_LINE = re.compile(r"(C:|C!|S:|S\+|S-|M:|M!|M\?|--)(?: (.*))?")
_REFUSE = re.compile(r"refuse (.+?) ([245]\d\d .+)")


def read_transcript(path: Path) -> Transcript:
    """The transcript in a file. ValueError, with the line, if one cannot be understood."""
    steps: list[Step] = []
    settings: dict[str, str] = {}
    refusals: dict[str, str] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("! "):
            if refuse := _REFUSE.fullmatch(line[2:]):
                refusals[refuse[1]] = refuse[2]
            else:
                name, _, value = line[2:].partition(" ")
                settings[name] = value
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{path.name}:{number}: {line!r} is no line of a transcript")
        steps.append(Step(number, match[1], match[2] or ""))
    return Transcript(path, tuple(steps), settings, refusals)


class Player:
    """Plays one transcript to one peer."""

    def __init__(self, transcript: Transcript, peer: Peer) -> None:
        self._transcript = transcript
        self._peer = peer
        self._buffer = b""
        self._to_send = b""
        self._reply: list[str] = []
        self._message: list[bytes] = []

    async def play(self) -> None:
        """All steps. AssertionError, naming the line, where the session says something else."""
        for step in self._transcript.steps:
            if step.kind in ("C:", "C!"):
                self._to_send += _raw(step)
                continue
            await self._flush()
            await self._check(step)
        await self._flush()
        assert self._buffer + await self._peer.receive() == b"", "the session says more than the transcript"
        assert not self._message, "the message has more lines than the transcript"

    async def _flush(self) -> None:
        if self._to_send:
            data, self._to_send = self._to_send, b""
            await self._peer.send(data)

    async def _check(self, step: Step) -> None:
        where = f"{self._transcript.path.name}:{step.number}: {step.kind} {step.text}"
        has: Callable[[], bool] = lambda: any(step.text in line for line in self._reply)  # noqa: E731 - used twice below
        match step.kind:
            case "S:":
                self._reply = await self._next_reply()
                said = _join(self._reply)
                assert re.fullmatch(re.escape(step.text).replace(r"\.\.\.", ".*"), said), (
                    f"{where}\nbut it said {said!r}"
                )
            case "S+":
                assert has(), f"{where}\nbut it said {self._reply}"
            case "S-":
                assert not has(), f"{where}\nbut it said {self._reply}"
            case "M:":
                if not self._message:
                    self._message = (await self._peer.next_message()).split(b"\r\n")
                assert self._message.pop(0) == step.text.encode(), where
                if self._message == [b""]:
                    self._message = []
            case "M?":
                self._message = self._message or (await self._peer.next_message()).split(b"\r\n")
                assert self._message.pop(0).startswith(f"{step.text}:".encode()), where
                while self._message[0][:1] in (b" ", b"\t"):
                    self._message.pop(0)
            case "M!":
                message, self._message = self._message, []
                rest = b"\r\n".join(message) if message else await self._peer.next_message()
                assert rest == _raw(step), f"{where}\nbut it is {rest!r}"
            case _:
                await self._act(step.text, where)

    async def _act(self, text: str, where: str) -> None:
        match text:
            case "handshake":
                await self._peer.shake_hands()
            case "close":
                await self._peer.send(b"")
            case "closed":
                assert self._buffer + await self._peer.receive() == b"", where
                assert self._peer.is_closed, where
            case _:
                client = client_of(text)
                if client is None:
                    raise ValueError(where)
                await self._log_in(client)

    async def _log_in(self, client: ClientMechanism) -> None:
        """AUTH, until there is an answer that is no challenge; it is what the next ``S:`` is about."""
        await self._peer.send(begin(client))
        while (reply := await self._next_reply())[0].startswith("334 "):
            await self._peer.send(go_on(client, reply[0][4:]))
        self._buffer = "".join([f"{line}\r\n" for line in reply]).encode() + self._buffer

    async def _next_reply(self) -> list[str]:
        lines: list[str] = []
        while True:
            while b"\r\n" not in self._buffer:
                data = await self._peer.receive()
                if not data:
                    return [*lines, "(silence)"]
                self._buffer += data
            line, _, self._buffer = self._buffer.partition(b"\r\n")
            lines.append(line.decode())
            if line[3:4] != b"-":
                return lines


def _raw(step: Step) -> bytes:
    if step.kind == "C:":
        return f"{step.text}\r\n".encode()
    return step.text.encode().decode("unicode_escape").encode("latin-1")


def _join(lines: list[str]) -> str:
    first, *rest = lines
    return " ".join([f"{first[:3]} {first[4:]}", *[line[4:] for line in rest]])
