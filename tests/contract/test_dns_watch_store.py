"""The promises of DnsWatchStore; the fake keeps them too, so that tests on it prove something."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.contract.implementations import OpenStore
from tests.fakes.dns_watch_store import MemoryDnsWatchStore

from postroom.admin.dnswatch.model import HOST, DnsWatchStore, KnownFault, WatchedDomain

FAULT = KnownFault("spf-several", "example.org", "error", "two – ü", 1_800_000_000.125, 2, 1, told=True)
FIRST = WatchedDomain("example.org", 1_800_000_100.5, (FAULT, replace(FAULT, subject="b", told=False, missed=0)))
HOSTS = WatchedDomain(HOST, 1_800_000_200.0)
Reopen = Callable[[], Awaitable[DnsWatchStore]]


@pytest.fixture(params=["stored", "fake"])
async def reopen(request: pytest.FixtureRequest, open_store: OpenStore) -> Reopen:
    """Opens the same data, as another process would."""
    fake = MemoryDnsWatchStore()

    async def again() -> DnsWatchStore:
        return fake if request.param == "fake" else (await open_store()).dns_watch

    return again


async def test_what_was_saved_is_there_after_a_restart(reopen: Reopen) -> None:
    watch = await reopen()
    assert list(await watch.load()) == []
    await watch.save([FIRST, HOSTS])
    assert list(await (await reopen()).load()) == [HOSTS, FIRST]


async def test_a_save_replaces_the_same_domain_alone(reopen: Reopen) -> None:
    watch = await reopen()
    await watch.save([FIRST, HOSTS])
    later = WatchedDomain("example.org", 1_800_003_700.0)
    await watch.save([later])
    assert list(await watch.load()) == [HOSTS, later]


async def test_domains_that_are_ours_no_more(reopen: Reopen) -> None:
    watch = await reopen()
    await watch.save([FIRST, HOSTS])
    await watch.forget(["example.org", "never.example"])
    await watch.save([])
    await watch.forget([])
    assert list(await watch.load()) == [HOSTS]
