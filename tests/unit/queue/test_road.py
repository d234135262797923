"""The gate before each request, rests, pauses, flushes, and ways by rule: what the dispatcher does on the road."""

import asyncio
from dataclasses import replace

import pytest
from tests.fakes.carrier import ACCEPTED, DOWN, GREYLISTED, REFUSED
from tests.fakes.house import House

from postroom.config.road import RouteSettings, ScheduleSettings
from postroom.directory.model import NotLocal, Resolved
from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, RecipientState, RouteKind, Site, StsMode, StsPolicy
from postroom.mail.envelope import ByMode, DeliverBy, Notify, Recipient
from postroom.mail.message import Message
from postroom.mail.reply import Reply
from postroom.mail.trouble import StoreUnavailable
from postroom.queue.carrier import Grant, Wait
from postroom.queue.expansion import build, expand
from postroom.queue.lines import DEAD_AFTER, SWEEP_PAUSE
from postroom.queue.model import Intake, Pause, PauseKind, QueueAction, QueueFilter
from postroom.queue.putoff import PAUSE_LOOK, is_put_off
from postroom.queue.ways import Ways
from postroom.report.events import AttemptMade, InternalError
from postroom.report.road import QueuePaused

HOUR = 3600.0
TOO_MANY = Deferred(Reply.of(421, "4.7.0", "too many connections"), cause=Cause.RATE_LIMIT)


def delivered(house: House) -> int:
    return sum(house.carrier.delivered.values())


class TestWays:
    async def test_a_rule_that_is_down_does_not_hold_up_the_other_way(self) -> None:
        """ADR 13: two messages for one domain, one by a smarthost that is down."""
        house = House()
        house.router.rules = {"a@far.example": "smart"}
        house.router.sites = {"far.example smart": Site("smarthost:smart", RouteKind.SMARTHOST)}
        gate = house.carrier.gates["smarthost:smart"] = asyncio.Event()
        house.shaper.limits["smarthost:smart"] = 1
        async with house.running():
            for _ in range(3):
                await house.send("a@far.example")
            await house.send("b@far.example")
            await house.clock.pass_time(1)
            assert set(house.carrier.delivered) == {"b@far.example"}
            gate.set()
            await house.clock.pass_time(1)
            assert house.carrier.delivered["a@far.example"] == 3
        assert {one.destination for one in house.store.intakes[0].queued} == {"far.example smart"}

    async def test_a_changed_rule_takes_effect_on_what_waits(self) -> None:
        house = House(first_retry=10)
        house.carrier.outcome = GREYLISTED
        async with house.running():
            await house.send("a@far.example")
            await house.clock.pass_time(1)
            house.carrier.outcome = ACCEPTED
            house.router.rules = {"far.example": "smart"}
            house.router.sites = {"far.example smart": Site("smarthost:smart", RouteKind.SMARTHOST)}
            await house.clock.pass_time(10)
            assert [one.site.key for one in house.carrier.requests] == ["far.example", "smarthost:smart"]

    async def test_what_waits_under_an_old_name_is_left_out_with_its_line(self) -> None:
        house = House(ready=20)
        house.shaper.limit_ = 1
        gate = house.carrier.gate = asyncio.Event()
        async with house.running():
            await house.send("a@far.example")
            await house.clock.pass_time(1)
            house.router.rules = {"far.example": "smart"}
            for _ in range(60):
                await house.store.take_in([_stored_as(house, "far.example")])
            for _ in range(2):
                house.scheduler.wake()
                await house.clock.pass_time(1)
            assert "far.example" in house.store.questions[-1].excluded
            gate.set()
            await house.clock.pass_time(60)
            assert delivered(house) == 61

    async def test_what_differs_in_more_than_the_hosts_stands_in_lines_of_its_own(self) -> None:
        policy = StsPolicy("b.example", StsMode.ENFORCE, ("mx.example",), "1", 9e9)
        house = House()
        house.router.sites = {
            "a.example": Site("mx.example", RouteKind.MX),
            "b.example": Site("mx.example", RouteKind.MX, sts=policy),
        }
        house.shaper.limits["mx.example"] = 2
        house.carrier.seconds = 1.0
        async with house.running():
            for n in range(6):
                await house.send(f"x{n}@a.example", f"y{n}@b.example")
            await house.clock.pass_time(30)
            assert {one.site.sts for one in house.carrier.requests} == {None, policy}
            assert all(len(one.recipients) == 1 for one in house.carrier.requests)
            assert delivered(house) == 12
        assert house.carrier.peak["mx.example"] == 2  # limits belong to the site, not to the line

    async def test_pools_have_limits_of_their_own(self) -> None:
        """Mail that may leave from a warm address does not wait behind mail that may not (docs/adr/0013)."""
        house = House()
        house.router.sites = {
            "a.example": Site("mx.example", RouteKind.MX),
            "b.example": Site("mx.example", RouteKind.MX, pool="warm"),
        }
        house.shaper.limit_ = 1
        gate = house.carrier.gate = asyncio.Event()
        async with house.running():
            for n in range(3):
                await house.send(f"r{n}@a.example")
                await house.send(f"r{n}@b.example")
            await house.clock.pass_time(1)
            assert sorted(one.site.pool for one in house.carrier.requests) == ["", "warm"]
            gate.set()
            await house.clock.pass_time(1)
            assert delivered(house) == 6

    async def test_lines_to_one_site_take_turns(self) -> None:
        house = House()
        house.router.sites = {f"{name}.example": Site("mx.example", RouteKind.MX, schedule=name) for name in "abc"}
        house.shaper.limit_ = 1
        house.carrier.seconds = 1.0
        async with house.running():
            for n in range(20):
                await house.send(f"r{n}@a.example")
            await house.clock.pass_time(0.5)
            await house.send("x@b.example")
            await house.send("x@c.example")
            await house.send("y@c.example")
            await house.clock.pass_time(6)
        order = [one.site.schedule for one in house.carrier.requests]
        assert order[:6] == ["a", "a", "b", "c", "a", "c"]  # the others came after the turn of the first was set

    async def test_a_rule_holds_until_an_operator_lets_go(self) -> None:
        house = House()
        house.router.held = {"a@far.example": "quarantine"}
        async with house.running():
            message = await house.send("a@far.example", "b@near.example")
            await house.clock.pass_time(1)
            assert set(house.carrier.delivered) == {"b@near.example"}
            assert [one.state for one in house.store.recipients()] == [RecipientState.HELD]
            (row,) = [row for row in house.store.history if row.kind == "held"]
            assert "quarantine" in row.detail
            await house.store.act(QueueAction.RELEASE, QueueFilter(queue_ids=(message.queue_id,)), house.clock.now())
            house.scheduler.wake()
            await house.clock.pass_time(1)
            assert house.carrier.delivered["a@far.example"] == 1
        assert house.scheduler._places == 0

    async def test_all_held_takes_no_lease(self) -> None:
        house = House()
        house.router.held = {"a@far.example": "quarantine"}
        async with house.running():
            await house.send("a@far.example")
            await house.clock.pass_time(1)
            assert house.store.intakes[0].lease is None
            assert house.carrier.requests == []

    async def test_return_paths_are_decided_at_the_intake_also_for_who_is_forwarded_to(self) -> None:
        asked: list[tuple[str, int, str]] = []

        class Paths:
            def of(self, message: Message, recipient: Recipient, number: int, forwarder: Address | None) -> Address:
                asked.append((str(recipient.address), number, str(forwarder)))
                return Address(f"bounce+{number}", "home.example")

        house = House()
        house.ways = Ways(house.router, Paths())
        house.resolutions["list@home.example"] = Resolved((), (Address("c", "far.example"),))
        async with house.running():
            await house.send("a@far.example", "list@home.example")
            await house.clock.pass_time(1)
        assert asked == [("a@far.example", 0, "None"), ("c@far.example", 1, "list@home.example")]
        paths = {str(one.return_path) for request in house.carrier.requests for one in request.recipients}
        assert paths == {"bounce+0@home.example", "bounce+1@home.example"}

    async def test_each_return_path_is_a_request_of_its_own(self) -> None:
        """A transaction has one MAIL, and rates count transactions: whoever is to be sent apart is asked for apart."""

        class Paths:
            def of(self, message: Message, recipient: Recipient, number: int, forwarder: Address | None) -> Address:
                return Address(f"bounce+{number % 2}", "home.example")

        house = House()
        house.ways = Ways(house.router, Paths())
        async with house.running():
            await house.send(*(f"r{n}@far.example" for n in range(6)))
            await house.clock.pass_time(1)
        assert [{one.return_path for one in request.recipients} for request in house.carrier.requests] == [
            {Address("bounce+0", "home.example")},
            {Address("bounce+1", "home.example")},
        ]
        assert delivered(house) == 6

    @pytest.mark.parametrize(("together", "requests"), [(0, [100, 30]), (50, [50, 50, 30]), (1000, [100, 30])])
    async def test_a_request_has_no_more_recipients_than_the_site_takes_together(
        self, together: int, requests: list[int]
    ) -> None:
        house = House()
        house.shaper.together_ = together
        async with house.running():
            await house.send(*(f"r{n}@far.example" for n in range(130)))
            await house.clock.pass_time(1)
        assert [len(request.recipients) for request in house.carrier.requests] == requests

    async def test_dsns_of_ours_go_by_rules_too(self) -> None:
        house = House()
        house.router.rules = {"ann@out.example": "smart"}
        house.router.sites = {"out.example smart": Site("smarthost:smart", RouteKind.SMARTHOST)}
        house.carrier.by_domain["far.example"] = REFUSED
        async with house.running():
            await house.send("a@far.example", sender="ann@out.example")
            await house.clock.pass_time(1)
        assert house.carrier.requests[-1].site.key == "smarthost:smart"


def _stored_as(house: House, destination: str) -> Intake:
    """Mail in the store that waits under this name."""
    draft = house.draft("x@far.example")
    intake = build(draft, expand(draft, (NotLocal(),), 0.0), 0.0)
    return replace(intake, queued=tuple(replace(one, destination=destination) for one in intake.queued))


class TestGate:
    async def test_the_grants_source_is_what_the_request_goes_out_from(self) -> None:
        house = House()
        house.shaper.answers["far.example"] = [Grant("warm")]
        async with house.running():
            await house.send("a@far.example")
            await house.clock.pass_time(1)
        assert [one.source for one in house.carrier.requests] == ["warm"]
        assert house.shaper.noted == [("far.example", Grant("warm"), (ACCEPTED,))]

    async def test_a_line_rests_until_its_time(self) -> None:
        house = House()
        house.shaper.limit_ = 1
        house.shaper.answers["far.example"] = [Grant(), Wait(30.0, "2 a minute"), Grant(), Wait(30.0, "2 a minute")]
        async with house.running():
            for n in range(3):
                await house.send(f"r{n}@far.example")
            await house.send("other@near.example")
            await house.clock.pass_time(29.9)
            assert set(house.carrier.delivered) == {"r0@far.example", "other@near.example"}
            asked = len(house.shaper.asked)
            await house.clock.pass_time(0.05)
            assert len(house.shaper.asked) == asked  # who rests is not asked for
            await house.clock.pass_time(0.1)
            assert set(house.carrier.delivered) == {"r0@far.example", "r1@far.example", "other@near.example"}
            house.shaper.answers.clear()
            await house.clock.pass_time(30)
            assert delivered(house) == 4
        assert not any(row.kind == "put_off" for row in house.store.history)  # nobody left the line

    async def test_the_turn_of_who_was_to_go_is_kept(self) -> None:
        house = House()
        house.shaper.limit_ = 1
        house.shaper.answers["far.example"] = [Wait(5.0, "slow"), Grant()]
        async with house.running():
            for n in range(4):
                await house.send(f"r{n}@far.example")
            await house.clock.pass_time(6)
        assert [one.recipients[0].recipient.address.local for one in house.carrier.requests] == ["r0", "r1", "r2", "r3"]

    async def test_for_a_long_rest_mail_goes_back_to_the_store_and_no_attempt_is_counted(self) -> None:
        house = House()
        house.shaper.answers["far.example"] = [Wait(1.0, "1 a second"), Wait(6 * HOUR, "500 a day to far")]
        async with house.running():
            for n in range(3):
                await house.send(f"r{n}@far.example", notify=Notify.FAILURE)
            await house.clock.pass_time(60)
            assert house.scheduler._places == 0
            waiting = house.store.recipients()
            assert {one.state for one in waiting} == {RecipientState.DEFERRED}
            assert {one.attempts for one in waiting} == {0}
            assert {one.last_attempt for one in waiting} == {None}
            assert [one.next_attempt for one in waiting] == [pytest.approx(house.clock.now() - 60 + 6 * HOUR)] * 3
            assert all(is_put_off(one.last_reply) and "500 a day to far" in str(one.last_reply) for one in waiting)
            assert house.told(AttemptMade) == []
            house.shaper.answers.clear()
            await house.clock.pass_time(6 * HOUR)
            assert delivered(house) == 3
            assert {report.attempts for report in house.told(AttemptMade)} == {1}

    async def test_what_comes_during_a_long_rest_stays_in_the_store(self) -> None:
        house = House()
        house.shaper.answers["far.example"] = [Wait(6 * HOUR, "500 a day")]
        async with house.running():
            await house.send("r0@far.example")
            await house.clock.pass_time(1)
            asked = len(house.shaper.asked)
            for n in range(1, 5):
                await house.send(f"r{n}@far.example")
            await house.clock.pass_time(HOUR)
            assert len(house.shaper.asked) == asked
            assert house.carrier.requests == []
            assert house.scheduler._places == 0
            assert len(house.store.recipients()) == 5

    async def test_a_long_queue_behind_a_long_rest_is_put_off_in_few_sweeps(self) -> None:
        house = House(ready=400, ready_per_site=400)
        house.shaper.answers["far.example"] = [Wait(6 * HOUR, "500 a day")]
        for _ in range(600):
            await house.store.take_in([_stored_as(house, "far.example")])
        async with house.running():
            await house.clock.pass_time(5 * SWEEP_PAUSE)
            assert {one.state for one in house.store.recipients()} == {RecipientState.DEFERRED}
            assert len(house.shaper.asked) == 1
            assert len(house.store.questions) < 20

    async def test_history_says_once_that_nothing_is_tried(self) -> None:
        house = House(delay_warning=0, lifetime=30 * 86400)
        house.shaper.answers["far.example"] = [Wait(6 * HOUR, "warm-up")]
        async with house.running():
            message = await house.send("a@far.example")
            await house.clock.pass_time(60 * HOUR)
            assert house.store.kinds(message.queue_id) == ["accepted", "put_off"]
            house.shaper.answers.clear()
            house.carrier.outcome = GREYLISTED
            await house.clock.pass_time(6 * HOUR + 1)
            assert house.store.kinds(message.queue_id)[2] == "deferred"
            (waiting,) = house.store.recipients()
            assert waiting.attempts >= 1

    async def test_the_curve_of_retries_is_not_touched(self) -> None:
        house = House(first_retry=100, retry_factor=2)
        house.carrier.outcome = GREYLISTED
        async with house.running():
            await house.send("a@far.example")
            await house.clock.pass_time(1)
            house.shaper.answers["far.example"] = [Wait(1000.0, "later"), Grant()]
            await house.clock.pass_time(100)
            (waiting,) = house.store.recipients()
            assert (waiting.attempts, is_put_off(waiting.last_reply)) == (1, True)
            await house.clock.pass_time(1000)
            (waiting,) = house.store.recipients()
            assert waiting.attempts == 2
            assert waiting.next_attempt is not None
            assert waiting.last_attempt is not None
            assert waiting.next_attempt - waiting.last_attempt == pytest.approx(200)

    async def test_warning_and_expiry_come_all_the_same(self) -> None:
        house = House(delay_warning=4 * HOUR, lifetime=24 * HOUR)
        house.shaper.answers["far.example"] = [Wait(100 * HOUR, "never")]
        async with house.running():
            message = await house.send("a@far.example", notify=Notify.FAILURE | Notify.DELAY)
            await house.clock.pass_time(4 * HOUR + 60)
            assert len(house.inbox(1)) == 1
            assert b"Action: delayed" in house.inbox(1)[0]
            await house.clock.pass_time(20 * HOUR)
            assert len(house.inbox(1)) == 2
            assert b"Action: failed" in house.inbox(1)[1]
            assert house.store.kinds(message.queue_id)[-2:] == ["expired", "dsn"]
        assert house.carrier.requests == []

    async def test_deliverby_ends_during_a_rest(self) -> None:
        house = House()
        house.shaper.answers["far.example"] = [Wait(100 * HOUR, "never")]
        async with house.running():
            await house.send("a@far.example", asks={"deliver_by": DeliverBy(600, ByMode.RETURN)})
            await house.clock.pass_time(700)
            assert house.store.recipients() == []
            assert len(house.inbox(1)) == 1

    async def test_thousands_of_lines_rest_with_one_timer(self) -> None:
        house = House()
        async with house.running():
            for n in range(1000):
                house.shaper.answers[f"d{n}.example"] = [Wait(50.0 + n / 100, "slow"), Grant()]
                await house.send(f"r@d{n}.example")
            await house.clock.pass_time(10)
            sleepers = len([one for one in house.clock._sleepers if not one[2].done()])
            assert sleepers <= 3
            assert len(house.shaper.asked) == 1000
            await house.clock.pass_time(60)
            assert delivered(house) == 1000

    async def test_a_line_that_rests_takes_few_places(self) -> None:
        house = House(ready=1000, ready_per_site=1000)
        house.shaper.limit_ = 1
        house.shaper.answers["far.example"] = [Wait(20.0, "3 a minute")]
        async with house.running():
            await house.send("first@far.example")
            await house.clock.pass_time(1)
            for n in range(300):
                await house.send(f"r{n}@far.example")
            await house.clock.pass_time(30)
            assert house.scheduler._places <= 20

    async def test_a_line_that_rests_takes_few_of_a_long_queue(self) -> None:
        house = House(ready=1000, ready_per_site=1000, poll=1.0)
        house.shaper.limit_ = 1
        house.shaper.answers["far.example"] = [Wait(20.0, "3 a minute")]
        async with house.running():
            await house.send("first@far.example")
            await house.clock.pass_time(1)
            for _ in range(300):
                await house.store.take_in([_stored_as(house, "far.example")])
            await house.clock.pass_time(60)
            assert house.scheduler._places <= 20
            assert not house.store.settlements  # nothing was leased in vain
            house.shaper.answers.clear()
            await house.clock.pass_time(120)
            assert delivered(house) == 301

    async def test_the_limit_follows_the_shaper(self) -> None:
        house = House()
        house.shaper.limit_ = 1
        house.carrier.seconds = 1.0
        async with house.running():
            for n in range(20):
                await house.send(f"r{n}@far.example")
            await house.clock.pass_time(2.5)
            assert house.carrier.peak["far.example"] == 1
            house.shaper.limit_ = 4
            await house.clock.pass_time(10)
            assert house.carrier.peak["far.example"] == 4

    async def test_a_shaper_that_breaks_stops_nothing(self) -> None:
        house = House()
        house.shaper.raises = RuntimeError("bug")
        async with house.running():
            await house.send("a@far.example")
            await house.clock.pass_time(1)
            assert delivered(house) == 1
        assert "bug" in house.told(InternalError)[0].error

    async def test_to_be_asked_for_less_does_not_make_a_site_dead(self) -> None:
        house = House()
        house.carrier.outcome = TOO_MANY
        async with house.running():
            for n in range(DEAD_AFTER + 5):
                await house.send(f"r{n}@far.example")
            await house.clock.pass_time(1)
            assert len(house.carrier.requests) == DEAD_AFTER + 5


class TestSchedules:
    async def test_a_route_has_its_own_times(self) -> None:
        fast = ScheduleSettings(name="fast", first_retry=10, retry_factor=1, lifetime=25)
        house = House([fast], first_retry=1000)
        house.carrier.outcome = GREYLISTED
        house.router.sites = {"far.example": Site("far.example", RouteKind.MX, schedule="fast")}
        async with house.running():
            await house.send("a@far.example", "b@near.example")
            await house.clock.pass_time(60)
            sites = [one.site.key for one in house.carrier.requests]
            assert sites.count("far.example") == 4  # at 0, 10, 20 and when its life ends
            assert sites.count("near.example") == 1
            assert [str(one.recipient.address) for one in house.store.recipients()] == ["b@near.example"]

    async def test_where_there_is_no_site_the_rule_tells(self) -> None:
        fast = ScheduleSettings(name="fast", first_retry=10)
        house = House([fast], [RouteSettings(), RouteSettings(schedule="fast")], first_retry=1000)
        house.router.rules = {"a@far.example": "route 2"}
        house.router.outcomes = {"far.example route 2": DOWN, "far.example": DOWN}
        async with house.running():
            await house.send("a@far.example")
            await house.send("b@far.example")
            await house.clock.pass_time(1)
            due = {one.recipient.address.local: one.next_attempt for one in house.store.recipients()}
            assert due["a"] is not None
            assert due["b"] is not None
            assert due["b"] - due["a"] == pytest.approx(990, abs=1)


class TestPauses:
    async def pause(self, house: House, kind: PauseKind, subject: str, until: float | None = None) -> Pause:
        pause = Pause(kind, subject, house.clock.now(), until, "they asked", "ann")
        await house.store.pause(pause)
        await house.scheduler.heed()
        return pause

    @pytest.mark.parametrize(
        ("kind", "subject"),
        [
            (PauseKind.DOMAIN, "far.example"),
            (PauseKind.SITE, "mx.far.example"),
            (PauseKind.SITE, "far"),
            (PauseKind.SENDER, "ann@home.example"),
            (PauseKind.SENDER, "home.example"),
        ],
    )
    async def test_it_stops_and_goes_on(self, kind: PauseKind, subject: str) -> None:
        house = House()
        house.router.sites = {"far.example": Site("far", RouteKind.MX, (("mx.far.example",),))}
        async with house.running():
            await house.scheduler.heed()
            await self.pause(house, kind, subject)
            for n in range(3):
                await house.send(f"r{n}@far.example")
            await house.send("other@near.example", sender="ben@other.example")
            await house.clock.pass_time(HOUR)
            assert set(house.carrier.delivered) == {"other@near.example"}
            assert house.scheduler._places == 0
            assert {one.attempts for one in house.store.recipients()} == {0}
            assert await house.store.resume(kind, subject)
            await house.scheduler.heed()
            await house.clock.pass_time(1)
            assert delivered(house) == 4
        assert house.told(QueuePaused) == [
            QueuePaused(kind.value, subject, "ann"),
            QueuePaused(kind.value, subject, "ann", resumed=True),
        ]

    @pytest.mark.parametrize("sender", [None, "eve@home.example"])
    async def test_the_null_sender_is_a_sender(self, sender: str | None) -> None:
        house = House()
        async with house.running():
            await self.pause(house, PauseKind.SENDER, "")
            await house.send("a@far.example", sender=sender)
            await house.clock.pass_time(60)
            assert delivered(house) == (sender is not None)

    async def test_who_stands_in_line_leaves_it(self) -> None:
        house = House()
        house.shaper.limit_ = 1
        gate = house.carrier.gate = asyncio.Event()
        async with house.running():
            await house.scheduler.heed()
            for n in range(10):
                await house.send(f"r{n}@far.example")
            await house.clock.pass_time(1)
            await self.pause(house, PauseKind.DOMAIN, "far.example")
            gate.set()
            await house.clock.pass_time(60)
            assert set(house.carrier.delivered) == {"r0@far.example"}
            assert house.scheduler._places == 0

    @pytest.mark.parametrize("kind", [PauseKind.DOMAIN, PauseKind.SENDER])
    async def test_what_is_looked_up_meanwhile_is_paused_too(self, kind: PauseKind) -> None:
        house = House()
        gate = house.router.gates["far.example"] = asyncio.Event()
        async with house.running():
            await house.send("a@far.example")
            await house.clock.pass_time(1)
            await self.pause(house, kind, "far.example" if kind is PauseKind.DOMAIN else "home.example")
            gate.set()
            await house.clock.pass_time(60)
            assert house.carrier.requests == []
            assert house.scheduler._places == 0

    async def test_what_is_held_while_its_way_is_looked_up_does_not_go(self) -> None:
        house = House()
        gate = house.router.gates["far.example"] = asyncio.Event()
        async with house.running():
            await house.send("a@far.example")
            await house.clock.pass_time(1)
            await house.scheduler.heed()
            await house.store.act(QueueAction.HOLD, QueueFilter(), house.clock.now())
            await house.scheduler.heed()
            gate.set()
            await house.clock.pass_time(60)
            assert house.carrier.requests == []
            assert house.scheduler._places == 0

    async def test_all_destinations_of_a_domain_are_paused(self) -> None:
        house = House()
        house.router.rules = {"a@far.example": "smart"}
        async with house.running():
            await self.pause(house, PauseKind.DOMAIN, "far.example")
            await house.send("a@far.example")
            await house.send("b@far.example")
            await house.clock.pass_time(60)
            assert house.carrier.requests == []
            for _ in range(20):
                await house.store.take_in([_stored_as(house, "far.example smart")])
            house.scheduler.wake()
            await house.clock.pass_time(SWEEP_PAUSE / 2)
            assert {"far.example", "far.example smart"} <= house.store.questions[-1].excluded

    async def test_it_ends_by_itself(self) -> None:
        house = House()
        async with house.running():
            await self.pause(house, PauseKind.DOMAIN, "far.example", house.clock.now() + 300)
            await house.send("a@far.example")
            await house.clock.pass_time(299)
            assert house.carrier.requests == []
            await house.clock.pass_time(2)
            await house.scheduler.heed()
            await house.clock.pass_time(1)
            assert delivered(house) == 1

    async def test_paused_mail_expires(self) -> None:
        house = House(lifetime=10 * HOUR, delay_warning=0)
        async with house.running():
            await self.pause(house, PauseKind.DOMAIN, "far.example")
            message = await house.send("a@far.example")
            await house.clock.pass_time(10 * HOUR + 60)
            assert house.store.recipients() == []
            assert house.store.kinds(message.queue_id) == ["accepted", "put_off", "expired", "dsn"]

    async def test_it_is_looked_at_now_and_then_and_not_all_the_time(self) -> None:
        house = House(lifetime=30 * 86400, delay_warning=0)
        async with house.running():
            await self.pause(house, PauseKind.SENDER, "home.example")
            await house.send("a@far.example")
            await house.clock.pass_time(1)
            before = len(house.store.settlements)
            await house.clock.pass_time(5 * PAUSE_LOOK)
            assert 4 <= len(house.store.settlements) - before <= 6

    async def test_a_store_that_fails_meanwhile_loses_nothing(self) -> None:
        house = House()
        async with house.running():
            await house.scheduler.heed()
            await self.pause(house, PauseKind.DOMAIN, "far.example")
            await house.send("a@far.example")
            await house.clock.pass_time(1)
            await house.store.resume(PauseKind.DOMAIN, "far.example")
            house.store.failing.add("act")
            with pytest.raises(StoreUnavailable):
                await house.scheduler.heed()
            house.store.failing.clear()
            await house.scheduler.heed()
            await house.clock.pass_time(1)
            assert delivered(house) == 1

    async def test_what_was_paused_before_the_start_is_heard_of_first(self) -> None:
        house = House()
        await house.store.pause(Pause(PauseKind.DOMAIN, "far.example", 0.0))
        house.open()
        await house.scheduler.heed()
        await house.send("a@far.example")
        running = asyncio.create_task(house.scheduler.run())
        await house.clock.pass_time(60)
        assert house.carrier.requests == []
        await house.scheduler.drain(0)
        await running


class TestRecall:
    @pytest.mark.parametrize("action", [QueueAction.HOLD, QueueAction.REMOVE])
    async def test_who_is_held_or_removed_leaves_the_line(self, action: QueueAction) -> None:
        house = House()
        house.shaper.limit_ = 1
        gate = house.carrier.gate = asyncio.Event()
        async with house.running():
            await house.scheduler.heed()
            for n in range(4):
                await house.send(f"r{n}@far.example")
            await house.clock.pass_time(1)
            assert await house.store.act(action, QueueFilter(recipient="r2@far.example"), house.clock.now()) == 1
            await house.scheduler.heed()
            gate.set()
            await house.clock.pass_time(60)
            assert set(house.carrier.delivered) == {"r0@far.example", "r1@far.example", "r3@far.example"}
            assert len(house.store.recipients()) == (action is QueueAction.HOLD)
        assert house.scheduler._places == 0


class TestFlush:
    async def test_what_is_dead_or_rests_is_tried_at_once(self) -> None:
        house = House(first_retry=1000)
        house.carrier.by_domain["dead.example"] = DOWN
        house.shaper.answers["slow.example"] = [Wait(6 * HOUR, "500 a day")]
        async with house.running():
            await house.scheduler.heed()
            for n in range(DEAD_AFTER + 3):
                await house.send(f"r{n}@dead.example")
            await house.send("a@slow.example")
            await house.clock.pass_time(1)
            house.carrier.by_domain.clear()
            await house.store.act(QueueAction.RETRY, QueueFilter(), house.clock.now())
            await house.store.flush()
            await house.scheduler.heed()
            await house.clock.pass_time(1)
            assert house.store.recipients() == []
            assert house.shaper.flushes == 1

    async def test_a_flush_of_before_the_start_is_old_news(self) -> None:
        house = House()
        await house.store.flush()
        async with house.running():
            await house.scheduler.heed()
            assert house.shaper.flushes == 0
