"""The node's end of the wire, with a child in the same loop: what comes back, and what is made of its death."""

import asyncio
import logging

import pytest
from tests.fakes.apart import apart, rule_of
from tests.unit.outbound.making import make_request

from postroom.mail.cause import Cause
from postroom.mail.delivery import NO_PEER, Deferred, Delivered, DeliveryRequest, Outcome
from postroom.mail.reply import Reply
from postroom.outbound.apart.events import Said
from postroom.outbound.apart.kinds import Kind
from postroom.outbound.apart.remote import CarrierFault, RemoteCarrier
from postroom.outbound.apart.serving import WireHandler
from postroom.outbound.shaping.rules import Rule
from postroom.outbound.tlsmet import NO_POLICY, TlsMet
from postroom.queue.carrier import Promise

OK = Delivered(Reply.of(250, "2.0.0", "ok"))


class Far:
    """Carries nothing, and answers when the test says so."""

    def __init__(self) -> None:
        self.seen: list[tuple[DeliveryRequest, Rule]] = []
        self.gate = asyncio.Event()
        self.cancelled = 0

    async def carry(self, request: DeliveryRequest, rule: Rule) -> dict[int, Outcome]:
        self.seen.append((request, rule))
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return {recipient.number: OK for recipient in request.recipients}

    async def until(self, count: int) -> None:
        for _ in range(1000):
            if len(self.seen) >= count:
                return
            await asyncio.sleep(0)
        raise AssertionError(f"{len(self.seen)} of {count} came")


def ask(remote: RemoteCarrier, request: DeliveryRequest | None = None) -> Promise:
    return remote.deliver(request or make_request())


async def test_the_rule_travels_along() -> None:
    far = Far()
    far.gate.set()
    async with apart(far.carry) as pair:
        assert await pair.remote.deliver(make_request("a@x.example", "b@x.example")) == {1: OK, 2: OK}
        assert pair.remote.under_way == 0
    ((request, rule),) = far.seen
    assert rule == rule_of(request.site)


async def test_many_at_once_more_than_the_socket_holds() -> None:
    far = Far()
    async with apart(far.carry) as pair:
        content = b"x" * 60_000
        asked = [ask(pair.remote, make_request(content=content)) for _ in range(200)]
        await far.until(200)
        far.gate.set()
        assert all(outcome == {1: OK} for outcome in await asyncio.gather(*asked))
    assert {len(request.content or b"") for request, _ in far.seen} == {60_000}


async def test_what_the_child_had_is_ambiguous_when_it_dies() -> None:
    far = Far()
    async with apart(far.carry) as pair:
        asked = ask(pair.remote, make_request("a@x.example", "b@x.example"))
        await far.until(1)
        pair.die()
        outcomes = await asked
    assert set(outcomes) == {1, 2}
    for outcome in outcomes.values():
        assert isinstance(outcome, Deferred)
        assert outcome.ambiguous
        assert outcome.cause is Cause.LOCAL
        assert outcome.retry_at is None  # it counts as an attempt: what kills the carrier must not do so for ever


async def test_what_had_not_left_goes_to_the_next_child() -> None:
    remote = RemoteCarrier(rule_of, lambda _: None)
    asked = ask(remote)
    await asyncio.sleep(0)
    far = Far()
    far.gate.set()
    async with apart(far.carry, remote):
        assert await asked == {1: OK}


async def test_without_hope_of_a_child_mail_is_deferred_and_not_ambiguous() -> None:
    remote = RemoteCarrier(rule_of, lambda _: None)
    asked = ask(remote)
    await asyncio.sleep(0)
    remote.give_up("no such file")
    for outcomes in (await asked, await remote.deliver(make_request())):
        (outcome,) = outcomes.values()
        assert isinstance(outcome, Deferred)
        assert not outcome.ambiguous
        assert outcome.detail == "no such file"
    far = Far()
    far.gate.set()
    async with apart(far.carry, remote):
        assert await remote.deliver(make_request()) == {1: OK}


async def test_who_is_cancelled_is_cancelled_there() -> None:
    far = Far()
    async with apart(far.carry) as pair:
        asked = ask(pair.remote)
        await far.until(1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        for _ in range(100):
            await asyncio.sleep(0)
        assert far.cancelled == 1
        assert pair.remote.under_way == 0


async def test_who_is_cancelled_before_it_left_does_not_leave() -> None:
    far = Far()
    far.gate.set()
    async with apart(far.carry) as pair:
        asked = ask(pair.remote)
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await pair.remote.deliver(make_request())
    assert len(far.seen) == 1


async def test_a_bug_there_is_raised_here() -> None:
    async def carry(_request: DeliveryRequest, _rule: Rule) -> dict[int, Outcome]:
        raise KeyError("it is gone")

    async with apart(carry) as pair:
        with pytest.raises(CarrierFault, match="it is gone") as raised:
            await pair.remote.deliver(make_request())
        assert "Traceback" in str(raised.value)


async def test_tls_that_was_met_comes_back() -> None:
    far = Far()
    far.gate.set()
    met = TlsMet("site", ("x.example",), NO_POLICY, NO_PEER)
    async with apart(far.carry) as pair:
        pair.serving.note_tls(met)
        await pair.remote.deliver(make_request())
        assert pair.met == [met]


async def test_what_libraries_say_is_said_here(caplog: pytest.LogCaptureFixture) -> None:
    far = Far()
    far.gate.set()
    async with apart(far.carry) as pair:
        handler = WireHandler(pair.serving)
        handler.emit(logging.LogRecord("some.library", logging.WARNING, "file", 1, "%s is odd", ("it",), None))
        await asyncio.sleep(0)
        pair.serving.tell(Said("other", logging.ERROR, "100 %"))
        await pair.remote.deliver(make_request())
    assert ("some.library", logging.WARNING, "it is odd") in caplog.record_tuples
    assert ("other", logging.ERROR, "100 %") in caplog.record_tuples


@pytest.mark.parametrize(("kind", "body"), [(Kind.EVENTS, b"no json"), (Kind.REQUESTS, b"")])
async def test_a_child_that_talks_nonsense_is_cut_off(kind: Kind, body: bytes) -> None:
    far = Far()
    async with apart(far.carry) as pair:
        asked = ask(pair.remote)
        await far.until(1)
        pair.serving.link.send(kind, body)
        (outcome,) = (await asked).values()
        assert isinstance(outcome, Deferred)
        assert outcome.ambiguous


async def test_the_child_hears_when_it_is_to_end_and_when_it_is_alone() -> None:
    far = Far()
    async with apart(far.carry) as pair:
        pair.link.send(Kind.CLOSE, b"")
        assert await pair.serving.ended is True
    async with apart(far.carry) as pair:
        pair.link.abort()
        assert await pair.serving.ended is False
