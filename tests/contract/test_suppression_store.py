"""The promises of SuppressionStore; the fake keeps them too, so that tests on it prove something."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.contract.implementations import OpenStore
from tests.fakes.letters import NOON
from tests.fakes.suppression_store import MemorySuppressionStore

from postroom.mail.address import Address
from postroom.reputation.model import Origin, Suppression, SuppressionFilter
from postroom.reputation.store import SuppressionStore

DAY = 86400.0
RITA = Suppression(
    "ours.example", Address("Rita", "remote.example"), Origin.BOUNCE, "mailbox_unknown", NOON, NOON, NOON + 90 * DAY, 1,
    "550 5.1.1 no such user", 7,
)  # fmt: skip
RITA_ELSEWHERE = replace(RITA, sender_domain="public.example", cause="mailbox_disabled")
SAM = replace(RITA, recipient=Address("sam", "far.example"), origin=Origin.COMPLAINT, cause="abuse", queue_id=8)
TIM = replace(RITA, recipient=Address("tim", "far.example"), origin=Origin.MANUAL, cause="manual", queue_id=0)
EVERY = SuppressionFilter()
Reopen = Callable[[], Awaitable[SuppressionStore]]


@pytest.fixture(params=["stored", "fake"])
async def reopen(request: pytest.FixtureRequest, open_store: OpenStore) -> Reopen:
    """Opens the same data, as another process would."""
    fake = MemorySuppressionStore()

    async def again() -> SuppressionStore:
        return fake if request.param == "fake" else (await open_store()).suppression

    return again


@pytest.fixture
async def listed(reopen: Reopen) -> SuppressionStore:
    return await reopen()


async def test_what_is_put_is_found_by_another_process_and_raises_the_counter(reopen: Reopen) -> None:
    mine, other = await reopen(), await reopen()
    assert await other.is_empty()
    generation = await other.generation()
    await mine.put([RITA, SAM])
    assert await other.generation() > generation
    assert not await other.is_empty()
    keys = [SAM.key, ("ours.example", "nobody@remote.example"), RITA.key, RITA_ELSEWHERE.key]
    assert list(await other.find(keys)) == [SAM, None, RITA, None]


async def test_case_of_the_address_does_not_matter_and_is_kept(listed: SuppressionStore) -> None:
    await listed.put([RITA])
    (found,) = await listed.find([("ours.example", "rita@remote.example")])
    assert found == RITA
    assert str(RITA.recipient) == "Rita@remote.example"


async def test_events_are_joined(listed: SuppressionStore) -> None:
    again = replace(RITA, since=NOON + DAY, latest=NOON + DAY, until=NOON + 91 * DAY, reason="still", queue_id=9)
    await listed.note([RITA, again])
    (found,) = await listed.find([RITA.key])
    joined = replace(RITA, latest=NOON + DAY, until=NOON + 91 * DAY, count=2, reason="still", queue_id=9)
    assert found == joined
    await listed.note([again])
    (found,) = await listed.find([RITA.key])
    assert found == replace(joined, count=3)


async def test_what_has_ended_counts_no_more(listed: SuppressionStore) -> None:
    await listed.note([RITA])
    later = replace(RITA, since=NOON + 90 * DAY, latest=NOON + 90 * DAY, until=NOON + 180 * DAY)
    await listed.note([later])
    assert list(await listed.find([RITA.key])) == [later]


async def test_a_bounce_does_not_take_the_place_of_a_complaint(listed: SuppressionStore) -> None:
    complaint = replace(SAM, until=NOON + 700 * DAY)
    bounce = replace(RITA, recipient=SAM.recipient, latest=NOON + 1, until=NOON + 1 + 90 * DAY)
    await listed.note([complaint])
    await listed.note([bounce])
    (found,) = await listed.find([SAM.key])
    assert found == replace(complaint, latest=NOON + 1, count=2)
    await listed.note([replace(complaint, recipient=RITA.recipient), RITA])
    (found,) = await listed.find([RITA.key])
    assert found is not None
    assert found.origin is Origin.COMPLAINT


async def test_what_is_put_takes_the_place_of_what_was_there(listed: SuppressionStore) -> None:
    await listed.put([RITA])
    manual = replace(RITA, origin=Origin.MANUAL, cause="manual", until=NOON + 1)
    await listed.put([manual])
    assert list(await listed.find([RITA.key])) == [manual]


async def test_entries_are_removed(listed: SuppressionStore) -> None:
    await listed.put([RITA, RITA_ELSEWHERE])
    generation = await listed.generation()
    assert list(await listed.remove([RITA.key, SAM.key])) == [True, False]
    assert await listed.generation() > generation
    assert list(await listed.entries(EVERY, limit=10)) == [RITA_ELSEWHERE]


async def test_listed_page_by_page(listed: SuppressionStore) -> None:
    many = [replace(RITA, recipient=Address(f"user{n:02}", "remote.example")) for n in range(25)]
    await listed.put([*reversed(many), RITA_ELSEWHERE])
    first = await listed.entries(EVERY, limit=10)
    second = await listed.entries(EVERY, limit=10, after=first[-1].key)
    third = await listed.entries(EVERY, limit=10, after=second[-1].key)
    assert [*first, *second, *third] == [*many, RITA_ELSEWHERE]
    assert list(await listed.entries(EVERY, limit=10, after=third[-1].key)) == []


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (SuppressionFilter(sender_domain="public.example"), [RITA_ELSEWHERE]),
        (SuppressionFilter(recipient="rita@remote.example"), [RITA, RITA_ELSEWHERE]),
        (SuppressionFilter(recipient_domain="far.example"), [SAM, TIM]),
        (SuppressionFilter(cause="mailbox_unknown"), [RITA]),
        (SuppressionFilter(origin=Origin.COMPLAINT), [SAM]),
        (SuppressionFilter(recipient_domain="far.example", origin=Origin.MANUAL), [TIM]),
        (SuppressionFilter(holds_at=NOON + 90 * DAY), []),
        (SuppressionFilter(holds_at=NOON + 89 * DAY), [RITA, SAM, TIM, RITA_ELSEWHERE]),
        (SuppressionFilter(sender_domain="' OR 1"), []),
    ],
)
async def test_listed_by_filter(
    listed: SuppressionStore, which: SuppressionFilter, expected: list[Suppression]
) -> None:
    await listed.put([RITA, RITA_ELSEWHERE, SAM, TIM])
    assert list(await listed.entries(which, limit=10)) == expected


async def test_what_has_ended_is_forgotten(listed: SuppressionStore) -> None:
    await listed.put([RITA, replace(SAM, until=NOON + DAY)])
    generation = await listed.generation()
    assert await listed.expire(NOON + DAY) == 1
    assert await listed.generation() > generation
    assert await listed.expire(NOON + DAY) == 0
    assert list(await listed.entries(EVERY, limit=10)) == [RITA]


async def test_nothing_to_write_writes_nothing(listed: SuppressionStore) -> None:
    generation = await listed.generation()
    await listed.note([])
    await listed.put([])
    assert list(await listed.remove([])) == []
    assert list(await listed.find([])) == []
    assert await listed.generation() == generation
