"""The promises of TlsStore; the fake keeps them too, so that tests on it prove something."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.contract.implementations import OpenStore
from tests.fakes.letters import NOON
from tests.fakes.tls_store import MemoryTlsStore

from postroom.mail.delivery import StsMode, StsPolicy
from postroom.outbound.daily.counts import TALLY_KEPT
from postroom.outbound.tlsstore import (
    LEVEL_KEPT,
    MOST_POLICIES,
    HostLevel,
    KeptPolicy,
    Tally,
    TlsLevel,
    TlsRecord,
    TlsStore,
)

TODAY = int(NOON // 86400)
LINES = ("version: STSv1", "mode: enforce", "mx: *.example.org", "x-é: ü")
POLICY = StsPolicy("example.org", StsMode.ENFORCE, ("mx.example.org", "*.example.org"), "20261126", NOON + 1e6, LINES)
RECORD = TlsRecord(
    (KeptPolicy(POLICY, NOON - 0.123456), KeptPolicy(StsPolicy("b.example", StsMode.NONE, (), "1", NOON + 50), NOON)),
    (HostLevel("mx.example.org", TlsLevel.VERIFIED, NOON - 1e6, NOON - 3),),
    (Tally(TODAY, "example.org", "{}", "", 7), Tally(TODAY, "example.org", "{}", '{"result-type":"x"}', 1)),
)
Reopen = Callable[[], Awaitable[TlsStore]]


@pytest.fixture(params=["stored", "fake"])
async def reopen(request: pytest.FixtureRequest, open_store: OpenStore) -> Reopen:
    """Opens the same data, as another process would."""
    fake = MemoryTlsStore()

    async def again() -> TlsStore:
        return fake if request.param == "fake" else (await open_store()).tls

    return again


@pytest.fixture
async def tls(reopen: Reopen) -> TlsStore:
    return await reopen()


def in_order(record: TlsRecord) -> tuple[set[object], ...]:
    return set(record.policies), set(record.levels), set(record.tallies)


async def test_what_was_saved_is_there_after_a_restart(tls: TlsStore, reopen: Reopen) -> None:
    assert len(await tls.load(NOON)) == 0
    await tls.save(RECORD)
    assert in_order(await (await reopen()).load(NOON)) == in_order(RECORD)


async def test_a_save_replaces_what_is_there_of_the_same(tls: TlsStore) -> None:
    await tls.save(RECORD)
    newer = KeptPolicy(replace(POLICY, policy_id="2", mode=StsMode.TESTING), NOON + 1)
    lower = HostLevel("mx.example.org", TlsLevel.NONE, NOON, NOON)
    more = Tally(TODAY, "example.org", "{}", "", 9)
    await tls.save(TlsRecord((newer,), (lower,), (more,)))
    found = await tls.load(NOON)
    assert newer in found.policies
    assert found.levels == (lower,)
    assert more in found.tallies
    assert len(found) == len(RECORD)


async def test_what_is_over_is_not_loaded_and_is_forgotten(tls: TlsStore) -> None:
    await tls.save(RECORD)
    assert len(await tls.load(NOON + 50)) == 4
    assert await tls.forget(NOON + 50) == 1
    assert await tls.forget(NOON + 50) == 0
    later = NOON + TALLY_KEPT * 86400
    assert (await tls.load(later)).tallies == ()
    assert await tls.forget(later) == 2
    assert await tls.forget(NOON + LEVEL_KEPT) == 2
    assert len(await tls.load(NOON)) == 0


async def test_what_was_reported_is_gone(tls: TlsStore) -> None:
    other = Tally(TODAY, "b.example", "{}", "", 1)
    yesterday = Tally(TODAY - 1, "example.org", "{}", "", 1)
    await tls.save(TlsRecord((), (), (*RECORD.tallies, other, yesterday)))
    await tls.reported(TODAY, "example.org")
    assert set((await tls.load(NOON)).tallies) == {other, yesterday}


async def test_of_too_many_policies_the_oldest_go(tls: TlsStore) -> None:
    policies = [KeptPolicy(replace(POLICY, domain=f"d{n}.example"), NOON + n) for n in range(MOST_POLICIES + 2)]
    await tls.save(TlsRecord(tuple(policies)))
    assert await tls.forget(NOON) == 2
    assert {kept.policy.domain for kept in policies[2:]} == {
        kept.policy.domain for kept in (await tls.load(NOON)).policies
    }
