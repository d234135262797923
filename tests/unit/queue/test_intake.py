"""The one door in (DESIGN §4 step 6)."""

import asyncio
import json

import pytest
from tests.fakes.house import CONTENT, House, account

from postroom.directory.model import NotLocal, Resolved
from postroom.mail.address import Address
from postroom.mail.envelope import Notify, Recipient
from postroom.mail.session import Client, Role, TlsFacts
from postroom.mail.trouble import StoreUnavailable
from postroom.queue.model import ContentChunk
from postroom.report.events import DsnMade, InternalError, MessageAccepted, StoreTrouble


def far(address: str) -> Address:
    return Address.parse(address)


async def test_local_mail_is_in_the_mailbox_when_the_door_returns() -> None:
    house = House()
    house.open()
    message = await house.send("ben@home.example")
    ((entry, stored, content),) = house.store.entries_of[2]
    assert stored == message
    assert content == CONTENT
    assert entry.recipient == "ben@home.example"
    assert entry.prefix.startswith(b"Return-Path: <ann@home.example>\r\n")
    assert b"Delivered-To: ben@home.example\r\n" in entry.prefix
    assert not house.store.messages
    assert house.store.kinds(message.queue_id) == ["accepted", "placed"]
    (accepted,) = house.told(MessageAccepted)
    assert (accepted.placed, accepted.queued, accepted.client) == (("ben@home.example",), (), None)


async def test_a_bug_behind_the_door_does_not_take_back_what_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    house.open()

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(house.scheduler, "offer", broken)
    message = await house.send("ann@far.example")
    assert message.queue_id in house.store.messages
    (told,) = house.told(InternalError)
    assert "a bug" in told.error


async def test_the_accepted_row_says_who_and_how() -> None:
    house = House()
    house.open()
    client = Client(
        1, Role.SUBMISSION, "192.0.2.7", 999, "laptop", True, TlsFacts("TLSv1.3", "AES"), "ann@home.example"
    )
    message = await house.send(
        "ben@home.example", client=client, account="ann@home.example", message_id="<1@home.example>", prefix=b"X: y\r\n"
    )
    row = house.store.history[0]
    assert (row.kind, row.recipient, row.domain) == ("accepted", "ben@home.example", "home.example")
    assert row.message_id == message.message_id == "<1@home.example>"
    assert json.loads(row.detail) == {
        "from": "ann@home.example",
        "to": ["ben@home.example"],
        "recipients": 1,
        "size": len(CONTENT) + 6,
        "client": "192.0.2.7",
        "helo": "laptop",
        "protocol": "ESMTPSA",
        "tls": "TLSv1.3 AES",
        "account": "ann@home.example",
    }
    assert (message.client, message.account) == ("192.0.2.7", "ann@home.example")


async def test_mail_for_elsewhere_is_leased_in_the_same_commit() -> None:
    house = House()
    house.open()
    message = await house.send("bob@far.example", "carl@far.example", "ben@home.example")
    (intake,) = house.store.intakes
    assert intake.lease is not None
    assert intake.lease.until == house.clock.now() + house.settings.lease
    assert [str(one.recipient.address) for one in intake.queued] == ["bob@far.example", "carl@far.example"]
    assert [one.number for one in intake.queued] == [0, 1]
    await house.clock.pass_time(0)
    (request,) = house.carrier.requests
    assert request.message == message
    assert request.content == CONTENT  # no second read
    assert not house.store.questions


async def test_where_the_scheduler_has_no_room_the_store_keeps_it() -> None:
    house = House(ready=1)
    async with house.running():
        gate = house.carrier.gate = asyncio.Event()
        await house.send("bob@far.example")
        await house.send("carl@far.example")
        assert [intake.lease is None for intake in house.store.intakes] == [False, True]
        gate.set()
        await house.clock.pass_time(1)
        assert house.carrier.delivered == {"bob@far.example": 1, "carl@far.example": 1}


async def test_content_above_the_bound_waits_in_the_store() -> None:
    house = House(ready_octets=len(CONTENT))
    house.open()
    await house.send("bob@far.example", content=CONTENT + b"x")
    assert house.store.intakes[0].lease is None


async def test_content_in_chunks_is_not_in_memory() -> None:
    house = House()
    house.open()
    draft = house.draft("bob@far.example", "ben@home.example", content=None, content_size=6)
    await house.store.write_chunks([ContentChunk(draft.queue_id, 0, b"abc"), ContentChunk(draft.queue_id, 1, b"def")])
    message = await house.door.accept(draft)
    assert message.content_size == 6
    await house.clock.pass_time(0)
    assert house.carrier.requests[0].content is None
    assert house.inbox(2) == [b"abcdef"]


async def test_a_store_that_fails_takes_nothing_and_the_place_is_free_again() -> None:
    house = House(ready=1)
    house.open()
    house.store.failing.add("take_in")
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await house.send("bob@far.example")
    assert not house.told(MessageAccepted)
    assert [trouble.recovered for trouble in house.told(StoreTrouble)] == [False]
    house.store.failing.clear()
    await house.send("bob@far.example")
    assert [trouble.recovered for trouble in house.told(StoreTrouble)] == [False, True]
    assert house.store.intakes[0].lease is not None


async def test_resolutions_of_rcpt_are_used_as_they_are() -> None:
    house = House()
    house.open()
    await house.send("whoever@home.example", resolutions=(Resolved((account(7, "ben@home.example"),)),))
    assert house.inbox(7) == [CONTENT]
    await house.send("ben@home.example", resolutions=(NotLocal(),))
    assert house.store.messages


async def test_aliases_are_expanded_and_nobody_gets_it_twice() -> None:
    house = House()
    team = Resolved(
        (account(1, "ann@home.example"), account(2, "ben@home.example")), (far("x@far.example"), far("y@far.example"))
    )
    house.resolutions["team@home.example"] = team
    house.open()
    message = await house.send("ben@home.example", "team@home.example", "x@far.example", "team@home.example")
    assert (len(house.inbox(1)), len(house.inbox(2))) == (1, 1)
    (intake,) = house.store.intakes
    queued = [(str(one.recipient.address), one.recipient.orcpt, one.recipient.notify) for one in intake.queued]
    assert queued == [
        ("x@far.example", "rfc822;team@home.example", None),
        ("y@far.example", "rfc822;team@home.example", None),
    ]
    assert len(message.envelope.recipients) == 4  # what the client asked for
    placed = [(row.recipient, json.loads(row.detail)) for row in intake.history if row.kind == "placed"]
    assert placed == [("ben@home.example", {}), ("ann@home.example", {"for": "team@home.example"})]


async def test_an_alias_for_one_elsewhere_passes_the_wish_on() -> None:  # RFC 3461 §5.2.7.2
    house = House()
    house.resolutions["bob@home.example"] = Resolved((), (far("bob@far.example"),))
    house.open()
    wish = Recipient(far("bob@home.example"), Notify.SUCCESS | Notify.FAILURE, "rfc822;first@elsewhere.example")
    await house.send(wish)
    (queued,) = house.store.intakes[0].queued
    assert queued.recipient == Recipient(far("bob@far.example"), wish.notify, wish.orcpt)
    assert not house.told(DsnMade)


async def test_an_alias_for_several_says_expanded() -> None:  # RFC 3461 §5.2.7.3 c
    house = House()
    house.resolutions["team@home.example"] = Resolved((), (far("x@far.example"), far("y@far.example")))
    house.open()
    await house.send(Recipient(far("team@home.example"), Notify.SUCCESS | Notify.FAILURE))
    first, dsn = house.store.intakes
    assert [one.recipient.notify for one in first.queued] == [Notify.FAILURE] * 2
    assert [made.kind for made in house.told(DsnMade)] == ["expanded"]
    assert b"Action: expanded" in (dsn.content or b"")
    assert house.inbox(1) == [dsn.content]


async def test_success_at_the_mailbox_is_told_where_asked() -> None:  # RFC 3461 §5.2.3
    house = House()
    house.open()
    message = await house.send("ben@home.example", notify=Notify.SUCCESS)
    _, dsn = house.store.intakes
    assert dsn.message.envelope.reverse_path is None
    assert b"Action: delivered" in (dsn.content or b"")
    assert b"Subject: hi\r\n" in (dsn.content or b"")
    assert b"Hello" not in (dsn.content or b"")
    (made,) = house.told(DsnMade)
    assert (made.about, made.kind, made.recipient) == (message.queue_id, "delivered", "ann@home.example")
    await house.send("ben@home.example", notify=Notify.FAILURE)
    await house.send("ben@home.example", notify=Notify.SUCCESS, sender=None)
    assert len(house.told(DsnMade)) == 1


async def test_success_of_chunked_content_returns_the_header() -> None:
    house = House()
    house.open()
    draft = house.draft(
        "ben@home.example", content=None, content_size=len(CONTENT), content_start=CONTENT[:80], notify=Notify.SUCCESS
    )
    await house.store.write_chunks([ContentChunk(draft.queue_id, 0, CONTENT)])
    await house.door.accept(draft)
    assert b"Subject: hi" in (house.store.intakes[1].content or b"")


async def test_success_for_a_sender_elsewhere_leaves_by_the_queue() -> None:
    house = House()
    async with house.running():
        await house.send("ben@home.example", notify=Notify.SUCCESS, sender="bob@far.example")
        await house.clock.pass_time(1)
        assert house.carrier.delivered == {"bob@far.example": 1}


async def test_an_address_of_ours_that_leads_nowhere_fails_at_once() -> None:
    house = House()
    house.open()
    message = await house.send("nobody@home.example", "ben@home.example")
    assert house.store.kinds(message.queue_id) == ["accepted", "failed", "placed"]
    assert [made.kind for made in house.told(DsnMade)] == ["failed"]
    assert b"nobody@home.example" in house.inbox(1)[0]


async def test_a_dsn_without_anyone_to_read_it_is_not_made() -> None:
    house = House()
    house.open()
    await house.send("nobody@home.example", "ben@home.example", sender="gone@home.example")
    assert not house.told(DsnMade)
    assert len(house.store.intakes) == 1


async def test_many_recipients_are_named_in_part() -> None:
    house = House()
    house.open()
    await house.send(*[f"r{n}@far.example" for n in range(300)])
    detail = json.loads(house.store.history[0].detail)
    assert (len(detail["to"]), detail["recipients"]) == (20, 300)
