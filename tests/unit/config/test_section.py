"""Rates as people write them."""

import pytest

from postroom.config.section import Rate, read_rate


@pytest.mark.parametrize(
    ("text", "count", "window", "shown"),
    [
        ("100/1m", 100, 60, "100/1m"),
        ("1000/h", 1000, 3600, "1000/1h"),
        ("5000 / 1d", 5000, 86400, "5000/1d"),
        ("20/5m", 20, 300, "20/5m"),
        ("3/10s", 3, 10, "3/10s"),
        ("1/2W", 1, 1209600, "1/14d"),
    ],
)
def test_written_and_shown(text: str, count: int, window: float, shown: str) -> None:
    assert read_rate(text) == Rate(count, window)
    assert str(read_rate(text)) == shown


@pytest.mark.parametrize("text", ["", "100", "0/1m", "5/0m", "-1/1m", "5/1y", "x/1m", "5/m/h"])
def test_nonsense_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(ValueError, match='such as "100/1m"'):
        read_rate(text)
