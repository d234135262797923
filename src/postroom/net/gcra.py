"""Rates by the generic cell rate algorithm: one number for each key and rate, and a table of them that cannot grow.

The number is the theoretical arrival time (TAT): when the key would have used up nothing any more. No clock is read
here; any clock will do that never runs backwards, or seldom and little.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from postroom.config.section import Rate

Key = TypeVar("Key", bound=Hashable)

_NEVER = float("inf")
_EVICTED = 10  # a table that is full of keys in use loses one in so many at once, so that evicting is rarely done


def gcra(tat: float, now: float, emission: float, burst: float) -> tuple[float, float]:
    """The TAT after something that costs ``emission`` seconds, and 0; or the old TAT and the seconds to wait.

    ``burst`` is how many seconds' worth may come at once. A rate of ``count`` in ``window`` has an emission of
    ``window / count`` for each one, and a burst of ``window``. Something that costs more than the burst may never come:
    its wait is infinite.
    """
    if emission > burst:
        return tat, _NEVER
    after = max(tat, now) + emission
    wait = after - now - burst
    # The sums of floats above miss by some parts in 10**16 of the time of day: a wait within that is none.
    return (after, 0.0) if wait <= 1e-6 else (tat, wait)


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The rate that has no room, and the seconds until it has (infinite if it never will for so much at once)."""

    rate: Rate
    wait: float


class GcraTable(Generic[Key]):
    """Layered rates for many keys: all of ``rates`` hold at once. Without rates nothing is ever exceeded nor kept.

    At most ``limit`` keys are kept. Beyond, those that have used up nothing are forgotten, and if that does not do,
    those that have used up least: whoever is at a limit stays known.
    """

    def __init__(self, rates: Iterable[Rate], limit: int = 100_000) -> None:
        self.rates = tuple(rates)
        self._limit = limit
        self._layers = tuple([(rate.window / rate.count, rate.window) for rate in self.rates])
        self._fresh = (0.0,) * len(self.rates)
        self._tats: dict[Key, tuple[float, ...]] = {}

    def __len__(self) -> int:
        return len(self._tats)

    def take(self, key: Key, now: float, cost: int = 1) -> Exceeded | None:
        """Use up ``cost`` of every rate, or of none: then the rate that one must wait for longest is returned."""
        before = self._tats.get(key, self._fresh)
        after, exceeded = self._step(before, now, cost)
        if exceeded is None and self.rates:
            if key not in self._tats and len(self._tats) >= self._limit:
                self.forget_passed(now)
                self._make_room()
            self._tats[key] = after
        return exceeded

    def check(self, key: Key, now: float, cost: int = 1) -> Exceeded | None:
        """What ``take`` would return. Nothing is used up."""
        return self._step(self._tats.get(key, self._fresh), now, cost)[1]

    def give_back(self, key: Key, cost: int = 1) -> None:
        """Undo a ``take``: what was to happen did not."""
        tats = self._tats.get(key)
        if tats is not None:
            self._tats[key] = tuple([tat - each[0] * cost for tat, each in zip(tats, self._layers, strict=True)])

    def used(self, key: Key, now: float) -> tuple[tuple[Rate, float], ...]:
        """The share of each rate that is used up now, from 0 to 1."""
        tats = self._tats.get(key, self._fresh)
        return tuple(
            [(rate, max(0.0, tat - now) / rate.window) for rate, tat in zip(self.rates, tats, strict=True)],
        )

    def peek(self, key: Key) -> tuple[float, ...]:
        """The TAT of each rate, to be kept elsewhere; zeros for a key that is not known."""
        return self._tats.get(key, self._fresh)

    def put(self, key: Key, tats: tuple[float, ...]) -> None:
        """Set what ``peek`` gave. ValueError if it was for another number of rates."""
        if len(tats) != len(self.rates):
            raise ValueError(f"{len(tats)} times for {len(self.rates)} rates")
        self._tats[key] = tats

    def items(self) -> tuple[tuple[Key, tuple[float, ...]], ...]:
        """Every key that is kept, with its TATs."""
        return tuple(self._tats.items())

    def forget(self, key: Key) -> None:
        """As if it had never used up anything."""
        self._tats.pop(key, None)

    def forget_passed(self, now: float) -> None:
        """Forget the keys that have used up nothing any more. ``take`` does it where there is no room left."""
        for key in [key for key, tats in self._tats.items() if max(tats) <= now]:
            del self._tats[key]

    def _make_room(self) -> None:
        if len(self._tats) < self._limit:
            return
        least = sorted(self._tats, key=lambda key: max(self._tats[key]))
        for key in least[: self._limit // _EVICTED + 1]:
            del self._tats[key]

    def _step(self, before: tuple[float, ...], now: float, cost: int) -> tuple[tuple[float, ...], Exceeded | None]:
        after: list[float] = []
        worst: Exceeded | None = None
        for rate, tat, (emission, burst) in zip(self.rates, before, self._layers, strict=True):
            stepped, wait = gcra(tat, now, emission * cost, burst)
            after.append(stepped)
            if wait and (worst is None or wait > worst.wait):
                worst = Exceeded(rate, wait)
        return tuple(after), worst
