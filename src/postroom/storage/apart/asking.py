"""The end of the wire that asks: a writer whose writes another process does (``storage.batch.Writer``)."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from postroom.mail.trouble import StoreUnavailable
from postroom.net.apart.frames import MAX_FRAME, WireError
from postroom.storage.apart.written import Asked, read_answers, write_asked
from postroom.storage.batch import Kind

BATCH_OCTETS = 1 << 20
"""Octets of what is to be stored after which a body is full."""

A = TypeVar("A")
R = TypeVar("R")


class RemoteWriter:
    """Gathers what one turn of the loop brings, and has it done at the other end. Made and used on one event loop.

    ``send`` takes one body on its way, None where nobody is there yet. While nobody is, writes fail at once.
    """

    def __init__(self, send: Callable[[bytes], None] | None = None) -> None:
        self._send = send
        self._trouble = "" if send is not None else "the store's process is not there yet"
        self._loop = asyncio.get_running_loop()
        self._last = 0
        self._fresh: list[Asked] = []  # of this turn of the loop
        self._under_way: dict[int, asyncio.Future[Any]] = {}
        self._closed: asyncio.Future[None] | None = None

    @property
    def under_way(self) -> int:
        """Writes without an outcome."""
        return len(self._under_way)

    def submit(self, kind: Kind[Any, A, R], argument: A, weight: int = 1, octets: int = 0) -> "asyncio.Future[R]":
        """Have a write done. The future gives its result once it is on disk, or why the write changed nothing.

        Cancelling the future only stops the waiting: the write may be done nevertheless. After StoreUnavailable because
        the other process ended it may be done too, if it had left; the text says which.
        """
        future: asyncio.Future[R] = self._loop.create_future()
        if self._closed is not None:
            future.set_exception(StoreUnavailable("the store is closed"))
        elif self._send is None:
            future.set_exception(StoreUnavailable(self._trouble))
        else:
            if not self._fresh:
                self._loop.call_soon(self._flush)
            self._last = number = self._last + 1
            self._under_way[number] = future
            self._fresh.append((number, kind.name, argument, weight, octets))
        return future

    def answered(self, body: bytes | memoryview) -> None:
        """What came of some of them. WireError where that cannot be so."""
        answers = read_answers(body)
        for number, result in answers.done:
            future = self._take(number)
            if not future.done():  # whoever was cancelled does not wait any more
                future.set_result(result)
        for number, error in answers.refused:
            self._fail(number, error)
        self._see_end()

    def attach(self, send: Callable[[bytes], None]) -> None:
        """There is somebody at the other end."""
        self._send = send

    def detach(self, trouble: str) -> None:
        """Nobody is there any more: what is under way fails, and what comes until somebody is there again.

        ``trouble`` is how that happened.
        """
        self._send = None
        self._trouble = f"the store's process ended; nothing was written: {trouble}"
        perhaps = f"the store's process ended; what it had to write may be written or not: {trouble}"
        for number, *_ in self._fresh:
            self._fail(number, StoreUnavailable(self._trouble))
        self._fresh = []
        for number in list(self._under_way):
            self._fail(number, StoreUnavailable(perhaps))
        self._see_end()

    async def close(self) -> None:
        """Wait for what is under way, as long as the caller does. Writes that come later are refused."""
        if self._closed is None:
            self._closed = self._loop.create_future()
            self._flush()
            self._see_end()
        await asyncio.shield(self._closed)

    def _flush(self) -> None:
        """Send what this turn of the loop has gathered, in bodies of no more than about ``BATCH_OCTETS``."""
        fresh, self._fresh = self._fresh, []
        group: list[Asked] = []
        held = 0
        for one in fresh:
            group.append(one)
            held += one[4]
            if held >= BATCH_OCTETS:
                self._send_all(group)
                group, held = [], 0
        if group:
            self._send_all(group)

    def _send_all(self, group: Sequence[Asked]) -> None:
        """One body for the group. If one of them cannot cross, each goes alone, and that one's future says why."""
        send = self._send
        if send is None:  # ``send`` itself may find that the other end is gone: then they have failed already
            return
        try:
            body = write_asked(group)
            if len(body) > MAX_FRAME:
                raise ValueError(f"a write of {len(body)} octets is too large for the wire")
        except Exception as error:  # noqa: BLE001 - pickling raises anything; it goes to the one who asked
            if len(group) > 1:
                for one in group:
                    self._send_all([one])
            else:
                self._fail(group[0][0], error)
                self._see_end()
            return
        send(body)

    def _take(self, number: int) -> "asyncio.Future[Any]":
        future = self._under_way.pop(number, None)
        if future is None:
            raise WireError(f"an outcome of write {number}, which nobody waits for")
        return future

    def _fail(self, number: int, error: Exception) -> None:
        future = self._take(number)
        if not future.done():
            future.set_exception(error)

    def _see_end(self) -> None:
        """Whoever closes waits for the last of them."""
        if self._closed is not None and not self._under_way and not self._closed.done():
            self._closed.set_result(None)
