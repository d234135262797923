"""The one door out: five days of retries in virtual time, DSNs, and a store that fails (DESIGN §4 step 7)."""

import asyncio
import email
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.fakes.carrier import ACCEPTED, DOWN, GREYLISTED, REFUSED
from tests.fakes.house import CONTENT, House

from postroom.directory.model import Resolved
from postroom.mail.address import Address
from postroom.mail.delivery import Deferred, Delivered, Failed, RecipientState, RouteKind, Site
from postroom.mail.envelope import Notify, Recipient, Ret
from postroom.mail.message import show_queue_id
from postroom.mail.reply import Reply
from postroom.queue.model import Settlement
from postroom.report.events import AttemptMade, DsnMade, InternalError, StoreTrouble

HOUR = 3600.0
DAY = 24 * HOUR


async def test_relayed_is_told_and_leaves_the_queue() -> None:
    house = House()
    async with house.running():
        message = await house.send("bob@far.example")
        await house.clock.pass_time(0)
        (attempt,) = house.told(AttemptMade)
        assert (attempt.recipient, attempt.state, attempt.attempts) == ("bob@far.example", RecipientState.RELAYED, 1)
        assert attempt.outcome == ACCEPTED
        assert not house.store.messages
        assert house.store.kinds(message.queue_id) == ["accepted", "relayed"]
        assert json.loads(house.store.history[-1].detail) == {
            "reply": "250 2.0.0 queued as 42",
            "attempt": 1,
            "seconds": 0.0,
            "host": "mx.far.example",
            "address": "192.0.2.25",
        }
        assert not house.told(DsnMade)


async def test_five_days_of_greylisting_end_in_one_dsn() -> None:
    house = House()
    house.carrier.outcome = GREYLISTED
    async with house.running():
        message = await house.send("bob@far.example")
        await house.clock.pass_time(6 * DAY)
        attempts = house.told(AttemptMade)
        assert 30 < len(attempts) < 45
        assert [attempt.attempts for attempt in attempts] == list(range(1, len(attempts) + 1))
        assert {attempt.state for attempt in attempts[:-1]} == {RecipientState.DEFERRED}
        assert attempts[-1].state is RecipientState.EXPIRED
        assert [made.kind for made in house.told(DsnMade)] == ["delayed", "failed"]
        assert not house.store.messages
        kinds = house.store.kinds(message.queue_id)
        assert kinds[-2:] == ["expired", "dsn"]
        assert kinds.count("dsn") == 2
        warning, failure = house.inbox(1)
        assert b"Action: delayed" in warning
        assert b"Will-Retry-Until:" in warning
        assert b"It was tried for 5 days" in failure


async def test_the_warning_comes_when_it_is_due_and_once() -> None:
    house = House()
    house.carrier.outcome = GREYLISTED
    async with house.running():
        await house.send("bob@far.example")
        await house.clock.pass_time(4 * HOUR - 1)
        assert not house.told(DsnMade)
        await house.clock.pass_time(2)
        assert [made.kind for made in house.told(DsnMade)] == ["delayed"]
        await house.clock.pass_time(2 * DAY)
        assert len(house.told(DsnMade)) == 1
        assert house.store.recipients()[0].delay_told


@pytest.mark.parametrize(
    ("sender", "notify", "warning"),
    [
        (None, None, 4 * HOUR),
        ("ann@home.example", Notify.NEVER, 4 * HOUR),
        ("ann@home.example", Notify.FAILURE, 4 * HOUR),
        ("ann@home.example", None, 0.0),
    ],
)
async def test_no_warning_where_none_is_wanted(sender: str | None, notify: Notify | None, warning: float) -> None:
    # RFC 3461 §4.1, §5.2.5
    house = House(delay_warning=warning)
    house.carrier.outcome = GREYLISTED
    async with house.running():
        await house.send("bob@far.example", sender=sender, notify=notify)
        await house.clock.pass_time(12 * HOUR)
        assert not house.told(DsnMade)


async def test_mail_with_the_null_sender_never_bounces() -> None:
    house = House()
    house.carrier.by_domain = {"far.example": REFUSED, "slow.example": GREYLISTED}
    async with house.running():
        message = await house.send("bob@far.example", "eve@slow.example", sender=None)
        await house.clock.pass_time(2 * DAY)
        assert not house.told(DsnMade)
        assert not house.store.messages
        kinds = house.store.kinds(message.queue_id)
        assert "failed" in kinds
        assert kinds[-1] == "expired"


async def test_the_postmaster_may_be_told_of_bounces_that_bounce() -> None:
    """RFC 3461 §5.2: in a way that causes no further DSN."""
    house = House(tell_postmaster=True)
    house.resolutions["postmaster@"] = house.resolutions["ben@home.example"]
    house.carrier.by_domain = {"far.example": REFUSED}
    async with house.running():
        message = await house.send("bob@far.example", "carl@fine.example", sender=None)
        await house.clock.pass_time(1)
        (notice,) = house.inbox(2)
        parsed = email.message_from_bytes(notice)
        assert parsed["To"] == "<postmaster@mx.home.example>"
        assert b"told as the postmaster" in notice
        assert notice.count(b"Action: failed") == 1
        assert [made.recipient for made in house.told(DsnMade)] == ["postmaster@mx.home.example"]
        assert house.store.kinds(message.queue_id)[-1] == "dsn"
        assert not house.store.messages


async def test_a_postmaster_who_is_elsewhere_is_not_told() -> None:
    """It might bounce again, and so on for ever."""
    house = House(tell_postmaster=True)
    house.resolutions["postmaster@"] = Resolved((), (Address.parse("boss@far.example"),))
    house.carrier.by_domain = {"far.example": REFUSED}
    async with house.running():
        message = await house.send("bob@far.example", sender=None)
        await house.clock.pass_time(1)
        assert not house.told(DsnMade)
        assert not house.store.messages
        assert house.store.kinds(message.queue_id)[-1] == "dsn"  # which says that nobody could be told


async def test_failures_of_one_attempt_share_a_dsn_that_returns_the_message() -> None:
    house = House()
    house.carrier.outcome = REFUSED
    house.carrier.by_address["carl@far.example"] = ACCEPTED
    async with house.running():
        never = Recipient(Address.parse("never@far.example"), Notify.NEVER)
        message = await house.send("bob@far.example", "carl@far.example", "dave@far.example", never)
        await house.clock.pass_time(0)
        (made,) = house.told(DsnMade)
        assert (made.kind, made.about, made.recipient) == ("failed", message.queue_id, "ann@home.example")
        (dsn,) = house.inbox(1)
        parsed = email.message_from_bytes(dsn)
        assert parsed.get_content_type() == "multipart/report"
        assert dsn.count(b"Final-Recipient:") == 2
        assert b"never@far.example" not in dsn  # RFC 3461 §5.2.8
        assert CONTENT in dsn
        (row,) = [row for row in house.store.history if row.kind == "dsn"]
        assert row.queue_id == message.queue_id
        assert json.loads(row.detail) == {"action": "failed", "queue_id": show_queue_id(made.queue_id)}


async def test_the_dsn_is_committed_with_the_failure() -> None:
    house = House()
    house.carrier.outcome = REFUSED
    async with house.running():
        await house.send("bob@far.example")
        await house.clock.pass_time(0)
        (settlement,) = house.store.settlements
        assert settlement.dsn is not None
        assert settlement.dsn.message.envelope.reverse_path is None


async def test_a_dsn_for_elsewhere_goes_through_the_queue_and_is_given_up_sooner() -> None:
    house = House()
    house.carrier.by_domain = {"far.example": REFUSED, "sender.example": GREYLISTED}
    async with house.running():
        await house.send("bob@far.example", sender="sue@sender.example")
        await house.clock.pass_time(5)
        assert [str(one.recipient.address) for one in house.store.recipients()] == ["sue@sender.example"]
        await house.clock.pass_time(DAY)
        assert not house.store.messages
        assert len(house.told(DsnMade)) == 1


async def test_a_sender_of_ours_that_is_gone_gets_no_dsn_and_the_history_says_so() -> None:
    house = House()
    house.carrier.outcome = REFUSED
    async with house.running():
        message = await house.send("bob@far.example", sender="gone@home.example")
        await house.clock.pass_time(0)
        assert not house.told(DsnMade)
        assert not house.store.messages
        assert house.store.kinds(message.queue_id) == ["accepted", "failed", "dsn"]
        assert "does not exist" in house.store.history[-1].detail


@pytest.mark.parametrize(("ret", "whole"), [(Ret.HDRS, False), (Ret.FULL, True), (None, True)])
async def test_what_is_returned_is_read_from_the_store(ret: Ret | None, whole: bool) -> None:
    house = House()
    house.carrier.outcome = GREYLISTED
    content = CONTENT + b"body line\r\n" * 3000
    async with house.running():
        draft = house.draft("bob@far.example", content=content)
        await house.door.accept(replace(draft, envelope=replace(draft.envelope, ret=ret)))
        await house.clock.pass_time(0)
        house.carrier.outcome = REFUSED
        await house.clock.pass_time(400)
        (dsn,) = house.inbox(1)
        assert (content in dsn) is whole
        assert b"Subject: hi" in dsn


async def test_of_a_big_message_only_the_header_is_read() -> None:
    house = House()
    house.carrier.outcome = REFUSED
    async with house.running():
        await house.send("bob@far.example", content=CONTENT + b"x" * 70 + b"\r\n" * 100_000)
        await house.clock.pass_time(0)
        assert len(house.inbox(1)[0]) < 5000


async def test_content_that_is_gone_does_not_stop_the_dsn() -> None:
    house = House()
    house.carrier.outcome = GREYLISTED
    async with house.running():
        await house.send("bob@far.example")
        await house.clock.pass_time(0)
        house.carrier.outcome = REFUSED
        house.carrier.on_request = lambda _: house.store.messages.clear()
        await house.clock.pass_time(400)
        assert [made.kind for made in house.told(DsnMade)] == ["failed"]


@pytest.mark.parametrize(
    ("outcome", "kind", "expected"),
    [
        (ACCEPTED, RouteKind.MX, ["relayed"]),  # RFC 3461 §5.2.2 b
        (replace(ACCEPTED, notifies=True), RouteKind.MX, []),  # RFC 3461 §5.2.1: it reports itself
        (ACCEPTED, RouteKind.LMTP, ["delivered"]),
        (replace(ACCEPTED, notifies=True), RouteKind.LMTP, ["delivered"]),
        (ACCEPTED, RouteKind.MAILBOX, ["delivered"]),
    ],
)
async def test_success_is_told_where_asked(outcome: Delivered, kind: RouteKind, expected: list[str]) -> None:
    house = House()
    house.carrier.outcome = outcome
    house.router.sites["far.example"] = Site("there", kind)
    async with house.running():
        await house.send("bob@far.example", notify=Notify.SUCCESS)
        await house.send("carl@far.example")
        await house.clock.pass_time(0)
        assert [made.kind for made in house.told(DsnMade)] == expected
        state = RecipientState.RELAYED if kind is RouteKind.MX else RecipientState.DELIVERED
        assert {attempt.state for attempt in house.told(AttemptMade)} == {state}


async def test_an_ambiguous_end_is_noted() -> None:
    house = House()
    house.carrier.outcome = Deferred(Reply.of(451, "4.4.2", "lost"), ambiguous=True, detail="after the final dot")
    async with house.running():
        await house.send("bob@far.example")
        await house.clock.pass_time(0)
        detail = json.loads(house.store.history[-1].detail)
        assert detail["ambiguous"] is True
        assert detail["why"] == "after the final dot"
        assert detail["next_attempt"] == house.clock.now() + 300


async def test_recipients_that_travelled_together_meet_again() -> None:
    house = House(retry_jitter=0.5)
    house.carrier.outcome = GREYLISTED
    async with house.running():
        await house.send("bob@far.example", "carl@far.example")
        await house.clock.pass_time(0)
        house.carrier.outcome = ACCEPTED
        await house.clock.pass_time(400)
        assert [len(request.recipients) for request in house.carrier.requests] == [2, 2]


async def test_an_outcome_is_kept_until_the_store_has_it() -> None:
    house = House()
    async with house.running():
        house.store.failing.add("settle")
        await house.send("bob@far.example")
        await house.send("carl@far.example")
        await house.clock.pass_time(8000)  # leases go well meanwhile
        assert house.carrier.delivered == {"bob@far.example": 1, "carl@far.example": 1}
        assert not house.told(AttemptMade)
        assert [trouble.recovered for trouble in house.told(StoreTrouble)] == [False]
        house.store.failing.clear()
        await house.clock.pass_time(60)
        assert [trouble.recovered for trouble in house.told(StoreTrouble)] == [False, True]
        assert len(house.told(AttemptMade)) == 2
        await house.clock.pass_time(DAY)
        assert house.carrier.delivered == {"bob@far.example": 1, "carl@far.example": 1}
        assert not house.store.messages


async def test_a_dsn_waits_for_the_store_too() -> None:
    house = House()
    house.carrier.outcome = GREYLISTED
    async with house.running():
        await house.send("bob@far.example")
        await house.clock.pass_time(0)
        house.carrier.outcome = REFUSED
        house.store.failing.add("read_content")
        await house.clock.pass_time(400)
        assert not house.told(DsnMade)
        house.store.failing.clear()
        await house.clock.pass_time(60)
        assert len(house.told(DsnMade)) == 1
        assert not house.store.messages


async def test_one_settlement_that_cannot_be_written_does_not_sink_its_neighbours() -> None:
    house = House()
    async with house.running():
        gate = house.store.blocked["settle"] = asyncio.Event()
        first = await house.send("first@far.example")
        await house.clock.pass_time(0)
        poisoned = await house.send("bob@far.example")
        await house.send("carl@far.example")
        await house.clock.pass_time(0)
        house.store.poisoned.add(poisoned.queue_id)
        gate.set()
        await house.clock.pass_time(0)
        assert {str(one.recipient) for one in house.told(AttemptMade)} == {"first@far.example", "carl@far.example"}
        (complaint,) = house.told(InternalError)
        assert complaint.where == "settle"
        assert first.queue_id not in house.store.messages
        assert list(house.store.messages) == [poisoned.queue_id]
        house.store.poisoned.clear()


async def test_settlements_that_come_together_are_written_together() -> None:
    house = House()
    calls = 0
    settle = house.store.settle

    async def counting(settlements: Sequence[Settlement]) -> None:
        nonlocal calls
        calls += 1
        await settle(settlements)

    house.store.settle = counting  # type: ignore[method-assign]
    async with house.running():
        gate = house.carrier.gate = asyncio.Event()
        for n in range(20):
            await house.send(f"r{n}@far.example")
        await house.clock.pass_time(0)
        gate.set()
        await house.clock.pass_time(0)
        assert len(house.told(AttemptMade)) == 20
        assert calls <= 3


async def test_a_bug_in_composing_still_records_the_failure() -> None:
    house = House()
    house.carrier.outcome = Failed(Reply.of(550, "5.1.1", "no"))

    async def broken(address: Address) -> object:
        raise ZeroDivisionError

    async with house.running():
        draft = house.draft("bob@far.example")
        await house.door.accept(draft)
        house.dsns._resolve = broken  # type: ignore[assignment]
        await house.clock.pass_time(0)
        assert not house.store.messages
        assert [complaint.error for complaint in house.told(InternalError)] == ["ZeroDivisionError()"]


async def test_network_trouble_is_our_own_finding_in_the_dsn() -> None:
    house = House(lifetime=60)
    house.carrier.outcome = DOWN
    async with house.running():
        await house.send("bob@far.example")
        await house.clock.pass_time(120)
        (dsn,) = house.inbox(1)
        assert b"Diagnostic-Code: x-postroom; 451 4.4.1 no answer" in dsn
        assert b"Remote-MTA: dns; mx.far.example" in dsn
