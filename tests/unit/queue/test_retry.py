"""The retry curve (RFC 5321 §4.5.4.1)."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.config.model import QueueSettings
from postroom.queue.retry import expires_at, next_attempt, wait_after

DAY = 86400.0
SETTINGS = QueueSettings(retry_jitter=0.0)


def life(settings: QueueSettings, *, random: float = 0.0, null_sender: bool = False) -> list[float]:
    """When attempts are made at a destination that always defers, from the arrival at 0."""
    times = [0.0]
    while (again := next_attempt(settings, len(times), times[-1], 0.0, random, null_sender=null_sender)) is not None:
        times.append(again)
    return times


def test_first_minutes_then_hours_then_the_end() -> None:
    times = life(SETTINGS)
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits[:6] == pytest.approx([300, 600, 1200, 2400, 4800, 9600])
    assert waits[6:-1] == pytest.approx([14400] * (len(waits) - 7))
    assert times[-1] == 5 * DAY  # a last attempt when the time is up
    assert 30 < len(times) < 45


def test_mail_with_the_null_sender_is_given_up_sooner() -> None:
    assert life(SETTINGS, null_sender=True)[-1] == DAY
    assert expires_at(QueueSettings(lifetime=60, dsn_lifetime=3600), 0.0, null_sender=True) == 60


def test_jitter_only_shortens() -> None:
    settings = QueueSettings(retry_jitter=0.2)
    assert wait_after(settings, 1, 0.0) == pytest.approx(300)
    assert wait_after(settings, 1, 0.5) == pytest.approx(270)
    assert wait_after(settings, 50, 0.999) > settings.longest_retry * 0.79


def test_no_attempt_after_the_last() -> None:
    assert next_attempt(SETTINGS, 9, 5 * DAY, 0.0, 0.5) is None
    assert next_attempt(SETTINGS, 9, 5 * DAY + 1, 0.0, 0.5) is None
    assert next_attempt(SETTINGS, 9, 5 * DAY - 10, 0.0, 0.5) is None  # the one just made was the last
    assert next_attempt(SETTINGS, 9, 5 * DAY - 1000, 0.0, 0.5) == 5 * DAY


def test_a_life_shorter_than_the_first_wait_has_a_second_attempt() -> None:
    assert life(QueueSettings(lifetime=60, retry_jitter=0.0)) == [0.0, 60.0]


def test_a_factor_of_one_keeps_the_pace() -> None:
    settings = QueueSettings(retry_factor=1.0, first_retry=60, lifetime=600, retry_jitter=0.0)
    assert life(settings) == [60.0 * n for n in range(11)]


@given(
    attempts=st.integers(1, 10**6),
    factor=st.floats(1, 1e6),
    first=st.floats(0.001, 1e6),
    longest=st.floats(0.001, 1e6),
    random=st.floats(0, 1, exclude_max=True),
)
def test_any_curve_stays_within_its_bounds(
    attempts: int, factor: float, first: float, longest: float, random: float
) -> None:
    settings = QueueSettings(retry_factor=factor, first_retry=first, longest_retry=longest, lifetime=1e9)
    wait = wait_after(settings, attempts, random)
    assert 0 < wait <= longest * 1.000001 or wait <= first
    assert next_attempt(settings, attempts, 0.0, 0.0, random) == pytest.approx(wait)
