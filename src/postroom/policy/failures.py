"""Points by subject that fade over a window: failed logins, abuse. Bounded, and it forgets the harmless first.

Whoever has a few points only is kept apart from the others: a flood of addresses with one failure each cannot push out
those that are close to a ban.
"""

from math import ceil

from postroom.directory.cache import LruCache
from postroom.policy.store import Failures

_KEPT = 50_000  # subjects of each of the two kinds, some 200 octets each
_FEW = 3  # points below which a subject counts as harmless

_Tally = tuple[int, int, int]
"""The number of the window that runs, the points in it, and those in the one before."""


class FailureCounts:
    """The count slides: the window before fades out while the new one fills. Times are seconds since the Unix epoch."""

    def __init__(self, scope: str, window: float, *, limit: int = _KEPT) -> None:
        self._scope = scope
        self._window = window
        self._few: LruCache[str, _Tally] = LruCache(limit)
        self._many: LruCache[str, _Tally] = LruCache(limit)
        self._changed: set[str] = set()

    def __len__(self) -> int:
        return len(self._few) + len(self._many)

    def add(self, subject: str, now: float, points: int = 1) -> int:
        """More points at ``now``. Returns those of the last window, these included."""
        window, current, before = self._tally(subject, now)
        tally = (window, current + points, before)
        count = self._count(tally, now)
        self._put(subject, tally, count)
        self._changed.add(subject)
        return count

    def count(self, subject: str, now: float) -> int:
        """The points of the last window."""
        return self._count(self._tally(subject, now), now)

    def drop(self, subject: str) -> None:
        """As if there had been none."""
        if subject in self._changed or self._find(subject) is not None:
            self._put(subject, (0, 0, 0), 0)
            self._changed.add(subject)  # what is stored of it must go too

    def changed(self) -> tuple[Failures, ...]:
        """What has changed since this was last asked, for the store."""
        subjects, self._changed = self._changed, set()
        rows = [(subject, self._find(subject)) for subject in subjects]
        return tuple([self._row(subject, tally) for subject, tally in rows if tally is not None])

    def restore(self, rows: tuple[Failures, ...], now: float) -> None:
        """Take back rows of this scope that ``changed`` gave."""
        for row in rows:
            if row.scope == self._scope and row.ends > now:
                tally = (int(row.began // self._window), row.now, row.before)
                self._put(row.subject, tally, self._count(self._moved(tally, now), now))

    def save_again(self, rows: tuple[Failures, ...]) -> None:
        """These could not be written."""
        self._changed.update([row.subject for row in rows if row.scope == self._scope])

    def _find(self, subject: str) -> _Tally | None:
        return self._many.get(subject) or self._few.get(subject)

    def _tally(self, subject: str, now: float) -> _Tally:
        found = self._find(subject)
        return self._moved((0, 0, 0) if found is None else found, now)

    def _moved(self, tally: _Tally, now: float) -> _Tally:
        """The tally in the window that runs now."""
        window = int(now // self._window)
        if tally[0] >= window:  # as it is; or the clock was set back
            return tally
        return window, 0, tally[1] if tally[0] == window - 1 else 0

    def _count(self, tally: _Tally, now: float) -> int:
        """Rounded up: ten failures within a window are ten, wherever the border between two lay."""
        window, current, before = tally
        fading = min(1.0, window + 1 - now / self._window)
        return current + ceil(before * fading)

    def _put(self, subject: str, tally: _Tally, count: int) -> None:
        if count < _FEW:
            self._many.drop(subject)
            self._few.put(subject, tally)
        else:
            self._few.drop(subject)
            self._many.put(subject, tally)

    def _row(self, subject: str, tally: _Tally) -> Failures:
        began = tally[0] * self._window
        return Failures(self._scope, subject, began, tally[1], tally[2], began + 2 * self._window)
