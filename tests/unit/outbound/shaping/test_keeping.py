"""What was learned outlives the process, written behind."""

from datetime import date

import pytest
from tests.fakes.site_store import MemorySiteStore
from tests.unit.outbound.shaping.simulated import (
    BLOCKED,
    SITE,
    TAKEN,
    Backlog,
    Connections,
    House,
    SlidingWindow,
    note_all,
)

from postroom.config.sending import ShapingSettings, SourceSettings, WarmupSettings
from postroom.mail.delivery import RouteKind, Site
from postroom.mail.trouble import StoreUnavailable
from postroom.outbound.shaping.keeping import FORGET_SECONDS, IDLE, STALE, ShapingKeeper
from postroom.queue.carrier import Grant, Wait
from postroom.report.road import SiteBlocked, SiteReopened


@pytest.fixture
def store() -> MemorySiteStore:
    return MemorySiteStore()


async def keeper_of(house: House, store: MemorySiteStore) -> ShapingKeeper:
    keeper = ShapingKeeper(store, house.shaper, house.warmups, house.clock, house.reporter)
    await keeper.start()
    return keeper


async def again(before: House, store: MemorySiteStore, pause: float = 1.0) -> House:
    """A new process, some seconds later."""
    house = House()
    house.clock.time = before.clock.time + pause
    await keeper_of(house, store)
    return house


async def test_a_learned_rate_and_what_was_sent_are_there_after_a_restart(store: MemorySiteStore) -> None:
    house = House()
    keeper = await keeper_of(house, store)
    backlog = Backlog(house, SlidingWindow(50))
    for _ in range(600):
        backlog.run(1)
        await keeper.tick()
    standing = store.standings[SITE.key, ""]
    assert standing.rate == house.rate()
    assert 40 <= standing.minute <= 51
    assert standing.hour == standing.day == standing.delivered == backlog.taken(0, 1e9)
    assert standing.deferred == len(backlog.log) - standing.delivered
    assert standing.causes == (("rate_limit", standing.deferred),)
    assert standing.why.startswith("421 4.7.28")
    assert standing.last_reply in {"250 2.0.0 queued", standing.why}

    later = await again(house, store)
    more = Backlog(later, backlog.limit)
    more.run(600)
    assert more.share_deferred(0) < 0.01
    assert more.taken(0, 600) >= 0.8 * 500
    assert later.shaper.lanes[SITE.key, ""].tally.delivered == standing.delivered + more.taken(0, 1e9)


async def test_a_learned_number_of_connections_is_there_too(store: MemorySiteStore) -> None:
    house = House()
    keeper = await keeper_of(house, store)
    backlog = Backlog(house, Connections(3))
    backlog.run(20)
    await keeper.flush()
    later = await again(house, store)
    more = Backlog(later, backlog.limit)
    more.run(60)
    assert more.share_deferred(0) == 0
    assert later.width() == 3


async def test_old_limits_are_not_believed(store: MemorySiteStore) -> None:
    house = House()
    keeper = await keeper_of(house, store)
    Backlog(house, SlidingWindow(50)).run(60)
    await keeper.flush()
    later = await again(house, store, STALE + 1)
    later.shaper.limit(SITE)
    assert later.rate() is None
    assert later.shaper.lanes[SITE.key, ""].tally.delivered > 0


async def test_a_block_goes_on_and_is_told_again(store: MemorySiteStore) -> None:
    house = House()
    keeper = await keeper_of(house, store)
    note_all(house, [house.shaper.ask(SITE, 1, house.clock.time) for _ in range(2)], BLOCKED)
    await keeper.flush()
    later = await again(house, store, 100)
    wait = later.shaper.ask(SITE, 1, later.clock.time)
    assert isinstance(wait, Wait)
    assert wait.seconds == 200
    (told,) = later.told
    assert isinstance(told, SiteBlocked)  # who counts blocked sites has begun anew
    assert told.until == house.clock.time + 300
    later.clock.advance(200)
    note_all(later, [later.shaper.ask(SITE, 1, later.clock.time)], TAKEN)
    assert isinstance(later.told[-1], SiteReopened)


async def test_counts_of_rates_and_of_warmup_are_there(store: MemorySiteStore) -> None:
    settings = {
        "sources": (SourceSettings(name="cold", ipv4="192.0.2.3", warmup="slow", since=date(2027, 1, 15)),),
        "plans": (WarmupSettings(name="slow", daily=(3,)),),
        "shaping": (ShapingSettings.model_validate({"name": "default", "message_rates": ["4/1d"]}),),
    }
    cold = Site("mx.example.net", RouteKind.MX, SITE.hosts, pool="cold")
    house = House(**settings)  # type: ignore[arg-type] # fields of House
    keeper = await keeper_of(house, store)
    for site in (cold, cold, SITE, SITE, SITE):
        note_all(house, [house.shaper.ask(site, 1, house.clock.time)], TAKEN, site)
    await keeper.flush()
    later = House(**settings)  # type: ignore[arg-type] # likewise
    later.clock.time = house.clock.time + 1
    await keeper_of(later, store)
    assert isinstance(later.shaper.ask(cold, 1, later.clock.time), Grant)
    full = later.shaper.ask(cold, 1, later.clock.time)
    assert isinstance(full, Wait)
    assert "day 1 of warm-up" in full.reason
    assert isinstance(later.shaper.ask(SITE, 1, later.clock.time), Grant)
    used_up = later.shaper.ask(SITE, 1, later.clock.time)
    assert isinstance(used_up, Wait)
    assert "4/1d" in used_up.reason


async def test_what_cannot_be_written_is_written_the_next_time(store: MemorySiteStore) -> None:
    house = House()
    keeper = await keeper_of(house, store)
    await keeper.tick()
    assert store.saves == 0  # nothing has changed
    Backlog(house, Connections(20)).run(1)
    store.unavailable = True
    with pytest.raises(StoreUnavailable):
        await keeper.tick()
    store.unavailable = False
    await keeper.tick()
    assert store.standings[SITE.key, ""].delivered == house.shaper.lanes[SITE.key, ""].tally.delivered
    await keeper.tick()
    assert store.saves == 1


async def test_idle_sites_leave_the_memory_and_come_back_as_they_were(store: MemorySiteStore) -> None:
    house = House()
    keeper = await keeper_of(house, store)
    backlog = Backlog(house, SlidingWindow(50))
    backlog.run(300)
    backlog.end()
    learned = house.rate()
    house.clock.advance(IDLE + 10)
    await keeper.tick()
    house.clock.advance(FORGET_SECONDS)
    await keeper.tick()
    assert house.shaper.lanes == {}
    house.shaper.limit(SITE)
    assert house.rate() == learned
