"""Writes log lines without blocking the loop: gathered, written by a thread, dropped rather than piled up.

Where they go to another process first, no thread is needed: what sends them does not block.
"""

import asyncio
import contextlib
import os
import select
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

Sink = Callable[[bytes], None]
"""Takes all of its argument, which is whole lines, or raises OSError. That of a ``LineWriter`` may block."""

Lost = Callable[[int], str]
"""Makes the line that tells how many lines were dropped."""

FLUSH_DELAY = 0.1  # seconds: what a person at a terminal does not notice, and what kill -9 may take
FLUSH_SIZE = 64 * 1024  # octets gathered before that
MOST_WAITING = 16 << 20  # octets that wait for a sink that does not take them; more are dropped and counted


def file_sink(descriptor: int) -> Sink:
    """A sink for a file, pipe or terminal."""

    def write(data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:  # someone made the shared terminal or pipe non-blocking
                select.select((), (descriptor,), ())

    return write


class LineGatherer(ABC):
    """Where log lines go, a tenth of a second's at a time. ``close`` at the end, or those of the last are lost."""

    def __init__(self, sink: Sink, lost: Lost) -> None:
        self._sink = sink
        self._lost_line = lost
        self._lines: list[str] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._lost = 0

    def write(self, line: str, *, at_once: bool = False) -> None:
        """Take one line, without its newline."""
        self._lines.append(line)
        self._size += len(line)
        if at_once or self._size >= FLUSH_SIZE:
            self.flush()
        elif self._timer is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:  # no loop yet, or no more
                self.flush()
            else:
                self._timer = loop.call_later(FLUSH_DELAY, self.flush)

    def pass_on(self, lines: bytes) -> None:
        """Take whole lines that another process gathered, each with its newline, after those that are here."""
        self.flush()
        if lines:
            self._hand_over(lines, lines.count(b"\n"))

    def flush(self) -> None:
        """Hand over what was gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._lines:
            return
        lines, self._lines, self._size = self._lines, [], 0
        lines.append("")
        self._hand_over(_encode("\n".join(lines)), len(lines) - 1)

    @abstractmethod
    def close(self) -> None:
        """Hand over what is left, for good."""

    @abstractmethod
    def _hand_over(self, chunk: bytes, count: int) -> None:
        """So many lines to the sink."""

    def _after_loss(self, lost: int, chunk: bytes) -> bytes:
        """The lines, after that which tells of those that were lost."""
        return _encode(self._lost_line(lost)) + b"\n" + chunk if lost else chunk


class LineWriter(LineGatherer):
    """Has a thread call the sink. Call from one thread."""

    def __init__(self, sink: Sink, lost: Lost) -> None:
        super().__init__(sink, lost)
        self._chunks: SimpleQueue[bytes | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._thread: threading.Thread | None = None

    def close(self, timeout: float = 5.0) -> None:
        """Write what is left, waiting ``timeout`` seconds at most."""
        self.flush()
        if self._thread is not None:
            self._chunks.put(None)
            self._thread.join(timeout)
            self._thread = None

    def _hand_over(self, chunk: bytes, count: int) -> None:
        with self._lock:
            if self._waiting > MOST_WAITING:
                self._lost += count
                return
            chunk = self._after_loss(self._lost, chunk)
            self._lost = 0
            self._waiting += len(chunk)
        self._chunks.put(chunk)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            try:
                self._sink(chunk)
            except OSError:  # the log's disk is full or its reader gone: there is nobody to tell but a later line
                with self._lock:
                    self._lost += chunk.count(b"\n")
            with self._lock:
                self._waiting -= len(chunk)


class LineSender(LineGatherer):
    """Calls the sink itself, in the thread of the loop in which it was made, and nowhere else: when ``flush`` and
    ``close`` return, it has everything. It must not block; OSError costs the lines, which are counted. Lines may be
    written from any thread.
    """

    def __init__(self, sink: Sink, lost: Lost) -> None:
        super().__init__(sink, lost)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._take = super().write  # asked for again with each line it would cost as much as the line

    def write(self, line: str, *, at_once: bool = False) -> None:
        """Take one line, without its newline."""
        if threading.get_ident() == self._thread:
            self._take(line, at_once=at_once)
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: there is nobody to send to
                self._loop.call_soon_threadsafe(partial(self._take, line, at_once=at_once))

    def close(self) -> None:
        """Send what is left."""
        self.flush()

    def _hand_over(self, chunk: bytes, count: int) -> None:
        try:
            self._sink(self._after_loss(self._lost, chunk))
        except OSError:
            self._lost += count
        else:
            self._lost = 0


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
