"""Group commit: one thread takes every write that waits, has it committed as one transaction, and wakes all at once.

The batch adapts itself (DESIGN §5): an idle server commits one write at once; while a commit runs, the next gathers.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from postroom.mail.trouble import StoreUnavailable
from postroom.mail.value import value
from postroom.report.history import HistoryRow

A = TypeVar("A")
R = TypeVar("R")
C = TypeVar("C")


@value(frozen=True, slots=True, eq=False)
class Kind(Generic[C, A, R]):
    """One kind of write: ``run`` does all writes of this kind of a batch in bulk and gives a result for each.

    It works inside a transaction that others share, and raises if any of its writes fails. ``essential`` writes end or
    free what is stored; they go on when the disk is too full for new mail. ``history`` gives the rows that a write adds
    to the history, where ``run`` leaves them out: those of a whole batch go in together. ``first``: it runs before the
    other kinds of its batch, so that these fill at once what it frees, and each page is written once.
    """

    name: str
    run: Callable[[C, Sequence[A]], Sequence[R]]
    essential: bool = False
    history: Callable[[A], Sequence[HistoryRow]] | None = None
    first: bool = False


@value(frozen=True, slots=True, eq=False)
class Write(Generic[C]):
    """One waiting write. All of it is done or nothing. ``weight`` is how many rows' worth of work it is, ``octets`` how
    much it adds to what is stored.
    """

    kind: Kind[C, Any, Any]
    argument: Any
    weight: int
    octets: int
    future: "asyncio.Future[Any]"


@value(frozen=True, slots=True)
class Done:
    """The write is committed."""

    result: Any


@value(frozen=True, slots=True)
class Refused:
    """The write changed nothing."""

    error: Exception


Outcome = Done | Refused


class Committer(Protocol[C]):
    """Commits batches; lives on the writer's thread."""

    def commit(self, batch: Sequence[Write[C]]) -> Sequence[Outcome]:
        """An outcome for each write, in order. What is Done is on disk. Raises nothing."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


class Writer(Protocol[C]):
    """A door to the database for writes: that of this process, or the way to that of another (``storage/apart``)."""

    def submit(self, kind: Kind[C, A, R], argument: A, weight: int = 1, octets: int = 0) -> "asyncio.Future[R]":
        """Queue a write. The future gives its result once it is on disk, or why the write changed nothing.

        Cancelling the future only stops the waiting: the write may be done nevertheless.
        """
        ...

    async def close(self) -> None:
        """Wait for what is under way. Writes that come later are refused."""
        ...


class BatchWriter(Generic[C]):
    """The one door to the database for the writes of one process. Made and used on one event loop."""

    def __init__(self, committer: Committer[C], *, max_batch: int) -> None:
        self._committer = committer
        self._max_batch = max_batch
        self._waiting: SimpleQueue[list[Write[C]] | None] = SimpleQueue()
        self._left: deque[Write[C]] = deque()  # the thread's own: taken, but too much for one batch
        self._fresh: list[Write[C]] = []  # of this turn of the loop: the thread is woken once for all of them
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] | None = None
        # A daemon: a process that forgets to close must still be able to end; what was not committed was not promised.
        self._thread = threading.Thread(target=self._work, name="postroom-writer", daemon=True)
        self._thread.start()

    def submit(self, kind: Kind[C, A, R], argument: A, weight: int = 1, octets: int = 0) -> "asyncio.Future[R]":
        """Queue a write. The future gives its result once it is on disk, or why the write changed nothing.

        Cancelling the future only stops the waiting: the write may be done nevertheless.
        """
        future: asyncio.Future[R] = self._loop.create_future()
        if self._closed is not None:
            future.set_exception(StoreUnavailable("the store is closed"))
        else:
            if not self._fresh:
                self._loop.call_soon(self._hand_over)
            self._fresh.append(Write(kind, argument, weight, octets, future))
        return future

    async def close(self) -> None:
        """Commit what waits, then end the thread. Writes that come later are refused."""
        if self._closed is None:
            self._closed = self._loop.create_future()
            self._hand_over()
            self._waiting.put(None)
        await asyncio.shield(self._closed)

    def _hand_over(self) -> None:
        """Give the thread what this turn of the loop has gathered."""
        if self._fresh:
            self._waiting.put(self._fresh)
            self._fresh = []

    def _work(self) -> None:
        more = True
        while more:
            batch, more = self._gather()
            if batch:
                outcomes = self._committer.commit(batch)
                self._call(_tell, batch, outcomes)
        self._committer.close()
        self._call(self._end)

    def _gather(self) -> tuple[list[Write[C]], bool]:
        """Wait for a write, then take what else waits; False when the end was met."""
        batch: list[Write[C]] = []
        weight = 0
        left = self._left
        while True:
            if not left:
                try:
                    group = self._waiting.get(block=not batch)
                except Empty:
                    return batch, True
                if group is None:
                    return batch, False
                left.extend(group)
            while left:
                write = left.popleft()
                batch.append(write)
                weight += write.weight
                if weight >= self._max_batch:
                    return batch, True

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop has been closed: nobody waits any more
            return

    def _end(self) -> None:
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)


def _tell(batch: Sequence[Write[Any]], outcomes: Sequence[Outcome]) -> None:
    """Wake all who wait, in the loop; who was cancelled does not wait any more."""
    for write, outcome in zip(batch, outcomes, strict=True):
        if write.future.done():
            continue
        if type(outcome) is Done:
            write.future.set_result(outcome.result)
        elif type(outcome) is Refused:
            write.future.set_exception(outcome.error)
