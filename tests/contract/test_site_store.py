"""The promises of SiteStore; the fake keeps them too, so that tests on it prove something."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.contract.implementations import OpenStore
from tests.fakes.letters import NOON
from tests.fakes.site_store import MemorySiteStore

from postroom.queue.sites import REMEMBERED, SiteRecord, SiteStanding, SiteStore, WarmupCount

TODAY = int(NOON // 86400)
LEARNED = SiteStanding(
    "mx.example.org", "out-a", "default", ("20 connections",), 3, 48.25, 61.5, 4, "421 4.7.28 too fast", NOON - 5,
    NOON + 300.123456, "421 4.7.0 blocked", 600.0, (NOON + 7.5, 0.0), 48, 1000, 20_000, 30_000, 12, 3,
    (("mailbox_full", 3), ("rate_limit", 12)), "250 2.0.0 queued «ja»", NOON - 86400, NOON - 1,
)  # fmt: skip
PLAIN = SiteStanding("MX.partner.example", "", "google", since=NOON - 10, seen_at=NOON - 2)
COUNT = WarmupCount("out-a", "google", TODAY, 499)
Reopen = Callable[[], Awaitable[SiteStore]]


@pytest.fixture(params=["stored", "fake"])
async def reopen(request: pytest.FixtureRequest, open_store: OpenStore) -> Reopen:
    """Opens the same data, as another process would."""
    fake = MemorySiteStore()

    async def again() -> SiteStore:
        return fake if request.param == "fake" else (await open_store()).sites

    return again


@pytest.fixture
async def sites(reopen: Reopen) -> SiteStore:
    return await reopen()


async def test_what_was_saved_is_there_after_a_restart(sites: SiteStore, reopen: Reopen) -> None:
    assert len(await sites.load(NOON)) == 0
    await sites.save(SiteRecord((PLAIN, LEARNED), (COUNT,)))
    found = await (await reopen()).load(NOON)
    assert found == SiteRecord((LEARNED, PLAIN), (COUNT,))  # the latest first


async def test_a_save_replaces_what_is_there_of_the_same_site_and_source(sites: SiteStore) -> None:
    await sites.save(SiteRecord((LEARNED,), (COUNT,)))
    later = replace(LEARNED, rate=None, blocked_until=None, seen_at=NOON)
    other = replace(LEARNED, source="out-b")
    await sites.save(SiteRecord((later, other), (replace(COUNT, messages=500),)))
    found = await sites.load(NOON)
    assert set(found.standings) == {later, other}
    assert found.warmups == (replace(COUNT, messages=500),)


async def test_counts_of_another_day_do_not_count(sites: SiteStore) -> None:
    await sites.save(SiteRecord((), (COUNT, replace(COUNT, day=TODAY - 1))))
    assert (await sites.load(NOON)).warmups == (COUNT,)
    assert (await sites.load(NOON + 86400)).warmups == ()
    assert await sites.forget(NOON) == 1
    assert await sites.forget(NOON + 86400) == 1


async def test_sites_that_nothing_is_sent_to_are_forgotten(sites: SiteStore) -> None:
    await sites.save(SiteRecord((LEARNED, PLAIN)))
    late = PLAIN.seen_at + REMEMBERED
    assert (await sites.load(late)).standings == (LEARNED,)
    assert await sites.forget(late) == 1
    assert await sites.find("") == [LEARNED]


async def test_sites_are_found_by_name_and_by_rule(sites: SiteStore) -> None:
    other = replace(LEARNED, source="")
    await sites.save(SiteRecord((LEARNED, PLAIN, other)))
    assert list(await sites.find("mx.")) == [PLAIN, other, LEARNED]
    assert list(await sites.find("Example.ORG")) == [other, LEARNED]
    assert list(await sites.find("GOOG")) == [PLAIN]
    assert list(await sites.find("%")) == []
    assert list(await sites.find("nowhere")) == []
