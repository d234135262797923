"""Short deadlines are kept, however coarse the loop's timers are."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from postroom.net.sweeper import Sweeper


@dataclass
class EarlyLoop:
    """A loop whose timers fire a little early, as those with milliseconds do."""

    now: float = 100.0
    timers: list[tuple[float, Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, act: Callable[..., None], *args: Any) -> None:
        self.timers.append((self.now + seconds, act, args))

    def fire_first(self) -> None:
        due, act, args = min(self.timers, key=lambda timer: timer[0])
        self.now = due - 0.0005
        act(*args)


@dataclass(eq=False)
class Waiting:
    deadline: float
    overdue: bool = False

    def sweep(self, now: float) -> None:
        self.overdue |= now >= self.deadline


def test_a_timer_that_fires_early_is_on_time(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = EarlyLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    sweeper, waiting = Sweeper(), Waiting(loop.now + 0.2)
    sweeper.add(waiting)
    sweeper.hurry(waiting, 0.2)
    loop.fire_first()
    assert waiting.overdue


def test_a_deadline_that_was_moved_is_not_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = EarlyLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    sweeper, waiting = Sweeper(), Waiting(loop.now + 0.2)
    sweeper.add(waiting)
    sweeper.hurry(waiting, 0.2)
    waiting.deadline += 60
    loop.fire_first()
    assert not waiting.overdue
