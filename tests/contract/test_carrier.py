"""The port ``queue.carrier.Carrier``: in the node, and in a process of its own at the other end of the wire."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from tests.fakes.apart import apart, carried_by
from tests.fakes.peer import ScriptedPeer
from tests.unit.outbound.making import CONTENT, PREFIX, StoredContent, make_carrier, make_request

from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Delivered, Failed, RouteKind, Site
from postroom.mail.trouble import StoreUnavailable
from postroom.outbound.carrier import SmtpCarrier
from postroom.queue.carrier import Carrier


@pytest.fixture(params=["in the node", "apart"])
async def house(request: pytest.FixtureRequest) -> AsyncIterator["House"]:
    async with AsyncExitStack() as stack:
        yield House(stack, is_apart=request.param == "apart")


class House:
    """Makes the implementation under test from a carrier."""

    def __init__(self, stack: AsyncExitStack, *, is_apart: bool) -> None:
        self._stack = stack
        self._is_apart = is_apart

    async def carrier(self, carrier: SmtpCarrier) -> Carrier:
        self._stack.push_async_callback(carrier.close)
        if not self._is_apart:
            return carrier
        return (await self._stack.enter_async_context(apart(carried_by(carrier)))).remote


async def test_an_outcome_for_each_recipient_by_its_number(house: House) -> None:
    peer = ScriptedPeer(replies={"RCPT TO:<b@": "550 5.1.1 no such user", "RCPT TO:<c@": "450 4.2.1 later"})
    carrier = await house.carrier(make_carrier(peer))
    outcomes = await carrier.deliver(make_request("a@example.org", "b@example.org", "c@example.org"))
    assert {number: type(outcome) for number, outcome in outcomes.items()} == {1: Delivered, 2: Failed, 3: Deferred}
    assert outcomes[2].reply.lines == ("no such user",)
    assert outcomes[2].peer.host == "mx.example.org"
    assert [taken.content for taken in peer.taken] == [PREFIX + CONTENT]


async def test_connections_are_kept(house: House) -> None:
    peer = ScriptedPeer()
    carrier = await house.carrier(make_carrier(peer))
    for _ in range(3):
        await carrier.deliver(make_request())
    assert peer.connections == 1
    assert len(peer.taken) == 3


async def test_what_the_network_does_is_an_outcome(house: House) -> None:
    carrier = await house.carrier(make_carrier(ScriptedPeer(refuse=ConnectionRefusedError("no"))))
    (outcome,) = (await carrier.deliver(make_request())).values()
    assert isinstance(outcome, Deferred)
    assert outcome.cause is Cause.CONNECTION


async def test_a_lost_final_reply_is_ambiguous(house: House) -> None:
    carrier = await house.carrier(make_carrier(ScriptedPeer(close_at=".")))
    (outcome,) = (await carrier.deliver(make_request())).values()
    assert isinstance(outcome, Deferred)
    assert outcome.ambiguous


async def test_content_that_is_not_at_hand_is_read(house: House) -> None:
    peer = ScriptedPeer()
    pieces = [b"Subject: large\r\n\r\n", *[b"x" * 998 + b"\r\n"] * 400]
    carrier = await house.carrier(make_carrier(peer, source=StoredContent(pieces)))
    size = sum(map(len, pieces))
    (outcome,) = (await carrier.deliver(make_request(content=None, size=size))).values()
    assert isinstance(outcome, Delivered)
    assert peer.taken[0].content == PREFIX + b"".join(pieces)


async def test_a_store_that_fails_is_a_fault_of_ours(house: House) -> None:
    source = StoredContent([b"x"], failure=StoreUnavailable("locked"))
    carrier = await house.carrier(make_carrier(ScriptedPeer(), source=source))
    (outcome,) = (await carrier.deliver(make_request(content=None, size=5))).values()
    assert isinstance(outcome, Deferred)
    assert outcome.cause is Cause.LOCAL


async def test_what_is_discarded_is_delivered(house: House) -> None:
    carrier = await house.carrier(make_carrier(ScriptedPeer()))
    (outcome,) = (await carrier.deliver(make_request(site=Site("discard", RouteKind.DISCARD)))).values()
    assert isinstance(outcome, Delivered)
