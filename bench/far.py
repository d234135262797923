"""Relaying to a far end of our own: over TLS beside Postfix, and to many sites at a distance."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.generators import MESSAGE_SIZE
from bench.measure import Server
from bench.processes import BenchError, cpu_of, stop_pids, wait_until

_COUNT = re.compile(rb"mesg=(\d+) open=(\d+)")
_PATIENCE = 300.0
SESSIONS = 200
"""As many as keep the server busy while each waits for its commit."""
SITES = 200


@dataclass(frozen=True, slots=True)
class Spread:
    """Messages per second until the last of many sites has its own; how much of the machine was busy (1: all cores),
    in what part of the time work waited for a core (None: the kernel does not say); the server's share of one core;
    and the most connections that were open at once.
    """

    rate: float
    busy: float
    waiting: float | None
    server_cpu: float
    connections: int


class FarSink:
    """The far end as a process: counts, keeps nothing. ``tls`` is a certificate and its key."""

    def __init__(
        self, folder: Path, *, hosts: int = 1, latency: float = 0.0, tls: tuple[Path, Path] | None = None
    ) -> None:
        self.port = 0
        self.dns_port = 0
        self._counter = folder / "far.count"
        self._command = [sys.executable, "-m", "bench.farsink", "--hosts", str(hosts), "--latency", str(latency)]
        if tls is not None:
            self._command += ["--certificate", str(tls[0]), "--key", str(tls[1])]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and learn its ports."""
        with self._counter.open("wb") as counter:
            self._process = subprocess.Popen(self._command, stdout=counter)
        wait_until(
            lambda: self._counter.read_bytes().startswith(b"ready "), seconds=20, what="the far end is not ready"
        )
        words = self._counter.read_bytes().split(b"\n")[0].split()
        self.port, self.dns_port = int(words[1]), int(words[2])

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            stop_pids([self._process.pid])
            self._process.wait()

    def count(self) -> int:
        """Messages that arrived since the start."""
        return self._last()[0]

    @property
    def most_open(self) -> int:
        """The most connections that were open at once."""
        return self._last()[1]

    def _last(self) -> tuple[int, int]:
        with self._counter.open("rb") as counter:
            counter.seek(max(0, counter.seek(0, 2) - 400))
            found = _COUNT.findall(counter.read())
        return (int(found[-1][0]), int(found[-1][1])) if found else (0, 0)


def spread(server: Server, sink: FarSink, *, sites: int, messages: int) -> Spread:
    """Send ``messages`` to the sites in turn, and wait until they are there."""
    assert server.pid is not None
    before, cpu, machine = sink.count(), cpu_of(server.pid), _machine()
    pressed = _pressed()
    begun = time.monotonic()
    asyncio.run(_send(server.smtp_port, sites, messages))
    wait_until(lambda: sink.count() - before >= messages, seconds=_PATIENCE, what="the far end did not get all")
    seconds = time.monotonic() - begun
    waiting = None if pressed is None else ((_pressed() or pressed) - pressed) / seconds
    busy, total = (now - then for now, then in zip(_machine(), machine, strict=True))
    wait_until(lambda: server.waiting() == 0, seconds=_PATIENCE, what="the queue did not become empty")
    return Spread(messages / seconds, busy / total, waiting, (cpu_of(server.pid) - cpu) / seconds, sink.most_open)


def _machine() -> tuple[float, float]:
    """Busy and all time of all cores so far."""
    with Path("/proc/stat").open() as stat:
        numbers = [int(word) for word in stat.readline().split()[1:9]]
    return sum(numbers) - numbers[3] - numbers[4], sum(numbers)


def _pressed() -> float | None:
    """Seconds in which somebody waited for a core, so far (the kernel's pressure stall information)."""
    try:
        return int(Path("/proc/pressure/cpu").read_text().partition("total=")[2].split()[0]) / 1e6
    except (OSError, IndexError, ValueError):
        return None


async def _send(port: int, sites: int, messages: int) -> None:
    numbers = iter(range(messages))
    await asyncio.gather(*(_session(port, sites, numbers) for _ in range(SESSIONS)))


async def _session(port: int, sites: int, numbers: Iterator[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b"From: <sender@origin.example>\r\nSubject: far\r\n\r\n" + (b"x" * 78 + b"\r\n") * (MESSAGE_SIZE // 80)

    async def expect(code: bytes) -> None:
        line = await reader.readline()
        while line[3:4] == b"-":
            line = await reader.readline()
        if not line.startswith(code):
            raise BenchError(f"expected {code.decode()}, got {line.decode(errors='replace').strip()!r}")

    await expect(b"220")
    writer.write(b"EHLO origin.example\r\n")
    await expect(b"250")
    for number in numbers:
        site = number % sites + 1
        writer.write(b"MAIL FROM:<sender@origin.example>\r\nRCPT TO:<someone@site%d.example>\r\nDATA\r\n" % site)
        for code in (b"250", b"250", b"354"):
            await expect(code)
        writer.write(body + b".\r\n")
        await expect(b"250")
    writer.write(b"QUIT\r\n")
    await expect(b"221")
    writer.close()
    await writer.wait_closed()
