"""DELIVERBY from the door to the DSN, in virtual time (RFC 2852 §4.1)."""

import asyncio
import email

import pytest
from tests.fakes.carrier import ACCEPTED, DOWN, GREYLISTED, REFUSED
from tests.fakes.house import House

from postroom.mail.address import Address
from postroom.mail.delivery import Delivered, RecipientState, RouteKind, Site
from postroom.mail.envelope import ByMode, DeliverBy, Notify, Recipient
from postroom.queue.lines import DEAD_AFTER
from postroom.report.events import AttemptMade, DsnMade

HOUR = 3600.0
LOCAL = Site("local:mailbox", RouteKind.MAILBOX)
KEPT = Delivered(ACCEPTED.reply, ACCEPTED.peer, notifies=True, keeps_time=True)


def returned(seconds: int, *, trace: bool = False) -> dict[str, object]:
    return {"deliver_by": DeliverBy(seconds, ByMode.RETURN, trace)}


def notified(seconds: int, *, trace: bool = False) -> dict[str, object]:
    return {"deliver_by": DeliverBy(seconds, ByMode.NOTIFY, trace)}


def told(house: House) -> list[str]:
    return [made.kind for made in house.told(DsnMade)]


async def test_a_message_is_returned_the_moment_its_time_is_up() -> None:
    """RFC 2852 §4.1.3: no further attempt, and a "failed" DSN with status 5.4.7."""
    house = House()
    house.carrier.outcome = GREYLISTED
    async with house.running():
        message = await house.send("bob@far.example", asks=returned(1000))
        await house.clock.pass_time(999)
        assert (len(house.carrier.requests), told(house)) == (3, [])
        await house.clock.pass_time(1.5)
        assert len(house.carrier.requests) == 3
        assert told(house) == ["failed"]
        assert house.told(AttemptMade)[-1].state is RecipientState.FAILED
        assert not house.store.messages
        assert house.store.kinds(message.queue_id)[-2:] == ["failed", "dsn"]
        (dsn,) = house.inbox(1)
        assert b"Status: 5.4.7\r\n" in dsn
        assert GREYLISTED.reply.text.encode() in dsn  # the last trouble
        assert b"Deliver-By-Date: " in dsn
        assert b"Arrival-Date: " in dsn


@pytest.mark.parametrize(("notify", "count"), [(None, 1), (Notify.FAILURE, 1), (Notify.DELAY, 0), (Notify.NEVER, 0)])
async def test_only_who_wants_failures_is_told(notify: Notify | None, count: int) -> None:
    """RFC 2852 §4.1.3: no NOTIFY, or one with FAILURE."""
    house = House()
    house.carrier.outcome = GREYLISTED
    async with house.running():
        await house.send("bob@far.example", notify=notify, asks=returned(60))
        await house.clock.pass_time(61)
        assert not house.store.messages
        assert len(told(house)) == count


async def test_an_attempt_that_ends_late_was_the_last() -> None:
    house = House()
    house.carrier.outcome = GREYLISTED
    house.carrier.seconds = 90.0
    async with house.running():
        await house.send("bob@far.example", asks=returned(60))
        await house.clock.pass_time(91)
        assert (len(house.carrier.requests), told(house)) == (1, ["failed"])


async def test_an_attempt_under_way_may_still_succeed() -> None:
    house = House()
    house.carrier.seconds = 90.0
    async with house.running():
        await house.send("bob@far.example", asks=returned(60))
        await house.clock.pass_time(91)
        assert house.carrier.delivered == {"bob@far.example": 1}
        assert told(house) == []


async def test_who_stands_in_line_is_returned_in_time_too() -> None:
    """RFC 2852 §4.1.3, where the site is busy with others."""
    house = House()
    house.shaper.limit_ = 1
    gate = house.carrier.gate = asyncio.Event()
    async with house.running():
        await house.send("first@far.example")
        await house.send("late@far.example", asks=returned(60))
        await house.send("last@far.example", asks=returned(6000))
        await house.clock.pass_time(61)
        assert told(house) == ["failed"]
        gate.set()
        await house.clock.pass_time(1)
        assert house.carrier.delivered == {"first@far.example": 1, "last@far.example": 1}


async def test_who_waits_for_a_dead_site_is_returned() -> None:
    house = House(poll=1.0)
    house.carrier.outcome = DOWN
    async with house.running():
        for n in range(DEAD_AFTER + 1):
            await house.send(f"r{n}@far.example")
            await house.clock.pass_time(1)
        await house.send("late@far.example", asks=returned(45))
        await house.clock.pass_time(56)  # a dead site is swept every ten seconds
        assert told(house) == ["failed"]


async def test_a_time_that_is_up_before_the_content_had_come() -> None:
    """RFC 2852 §4.1.3: neither placed nor queued."""
    house = House()
    house.open()
    draft = house.draft("ben@home.example", "bob@far.example", asks=returned(5))
    await house.clock.pass_time(6)
    message = await house.door.accept(draft)
    assert house.inbox(2) == []
    assert not house.store.messages
    assert house.store.kinds(message.queue_id).count("failed") == 2
    (dsn,) = house.inbox(1)
    assert dsn.count(b"Status: 5.4.7\r\n") == 2


async def test_delivery_here_keeps_the_time() -> None:
    """RFC 2852 §4.1.1."""
    house = House()
    house.open()
    await house.send("ben@home.example", asks=returned(1))
    assert len(house.inbox(2)) == 1
    assert told(house) == []


async def test_the_sender_is_told_of_a_delay_and_attempts_go_on() -> None:
    """RFC 2852 §4.1.3, mode N: a "delayed" DSN with status 4.4.7, then life goes on."""
    house = House()
    house.carrier.outcome = GREYLISTED
    async with house.running():
        await house.send("bob@far.example", asks=notified(1000))
        await house.clock.pass_time(999)
        assert told(house) == []
        await house.clock.pass_time(2)
        assert told(house) == ["delayed"]
        (dsn,) = house.inbox(1)
        assert b"Status: 4.4.7\r\n" in dsn
        assert b"Action: delayed\r\n" in dsn
        assert b"Deliver-By-Date: " in dsn
        await house.clock.pass_time(12 * HOUR)
        assert told(house) == ["delayed"]  # not a second time after four hours
        house.carrier.outcome = KEPT
        await house.clock.pass_time(4 * HOUR)
        assert house.carrier.delivered == {"bob@far.example": 1}
        assert told(house) == ["delayed"]


async def test_a_delay_that_was_told_before_it_came_here_is_not_told_again() -> None:
    """RFC 2852 §4: a by-time that is up on receipt only preserves what the sender wished."""
    house = House()
    house.carrier.outcome = GREYLISTED
    async with house.running():
        await house.send("bob@far.example", asks=notified(-30))
        await house.clock.pass_time(3 * HOUR)
        assert told(house) == []
        await house.clock.pass_time(2 * HOUR)
        assert told(house) == ["delayed"]  # the usual warning
        assert b"Status: 4.4.7\r\n" not in house.inbox(1)[0]


@pytest.mark.parametrize(("seconds", "hours"), [(6 * 3600, 6), (30 * 86400, 4)])
async def test_the_time_asked_for_stands_instead_of_the_usual_warning(seconds: int, hours: int) -> None:
    """A time beyond the message's life would never come: then the usual warning."""
    house = House()
    house.carrier.outcome = GREYLISTED
    async with house.running():
        await house.send("bob@far.example", asks=notified(seconds))
        await house.clock.pass_time(hours * HOUR - 1)
        assert told(house) == []
        await house.clock.pass_time(2)
        assert told(house) == ["delayed"]


async def test_warnings_switched_off_leave_those_that_were_asked_for() -> None:
    house = House(delay_warning=0.0)
    house.carrier.outcome = GREYLISTED
    async with house.running():
        await house.send("bob@far.example", asks=notified(1000))
        await house.clock.pass_time(1001)
        assert told(house) == ["delayed"]


@pytest.mark.parametrize(("notify", "count"), [(None, 1), (Notify.DELAY, 1), (Notify.FAILURE, 0), (Notify.NEVER, 0)])
async def test_only_who_wants_delays_is_told(notify: Notify | None, count: int) -> None:
    """RFC 2852 §4.1.3."""
    house = House()
    house.carrier.outcome = GREYLISTED
    async with house.running():
        await house.send("bob@far.example", notify=notify, asks=notified(60))
        await house.clock.pass_time(61)
        assert len(told(house)) == count


@pytest.mark.parametrize(
    ("asks", "outcome", "notify", "kinds"),
    [
        # RFC 2852 §4.1.4.2: to a hop without DELIVERBY, unless NEVER
        (notified(60), ACCEPTED, None, ["relayed"]),
        (notified(60), ACCEPTED, Notify.FAILURE, ["relayed"]),
        (notified(60), Delivered(ACCEPTED.reply, ACCEPTED.peer, notifies=True), None, ["relayed"]),
        (notified(60), ACCEPTED, Notify.NEVER, []),
        (notified(60), KEPT, None, []),
        (notified(-60), ACCEPTED, None, []),
        # RFC 2852 §4.1.4: a trace was asked for
        (notified(60, trace=True), KEPT, None, ["relayed"]),
        (returned(60, trace=True), KEPT, Notify.FAILURE, ["relayed"]),
        (returned(60, trace=True), KEPT, Notify.NEVER, []),
        (returned(60), KEPT, None, []),
        # RFC 3461 §5.2.2 b holds as ever, and one DSN is enough
        (returned(60), ACCEPTED, Notify.SUCCESS, ["relayed"]),
        (notified(60, trace=True), ACCEPTED, Notify.SUCCESS, ["relayed"]),
        (returned(60), KEPT, Notify.SUCCESS, []),
    ],
)
async def test_relaying_is_told_where_the_time_or_a_trace_asks_for_it(
    asks: dict[str, object], outcome: Delivered, notify: Notify | None, kinds: list[str]
) -> None:
    house = House()
    house.carrier.outcome = outcome
    async with house.running():
        await house.send("bob@far.example", notify=notify, asks=asks)
        await house.clock.pass_time(1)
        assert told(house) == kinds


async def test_no_trace_of_a_delivery_here() -> None:
    """RFC 2852 §4.1.4 speaks of relaying."""
    house = House()
    house.router.sites["far.example"] = LOCAL
    async with house.running():
        await house.send("bob@far.example", asks=notified(60, trace=True))
        await house.clock.pass_time(1)
        assert told(house) == []


async def test_nobody_is_told_of_the_null_senders_mail() -> None:
    """RFC 3461 §5.2."""
    house = House()
    house.carrier.by_domain = {"far.example": GREYLISTED}
    async with house.running():
        await house.send("bob@far.example", "ben@ok.example", sender=None, asks=notified(60, trace=True))
        await house.send("bob@far.example", sender=None, asks=returned(60))
        await house.clock.pass_time(100)
        assert told(house) == []


async def test_a_failure_for_another_reason_is_what_it_is() -> None:
    """RFC 2852 §4.1.2."""
    house = House()
    house.carrier.outcome = REFUSED
    async with house.running():
        await house.send("bob@far.example", asks=returned(60))
        await house.clock.pass_time(1)
        report = email.message_from_bytes(house.inbox(1)[0])
        assert f"Status: {REFUSED.reply.status}" in report.as_string()


async def test_one_time_for_all_recipients() -> None:
    house = House()
    house.carrier.by_domain = {"far.example": GREYLISTED}
    async with house.running():
        never = Recipient(Address.parse("never@far.example"), Notify.NEVER)
        await house.send("bob@far.example", "carl@ok.example", never, asks=returned(60))
        await house.clock.pass_time(61)
        assert told(house) == ["failed"]
        assert house.inbox(1)[0].count(b"Final-Recipient:") == 1
