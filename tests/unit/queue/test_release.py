"""FUTURERELEASE: nothing goes before its time (RFC 4865 §4.2), in virtual time."""

import pytest
from tests.fakes.carrier import GREYLISTED
from tests.fakes.house import House, account

from postroom.directory.model import Resolved
from postroom.mail.address import Address
from postroom.mail.delivery import RecipientState, RouteKind, Site
from postroom.mail.envelope import Notify
from postroom.report.events import DsnMade, MessageAccepted

HOUR = 3600.0
DAY = 24 * HOUR
FAR = Address.parse("friend@far.example")


def a_house() -> House:
    """home.example is served by the mailboxes, as the router knows."""
    house = House()
    house.router.sites["home.example"] = Site("local:mailbox", RouteKind.MAILBOX)
    return house


def until(house: House, seconds: float) -> dict[str, object]:
    return {"hold_until": house.clock.now() + seconds, "hold_request": f"for;{seconds:.0f}"}


async def test_nothing_leaves_before_its_release() -> None:
    house = a_house()
    async with house.running():
        await house.send("bob@far.example", "ben@home.example", asks=until(house, 7200))
        (accepted,) = house.told(MessageAccepted)
        assert (accepted.placed, accepted.queued) == ((), ("bob@far.example", "ben@home.example"))
        assert {one.state for one in house.store.recipients()} == {RecipientState.QUEUED}
        await house.clock.pass_time(7199)
        assert not house.carrier.requests
        assert not house.inbox(2)
        await house.clock.pass_time(1.5)
        assert house.carrier.delivered == {"bob@far.example": 1, "ben@home.example": 1}
        assert not house.store.messages


async def test_a_release_time_that_has_passed_is_none() -> None:
    house = a_house()
    async with house.running():
        await house.send("bob@far.example", "ben@home.example", asks=until(house, 0))
        await house.clock.pass_time(0)
        assert len(house.inbox(2)) == 1
        assert house.carrier.delivered == {"bob@far.example": 1}


async def test_success_here_is_told_when_it_is_one() -> None:
    """RFC 3461 §5.2.3 a."""
    house = a_house()
    async with house.running():
        await house.send("ben@home.example", notify=Notify.SUCCESS, asks=until(house, 600))
        await house.clock.pass_time(599)
        assert not house.told(DsnMade)
        await house.clock.pass_time(2)
        assert [made.kind for made in house.told(DsnMade)] == ["delivered"]
        assert b"Future-Release-Request: for;600\r\n" in house.inbox(1)[0]  # RFC 4865 §5.1.2


async def test_an_alias_that_leads_here_and_away_is_split_at_once() -> None:
    """RFC 3461 §5.2.7.3 c: NOTIFY without SUCCESS, ORCPT for all; none of them goes early."""
    house = a_house()
    ben = account(2, "ben@home.example")
    house.resolutions["all@home.example"] = Resolved((ben,), (FAR,))
    async with house.running():
        notify = Notify.SUCCESS | Notify.FAILURE
        await house.send("all@home.example", notify=notify, asks=until(house, 600))
        queued = {str(one.recipient.address): one for one in house.store.recipients()}
        assert set(queued) == {"friend@far.example", "ben@home.example"}
        assert {one.recipient.notify for one in queued.values()} == {Notify.FAILURE}
        assert {one.recipient.orcpt for one in queued.values()} == {"rfc822;all@home.example"}
        assert [made.kind for made in house.told(DsnMade)] == ["expanded"]
        await house.clock.pass_time(601)
        assert house.carrier.delivered == {"friend@far.example": 1, "ben@home.example": 1}


async def test_an_alias_for_one_elsewhere_passes_everything_on() -> None:
    """RFC 3461 §5.2.7.2."""
    house = a_house()
    house.resolutions["fwd@home.example"] = Resolved((), (FAR,))
    async with house.running():
        await house.send("fwd@home.example", notify=Notify.SUCCESS, asks=until(house, 600))
        (queued,) = house.store.recipients()
        assert (queued.recipient.address, queued.recipient.notify) == (FAR, Notify.SUCCESS)
        assert not house.told(DsnMade)


async def test_its_age_begins_with_the_release() -> None:
    """No warning of a delay that was asked for, and a whole life of attempts."""
    house = a_house()
    house.carrier.outcome = GREYLISTED
    async with house.running():
        await house.send("bob@far.example", asks=until(house, 10 * DAY))
        await house.clock.pass_time(10 * DAY + 4 * HOUR - 1)
        assert house.carrier.requests
        assert not house.told(DsnMade)
        await house.clock.pass_time(2)
        assert [made.kind for made in house.told(DsnMade)] == ["delayed"]
        await house.clock.pass_time(4.8 * DAY)
        assert house.store.messages
        await house.clock.pass_time(0.2 * DAY)
        assert not house.store.messages
        warning, failure = house.inbox(1)
        assert b"for 5 days" in failure
        assert all(b"Arrival-Date: " in dsn and b"Future-Release-Request: " in dsn for dsn in (warning, failure))


@pytest.mark.parametrize(("notify", "count"), [(None, 1), (Notify.NEVER, 0), (Notify.SUCCESS, 0)])
async def test_an_address_that_leads_nowhere_is_told_as_notify_says(notify: Notify | None, count: int) -> None:
    """RFC 3461 §5.2.6: mail that no RCPT brought."""
    house = a_house()
    house.open()
    message = await house.send("nobody@home.example", notify=notify)
    assert len(house.told(DsnMade)) == count
    assert house.store.kinds(message.queue_id)[:2] == ["accepted", "failed"]
