"""A load client of its own process: open loop, paced, each message on a new connection; tells what it cost itself.

Open loop: each message is due at a fixed moment, whatever the server does, and its time counts from that moment, so
that a server that stalls cannot hide the messages that had to wait.
"""

import argparse
import asyncio
import json
import resource
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

from bench.dialogue import Dialogue, transaction

_CONTENT = (
    b"From: <sender@origin.example>\r\nTo: <%s>\r\nSubject: load\r\n"
    b"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%d.%d@origin.example>\r\n\r\n"
)
_BODY = (b"x" * 78 + b"\r\n") * 128


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Milliseconds. ``due`` is from the moment the message was due to its ``250``, connection and dialogue included;
    ``dot`` from the final dot to ``250``; ``lag`` how late the client itself began;
    ``client_cpu`` its share of one core.
    """

    messages: int
    failed: int
    asked_rate: float
    rate: float
    due_p50: float
    due_p99: float
    due_max: float
    dot_p50: float
    dot_p99: float
    lag_p50: float
    lag_p99: float
    client_cpu: float


class _Session(asyncio.Protocol):
    """One message on one connection, command by command as smtp-source does it."""

    def __init__(self, load: "_Load", number: int, due: float) -> None:
        self._load = load
        self._due = due
        self._dot = 0.0
        content = _CONTENT % (load.recipient, load.seed, number) + _BODY + b".\r\n"
        self._dialogue = Dialogue(transaction(b"sender@origin.example", load.recipient, content))
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        line = self._dialogue.heard(data)
        if self._transport is None:
            return
        if line:
            if self._dialogue.is_sending:
                self._dot = time.monotonic()
            elif self._dialogue.is_taken:
                now = time.monotonic()
                self._load.due.append(now - self._due)
                self._load.dot.append(now - self._dot)
            self._transport.write(line)
        elif self._dialogue.complaint:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.over(self._dialogue.is_taken)


class _Load:
    def __init__(self, port: int, recipient: str, rate: float, messages: int, sessions: int) -> None:
        self.recipient = recipient.encode()
        self.seed = time.time_ns()
        self.due: list[float] = []
        self.dot: list[float] = []
        self.lag: list[float] = []
        self._port = port
        self._rate = rate
        self._messages = messages
        self._free = sessions
        self._failed = 0
        self._waiting: deque[tuple[int, float]] = deque()
        self._left = messages
        self._tasks: set[asyncio.Task[None]] = set()
        self._done = asyncio.Event()

    async def run(self) -> LoadResult:
        begun = time.monotonic() + 0.05
        cpu = time.process_time()
        for number in range(self._messages):
            due = begun + number / self._rate
            ahead = due - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            self.lag.append(max(0.0, time.monotonic() - due))
            self._waiting.append((number, due))
            self._next()
        await self._done.wait()
        seconds = time.monotonic() - begun
        return LoadResult(
            messages=len(self.due),
            failed=self._failed,
            asked_rate=self._rate,
            rate=len(self.due) / seconds,
            due_p50=_share(self.due, 0.5),
            due_p99=_share(self.due, 0.99),
            due_max=_share(self.due, 1),
            dot_p50=_share(self.dot, 0.5),
            dot_p99=_share(self.dot, 0.99),
            lag_p50=_share(self.lag, 0.5),
            lag_p99=_share(self.lag, 0.99),
            client_cpu=(time.process_time() - cpu) / seconds,
        )

    def over(self, ok: bool) -> None:
        """A session ended."""
        self._failed += not ok
        self._free += 1
        self._left -= 1
        if self._left == 0:
            self._done.set()
        self._next()

    def _next(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            task = asyncio.create_task(self._open(*self._waiting.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self, number: int, due: float) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Session(self, number, due), "127.0.0.1", self._port
            )
        except OSError:
            self.over(False)


def _share(values: list[float], share: float) -> float:
    """The quantile in milliseconds."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 3) if ordered else 0.0


def main() -> None:
    """Run one load and print its LoadResult as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.load")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--recipient", required=True)
    parser.add_argument("--rate", type=float, required=True, help="messages per second")
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--sessions", type=int, default=20, help="at most so many at once")
    asked = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def run() -> LoadResult:
        return await _Load(asked.port, asked.recipient, asked.rate, asked.messages, asked.sessions).run()

    print(json.dumps(asdict(uvloop.run(run()))))


if __name__ == "__main__":
    main()
