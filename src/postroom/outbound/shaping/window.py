"""Counts what happened lately, in pieces of a second, a minute or an hour: bounded, and one addition each time."""

from collections import deque


class Window:
    """How many in the last ``pieces`` pieces of ``piece`` seconds. Times never run backwards."""

    __slots__ = ("_at", "_past", "_piece", "_pieces", "_recent", "total")

    def __init__(self, piece: float, pieces: int) -> None:
        self._piece = piece
        self._pieces = pieces
        self._at = 0
        self._recent = 0
        self._past: deque[tuple[int, int]] = deque()
        self.total = 0

    def add(self, now: float, count: int = 1) -> None:
        """So many happened."""
        at = int(now // self._piece)
        if at != self._at:
            self._turn(at)
        self._recent += count
        self.total += count

    def count(self, now: float) -> int:
        """So many happened within the window."""
        at = int(now // self._piece)
        if at != self._at:
            self._turn(at)
        return self.total

    def falls_to(self, limit: float, now: float) -> float:
        """Seconds until no more than ``limit`` are in the window, if nothing is added."""
        left = self.count(now)
        if left <= limit:
            return 0.0
        for at, count in (*self._past, (self._at, self._recent)):
            left -= count
            if left <= limit:
                return max((at + self._pieces + 1) * self._piece - now, 0.0)
        return self._pieces * self._piece

    def _turn(self, at: int) -> None:
        if self._recent:
            self._past.append((self._at, self._recent))
        self._at = at
        self._recent = 0
        oldest = at - self._pieces
        past = self._past
        while past and past[0][0] <= oldest:
            self.total -= past.popleft()[1]
