"""The measurements of DESIGN §8, each on a running server; both servers go through the same code."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bench.generators import Sink, send_big, send_many
from bench.load import LoadResult
from bench.processes import BenchError, Memory, MemoryWatch, cpu_of, family, memory_of, peak_of, reset_peak
from bench.secure import SecureResult

DOMAIN = "local.example"
ACCOUNTS = ("user",)
LOCAL = f"user@{DOMAIN}"
PASSWORD = "a bench needs one too"
REMOTE = "someone@remote.example"
_PATIENCE = 300  # seconds until a server counts as stuck


class FarEnd(Protocol):
    """Where mail is relayed to."""

    def count(self) -> int: ...


class Server(Protocol):
    """What the bench wants of either server."""

    name: str

    @property
    def smtp_port(self) -> int: ...
    @property
    def submissions_port(self) -> int: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def pids(self) -> tuple[int, ...]: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def stored(self) -> int: ...
    def newest(self, account: str) -> bytes: ...
    def waiting(self) -> int: ...
    def deferred(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Rates:
    """Messages per second: ``accepted`` until the last ``250``, ``complete`` until the last is where it belongs.
    ``cpu`` is the server's processor time in milliseconds per message, which a busy machine changes least.
    """

    accepted: float
    complete: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Submitted:
    """As Rates; ``resumed`` is the share of sessions that took up an earlier TLS session, ``client_cpu`` the client's
    share of one core: at 1 it is the client that is measured.
    """

    accepted: float
    complete: float
    cpu: float
    resumed: float
    client_cpu: float


@dataclass(frozen=True, slots=True)
class Big:
    """What one huge message costs in memory over idle, in octets, and how many seconds until its ``250``."""

    extra_stored: int
    extra_relayed: int
    seconds_stored: float
    seconds_relayed: float


def warm_up(server: Server, sink: Sink, messages: int) -> None:
    """Let both ways run before anything counts: processes spawned, caches filled; then let the disk become quiet."""
    stored(server, messages)
    relayed(server, sink, messages)
    os.sync()


Send = Callable[[int, str, int], float]
"""Sends so many messages to a port for a recipient; the seconds that took."""


def stored(server: Server, messages: int, send: Send = send_many) -> Rates:
    """Until every message is in the mailbox."""
    before = server.stored()
    cpu = _cpu(server)
    begun = time.monotonic()
    seconds = send(server.smtp_port, LOCAL, messages)
    end = _first_true(lambda: server.waiting() == 0, what=f"{server.name}: the queue did not become empty")
    cpu = _cpu(server) - cpu
    there = server.stored() - before
    if there != messages:
        raise BenchError(f"{server.name}: {messages} messages sent, {there} in the mailbox")
    return Rates(messages / seconds, messages / (end - begun), cpu / messages * 1000)


def relayed(server: Server, sink: FarEnd, messages: int, send: Send = send_many) -> Rates:
    """Until the sink has counted every message and nothing is left in the queue."""
    before = sink.count()
    cpu = _cpu(server)
    begun = time.monotonic()
    seconds = send(server.smtp_port, REMOTE, messages)
    _first_true(lambda: sink.count() - before >= messages, what=f"{server.name}: the sink did not get all")
    end = _first_true(lambda: server.waiting() == 0, what=f"{server.name}: the queue did not become empty")
    cpu = _cpu(server) - cpu
    there = sink.count() - before
    if there != messages or server.deferred():
        raise BenchError(f"{server.name}: {messages} messages sent, {there} relayed, {server.deferred()} deferred")
    return Rates(messages / seconds, messages / (end - begun), cpu / messages * 1000)


def submitted(server: Server, sink: Sink, messages: int) -> Submitted:
    """By TLS with AUTH, one session to a message, until the sink has counted every message and the queue is empty."""
    before = sink.count()
    cpu = _cpu(server)
    begun = time.monotonic()
    command = [sys.executable, "-m", "bench.secure", "--port", str(server.submissions_port), "--sender", LOCAL]
    command += ["--recipient", REMOTE, "--messages", str(messages)]
    done = subprocess.run(
        command, input=PASSWORD + "\n", capture_output=True, text=True, timeout=_PATIENCE, check=False
    )
    if done.returncode != 0:
        raise BenchError(f"{server.name}: the submitting client failed: {done.stderr.strip()[-500:]}")
    result = SecureResult(**json.loads(done.stdout))
    _first_true(lambda: sink.count() - before >= messages, what=f"{server.name}: the sink did not get all")
    end = _first_true(lambda: server.waiting() == 0, what=f"{server.name}: the queue did not become empty")
    cpu = _cpu(server) - cpu
    return Submitted(
        accepted=messages / result.seconds,
        complete=messages / (end - begun),
        cpu=cpu / messages * 1000,
        resumed=result.resumed / messages,
        client_cpu=result.client_cpu,
    )


def latency(port: int, rate: float, seconds: float) -> LoadResult:
    """Time to ``250`` under a paced load from a process of its own."""
    command = [sys.executable, "-m", "bench.load", "--port", str(port), "--recipient", LOCAL]
    command += ["--rate", f"{rate:.1f}", "--messages", str(max(1, int(rate * seconds)))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    if done.returncode != 0:
        raise BenchError(f"the load client failed: {done.stderr.strip()}")
    result = LoadResult(**json.loads(done.stdout))
    if result.failed:
        raise BenchError(f"{result.failed} of {result.messages + result.failed} messages were not accepted")
    return result


def peak_memory(server: Server, sink: Sink, messages: int) -> Memory:
    """The peak of all processes while messages are stored and relayed; in a run of its own, as looking costs."""
    with MemoryWatch(_pid(server), pause=0.2) as watch:
        stored(server, messages)
        relayed(server, sink, messages)
    return watch.peak


def big(server: Server, sink: Sink, octets: int) -> Big:
    """Extra memory for one huge message, taken in and stored, then taken in and relayed."""
    seconds: list[float] = []

    def store() -> None:
        before = server.stored()
        seconds.append(send_big(server.smtp_port, LOCAL, octets))
        _first_true(lambda: server.stored() == before + 1, what=f"{server.name}: the big message was not stored")

    def relay() -> None:
        before = sink.count()
        seconds.append(send_big(server.smtp_port, REMOTE, octets))
        _first_true(lambda: sink.count() == before + 1, what=f"{server.name}: the big message was not relayed")
        _first_true(lambda: server.waiting() == 0, what=f"{server.name}: the big message was not settled")

    extra_stored = _extra(server, store)
    extra_relayed = _extra(server, relay)
    return Big(extra_stored, extra_relayed, *seconds)


def _extra(server: Server, work: Callable[[], None]) -> int:
    """Of a server that is one process the kernel tells the peak exactly; of many, samples of what they share out."""
    pid = _pid(server)
    if family(pid) == [pid]:
        idle = memory_of([pid]).rss
        reset_peak(pid)
        work()
        return peak_of(pid) - idle
    shared = memory_of(family(pid)).pss
    with MemoryWatch(pid, pause=0.05) as watch:
        work()
    return watch.peak.pss - shared


def _cpu(server: Server) -> float:
    """Of all that serves, what runs beside it included."""
    _pid(server)  # it still runs
    return sum(map(cpu_of, server.pids))


def _pid(server: Server) -> int:
    if server.pid is None:
        raise BenchError(f"{server.name} is not running any more")
    return server.pid


def _first_true(ask: Callable[[], bool], *, what: str) -> float:
    """Ask until true; the moment at which the question was put that found it so (asking itself takes time)."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        asked = time.monotonic()
        if ask():
            return asked
        if asked > deadline:
            raise BenchError(f"gave up after {_PATIENCE} s: {what}")
        time.sleep(0.02)
