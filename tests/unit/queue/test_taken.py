"""Accounts whose mail a rule takes elsewhere than to their mailboxes: Dovecot behind us, a Maildir, a command."""

import pytest
from tests.fakes.house import House, account

from postroom.config.road import RouteSettings, ScheduleSettings
from postroom.directory.model import Resolved
from postroom.mail.address import Address
from postroom.mail.delivery import Failed, RouteKind, Site
from postroom.mail.envelope import Envelope, Notify, Recipient
from postroom.mail.message import Message
from postroom.mail.reply import Reply
from postroom.mail.tags import Tagger
from postroom.queue.schedules import Schedules
from postroom.queue.ways import Ways
from postroom.report.events import DsnMade, MessageAccepted

ANN, BEN = Address.parse("ann@home.example"), Address.parse("ben@home.example")
FAR = Address.parse("friend@far.example")


@pytest.fixture
def house() -> House:
    """Ann's mail goes to a Maildir."""
    house = House()
    house.router.taken = {ANN}
    house.router.rules = {"ann@home.example": "boxes", "ann+lists@home.example": "boxes"}
    house.router.sites["home.example boxes"] = Site("maildir:boxes", RouteKind.MAILDIR, route="boxes")
    house.router.sites["home.example"] = Site("local:mailbox", RouteKind.MAILBOX)
    house.resolutions["ann+lists@home.example"] = house.resolutions["ann@home.example"]
    house.resolutions["team@home.example"] = Resolved(
        (account(1, "ann@home.example"), account(2, "ben@home.example")), (FAR,)
    )
    house.resolutions["info@home.example"] = house.resolutions["ann@home.example"]
    return house


async def test_who_is_taken_is_carried_and_not_placed(house: House) -> None:
    async with house.running():
        await house.send("ann@home.example", "ben@home.example")
        await house.clock.pass_time(0)
        (accepted,) = house.told(MessageAccepted)
        assert (accepted.placed, accepted.queued) == (("ben@home.example",), ("ann@home.example",))
        assert house.carrier.delivered == {"ann@home.example": 1}
        assert (len(house.inbox(1)), len(house.inbox(2))) == (0, 1)
        assert house.carrier.requests[0].site.kind is RouteKind.MAILDIR


@pytest.mark.parametrize(
    ("asked", "carried"),
    [("ann+lists@home.example", "ann+lists@home.example"), ("info@home.example", "ann@home.example")],
)
async def test_tags_go_along_and_aliases_do_not(house: House, asked: str, carried: str) -> None:
    async with house.running():
        await house.send(asked)
        await house.clock.pass_time(0)
        assert house.carrier.delivered == {carried: 1}


async def test_one_account_gets_one_copy(house: House) -> None:
    async with house.running():
        await house.send("ann@home.example", "info@home.example", "ann+lists@home.example")
        await house.clock.pass_time(0)
        assert house.carrier.delivered == {"ann@home.example": 1}


async def test_an_alias_with_some_of_each(house: House) -> None:
    async with house.running():
        await house.send("team@home.example", notify=Notify.SUCCESS | Notify.FAILURE)
        await house.clock.pass_time(0)
        # Ann is the sender too, so that the DSN goes to her Maildir
        assert house.carrier.delivered == {"ann@home.example": 2, "friend@far.example": 1}
        assert len(house.inbox(2)) == 1
        # RFC 3461 §5.2.7.3 c: expanded, and nobody of them tells of success again
        assert [made.kind for made in house.told(DsnMade)] == ["expanded"]
        wishes = {str(one.recipient.address): one.recipient.notify for one in house.carrier.requests[0].recipients}
        assert set(wishes.values()) == {Notify.FAILURE}


async def test_the_success_of_one_alone_is_told_when_it_is_one(house: House) -> None:
    async with house.running():
        await house.send("ann@home.example", notify=Notify.SUCCESS)
        await house.clock.pass_time(0)
        assert [made.kind for made in house.told(DsnMade)] == ["delivered"]


async def test_nobody_who_is_taken_is_forwarded() -> None:
    """Its return path stays that of the envelope."""
    house = House()
    house.router.taken = {ANN}

    class Paths:
        def of(self, *_: object) -> Address:
            return Address.parse("srs@home.example")

    house.ways._return_paths = Paths()
    queued, _ = house.ways.out(_message(house), Recipient(ANN), 0, 0.0, ours=True)
    assert queued.return_path is None
    queued, _ = house.ways.out(_message(house), Recipient(FAR), 0, 0.0, ANN)
    assert queued.return_path is not None


def _message(house: House) -> Message:
    return Message(house.ids.next(), 0.0, Envelope(None), b"", 0)


async def test_released_later_they_are_carried_too(house: House) -> None:
    asks = {"hold_until": house.clock.now() + 600, "hold_request": "for;600"}
    async with house.running():
        await house.send("ann@home.example", "ben@home.example", asks=asks)
        await house.clock.pass_time(590)
        assert not house.carrier.delivered
        await house.clock.pass_time(20)
        assert house.carrier.delivered == {"ann@home.example": 1, "ben@home.example": 1}
        kinds = {str(r.recipients[0].recipient.address): r.site.kind for r in house.carrier.requests}
        assert kinds == {"ann@home.example": RouteKind.MAILDIR, "ben@home.example": RouteKind.MAILBOX}


@pytest.mark.parametrize(
    "destination", ["a.example slow", "a.example slow/2", "a.example slow|other", "a.example slow/2|other/3"]
)
def test_the_schedule_of_a_rule_in_all_its_forms(destination: str) -> None:
    schedules = Schedules(
        House().settings,
        [ScheduleSettings(name="s", first_retry=7)],
        [RouteSettings(name="slow", schedule="s"), RouteSettings(name="other")],
    )
    assert schedules.at(destination).first_retry == 7
    assert schedules.at("a.example other").first_retry != 7


async def test_our_own_reports_have_the_tags_that_rules_ask_for() -> None:
    house = House()
    house.ways = Ways(house.router, tagger=Tagger([("Subject", "*"), ("X-None", "*")]))
    house.dsns._ways = house.ways
    seen: list[tuple[str, ...]] = []
    destination = house.router.destination

    def noting(message: Message, recipient: Recipient) -> str:
        seen.append(message.tags)
        return destination(message, recipient)

    house.router.destination = noting  # type: ignore[method-assign]
    house.carrier.by_address["bob@far.example"] = Failed(Reply.of(550, "5.1.1", "nobody"))
    async with house.running():
        await house.send("bob@far.example", sender="eve@far.example")
        await house.clock.pass_time(0)
    assert ("header:Subject=*",) in seen
    assert set(seen) <= {("header:Subject=*",)}
