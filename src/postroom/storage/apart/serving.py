"""The end of the wire that has the store: does the writes that it is asked for, and answers a turn's in one body."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import apsw

from postroom.net.apart.frames import WireError
from postroom.storage.apart.written import Answers, read_asked, write_answers
from postroom.storage.batch import Kind, Writer
from postroom.storage.sqlite.kinds import KINDS


class WriteServer:
    """Brings writes to ``writer``, and their outcomes to ``send``. ``kinds`` are those that may be asked for."""

    def __init__(
        self,
        writer: Writer[apsw.Connection],
        send: Callable[[bytes], None],
        kinds: Mapping[str, Kind[apsw.Connection, Any, Any]] = KINDS,
    ) -> None:
        self._writer = writer
        self._send = send
        self._kinds = kinds
        self._loop = asyncio.get_running_loop()
        self._done: list[tuple[int, Any]] = []  # of this turn of the loop
        self._refused: list[tuple[int, Exception]] = []
        self._flushing = False

    def asked(self, body: bytes | memoryview) -> None:
        """Some writes. WireError where there are none that could be asked for; then none of them is done."""
        asked = read_asked(body)
        for one in asked:
            if one[1] not in self._kinds:
                raise WireError(f"a write of the kind {one[1]!r}")
        for number, name, argument, weight, octets in asked:
            future = self._writer.submit(self._kinds[name], argument, weight, octets)
            future.add_done_callback(partial(self._note, number))

    def _note(self, number: int, future: "asyncio.Future[Any]") -> None:
        """One is done, or refused."""
        error = future.exception()
        if error is None:
            self._done.append((number, future.result()))
        elif isinstance(error, Exception):
            self._refused.append((number, error))
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Tell what this turn of the loop has gathered."""
        self._flushing = False
        answers = Answers(self._done, self._refused)
        self._done, self._refused = [], []
        self._send(write_answers(answers))
