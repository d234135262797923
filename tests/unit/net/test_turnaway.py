"""Turning away is cheap and bounded, and every refusal is told in the end."""

import asyncio
import socket

import pytest

from postroom.net import turnaway
from postroom.net.turnaway import Farewells, Refusals
from postroom.report.events import Report, SessionRefused
from postroom.report.reporter import Reporter


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnaway, "INTERVAL", 0.02)
    monkeypatch.setattr(turnaway, "LINGER", 0.02)


def told(reports: list[Report]) -> list[tuple[str, str, int]]:
    return [(each.address, each.reason, each.count) for each in reports if isinstance(each, SessionRefused)]


async def test_the_first_are_told_one_by_one_and_then_by_count() -> None:
    reports: list[Report] = []
    refusals = Refusals("mx", Reporter([reports.append]), asyncio.get_running_loop())
    for _ in range(500):
        refusals.tell("192.0.2.1", "rate")
    refusals.tell("192.0.2.2", "rate")
    one = ("192.0.2.1", "rate", 1)
    assert told(reports) == [one, one, one, ("192.0.2.2", "rate", 1)]
    while len(reports) < 5:
        await asyncio.sleep(0)
    assert told(reports)[4] == ("192.0.2.1", "rate", 497)
    refusals.tell("192.0.2.1", "rate")  # it goes on: still no report for each
    assert len(reports) == 5
    refusals.stop()
    assert told(reports)[5:] == [one]
    refusals.stop()
    assert len(reports) == 6


async def test_who_comes_again_later_is_told_anew() -> None:
    reports: list[Report] = []
    refusals = Refusals("mx", Reporter([reports.append]), asyncio.get_running_loop())
    for _ in range(4):
        refusals.tell("192.0.2.1", "rate")
    while refusals.watching:
        await asyncio.sleep(0)
    refusals.tell("192.0.2.1", "rate")
    assert [count for _, _, count in told(reports)] == [1, 1, 1, 1, 1]
    refusals.stop()


async def test_too_many_addresses_are_told_together() -> None:
    reports: list[Report] = []
    refusals = Refusals("mx", Reporter([reports.append]), asyncio.get_running_loop())
    for number in range(5000):
        refusals.tell(f"10.0.{number >> 8}.{number & 255}", "total")
    refusals.tell("2001:db8::1", "total")
    refusals.stop()
    assert sum(count for _, _, count in told(reports)) == 5001
    assert sum(1 for address, _, _ in told(reports) if not address) <= 4
    assert len(reports) <= turnaway.MOST_ADDRESSES + 4


async def test_sockets_linger_for_a_moment_and_are_bounded() -> None:
    farewells = Farewells(asyncio.get_running_loop())
    pairs = [socket.socketpair() for _ in range(turnaway.LINGERING + 10)]
    for ours, _ in pairs:
        farewells.say(ours, b"421 busy\r\n")
    assert len(farewells) == turnaway.LINGERING
    assert all(theirs.recv(100) == b"421 busy\r\n" for _, theirs in pairs)
    assert all(theirs.recv(100) == b"" for _, theirs in pairs)
    while len(farewells):
        await asyncio.sleep(0)
    assert all(ours.fileno() == -1 for ours, _ in pairs)
    for _, theirs in pairs:
        theirs.close()


async def test_who_left_or_is_told_nothing_is_closed_at_once() -> None:
    farewells = Farewells(asyncio.get_running_loop())
    for line in (b"", b"421 busy\r\n"):
        ours, theirs = socket.socketpair()
        theirs.close()
        farewells.say(ours, line)
        assert ours.fileno() == -1
    ours, theirs = socket.socketpair()
    farewells.say(ours, b"421 busy\r\n")
    farewells.stop()
    assert ours.fileno() == -1
    theirs.close()
