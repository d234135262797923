"""Writes log lines without blocking the loop: gathered, written by a thread, dropped rather than piled up."""

import asyncio
import os
import select
import threading
from collections.abc import Callable
from queue import SimpleQueue

Sink = Callable[[bytes], None]
"""Writes all of its argument, and may block or raise OSError."""

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


class LineWriter:
    """Where log lines go. Call from one thread; ``close`` at the end, or the last tenth of a second is lost."""

    def __init__(self, sink: Sink, lost: Callable[[int], str]) -> None:
        """``lost`` makes the line that tells how many lines were dropped."""
        self._sink = sink
        self._lost_line = lost
        self._lines: list[str] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._chunks: SimpleQueue[bytes | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._lost = 0
        self._thread: threading.Thread | None = None

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

    def flush(self) -> None:
        """Hand what was gathered to the writing thread."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._lines:
            return
        lines, self._lines, self._size = self._lines, [], 0
        with self._lock:
            crowded = self._waiting > MOST_WAITING
            if crowded:
                self._lost += len(lines)
            elif self._lost:
                lines.insert(0, self._lost_line(self._lost))
                self._lost = 0
        if crowded:
            return
        lines.append("")
        chunk = "\n".join(lines).encode("utf-8", "backslashreplace")
        with self._lock:
            self._waiting += len(chunk)
        self._chunks.put(chunk)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Write what is left, waiting ``timeout`` seconds at most."""
        self.flush()
        if self._thread is not None:
            self._chunks.put(None)
            self._thread.join(timeout)
            self._thread = None

    def _run(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            try:
                self._sink(chunk)
            except OSError:  # the log's disk is full or its reader gone: there is nobody to tell but a later line
                with self._lock:
                    self._lost += chunk.count(b"\n")
            with self._lock:
                self._waiting -= len(chunk)
