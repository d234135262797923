"""Leases, lines, limits, dead sites, draining (DESIGN §4 step 7, §5, §8)."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

import pytest
from tests.fakes.carrier import ACCEPTED, DOWN, GREYLISTED
from tests.fakes.house import House

from postroom.mail.delivery import Deferred, DeliveryRequest, Failed, RecipientState, RouteKind, Site
from postroom.mail.message import QueueId
from postroom.mail.reply import Reply
from postroom.queue.carrier import Grant, Promise, Wait
from postroom.queue.expansion import build, expand
from postroom.queue.lines import DEAD_AFTER
from postroom.queue.model import Lease, LeaseAnswer, LeaseQuestion, QueueAction, QueueFilter
from postroom.report.events import AttemptMade, InternalError, LeaseLost, StoreTrouble

HOUR = 3600.0


async def fill(house: House, count: int, domain: str, *, lease: Lease | None = None, priority: int = 0) -> None:
    """Queue mail behind the scheduler's back, as another process would."""
    for n in range(count):
        draft = house.draft(f"r{n}@{domain}", asks={"priority": priority})
        expansion = expand(draft, tuple([await house.resolve(r.address) for r in draft.envelope.recipients]), 0.0)
        await house.store.take_in([replace(build(draft, expansion, 0.0), lease=lease)])


def order(house: House) -> list[str]:
    """Whose turn came when."""
    return [request.recipients[0].recipient.address.local for request in house.carrier.requests]


async def test_higher_priority_goes_first_in_line() -> None:  # RFC 6710 §5.1
    house = House()
    house.shaper.limit_ = 1
    gate = house.carrier.gate = asyncio.Event()
    async with house.running():
        for name, priority in (("first", 0), ("bulk", -4), ("normal", 0), ("urgent", 4), ("flash", 9)):
            await house.send(f"{name}@far.example", asks={"priority": priority})
            await house.clock.pass_time(1)
        gate.set()
        await house.clock.pass_time(1)
        assert order(house) == ["first", "flash", "urgent", "normal", "bulk"]


async def test_higher_priority_goes_first_among_sites() -> None:  # RFC 6710 §5.1
    """Where all connections are in use, the next that is free serves the site with the urgent mail."""
    house = House()
    house.concurrency = 1
    gate = house.carrier.gate = asyncio.Event()
    async with house.running():
        await house.send("first@a.example")
        for site in "bcd":
            await house.send(f"normal@{site}.example")
        await house.send("urgent@d.example", asks={"priority": 4})
        await house.clock.pass_time(1)
        gate.set()
        await house.clock.pass_time(1)
        assert order(house)[:2] == ["first", "urgent"]
        assert len(order(house)) == 5


async def test_higher_priority_is_leased_before_the_rest() -> None:  # RFC 6710 §5.1
    house = House(ready=10)
    house.shaper.limit_ = 1
    async with house.running():
        await fill(house, 50, "far.example")
        await fill(house, 1, "near.example", priority=1)
        house.scheduler.wake()
        await house.clock.pass_time(1)
        assert house.carrier.requests[0].site.key == "near.example"
        assert sum(house.carrier.delivered.values()) == 51


async def test_what_others_queued_is_found_by_polling() -> None:
    house = House(poll=1.0)
    async with house.running():
        await fill(house, 3, "far.example")
        await house.clock.pass_time(1.1)
        assert sum(house.carrier.delivered.values()) == 3
        assert house.carrier.requests[0].content is None


async def test_wake_asks_at_once() -> None:
    house = House()
    async with house.running():
        await fill(house, 1, "far.example")
        house.scheduler.wake()
        await house.clock.pass_time(0)
        assert sum(house.carrier.delivered.values()) == 1


async def test_the_next_due_time_is_kept_without_polling() -> None:
    house = House(first_retry=10)
    house.carrier.outcome = GREYLISTED
    async with house.running():
        await house.send("bob@far.example")
        await house.clock.pass_time(9.9)
        assert len(house.carrier.requests) == 1
        await house.clock.pass_time(0.2)
        assert len(house.carrier.requests) == 2


async def test_recipients_at_one_site_travel_together_whatever_their_domains() -> None:
    house = House()
    shared = Site("google", RouteKind.MX, (("mx.google.example",),))
    house.router.sites = {"a.example": shared, "b.example": shared}
    async with house.running():
        for _ in range(2):  # the first asks for the way, the second knows it
            await house.send("x@a.example", "y@b.example", "z@c.example", "w@a.example")
            await house.clock.pass_time(0)
        groups = sorted(
            (request.site.key, sorted(str(one.recipient.address) for one in request.recipients))
            for request in house.carrier.requests
        )
        assert (
            groups
            == [("c.example", ["z@c.example"])] * 2 + [("google", ["w@a.example", "x@a.example", "y@b.example"])] * 2
        )
        assert len(house.router.asked) == 3


async def test_a_request_has_no_more_recipients_than_every_server_must_take() -> None:  # RFC 5321 §4.5.3.1.8
    house = House()
    async with house.running():
        await house.send(*[f"r{n}@far.example" for n in range(250)])
        await house.clock.pass_time(0)
        assert sorted(len(request.recipients) for request in house.carrier.requests) == [50, 100, 100]


async def test_a_domain_without_way_has_the_routers_outcome() -> None:
    house = House()
    null_mx = Failed(Reply.of(556, "5.1.10", "takes no mail"))
    house.router.outcomes["null.example"] = null_mx
    async with house.running():
        await house.send("bob@null.example", "carl@far.example")
        await house.clock.pass_time(0)
        attempts = {attempt.recipient: attempt for attempt in house.told(AttemptMade)}
        assert attempts["bob@null.example"].outcome == null_mx
        assert attempts["bob@null.example"].site is None
        assert attempts["bob@null.example"].state is RecipientState.FAILED
        assert attempts["carl@far.example"].state is RecipientState.RELAYED


async def test_a_router_that_breaks_defers() -> None:
    house = House()
    house.router.raises = ZeroDivisionError()
    async with house.running():
        await house.send("bob@far.example")
        await house.clock.pass_time(0)
        (attempt,) = house.told(AttemptMade)
        assert attempt.state is RecipientState.DEFERRED
        assert attempt.outcome.reply.status == "4.4.3"
        assert [complaint.where for complaint in house.told(InternalError)] == ["route"]


async def test_slow_name_servers_do_not_hold_up_the_others() -> None:
    house = House()
    house.router.gates["slow.example"] = asyncio.Event()
    async with house.running():
        await house.send("bob@slow.example")
        await house.send("carl@far.example")
        await house.clock.pass_time(0)
        assert list(house.carrier.delivered) == ["carl@far.example"]
        house.router.gates["slow.example"].set()
        await house.clock.pass_time(0)
        assert house.carrier.delivered["bob@slow.example"] == 1


async def test_a_route_is_asked_again_after_a_while() -> None:
    house = House()
    async with house.running():
        await house.send("bob@far.example")
        await house.clock.pass_time(5)
        await house.send("bob@far.example")
        await house.clock.pass_time(30)
        house.router.sites["far.example"] = Site("elsewhere", RouteKind.MX)
        await house.send("bob@far.example")
        await house.clock.pass_time(0)
        assert [request.site.key for request in house.carrier.requests] == ["far.example", "far.example", "elsewhere"]


async def test_a_site_has_no_more_requests_than_its_limit() -> None:
    house = House()
    house.shaper.limit_ = 3
    async with house.running():
        house.carrier.gate = asyncio.Event()
        for n in range(50):
            await house.send(f"r{n}@far.example")
            await house.send(f"r{n}@other.example")
        await house.clock.pass_time(0)
        assert house.carrier.under_way == {"far.example": 3, "other.example": 3, "": 6}
        house.carrier.gate.set()
        await house.clock.pass_time(0)
        assert sum(house.carrier.delivered.values()) == 100
        assert house.carrier.peak["far.example"] == 3


async def test_all_sites_together_have_no_more_than_the_total_and_take_turns() -> None:
    house = House()
    house.concurrency = 4
    house.carrier.seconds = 1.0
    async with house.running():
        for n in range(30):
            await house.send(f"r{n}@busy.example")
        for n in range(3):
            await house.send(f"r{n}@small.example")
        await house.clock.pass_time(4.5)
        assert house.carrier.peak[""] == 4
        assert sum(count for name, count in house.carrier.delivered.items() if "small" in name) == 3
        await house.clock.pass_time(10)
        assert sum(house.carrier.delivered.values()) == 33


async def test_a_slow_site_does_not_take_the_places_of_others() -> None:
    house = House(ready=100, ready_per_site=80, poll=1.0)
    house.shaper.limit_ = 2
    house.carrier.gates = {f"slow{n}.example": asyncio.Event() for n in range(5)}
    async with house.running():
        for n in range(5):
            for _ in range(200):
                await house.send(f"someone@slow{n}.example")
            await house.clock.pass_time(1)
        await house.send("bob@far.example")
        await house.clock.pass_time(1.1)
        assert house.carrier.delivered["bob@far.example"] == 1
        for gate in house.carrier.gates.values():
            gate.set()
        await house.clock.pass_time(60)
        assert sum(house.carrier.delivered.values()) == 1001


async def test_a_long_queue_is_leased_piece_by_piece() -> None:
    house = House(ready=40, ready_per_site=20, poll=1.0)
    async with house.running():
        await fill(house, 500, "far.example")
        peak = 0

        def look(_: object) -> None:
            nonlocal peak
            held = sum(one.state is RecipientState.LEASED for one in house.store.recipients())
            peak = max(peak, held)

        house.carrier.on_request = look
        house.scheduler.wake()
        await house.clock.pass_time(10)
        assert sum(house.carrier.delivered.values()) == 500
        assert peak <= 40


# Dead sites


async def test_a_dead_site_is_not_tried_by_all_who_wait() -> None:
    house = House(poll=1.0)
    house.shaper.limit_ = 5
    house.carrier.by_domain["dead.example"] = DOWN
    house.carrier.seconds = 30.0
    async with house.running():
        for n in range(200):
            await house.send(f"r{n}@dead.example")
        await house.clock.pass_time(62)
        assert len(house.carrier.requests) <= 2 * DEAD_AFTER
        attempts = house.told(AttemptMade)
        assert len(attempts) == 200  # all are rescheduled with the trouble of those who tried
        assert {attempt.outcome.reply for attempt in attempts} == {DOWN.reply}
        assert {attempt.state for attempt in attempts} == {RecipientState.DEFERRED}
        assert not [one for one in house.store.recipients() if one.attempts != 1]


async def test_fresh_mail_for_a_dead_site_is_put_off_without_an_attempt() -> None:
    house = House(poll=1.0, first_retry=600)
    house.carrier.by_domain["dead.example"] = DOWN
    async with house.running():
        for n in range(DEAD_AFTER):
            await house.send(f"r{n}@dead.example")
        await house.clock.pass_time(1)
        tried = len(house.carrier.requests)
        await house.send("late@dead.example")
        assert house.store.intakes[-1].lease is None
        await house.clock.pass_time(15)
        assert len(house.carrier.requests) == tried
        late = [attempt for attempt in house.told(AttemptMade) if attempt.recipient == "late@dead.example"]
        assert [attempt.state for attempt in late] == [RecipientState.DEFERRED]
        assert isinstance(late[0].outcome, Deferred)
        assert "not attempted" in late[0].outcome.detail


async def test_a_dead_site_is_tried_by_one_and_used_again_when_it_answers() -> None:
    house = House(poll=1.0)
    house.carrier.by_domain["dead.example"] = DOWN
    async with house.running():
        for n in range(50):
            await house.send(f"r{n}@dead.example")
        await house.clock.pass_time(1)
        before = len(house.carrier.requests)
        await house.clock.pass_time(310)
        assert len(house.carrier.requests) == before + 1  # one went to see
        house.carrier.by_domain.clear()
        await house.clock.pass_time(2 * HOUR)
        assert sum(house.carrier.delivered.values()) == 50
        assert not house.store.messages


async def test_a_dead_site_that_says_that_it_is_there_is_tried_at_once() -> None:  # RFC 1985
    house = House(poll=1.0, first_retry=3600.0)
    house.carrier.by_domain = {"dead.example": DOWN, "gone.example": DOWN}
    async with house.running():
        for n in range(20):
            await house.send(f"r{n}@dead.example")
            await house.send(f"r{n}@gone.example")
        await house.clock.pass_time(1)
        house.carrier.by_domain.clear()
        await house.store.act(QueueAction.RETRY, QueueFilter(), house.clock.now())
        await house.clock.pass_time(2)
        assert not house.carrier.delivered
        await house.store.act(QueueAction.RETRY, QueueFilter(), house.clock.now())
        house.scheduler.revive(lambda destination: destination == "dead.example")
        await house.clock.pass_time(2)
        assert {address.partition("@")[2] for address in house.carrier.delivered} == {"dead.example"}
        assert sum(house.carrier.delivered.values()) == 20


async def test_a_dead_sites_mail_expires_like_any_other() -> None:
    house = House(poll=600.0, lifetime=24 * HOUR)
    house.carrier.by_domain["dead.example"] = DOWN
    async with house.running():
        for n in range(30):
            await house.send(f"r{n}@dead.example", sender=None)
        await house.clock.pass_time(26 * HOUR)
        assert not house.store.messages
        assert len([row for row in house.store.history if row.kind == "expired"]) == 30


@pytest.mark.parametrize(
    "outcome",
    [
        GREYLISTED,  # the site answers, if only to put us off
        Deferred(Reply.of(451, "4.4.2", "lost"), ambiguous=True),
    ],
)
async def test_other_trouble_does_not_make_a_site_dead(outcome: Deferred) -> None:
    house = House()
    house.carrier.outcome = outcome
    async with house.running():
        for n in range(50):
            await house.send(f"r{n}@far.example")
        await house.clock.pass_time(1)
        assert len(house.carrier.requests) == 50


async def test_421_at_the_greeting_counts_as_the_sites_trouble() -> None:
    house = House()
    house.shaper.limit_ = 1
    house.carrier.outcome = Deferred(Reply.of(421, "4.3.2", "too busy"))
    async with house.running():
        for n in range(50):
            await house.send(f"r{n}@far.example")
        await house.clock.pass_time(1)
        assert len(house.carrier.requests) == DEAD_AFTER


async def test_one_blocked_site_leaves_the_others_alone() -> None:
    house = House(poll=1.0, ready=200, ready_per_site=50)
    house.carrier.by_domain["dead.example"] = DOWN
    async with house.running():
        await fill(house, 2000, "dead.example")
        house.scheduler.wake()
        await house.clock.pass_time(5)
        await fill(house, 20, "far.example")
        await house.clock.pass_time(1.1)
        assert sum(house.carrier.delivered.values()) == 20
        assert len([one for one in house.carrier.requests if one.site.key == "dead.example"]) < 40


# Leases


async def test_leases_of_long_deliveries_are_renewed() -> None:
    house = House(lease=100, poll=10.0)
    house.carrier.seconds = 1000.0
    async with house.running():
        message = await house.send("bob@far.example")
        await house.clock.pass_time(999)
        assert house.store.renewals
        assert house.store.messages[message.queue_id].leases[0].until > house.clock.now()
        await house.clock.pass_time(2)
        assert len(house.carrier.requests) == 1
        assert not house.store.messages
        assert not house.told(LeaseLost)


async def test_what_waits_too_long_under_a_lease_that_cannot_be_renewed_is_given_back() -> None:
    house = House(lease=100, poll=10.0)
    house.shaper.limit_ = 1
    house.carrier.seconds = 200.0
    async with house.running():
        await house.send("bob@far.example")
        await house.send("carl@far.example")
        house.store.failing.add("renew")
        await house.clock.pass_time(205)
        returned = [one for settled in house.store.settlements for one in settled.recipients if not one.attempts]
        assert [(str(one.recipient.address), one.state) for one in returned] == [
            ("carl@far.example", RecipientState.QUEUED)
        ]
        house.store.failing.clear()
        await house.clock.pass_time(500)
        assert house.carrier.delivered == {"bob@far.example": 1, "carl@far.example": 1}


async def test_what_is_in_hand_is_not_begun_again_when_its_lease_ran_out() -> None:
    house = House(lease=100, poll=10.0)
    house.carrier.seconds = 200.0

    async def lost(queue_ids: Sequence[QueueId], lease: Lease) -> None:
        """A renewal that the store forgets: as if the machine had slept."""

    house.store.renew = lost  # type: ignore[method-assign]
    async with house.running():
        await house.send("bob@far.example", "carl@far.example")
        await house.clock.pass_time(500)
        assert len(house.store.questions) > 10
        assert house.carrier.delivered == {"bob@far.example": 1, "carl@far.example": 1}
        assert not house.told(LeaseLost)
        assert not house.store.messages


async def test_a_lost_lease_is_told_and_the_mail_is_tried_again() -> None:
    house = House(poll=1.0)
    async with house.running():
        await fill(house, 1, "far.example", lease=Lease("a dead node", house.clock.now() + 60))
        await house.clock.pass_time(59)
        assert not house.carrier.requests
        await house.clock.pass_time(3)
        assert sum(house.carrier.delivered.values()) == 1
        (lost,) = house.told(LeaseLost)
        assert lost.recipient == "r0@far.example"
        assert house.store.kinds(lost.queue_id) == ["accepted", "recovered", "relayed"]


# Trouble


async def test_a_carrier_that_breaks_defers_and_is_told() -> None:
    house = House()
    house.carrier.raises = ZeroDivisionError("oh")
    async with house.running():
        await house.send("bob@far.example")
        await house.clock.pass_time(0)
        (attempt,) = house.told(AttemptMade)
        assert attempt.state is RecipientState.DEFERRED
        assert attempt.outcome.reply.status == "4.3.0"
        (complaint,) = house.told(InternalError)
        assert complaint.where == "carrier"
        assert "ZeroDivisionError" in complaint.trace
        house.carrier.raises = None
        await house.clock.pass_time(400)
        assert house.carrier.delivered["bob@far.example"] == 1


async def test_a_carrier_that_breaks_before_it_begins_defers_and_is_told() -> None:
    house = House()

    def breaks(_: object) -> NoReturn:
        raise RuntimeError("a bug")

    house.carrier.deliver = breaks  # type: ignore[method-assign,assignment]
    async with house.running():
        await house.send("bob@far.example")
        await house.clock.pass_time(1)
        (waiting,) = house.store.recipients()
        assert waiting.state is RecipientState.DEFERRED
        assert str(waiting.last_reply) == "451 4.3.0 local trouble, tried again later"
        assert [report.where for report in house.told(InternalError)] == ["carrier"]


async def test_a_carrier_may_promise_instead_of_waiting() -> None:
    house = House()
    house.shaper.limit_ = 2
    promises: list[Promise] = []

    def promise(request: DeliveryRequest) -> Promise:
        promises.append(asyncio.get_running_loop().create_future())
        return promises[-1]

    house.carrier.deliver = promise  # type: ignore[method-assign,assignment]
    async with house.running():
        for n in range(4):
            await house.send(f"r{n}@far.example")
        await house.clock.pass_time(1)
        assert len(promises) == 2
        promises[0].set_result({0: ACCEPTED})
        await house.clock.pass_time(1)
        assert len(promises) == 3
        promises[1].set_exception(RuntimeError("a bug"))
        await house.clock.pass_time(1)
        assert len(promises) == 4
        promises[2].set_result({0: ACCEPTED})
        assert not promises[3].done()
    assert promises[3].cancelled()  # whoever drains waits for a while only
    assert [report.state for report in house.told(AttemptMade)] == [
        RecipientState.RELAYED,
        RecipientState.DEFERRED,
        RecipientState.RELAYED,
    ]


async def test_lines_that_leave_at_once_let_all_others_go() -> None:
    house = House(ready=2000)
    house.concurrency = 1
    house.carrier.gate = asyncio.Event()
    async with house.running():
        for n in range(500):
            await house.send(f"r@d{n}.example")
        await house.clock.pass_time(1)
        assert len(house.carrier.requests) == 1
        for n in range(500):
            house.shaper.answers[f"d{n}.example"] = [Wait(1.0, "1 a second"), Grant()]
        house.carrier.gate.set()
        await house.clock.pass_time(30)
        assert sum(house.carrier.delivered.values()) == 500


async def test_a_recipient_that_the_carrier_forgot_is_deferred() -> None:
    house = House()
    house.carrier.forgets = {1}
    async with house.running():
        await house.send("bob@far.example", "carl@far.example")
        await house.clock.pass_time(0)
        states = {attempt.recipient: attempt.state for attempt in house.told(AttemptMade)}
        assert states == {"bob@far.example": RecipientState.RELAYED, "carl@far.example": RecipientState.DEFERRED}
        assert house.told(InternalError)


async def test_a_store_that_fails_is_asked_again_and_told_once() -> None:
    house = House(poll=1.0)
    async with house.running():
        house.store.failing.add("lease")
        await fill(house, 1, "far.example")
        await house.clock.pass_time(100)
        assert [trouble.recovered for trouble in house.told(StoreTrouble)] == [False]
        house.store.failing.clear()
        await house.clock.pass_time(31)
        assert [trouble.recovered for trouble in house.told(StoreTrouble)] == [False, True]
        assert sum(house.carrier.delivered.values()) == 1


async def test_a_bug_in_the_store_does_not_stop_mail() -> None:
    house = House(poll=1.0)
    lease = house.store.lease
    broken = True

    async def sometimes(question: LeaseQuestion) -> LeaseAnswer:
        if broken:
            raise ZeroDivisionError
        return await lease(question)

    house.store.lease = sometimes  # type: ignore[method-assign]
    async with house.running():
        await fill(house, 1, "far.example")
        await house.clock.pass_time(3)
        assert house.told(InternalError)
        broken = False
        await house.clock.pass_time(2)
        assert sum(house.carrier.delivered.values()) == 1


# Draining


async def test_draining_finishes_what_is_under_way_and_gives_the_rest_back() -> None:
    house = House()
    house.shaper.limit_ = 2
    house.carrier.seconds = 10.0
    async with house.running():
        house.router.gates["slow.example"] = asyncio.Event()
        await house.send("x@slow.example", "y@far.example")
        for n in range(5):
            await house.send(f"r{n}@far.example")
        await house.clock.pass_time(1)
        drain = asyncio.create_task(house.scheduler.drain(30.0))
        await house.clock.pass_time(1)
        assert house.scheduler.reserve({"far.example"}, 1, 1) is None
        await house.clock.pass_time(10)
        await drain
        assert sum(house.carrier.delivered.values()) == 2
        waiting = house.store.recipients()
        assert len(waiting) == 5
        assert {one.state for one in waiting} == {RecipientState.QUEUED}
        assert {one.attempts for one in waiting} == {0}
        assert all(one.next_attempt is not None and one.next_attempt <= house.clock.now() for one in waiting)


async def test_draining_does_not_wait_for_ever() -> None:
    house = House()
    house.carrier.gate = asyncio.Event()
    async with house.running():
        await house.send("bob@far.example")
        await house.clock.pass_time(1)
        drain = asyncio.create_task(house.scheduler.drain(5.0))
        await house.clock.pass_time(10)
        assert drain.done()
        (stored,) = house.store.messages.values()
        assert stored.leases  # nobody knows how it ended: the lease ends by itself, and the next node says so
        assert await house.store.recover("one", house.clock.now()) == 1


async def test_draining_with_a_store_that_fails_ends_too() -> None:
    house = House()
    house.store.failing.add("settle")
    async with house.running():
        await house.send("bob@far.example")
        await house.clock.pass_time(1)
        drain = asyncio.create_task(house.scheduler.drain(5.0))
        await house.clock.pass_time(20)
        assert drain.done()


async def test_mail_leased_while_draining_begins_goes_back() -> None:
    house = House(poll=1.0)
    async with house.running():
        await fill(house, 3, "far.example")
        gate = house.store.blocked["lease"] = asyncio.Event()
        house.scheduler.wake()
        await house.clock.pass_time(0)
        drain = asyncio.create_task(house.scheduler.drain(5.0))
        await house.clock.pass_time(0)
        gate.set()
        await house.clock.pass_time(6)
        await drain
        assert not house.carrier.requests
        assert {one.state for one in house.store.recipients()} == {RecipientState.QUEUED}


async def test_everything_arrives_whatever_happens_meanwhile() -> None:
    """A mixture: greylisting, refusals of service, a store that comes and goes; all of it arrives exactly once."""
    house = House(poll=5.0, ready=60, ready_per_site=30)
    house.shaper.limit_ = 3
    async with house.running():
        for round_number in range(24):
            house.carrier.outcome = (ACCEPTED, GREYLISTED, DOWN)[round_number % 3]
            house.store.failing = {"lease", "settle"} if round_number % 7 == 3 else set()
            for n in range(10):
                await house.send(f"r{round_number}-{n}@site{n % 4}.example")
            await house.clock.pass_time(20)
        house.store.failing = set()
        house.carrier.outcome = ACCEPTED
        await house.clock.pass_time(24 * HOUR)
        assert len(house.carrier.delivered) == 240
        assert set(house.carrier.delivered.values()) == {1}
        assert not house.store.messages
        assert not house.told(InternalError)


async def test_a_site_of_many_domains_keeps_to_its_places() -> None:
    house = House(poll=1.0, ready_per_site=10)
    house.shaper.limit_ = 1
    shared = Site("big", RouteKind.MX, (("mx.big.example",),))
    house.router.sites = {f"d{n}.example": shared for n in range(40)}
    async with house.running():
        gate = house.carrier.gate = asyncio.Event()
        for n in range(40):
            await fill(house, 1, f"d{n}.example")
        await house.clock.pass_time(3)
        leased = [one for one in house.store.recipients() if one.state is RecipientState.LEASED]
        assert len(leased) <= 12
        assert not [one for one in house.store.recipients() if one.attempts]
        gate.set()
        await house.clock.pass_time(20)
        assert sum(house.carrier.delivered.values()) == 40
        assert set(house.carrier.delivered.values()) == {1}


async def test_routes_and_sites_that_nobody_uses_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.queue.board._MAX_ROUTES", 5)
    house = House(poll=1.0)
    async with house.running():
        for n in range(20):
            await house.send(f"bob@d{n}.example")
        await house.clock.pass_time(15)
        dispatcher = house.scheduler._dispatcher
        assert not dispatcher._board._line_of
        await house.clock.pass_time(60)
        assert not dispatcher._board._lines


async def test_a_domain_that_is_looked_up_for_long_does_not_gather_all_places() -> None:
    house = House(poll=1.0, ready=100, ready_per_site=20)
    house.router.gates["slow.example"] = asyncio.Event()
    async with house.running():
        for _ in range(60):
            await house.send("bob@slow.example")
        await house.clock.pass_time(3)
        assert len([one for one in house.store.recipients() if one.state is RecipientState.LEASED]) == 20
        await house.send("carl@far.example")
        await house.clock.pass_time(0)
        assert house.carrier.delivered["carl@far.example"] == 1
        house.router.gates["slow.example"].set()
        await house.clock.pass_time(10)
        assert house.carrier.delivered["bob@slow.example"] == 60
