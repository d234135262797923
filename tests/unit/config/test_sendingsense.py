"""Contradictions in what the outside sees of us: each is found, at its place, with a remedy."""

from datetime import date
from typing import Any

import pytest

from postroom.config.model import Settings
from postroom.config.sendingsense import check_sending

OUT_A = {"name": "out-a", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1"}
OUT_B = {"name": "out-b", "ipv4": "192.0.2.2", "warmup": "slow", "since": date(2026, 11, 26)}
SOUND: dict[str, Any] = {
    "hostname": "mx.example.org",
    "source": [OUT_A, OUT_B],
    "pool": [{"name": "all", "sources": ["out-a", "out-b"], "weights": [9, 1]}],
    "warmup": [{"name": "slow", "daily": [50, 100, 500]}],
    "shaping": [{"name": "partner", "mx": ["*.Partner.example"], "backoff": "5m", "longest_backoff": "1h"}],
    "route": [{"domains": ["*"], "pool": "all"}],
}


def found(**changes: Any) -> list[tuple[Any, ...]]:
    settings = Settings.model_validate(SOUND | changes)
    findings = list(check_sending(settings))
    assert all(finding.remedy for finding in findings)
    return [finding.path for finding in findings]


def test_what_makes_sense_is_left_alone() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ({"name": "x"}, "ipv4"),
        ({"name": "x", "ipv4": "192.0.2.256"}, "ipv4"),
        ({"name": "x", "ipv4": "2001:db8::7"}, "ipv4"),
        ({"name": "x", "ipv6": "192.0.2.7"}, "ipv6"),
        ({"name": "x", "ipv4": "0.0.0.0"}, "ipv4"),
        ({"name": "x", "ipv4": "192.0.2.2"}, "ipv4"),  # that of out-b
        ({"name": "out-a", "ipv4": "192.0.2.3"}, "name"),
        ({"name": " ", "ipv4": "192.0.2.3"}, "name"),
        ({"name": "x", "ipv4": "192.0.2.3", "warmup": "none", "since": date(2026, 1, 1)}, "warmup"),
        ({"name": "x", "ipv4": "192.0.2.3", "warmup": "slow"}, "warmup"),
        ({"name": "x", "ipv4": "192.0.2.3", "since": date(2026, 1, 1)}, "since"),
    ],
)
def test_sources(source: dict[str, Any], path: str) -> None:
    assert found(source=[OUT_A, OUT_B, source]) == [("source", 2, path)]


@pytest.mark.parametrize(
    ("pool", "path"),
    [
        ({"name": "out-a", "sources": ["out-a"]}, "name"),
        ({"name": "all", "sources": ["out-a"]}, "name"),
        ({"name": "x", "sources": ["out-a", "out-c"]}, "sources"),
        ({"name": "x", "sources": ["out-a", "out-a"]}, "sources"),
        ({"name": "x", "sources": ["out-a", "out-b"], "weights": [1]}, "weights"),
        ({"name": "x", "sources": ["out-a"], "weights": [0]}, "weights"),
        ({"name": "x", "sources": ["out-a"], "weights": [1_000_000]}, "weights"),
    ],
)
def test_pools(pool: dict[str, Any], path: str) -> None:
    assert found(pool=[*SOUND["pool"], pool]) == [("pool", 1, path)]


@pytest.mark.parametrize(
    ("plan", "paths"),
    [
        ({"name": "slow", "daily": [1]}, ["name"]),
        ({"name": "x", "daily": [1]}, ["name"]),  # nobody uses it
        ({"name": "x", "daily": [0, 5]}, ["daily", "name"]),
        ({"name": "x", "daily": [9, 5]}, ["daily", "name"]),
    ],
)
def test_warmups(plan: dict[str, Any], paths: list[str]) -> None:
    assert found(warmup=[*SOUND["warmup"], plan]) == [("warmup", 1, path) for path in paths]


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ({"name": "partner"}, "name"),
        ({"name": "x", "mx": ["a b"]}, "mx"),
        ({"name": "x", "domains": ["user@example.org"]}, "domains"),
        ({"name": "x", "concurrency": 501}, "concurrency"),
        ({"name": "x", "backoff": "2h", "longest_backoff": "1h"}, "longest_backoff"),
    ],
)
def test_rules_of_traffic(rule: dict[str, Any], path: str) -> None:
    assert found(shaping=[*SOUND["shaping"], rule]) == [("shaping", 1, path)]


def test_addresses_in_two_places_are_remarked_on() -> None:
    assert found(outbound={"source_addresses": ["192.0.2.9"]}) == [("outbound", "source_addresses")]
