"""Times, spans and sizes as people read them."""

import pytest

from postroom.admin.moments import iso, maybe_iso, size, span


def test_iso() -> None:
    assert iso(1_800_000_000.5) == "2027-01-15T08:00:00.500Z"
    assert maybe_iso(None) is None
    assert maybe_iso(0) == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3600, "1 h"), (93_780, "1 d 2 h"), (86_460, "1 d 1 min")],
)
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("octets", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 30, "3.0 GiB")]
)
def test_size(octets: int, text: str) -> None:
    assert size(octets) == text
