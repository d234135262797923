"""The room of TLS: what was learnt is written behind, and there again after a restart."""

import pytest
from tests.fakes.hand_clock import HandClock
from tests.fakes.tls_store import MemoryTlsStore

from postroom.config.road import OutboundSettings, TlsrptSettings
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.delivery import Peer, StsMode, StsPolicy
from postroom.mail.trouble import StoreUnavailable
from postroom.outbound.tlsmet import NO_POLICY, TlsMet
from postroom.outbound.tlsroom import FORGET_EVERY, TlsRoom
from postroom.outbound.tlsstore import KeptPolicy, TlsLevel
from postroom.report.events import Report
from postroom.report.reporter import Reporter

MET = TlsMet("site", ("example.org",), NO_POLICY, Peer("mx.example.org"), TlsLevel.ENCRYPTED)
POLICY = StsPolicy("example.org", StsMode.ENFORCE, ("mx.example.org",), "1", 1e12)


class World:
    def __init__(self) -> None:
        self.store = MemoryTlsStore()
        self.clock = HandClock(1_000_000.0)
        self.told: list[Report] = []

    def open(self, **settings: bool) -> TlsRoom:
        return TlsRoom(
            OutboundSettings(**settings),
            TlsrptSettings(enabled=True),
            hostname="us.example",
            resolver=ZoneResolver(Zone()),
            store=self.store,
            clock=self.clock,
            reporter=Reporter([self.told.append]),
        )


@pytest.fixture
def world() -> World:
    return World()


async def test_what_was_learnt_is_written_and_read_again(world: World) -> None:
    world.store.policies["example.org"] = KeptPolicy(POLICY, world.clock.now())
    room = world.open()
    await room.start()
    room.note(MET)
    await room.tick()
    await room.tick()
    assert world.store.saves == 1
    assert set(world.store.levels) == {"mx.example.org"}
    assert len(world.store.tallies) == 1
    await room.close()
    later = world.open()
    await later.start()
    assert await later.sts_of("example.org") == POLICY
    later.note(MET)
    await later.close()
    assert [one.count for one in world.store.tallies.values()] == [2]


async def test_without_mta_sts_no_policy_counts(world: World) -> None:
    world.store.policies["example.org"] = KeptPolicy(POLICY, world.clock.now())
    room = world.open(mta_sts=False)
    await room.start()
    assert await room.sts_of("example.org") is None
    await room.renew()
    await room.close()


async def test_what_could_not_be_written_is_written_later(world: World) -> None:
    room = world.open()
    room.note(MET)
    world.store.unavailable = True
    with pytest.raises(StoreUnavailable):
        await room.tick()
    room.note(MET)
    world.store.unavailable = False
    await room.tick()
    assert [one.count for one in world.store.tallies.values()] == [2]
    assert len(world.store.levels) == 1
    await room.close()


async def test_what_is_over_is_forgotten_now_and_then(world: World) -> None:
    room = world.open()
    world.store.policies["old.example"] = KeptPolicy(
        StsPolicy("old.example", StsMode.NONE, (), "1", world.clock.now() - 1), 0.0
    )
    await room.tick()
    assert world.store.policies
    world.clock.advance(FORGET_EVERY)
    await room.tick()
    assert not world.store.policies
    await room.close()


async def test_reports_go_through_the_same_rooms(world: World) -> None:
    room = world.open()
    room.note(MET)
    world.clock.advance(2 * 86400)
    reporter = room.reports(None)  # type: ignore[arg-type]  # nobody asks for a report
    await reporter.send_due()
    await room.tick()
    assert not world.store.tallies
    await room.close()
