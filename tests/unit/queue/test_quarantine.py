"""Mail that an operator is to look at: nobody gets it before, those who live here neither, and all of them then."""

import json

from tests.fakes.house import House, account

from postroom.directory.model import Resolved
from postroom.mail.address import Address
from postroom.mail.delivery import RecipientState, RouteKind, Site
from postroom.mail.envelope import Notify
from postroom.queue.model import QueueAction, QueueFilter
from postroom.report.events import DsnMade, MessageAccepted

WHY = "DMARC fails for bank.example"


def a_house() -> House:
    house = House()
    house.router.sites["home.example"] = Site("local:mailbox", RouteKind.MAILBOX)
    return house


async def test_nobody_gets_it_before_it_is_released() -> None:
    house = a_house()
    house.resolutions["all@home.example"] = Resolved(
        (account(2, "ben@home.example"),), (Address.parse("friend@far.example"),)
    )
    async with house.running():
        message = await house.send("ann@home.example", "all@home.example", hold=WHY, sender="x@bank.example")
        (accepted,) = house.told(MessageAccepted)
        assert accepted.placed == ()
        assert {one.state for one in house.store.recipients()} == {RecipientState.HELD}
        assert {str(one.recipient.address) for one in house.store.recipients()} == {
            "ann@home.example",
            "ben@home.example",
            "friend@far.example",
        }
        await house.clock.pass_time(10 * 86400)
        assert not house.carrier.requests
        assert not house.inbox(1)
        assert not house.told(DsnMade)
        rows = [row for row in house.store.history if row.kind == "held"]
        assert {json.loads(row.detail)["quarantine"] for row in rows} == {WHY}
        which = QueueFilter(queue_ids=(message.queue_id,))
        assert await house.store.act(QueueAction.RELEASE, which, house.clock.now()) == 3
        house.scheduler.wake()
        await house.clock.pass_time(5)
        assert set(house.carrier.delivered) == {"ann@home.example", "ben@home.example", "friend@far.example"}
        assert not house.store.messages


async def test_it_can_be_thrown_away() -> None:
    house = a_house()
    async with house.running():
        message = await house.send("ann@home.example", hold=WHY, sender="x@bank.example", notify=Notify.SUCCESS)
        assert not house.told(DsnMade)  # nothing is delivered yet
        which = QueueFilter(queue_ids=(message.queue_id,))
        assert await house.store.act(QueueAction.REMOVE, which, house.clock.now()) == 1
        assert not house.store.recipients()


async def test_facts_stand_in_the_history() -> None:
    house = a_house()
    house.open()
    facts = {"checked": {"results": [["spf", "pass", "a.example"]], "action": "accept"}}
    await house.send("ann@home.example", facts=facts)
    assert json.loads(house.store.history[0].detail)["checked"] == facts["checked"]
