"""Failures in a sliding window."""

import pytest

from postroom.directory.failures import FailureCounts, network_of


def test_counts_by_key() -> None:
    counts = FailureCounts()
    assert [counts.add("a", 0.0), counts.add("a", 1.0), counts.add("b", 2.0)] == [1, 2, 1]


def test_what_is_past_fades() -> None:
    counts = FailureCounts(window=100)
    for _ in range(10):
        counts.add("a", 50.0)
    assert counts.add("a", 100.0) == 11
    assert counts.add("a", 150.0) == 7  # half of ten, and two
    assert counts.add("a", 199.0) == 3
    assert counts.add("a", 400.0) == 1


def test_memory_is_bounded() -> None:
    counts = FailureCounts(limit=100)
    for number in range(1000):
        counts.add(str(number), 0.0)
    assert len(counts) == 100


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not:an:address", "not:an:address"),
        ("", ""),
    ],
)
def test_what_an_address_counts_as(address: str, network: str) -> None:
    assert network_of(address) == network
