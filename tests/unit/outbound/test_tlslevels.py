"""What TLS hosts were met with: less is told, once, and not each time."""

import pytest
from tests.fakes.hand_clock import HandClock

from postroom.mail.delivery import Peer
from postroom.outbound import tlslevels
from postroom.outbound.tlslevels import FOR_A_WHILE, TlsLevels
from postroom.outbound.tlsmet import NO_POLICY, TlsMet
from postroom.outbound.tlsstore import HostLevel, TlsLevel
from postroom.report.events import Report
from postroom.report.road import TlsDowngraded

HOST = "mx.example.org"
NONE, ENCRYPTED, VERIFIED = TlsLevel.NONE, TlsLevel.ENCRYPTED, TlsLevel.VERIFIED


class Room:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.told: list[Report] = []
        self.levels = TlsLevels(self.clock, self.told.append)

    def meet(self, level: TlsLevel | None, *, checked: bool = False, host: str = HOST) -> None:
        self.levels.note(TlsMet("site", (), NO_POLICY, Peer(host), level, checked=checked))


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_host_that_offers_none_any_more_is_told_once(room: Room) -> None:
    room.meet(ENCRYPTED)
    room.clock.advance(FOR_A_WHILE)
    room.meet(NONE)
    room.meet(NONE)
    assert room.told == [TlsDowngraded("site", HOST, "encrypted", "none")]


def test_who_comes_and_goes_is_not_told(room: Room) -> None:
    for _ in range(10):
        room.meet(ENCRYPTED)
        room.clock.advance(60)
        room.meet(NONE)
        room.clock.advance(FOR_A_WHILE / 20)
    assert room.told == []


def test_more_is_not_told_and_counts_from_then(room: Room) -> None:
    room.meet(NONE)
    room.clock.advance(FOR_A_WHILE)
    room.meet(VERIFIED, checked=True)
    room.clock.advance(FOR_A_WHILE)
    room.meet(ENCRYPTED, checked=True)
    assert room.told == [TlsDowngraded("site", HOST, "verified", "encrypted")]


def test_what_nobody_asked_about_says_nothing(room: Room) -> None:
    # one host serves domains with a policy and domains without
    room.meet(VERIFIED, checked=True)
    room.clock.advance(FOR_A_WHILE)
    room.meet(ENCRYPTED)
    room.meet(None)
    assert room.told == []
    room.meet(NONE)
    assert room.told == [TlsDowngraded("site", HOST, "verified", "none")]


def test_it_survives_a_restart(room: Room) -> None:
    room.meet(VERIFIED)
    kept = room.levels.changed()
    assert kept == (HostLevel(HOST, VERIFIED, 1000.0, 1000.0),)
    assert room.levels.changed() == ()
    later = Room()
    later.levels.load(kept)
    later.clock.advance(FOR_A_WHILE)
    later.meet(NONE)
    assert len(later.told) == 1
    assert later.levels.changed() == (HostLevel(HOST, NONE, later.clock.now(), later.clock.now()),)


def test_being_met_again_is_written_now_and_then(room: Room) -> None:
    room.meet(ENCRYPTED)
    room.levels.changed()
    room.meet(ENCRYPTED)
    assert room.levels.changed() == ()
    room.clock.advance(4000)
    room.meet(ENCRYPTED)
    assert [one.since for one in room.levels.changed()] == [1000.0]


def test_only_so_many_hosts_are_remembered(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tlslevels, "MAX_HOSTS", 2)
    for number in range(3):
        room.meet(ENCRYPTED, host=f"h{number}.example")
    room.clock.advance(FOR_A_WHILE)
    for number in (2, 1, 0):
        room.meet(NONE, host=f"h{number}.example")
    assert [report.host for report in room.told if isinstance(report, TlsDowngraded)] == ["h2.example", "h1.example"]
