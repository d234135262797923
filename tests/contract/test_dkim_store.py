"""The promises of DkimKeyStore; the fake keeps them too, so that tests on it prove something."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.contract.implementations import OpenStore
from tests.fakes.dkim_store import MemoryDkimStore
from tests.fakes.letters import NOON

from postroom.mailauth.keys.model import ED25519, RSA, By, KeyPair, KeyState, Order
from postroom.mailauth.keys.store import DkimKeyStore, NewKey

PAIR = KeyPair("example.org", "r1", RSA, "v=DKIM1; k=rsa; p=AAAA", NOON)
OTHER = KeyPair("example.org", "e1", ED25519, "v=DKIM1; k=ed25519; p=BBBB", NOON + 1)
ELSEWHERE = KeyPair("b.example", "r1", RSA, "v=DKIM1; p=CCCC", NOON + 2)
Reopen = Callable[[], Awaitable[DkimKeyStore]]


@pytest.fixture(params=["stored", "fake"])
async def reopen(request: pytest.FixtureRequest, open_store: OpenStore) -> Reopen:
    """Opens the same data, as another process would."""
    fake = MemoryDkimStore()

    async def again() -> DkimKeyStore:
        return fake if request.param == "fake" else (await open_store()).dkim

    return again


@pytest.fixture
async def keys(reopen: Reopen) -> DkimKeyStore:
    store = await reopen()
    for number, pair in enumerate((PAIR, OTHER, ELSEWHERE)):
        assert await store.begin(NewKey(pair, b"secret \x00 %d" % number))
    return store


async def test_what_was_begun_is_there_after_a_restart(keys: DkimKeyStore, reopen: Reopen) -> None:
    again = await reopen()
    assert list(await again.keys()) == [ELSEWHERE, PAIR, OTHER]
    assert list(await again.keys("example.org")) == [PAIR, OTHER]
    assert list(await again.keys("c.example")) == []
    names = [("example.org", "r1"), ("b.example", "r1"), ("example.org", "gone")]
    assert list(await again.secrets(names)) == [b"secret \x00 0", b"secret \x00 2", None]


async def test_of_one_algorithm_one_waits_at_a_time(keys: DkimKeyStore) -> None:
    second = NewKey(replace(PAIR, selector="r2"), b"x")
    for state in (KeyState.MADE, KeyState.PUBLISHED, KeyState.SEEN):
        (standing,) = [key for key in await keys.keys("example.org") if key.selector == "r1"]
        assert list(await keys.save([replace(standing, state=state)])) == [True]
        assert not await keys.begin(second)
    (standing,) = [key for key in await keys.keys("example.org") if key.selector == "r1"]
    await keys.save([replace(standing, state=KeyState.ACTIVE, active_at=NOON)])
    assert await keys.begin(second)


async def test_a_key_from_elsewhere_comes_whatever_waits(keys: DkimKeyStore) -> None:
    assert await keys.bring(NewKey(replace(PAIR, selector="2019"), b"old"))
    assert len(await keys.keys("example.org")) == 3


async def test_no_selector_is_used_twice_not_even_a_withdrawn_one(keys: DkimKeyStore) -> None:
    await keys.save([replace(PAIR, state=KeyState.WITHDRAWN, withdrawn_at=NOON + 9)])
    again = NewKey(replace(PAIR, record="v=DKIM1; p=DDDD"), b"new")
    assert not await keys.begin(again)
    assert not await keys.bring(again)
    (standing,) = [key for key in await keys.keys("example.org") if key.selector == "r1"]
    assert standing.record == PAIR.record


async def test_everything_about_a_key_is_kept(keys: DkimKeyStore, reopen: Reopen) -> None:
    full = replace(
        PAIR,
        state=KeyState.RETIRED,
        published_at=NOON + 1.25,
        seen_since=NOON + 2.5,
        sights=2,
        active_at=NOON + 3,
        retired_at=NOON + 4,
        withdrawn_at=NOON + 5,
        told_at=NOON + 6,
        by=By.UPDATE,
        order=Order.NEVER,
        trouble="ns1 does not häve it",
    )
    assert list(await keys.save([full])) == [True]
    assert replace(full, version=1) in await (await reopen()).keys()


async def test_what_never_changes_does_not(keys: DkimKeyStore) -> None:
    await keys.save([replace(PAIR, record="v=DKIM1; p=XXXX", algorithm=ED25519, made_at=0.0, sights=1)])
    assert replace(PAIR, sights=1, version=1) in await keys.keys()


async def test_whoever_has_read_an_older_version_does_not_overwrite(keys: DkimKeyStore) -> None:
    first, late = replace(PAIR, sights=1), replace(PAIR, state=KeyState.RETIRED)
    assert list(await keys.save([first])) == [True]
    assert list(await keys.save([late, replace(OTHER, sights=1)])) == [False, True]
    assert replace(first, version=1) in await keys.keys()
    missing = replace(PAIR, selector="none")
    assert list(await keys.save([missing])) == [False]
    assert list(await keys.save([])) == []


@pytest.mark.parametrize("state", [KeyState.REMOVABLE, KeyState.WITHDRAWN])
async def test_the_private_half_goes_with_its_life(keys: DkimKeyStore, state: KeyState) -> None:
    await keys.save([replace(PAIR, state=KeyState.RETIRED)])
    assert list(await keys.secrets([("example.org", "r1")])) == [b"secret \x00 0"]
    await keys.save([replace(PAIR, state=state, version=1)])
    assert list(await keys.secrets([("example.org", "r1"), ("example.org", "e1")])) == [None, b"secret \x00 1"]


async def test_private_halves_are_replaced_together_and_none_comes_back(keys: DkimKeyStore) -> None:
    await keys.save([replace(PAIR, state=KeyState.REMOVABLE)])
    names = [("example.org", "r1"), ("example.org", "e1"), ("b.example", "r1")]
    await keys.reseal([(name, b"sealed %s" % name[1].encode()) for name in names])
    assert list(await keys.secrets(names)) == [None, b"sealed e1", b"sealed r1"]
    await keys.reseal([])


async def test_every_change_raises_the_generation_and_nothing_else_does(keys: DkimKeyStore) -> None:
    seen = [await keys.generation()]

    async def raised() -> bool:
        seen.append(await keys.generation())
        return seen[-1] > seen[-2]

    await keys.bring(NewKey(replace(PAIR, selector="r3"), b"x"))
    assert await raised()
    await keys.save([replace(PAIR, sights=1)])
    assert await raised()
    await keys.reseal([(("example.org", "e1"), b"y")])
    assert await raised()
    await keys.begin(NewKey(replace(OTHER, selector="e2"), b"x"))
    await keys.save([replace(PAIR, sights=2)])
    await keys.keys()
    await keys.secrets([("example.org", "e1")])
    assert not await raised()
