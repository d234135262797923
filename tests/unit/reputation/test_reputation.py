"""What suppresses an address, and the list as the door asks it."""

from dataclasses import replace

import pytest
from tests.fakes.letters import a_message
from tests.fakes.suppression_store import MemorySuppressionStore

from postroom.config.road import SuppressionSettings
from postroom.mail.address import Address
from postroom.mail.cause import Blame, Cause
from postroom.mail.message import Message
from postroom.mail.trouble import StoreUnavailable
from postroom.reputation.listing import SuppressionList
from postroom.reputation.model import Origin, Suppression
from postroom.reputation.noting import after_failure, of_bounce, of_complaint

NOW = 1_800_000_000.0
DAY = 86400.0
RITA = Address.parse("rita@far.example")
SETTINGS = SuppressionSettings()
BOUNCE = of_bounce(SETTINGS, "ours.example", RITA, Cause.MAILBOX_UNKNOWN, reason="no", now=NOW, queue_id=1)


@pytest.mark.parametrize("cause", Cause)
def test_only_what_is_about_the_address_suppresses(cause: Cause) -> None:
    event = after_failure(SETTINGS, a_message(1), RITA, cause, reason="550 no", now=NOW)
    assert (event is not None) == (cause in {Cause.MAILBOX_UNKNOWN, Cause.DOMAIN_UNKNOWN, Cause.MAILBOX_DISABLED})
    if cause.blame is Blame.US:  # a block of our own address says nothing of theirs
        assert event is None


def test_only_what_an_account_sent_suppresses() -> None:
    message = a_message(1)

    def noted(one: Message) -> Suppression | None:
        return after_failure(SETTINGS, one, RITA, Cause.MAILBOX_UNKNOWN, reason="550 no", now=NOW)

    event = noted(message)
    assert event is not None
    assert event.key == ("ours.example", "rita@far.example")
    assert (event.until, event.queue_id, event.reason) == (NOW + 90 * DAY, message.queue_id, "550 no")
    assert noted(replace(message, account="")) is None
    assert noted(replace(message, envelope=replace(message.envelope, reverse_path=None))) is None
    off = SuppressionSettings(enabled=False)
    assert after_failure(off, message, RITA, Cause.MAILBOX_UNKNOWN, reason="", now=NOW) is None


def test_when_an_entry_stands() -> None:
    assert BOUNCE.stands(1, NOW)
    assert not BOUNCE.stands(2, NOW)
    assert not BOUNCE.stands(1, NOW + 90 * DAY)
    assert replace(BOUNCE, count=2).stands(2, NOW)
    complaint = of_complaint(SETTINGS, "ours.example", RITA, "abuse", now=NOW, queue_id=1)
    assert complaint.stands(5, NOW + 729 * DAY)
    assert replace(BOUNCE, origin=Origin.MANUAL).stands(5, NOW)


async def test_the_list_is_asked_once_and_follows_the_counter() -> None:
    store = MemorySuppressionStore()
    suppressions = SuppressionList(store, SETTINGS)
    await suppressions.refresh()
    at_first = suppressions.is_empty
    assert at_first
    assert await suppressions.find("ours.example", RITA, NOW) is None
    assert store.asked == 0

    await store.note([BOUNCE])
    await suppressions.refresh()
    assert not suppressions.is_empty
    for _ in range(3):
        assert await suppressions.find("ours.example", RITA, NOW) == BOUNCE
        assert await suppressions.find("other.example", RITA, NOW) is None
    assert store.asked == 2
    assert await suppressions.find("ours.example", RITA, NOW + 90 * DAY) is None

    await store.remove([BOUNCE.key])
    await suppressions.refresh()
    assert await suppressions.find("ours.example", RITA, NOW) is None


async def test_what_was_asked_while_the_list_changed_is_not_kept() -> None:
    store = MemorySuppressionStore()
    suppressions = SuppressionList(store, SETTINGS)
    await store.put([replace(BOUNCE, recipient=Address.parse("kim@far.example"))])
    await suppressions.refresh()
    find = store.find

    async def slowly(keys: object) -> object:
        found = await find(keys)  # type: ignore[arg-type] # as it was called
        await store.note([BOUNCE])
        await suppressions.refresh()
        return found

    store.find = slowly  # type: ignore[method-assign, assignment] # a store whose answer comes late
    assert await suppressions.find("ours.example", RITA, NOW) is None
    store.find = find  # type: ignore[method-assign] # and one that answers at once
    assert await suppressions.find("ours.example", RITA, NOW) == BOUNCE


async def test_before_the_first_look_it_asks_and_where_it_is_off_it_does_not() -> None:
    store = MemorySuppressionStore()
    await store.note([BOUNCE])
    assert await SuppressionList(store, SETTINGS).find("ours.example", RITA, NOW) == BOUNCE
    off = SuppressionList(store, SuppressionSettings(enabled=False))
    await off.refresh()
    assert await off.find("ours.example", RITA, NOW) is None


async def test_a_store_that_fails_is_told_and_leaves_what_is_known() -> None:
    store = MemorySuppressionStore()
    await store.note([BOUNCE])
    suppressions = SuppressionList(store, SETTINGS)
    await suppressions.refresh()
    await suppressions.find("ours.example", RITA, NOW)
    store.unavailable = True
    with pytest.raises(StoreUnavailable):
        await suppressions.refresh()
    assert await suppressions.find("ours.example", RITA, NOW) == BOUNCE
    with pytest.raises(StoreUnavailable):
        await suppressions.find("ours.example", Address.parse("kim@far.example"), NOW)
