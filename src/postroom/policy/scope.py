"""One kind of rate limit: what it counts for whom, what is on its way, and what must be told or kept.

What is on its way is reserved, not used up: a check asks for room for it all at once, and using it up comes when it is
certain. So pipelined and parallel sessions cannot overrun a limit, and what comes to nothing has cost nothing. To take
at once and give back later would not do: a TAT falls while time passes, so what is given back late was refunded before.
"""

from collections.abc import Mapping
from typing import Final

from postroom.config.section import Rate
from postroom.directory.cache import LruCache
from postroom.mail.value import value
from postroom.net.gcra import Exceeded, GcraTable
from postroom.policy.store import Standing

_TOLD = 10_000  # subjects of which is remembered that they were told of

_UNITS = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))


@value(frozen=True, slots=True)
class NoRoom:
    """The rate that is used up, and the seconds until it has room."""

    rate: Rate
    wait: float


class Scope:
    """``name`` as in the settings and reports, ``unit`` what is counted, ``whom`` as the reply calls the subject."""

    def __init__(self, name: str, unit: str, whom: str, rates: tuple[Rate, ...]) -> None:
        self.name: Final = name
        self.unit: Final = unit
        self.whom: Final = whom
        self._default = GcraTable[str](rates)
        self._special: dict[tuple[Rate, ...], GcraTable[str]] = {}  # subjects with rates of their own, by the rates
        self._table_of: dict[str, GcraTable[str]] = {}
        self._reserved: dict[str, int] = {}
        self._changed: set[str] = set()
        self._near: LruCache[tuple[str, Rate], float] = LruCache(_TOLD)
        self._reached: LruCache[tuple[str, Rate], float] = LruCache(_TOLD)

    @property
    def is_limited(self) -> bool:
        """Whether there is any rate, for anybody."""
        return bool(self._default.rates or self._table_of)

    def reserve(self, subject: str, now: float) -> NoRoom | None:
        """Room for one more, kept until ``release``; or the rate that has none."""
        table = self._table(subject)
        if not table.rates:
            return None
        reserved = self._reserved.get(subject, 0) + 1
        exceeded = table.check(subject, now, reserved)
        if exceeded is not None:
            return _no_room(exceeded)
        self._reserved[subject] = reserved
        return None

    def release(self, subject: str, count: int) -> None:
        """What was reserved is no longer on its way."""
        left = self._reserved.get(subject, 0) - count
        if left > 0:
            self._reserved[subject] = left
        else:
            self._reserved.pop(subject, None)

    def use(self, subject: str, now: float, count: int) -> None:
        """Use up what was reserved before."""
        table = self._table(subject)
        if table.rates and table.take(subject, now, count) is None:
            self._changed.add(subject)

    def shares(self, subject: str, now: float) -> tuple[tuple[Rate, float], ...]:
        """The share of each rate that is used up, from 0 to 1."""
        return self._table(subject).used(subject, now)

    # Telling, once a window.

    def is_news_near(self, subject: str, rate: Rate, now: float) -> bool:
        """Whether it must be told that the subject is near its limit."""
        return _is_news(self._near, subject, rate, now)

    def is_news_reached(self, subject: str, rate: Rate, now: float) -> bool:
        """Whether it must be told that the subject is at its limit."""
        return _is_news(self._reached, subject, rate, now)

    # What operators set, and what is kept.

    def set_special(self, rates: Mapping[str, tuple[Rate, ...]]) -> None:
        """These subjects have rates of their own, all others the scope's. What is used up of a rate stays."""
        before = self._table_of
        self._special = {each: self._special.get(each) or GcraTable(each) for each in set(rates.values())}
        self._table_of = {subject: self._special[own] for subject, own in rates.items()}
        for subject in before.keys() | rates.keys():
            old, new = before.get(subject, self._default), self._table(subject)
            if old is not new:
                _carry(subject, old, new)

    def changed(self) -> list[Standing]:
        """What has changed since this was last asked."""
        subjects, self._changed = self._changed, set()
        rows = []
        for subject in subjects:
            table = self._table(subject)
            for rate, tat in zip(table.rates, table.peek(subject), strict=True):
                rows.append(Standing(self.name, subject, str(rate), tat))
        return rows

    def save_again(self, subjects: set[str]) -> None:
        """These could not be written."""
        self._changed |= subjects

    def restore(self, tats: Mapping[str, Mapping[str, float]]) -> None:
        """Take back what ``changed`` gave: TATs by subject and rate. Rates that are not in force now are left out."""
        for subject, kept in tats.items():
            table = self._table(subject)
            found = tuple([kept.get(str(rate), 0.0) for rate in table.rates])
            if any(found):
                table.put(subject, found)

    def _table(self, subject: str) -> GcraTable[str]:
        return self._table_of.get(subject, self._default) if self._table_of else self._default


def say_rate(rate: Rate, unit: str) -> str:
    """The rate for people: ``60 messages per minute``, ``100 recipients per 5 minutes``."""
    size, name = next((size, name) for size, name in _UNITS if rate.window % size == 0)
    count = rate.window / size
    return f"{rate.count} {unit} per {name}" if count == 1 else f"{rate.count} {unit} per {count:g} {name}s"


def _no_room(exceeded: Exceeded) -> NoRoom:
    # The wait is infinite where what is on its way fills the limit by itself: it ends, or has faded after a window.
    return NoRoom(exceeded.rate, min(exceeded.wait, exceeded.rate.window))


def _is_news(told: LruCache[tuple[str, Rate], float], subject: str, rate: Rate, now: float) -> bool:
    until = told.get((subject, rate))
    if until is not None and until > now:
        return False
    told.put((subject, rate), now + rate.window)
    return True


def _carry(subject: str, old: GcraTable[str], new: GcraTable[str]) -> None:
    kept = dict(zip(old.rates, old.peek(subject), strict=True))
    found = tuple([kept.get(rate, 0.0) for rate in new.rates])
    if any(found):
        new.put(subject, found)
    old.forget(subject)
