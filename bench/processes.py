"""Starts programs, counts their memory, and stops by pid what was started, in bounded time."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_LOWEST, _HIGHEST = 20_000, 32_000
_TRIES = 100


class BenchError(Exception):
    """The bench cannot go on; the text says why and what would help."""


def free_port() -> int:
    """A loopback port that was free a moment ago, for programs that cannot choose one themselves.

    From below the range out of which the system gives ports to connections: one of these would take it meanwhile.
    """
    for _ in range(_TRIES):
        port = random.randrange(_LOWEST, _HIGHEST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise BenchError(f"no free port between {_LOWEST} and {_HIGHEST}")


def wait_until(done: Callable[[], bool], *, seconds: float, what: str, pause: float = 0.02) -> None:
    """Ask ``done`` every ``pause`` seconds; BenchError with ``what`` when it stays false for ``seconds``."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise BenchError(f"gave up after {seconds:.0f} s: {what}")
        time.sleep(pause)


def answers(port: int, address: str = "127.0.0.1") -> bool:
    """Whether something accepts connections on the loopback port."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def started(process: subprocess.Popen[bytes], port: int, log: Path, *, address: str = "127.0.0.1") -> None:
    """Wait until a program that was started opens its port. BenchError with the end of its log where it ends."""

    def is_open() -> bool:
        if process.poll() is not None:
            raise BenchError(f"{process.args!r} ended: {log.read_text(errors='replace')[-500:]}")
        return answers(port, address)

    wait_until(is_open, seconds=10, what=f"{process.args!r} did not open its port")


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
            except OSError:  # it ended while we looked
                continue
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found = [pid]
    for member in found:
        found.extend(children.get(member, ()))
    return found


def stop_pids(pids: Sequence[int], *, seconds: float = 20) -> None:
    """SIGTERM to the first, which is the parent of the rest; SIGKILL to all that are left after ``seconds``."""
    if pids and is_alive(pids[0]):
        os.kill(pids[0], signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in filter(is_alive, pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Memory:
    """Octets. ``pss`` shares out what processes share, so that its sum is honest; ``rss`` counts it each time."""

    rss: int = 0
    pss: int = 0


def memory_of(pids: Iterable[int]) -> Memory:
    """The sum over the processes that are still there."""
    rss = pss = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:  # it ended while we looked
            continue
        for line in text.splitlines():
            name, _, rest = line.partition(":")
            if name == "Rss":
                rss += int(rest.split()[0]) * 1024
            elif name == "Pss":
                pss += int(rest.split()[0]) * 1024
    return Memory(rss, pss)


def cpu_of(pid: int) -> float:
    """Seconds of processor time that the process family has used so far, those that ended included."""
    ticks = 0
    for member in family(pid):
        try:
            stat = Path(f"/proc/{member}/stat").read_text()
        except OSError:  # it ended while we looked; its parent counts it
            continue
        ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def reset_peak(pid: int) -> None:
    """Let the kernel's own peak of the resident memory (VmHWM) start anew from here."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_of(pid: int) -> int:
    """The kernel's own peak of resident octets since ``reset_peak``."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise BenchError(f"the kernel tells no peak memory of process {pid}")


class MemoryWatch:
    """Samples a process family while the block runs and keeps the peaks."""

    def __init__(self, pid: int, *, pause: float) -> None:
        self._pid = pid
        self._pause = pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak = Memory()

    def __enter__(self) -> "MemoryWatch":
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._over.wait(self._pause):
            self._sample()

    def _sample(self) -> None:
        now = memory_of(family(self._pid))
        self.peak = Memory(max(self.peak.rss, now.rss), max(self.peak.pss, now.pss))
