"""A load client that sends messages as they were made beforehand, signed for example; one to a connection.

A process of its own. Closed loop: so many sessions at once, each followed by the next. ``smtp-source`` cannot sign.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import uvloop

from bench.closedload import ClosedLoad, Spent
from bench.dialogue import Dialogue, transaction


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """``seconds`` from the first connection to the last end, ``client_cpu`` the client's share of one core."""

    messages: int
    seconds: float
    client_cpu: float


def write_letters(path: Path, letters: Sequence[bytes]) -> None:
    """Messages with CRLF for this client, dots doubled and the final dot put on (RFC 5321 §4.5.2)."""
    with path.open("wb") as file:
        for letter in letters:
            content = letter.replace(b"\r\n.", b"\r\n..") + b".\r\n"
            file.write(len(content).to_bytes(4) + content)


def read_letters(path: Path) -> list[bytes]:
    """What ``write_letters`` wrote."""
    whole, at, found = path.read_bytes(), 0, []
    while at < len(whole):
        size = int.from_bytes(whole[at : at + 4])
        found.append(whole[at + 4 : at + 4 + size])
        at += 4 + size
    return found


class _Session(asyncio.Protocol):
    """One message on one connection."""

    def __init__(self, load: "_Load", content: bytes) -> None:
        self._load = load
        self._dialogue = Dialogue(transaction(load.sender, load.recipient, content))
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        line = self._dialogue.heard(data)
        if self._transport is None:
            return
        if line:
            self._transport.write(line)
        elif self._dialogue.complaint:
            self._load.complaint = self._dialogue.complaint.decode("ascii", "replace")
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.loop.over(ok=self._dialogue.is_taken)


class _Load:
    def __init__(self, asked: argparse.Namespace) -> None:
        self.sender, self.recipient = asked.sender.encode(), asked.recipient.encode()
        self.complaint = ""
        letters = read_letters(asked.letters)
        self.loop = ClosedLoad(
            asked.port, asked.messages, asked.sessions, lambda number: _Session(self, letters[number % len(letters)])
        )

    async def run(self) -> Spent:
        return await self.loop.run()


def main() -> None:
    """Run one load and print its ReplayResult as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.replay")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sender", required=True)
    parser.add_argument("--recipient", required=True)
    parser.add_argument("--letters", type=Path, required=True, help="file of messages, sent one after the other")
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--sessions", type=int, default=20, help="so many at once")
    asked = parser.parse_args()

    async def run() -> ReplayResult:
        load = _Load(asked)
        spent = await load.run()
        if spent.failed:
            raise SystemExit(f"{spent.failed} of {asked.messages} messages failed: {load.complaint or 'closed'}")
        return ReplayResult(asked.messages, spent.seconds, spent.client_cpu)

    print(json.dumps(asdict(uvloop.run(run()))))


if __name__ == "__main__":
    main()
