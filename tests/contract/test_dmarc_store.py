"""The promises of DmarcStore; the fake keeps them too, so that tests on it prove something."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.contract.implementations import OpenStore
from tests.fakes.dmarc_store import MemoryDmarcStore
from tests.fakes.letters import NOON

from postroom.outbound.daily.counts import TALLY_KEPT
from postroom.outbound.dmarcrpt.store import DmarcCount, DmarcStore

TODAY = int(NOON // 86400)
ONE = DmarcCount(TODAY, "example.org", '{"p":"none"}', '{"ip":"192.0.2.1","from":"\u00fc.example"}', 7)
LEFT_OUT = replace(ONE, row="", count=1)
Reopen = Callable[[], Awaitable[DmarcStore]]


@pytest.fixture(params=["stored", "fake"])
async def reopen(request: pytest.FixtureRequest, open_store: OpenStore) -> Reopen:
    """Opens the same data, as another process would."""
    fake = MemoryDmarcStore()

    async def again() -> DmarcStore:
        return fake if request.param == "fake" else (await open_store()).dmarc_tally

    return again


@pytest.fixture
async def counts(reopen: Reopen) -> DmarcStore:
    return await reopen()


async def test_what_was_saved_is_there_after_a_restart(counts: DmarcStore, reopen: Reopen) -> None:
    assert tuple(await counts.load(NOON)) == ()
    await counts.save((ONE, LEFT_OUT))
    await counts.save(())
    assert set(await (await reopen()).load(NOON)) == {ONE, LEFT_OUT}


async def test_a_save_replaces_what_is_there_of_the_same(counts: DmarcStore) -> None:
    await counts.save((ONE, LEFT_OUT))
    await counts.save((replace(ONE, count=9),))
    assert set(await counts.load(NOON)) == {replace(ONE, count=9), LEFT_OUT}


async def test_what_was_reported_is_gone(counts: DmarcStore) -> None:
    other, yesterday = replace(ONE, domain="b.example"), replace(ONE, day=TODAY - 1)
    await counts.save((ONE, LEFT_OUT, other, yesterday))
    await counts.reported(TODAY, "example.org")
    assert set(await counts.load(NOON)) == {other, yesterday}


async def test_days_that_are_over_are_not_loaded_and_are_forgotten(counts: DmarcStore) -> None:
    await counts.save((ONE, replace(ONE, day=TODAY + 1)))
    later = NOON + TALLY_KEPT * 86400
    assert tuple(await counts.load(later)) == (replace(ONE, day=TODAY + 1),)
    assert await counts.forget(later) == 1
    assert await counts.forget(later) == 0


async def test_thousands_in_one_write(counts: DmarcStore) -> None:
    many = [replace(ONE, row=f'{{"n":{number}}}') for number in range(5000)]
    await counts.save(many)
    assert set(await counts.load(NOON)) == set(many)
