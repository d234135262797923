"""The POP3 transcripts, played to whole sessions over streams and stores in memory, whole and octet by octet.

::

    ! message a\\nb              a message in the mailbox; \\n is CRLF
    ! login                     log in before the first line
    ! role pop3                 begin in the clear (else TLS is up)
    ! max_errors 3              a setting of the server
    ! in_use                    another session has the mailbox
    ! unavailable read remove   after login these methods of the store fail
    ! binding                   the TLS session has a channel binding
    ! peer_names a@b c@d        addresses in the client's certificate
    ! token abc                 anna's OAuth token
    ! locked 192.0.2.1          an address or a name that may not log in
    ! delay 3                   seconds that answers to failed logins are held back
    C: STAT                     a line of the client, CRLF added; lines in a row go out in one piece
    C* 1000                     a line of so many octets
    S: +OK ...                  a line of the server; ... stands for anything
    -- handshake                what follows is said inside TLS
    -- close                    the client closes
    -- closed                   the server has closed, and has said no more
    -- left 1                   so many messages are in the mailbox
    -- wait 3                   so many seconds pass
    -- silence                  the server has said nothing more
    -- auth MECHANISM NAME SECRET   the client logs in; see ``auth.py``
"""

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.dialogue.auth import BINDINGS, begin, client_of, go_on
from tests.fakes.clock import settle
from tests.fakes.pop3_house import NAME, Pop3House
from tests.fakes.stream import MemoryStream

from postroom.mail.session import Role, TlsFacts
from postroom.protocol.sasl.exchange import ClientMechanism

TRANSCRIPTS = sorted((Path(__file__).parent / "pop3").glob("*.txt"))
LONGEST = 10.0  # seconds of one dialogue; none takes a tenth of it


@dataclass
class Scene:
    """What the ``!`` lines of a transcript ask for, and its other lines."""

    role: Role = Role.POP3S
    max_errors: int = 20
    login: bool = False
    in_use: bool = False
    binding: bool = False
    peer_names: tuple[str, ...] = ()
    token: str = ""
    locked: set[str] = field(default_factory=set)
    delay: float = 0.0
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
        case "binding":
            scene.binding = True
        case "peer_names":
            scene.peer_names = tuple(value.split())
        case "token":
            scene.token = value
        case "locked":
            scene.locked = set(value.split())
        case "delay":
            scene.delay = float(value)
        case "unavailable":
            scene.unavailable = set(value.split())
        case _:
            raise ValueError(word)


class Play:
    """One transcript, played to one session; the client's octets go out in pieces of ``size``."""

    def __init__(self, scene: Scene, house: Pop3House, size: int) -> None:
        self.scene, self.house, self.size = scene, house, size
        facts = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", peer_names=scene.peer_names)
        self.stream = MemoryStream(tls_facts=facts, bindings=BINDINGS if scene.binding else {})
        self.to_send = b""
        self.answer = ""  # to AUTH, not looked at yet

    async def run(self) -> None:
        house, scene = self.house, self.scene
        house.add(*scene.messages)
        house.guard.locked, house.guard.delay = scene.locked, scene.delay
        house.checker.tokens = {scene.token: NAME}
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

    async def log_in(self, client: ClientMechanism) -> None:
        self.to_send = begin(client)
        while True:
            self.flush()
            line = (await self.stream.read_line()).decode().removesuffix("\r\n")
            if not line.startswith("+ "):
                self.answer = line
                return
            self.to_send = go_on(client, line[2:])

    async def check(self, kind: str, text: str, where: str) -> None:
        client = client_of(text) if kind == "--" else None
        if client is not None:
            await self.log_in(client)
        elif kind == "S:":
            said = self.answer or (await self.stream.read_line()).decode().removesuffix("\r\n")
            self.answer = ""
            assert re.fullmatch(re.escape(text).replace(r"\.\.\.", ".*"), said), f"{where}\nbut it said {said!r}"
        elif text == "handshake":
            # What stands before the next answer is said inside TLS; the rest of it waits its turn.
            assert self.stream.tls, where
        elif text == "silence":
            await settle()
            assert not self.stream.unread, where
        elif text.startswith("wait "):
            await self.house.clock.pass_time(float(text.removeprefix("wait ")))
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
