"""Who goes first: higher priority before lower, yet nobody waits for ever (RFC 6710 §5.1). Pure.

One rule for the store and for memory: each step of priority counts as so much waiting already done. Among those who
have waited about as long the higher priority always goes first; a flood of it delays the others by a bounded time.
"""

from collections import deque
from typing import Generic, TypeVar

HEAD_START = 3600.0
"""Seconds of waiting that one step of priority is worth. With the usual "urgent", 4 steps above normal (RFC 6710
Appendix B), that is the longest wait between two attempts by default."""

LOWEST, HIGHEST = -9, 9  # RFC 6710 §5

T = TypeVar("T")


def rank(since: float, priority: int) -> float:
    """The place in line of one who has waited ``since`` a time in seconds; the lowest goes first."""
    return since - priority * HEAD_START


class PriorityLine(Generic[T]):
    """A line with a file for each priority, each first in, first out. Costs no more than a deque where one is used."""

    __slots__ = ("_files",)

    def __init__(self) -> None:
        self._files: dict[int, deque[tuple[float, T]]] = {}

    def push(self, item: T, priority: int, since: float) -> None:
        """Stand at the end of the file of that priority. ``since`` hardly goes back within a priority."""
        file = self._files.get(priority)
        if file is None:
            file = self._files[priority] = deque()
        file.append((rank(since, priority), item))

    def put_back(self, item: T, priority: int, since: float) -> None:
        """Stand before all others of that priority: who was taken, and may not go yet."""
        file = self._files.get(priority)
        if file is None:
            file = self._files[priority] = deque()
        file.appendleft((rank(since, priority), item))

    def pop(self) -> T:
        """Take the first. IndexError where there is none."""
        priority = self.first_priority
        file = self._files[priority]
        item = file.popleft()[1]
        if not file:
            del self._files[priority]
        return item

    def remove(self, item: T, priority: int) -> None:
        """Take one out of the file of that priority, wherever it stands. ValueError if it is not there."""
        file = self._files.get(priority, ())
        for index, (_, other) in enumerate(file):
            if other == item:
                del self._files[priority][index]
                if not self._files[priority]:
                    del self._files[priority]
                return
        raise ValueError("it is not in line")

    @property
    def first_priority(self) -> int:
        """The priority of the first. IndexError where there is none."""
        files = self._files
        if not files:
            raise IndexError("nobody is in line")
        return next(iter(files)) if len(files) == 1 else min(files, key=lambda one: (files[one][0][0], -one))

    def drain(self) -> list[T]:
        """Take all, in the order of their turns."""
        items = []
        while self._files:
            items.append(self.pop())
        return items

    def __bool__(self) -> bool:
        return bool(self._files)
