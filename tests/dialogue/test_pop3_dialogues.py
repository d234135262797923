"""The POP3 transcripts, played to whole sessions over streams and stores in memory, whole and octet by octet.

::

    ! message a\\nb              a message in the mailbox; \\n is CRLF
    ! login                     log in before the first line
    ! role pop3                 begin in the clear (else TLS is up)
    ! max_errors 3              a setting of the server
    ! in_use                    another session has the mailbox
    ! unavailable read remove   after login these methods of the store fail
    C: STAT                     a line of the client, CRLF added; lines in a row go out in one piece
    C* 1000                     a line of so many octets
    S: +OK ...                  a line of the server; ... stands for anything
    -- handshake                what follows is said inside TLS
    -- close                    the client closes
    -- closed                   the server has closed, and has said no more
    -- left 1                   so many messages are in the mailbox
"""

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.fakes.pop3_house import Pop3House
from tests.fakes.stream import MemoryStream

from postroom.mail.session import Role

TRANSCRIPTS = sorted((Path(__file__).parent / "pop3").glob("*.txt"))
LONGEST = 10.0  # seconds of one dialogue; none takes a tenth of it


@dataclass
class Scene:
    """What the ``!`` lines of a transcript ask for, and its other lines."""

    role: Role = Role.POP3S
    max_errors: int = 20
    login: bool = False
    in_use: bool = False
    messages: list[bytes] = field(default_factory=list)
    unavailable: set[str] = field(default_factory=set)
    steps: list[tuple[int, str, str]] = field(default_factory=list)


def read(path: Path) -> Scene:
    scene = Scene()
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        kind, _, text = line.partition(" ")
        if kind in ("C:", "C*", "S:", "--"):
            scene.steps.append((number, kind, text))
        elif kind == "!":
            arrange(scene, *text.partition(" ")[::2])
        elif line and kind != "#":
            raise ValueError(f"{path.name}:{number}: {line!r} is no line of a transcript")
    return scene


def arrange(scene: Scene, word: str, value: str) -> None:
    match word:
        case "message":
            scene.messages.append(value.replace("\\n", "\r\n").encode())
        case "login":
            scene.login = True
        case "role":
            scene.role = Role(value)
        case "max_errors":
            scene.max_errors = int(value)
        case "in_use":
            scene.in_use = True
        case "unavailable":
            scene.unavailable = set(value.split())
        case _:
            raise ValueError(word)


class Play:
    """One transcript, played to one session; the client's octets go out in pieces of ``size``."""

    def __init__(self, scene: Scene, house: Pop3House, size: int) -> None:
        self.scene, self.house, self.size = scene, house, size
        self.stream = MemoryStream()
        self.to_send = b""

    async def run(self) -> None:
        house, scene = self.house, self.scene
        house.add(*scene.messages)
        if scene.in_use:
            await house.mailboxes.claim(house.anna.account_id, "another")
        if scene.login:
            await house.log_in(self.stream)
        else:
            house.connect(self.stream)
        house.mailboxes.unavailable = scene.unavailable
        for number, kind, text in scene.steps:
            if kind == "C:":
                self.to_send += f"{text}\r\n".encode()
            elif kind == "C*":
                self.to_send += b"x" * int(text) + b"\r\n"
            else:
                self.flush()
                await self.check(kind, text, f"line {number}: {kind} {text}")
        self.flush()

    def flush(self) -> None:
        data, self.to_send = self.to_send, b""
        self.stream.feed(*[data[at : at + self.size] for at in range(0, len(data), self.size)])

    async def check(self, kind: str, text: str, where: str) -> None:
        if kind == "S:":
            said = (await self.stream.read_line()).decode().removesuffix("\r\n")
            assert re.fullmatch(re.escape(text).replace(r"\.\.\.", ".*"), said), f"{where}\nbut it said {said!r}"
        elif text == "handshake":
            # What stands before the next answer is said inside TLS; the rest of it waits its turn.
            assert self.stream.tls, where
        elif text == "close":
            self.stream.feed_eof()
        elif text == "closed":
            assert await self.stream.read_all() == b"", where
            await self.house.ended()
        else:
            left = len(self.house.mailboxes.ids(self.house.anna.account_id))
            assert text == f"left {left}", where


@pytest.mark.parametrize("size", [1 << 20, 1, 7], ids=["whole", "octets", "sevens"])
@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
async def test_dialogue(path: Path, size: int) -> None:
    scene = read(path)
    assert scene.steps
    house = Pop3House(role=scene.role, max_errors=scene.max_errors)
    try:
        async with asyncio.timeout(LONGEST):
            await Play(scene, house, size).run()
    finally:
        await house.close()
