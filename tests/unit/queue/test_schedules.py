"""The times of retry by route."""

import pytest

from postroom.config.model import QueueSettings
from postroom.config.road import RouteSettings, ScheduleSettings
from postroom.queue.schedules import Schedules

USUAL = QueueSettings(first_retry=300, lifetime=1000)
FAST = ScheduleSettings(name="fast", first_retry=10)
ROUTES = (RouteSettings(name="a"), RouteSettings(name="b/c", schedule="fast"), RouteSettings(schedule="fast"))


@pytest.mark.parametrize(
    ("destination", "first_retry"),
    [
        ("far.example", 300),
        ("far.example a", 300),
        ("far.example b/c", 10),
        ("far.example b/c/2", 10),
        ("far.example route 3", 10),
        ("far.example route 3|a", 10),
        ("far.example a|route 3", 300),
        ("far.example gone", 300),
        ("[192.0.2.1]", 300),
    ],
)
def test_a_destination_names_its_rule(destination: str, first_retry: float) -> None:
    times = Schedules(USUAL, (FAST,), ROUTES).at(destination)
    assert (times.first_retry, times.lifetime) == (first_retry, 1000)


def test_what_a_schedule_does_not_say_is_as_usual() -> None:
    schedules = Schedules(USUAL, (FAST,))
    assert schedules.named("fast").retry_factor == USUAL.retry_factor
    assert schedules.named("") is USUAL
    assert schedules.named("no such") is USUAL
