"""Reads: a few threads, each with a connection that cannot write."""

import asyncio
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import apsw

from postroom.mail.trouble import StoreUnavailable
from postroom.storage.sqlite.connection import unavailable

T = TypeVar("T")

_Job = tuple[Callable[[apsw.Connection], Any], "asyncio.Future[Any]"]
_Answer = tuple["asyncio.Future[Any]", Any, Exception | None]

_MOST_AT_ONCE = 16


class Reader:
    """One thread and its connection. What waits is answered together: one wake-up of the loop for all."""

    def __init__(self, open_connection: Callable[[], apsw.Connection], name: str) -> None:
        self._open = open_connection
        self._connection: apsw.Connection | None = None
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] | None = None
        threading.Thread(target=self._work, name=f"postroom-{name}", daemon=True).start()

    def run(self, question: Callable[[apsw.Connection], T]) -> "asyncio.Future[T]":
        """Ask on the thread. The future raises StoreUnavailable for the database's errors."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._closed is not None:
            future.set_exception(StoreUnavailable("the store is closed"))
        else:
            self._waiting.put((question, future))
        return future

    async def close(self) -> None:
        """Answer what waits, then end."""
        if self._closed is None:
            self._closed = self._loop.create_future()
            self._waiting.put(None)
        await asyncio.shield(self._closed)

    def _work(self) -> None:
        job = self._waiting.get()
        while job is not None:
            answers: list[_Answer] = []
            while job is not None:
                answers.append(self._answer(*job))
                if len(answers) == _MOST_AT_ONCE:
                    break
                try:
                    job = self._waiting.get(block=False)
                except Empty:
                    break
            self._call(_tell, answers)
            if job is not None:
                job = self._waiting.get()
        self._drop_connection()
        self._call(self._end)

    def _answer(self, question: Callable[[apsw.Connection], Any], future: "asyncio.Future[Any]") -> _Answer:
        if future.cancelled():
            return future, None, None
        try:
            if self._connection is None:
                self._connection = self._open()
            return future, question(self._connection), None
        except (apsw.Error, OSError) as error:
            self._drop_connection()
            return future, None, unavailable(error)
        except Exception as error:  # noqa: BLE001 - it goes to the one who asked
            return future, None, error

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(force=True)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop has been closed: nobody waits any more
            return

    def _end(self) -> None:
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)


def _tell(answers: list[_Answer]) -> None:
    for future, result, error in answers:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
