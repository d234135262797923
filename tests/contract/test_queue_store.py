"""The promises of QueueStore."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.contract.implementations import OpenStore, Store
from tests.fakes.letters import (
    GONE_AWAY,
    NOON,
    PEER,
    TAKEN,
    a_message,
    an_intake,
    asking,
    deferred,
    failed,
    queue_id,
    queued,
    relayed,
    settled,
)

from postroom.directory.model import Account
from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.envelope import Body, ByMode, DeliverBy, Envelope, Notify, Recipient, Ret
from postroom.mail.message import Message, QueueId, QueueIds
from postroom.mail.trouble import StoreUnavailable
from postroom.queue.model import (
    CHUNK_SIZE,
    ContentChunk,
    Intake,
    Lease,
    LeasedMessage,
    LeaseQuestion,
    QueueAction,
    QueueFilter,
)
from postroom.queue.store import QueueStore
from postroom.queue.urgency import HEAD_START
from postroom.report.history import HistoryRow

LEASE = Lease("node-1", NOON + 900)
OTHER = Lease("node-2", NOON + 900)
ALL = QueueFilter()


def question(
    now: float = NOON,
    lease: Lease = LEASE,
    limit: int = 100,
    per_destination: int = 100,
    excluded: frozenset[str] = frozenset(),
) -> LeaseQuestion:
    return LeaseQuestion(now=now, lease=lease, limit=limit, per_destination=per_destination, excluded=excluded)


async def lease_one(queue: QueueStore, now: float = NOON, lease: Lease = LEASE, limit: int = 100) -> LeasedMessage:
    answer = await queue.lease(question(now, lease, limit))
    (message,) = answer.messages
    return message


async def joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def is_empty(store: Store) -> bool:
    counts = await store.queue.counts()
    return counts.messages == 0 and not any(counts.by_state.values()) and counts.oldest is None


class TestTakeIn:
    async def test_a_message_is_kept_whole(self, queue: QueueStore) -> None:
        message = Message(
            queue_id=queue_id(1),
            received_at=NOON + 0.123456,
            envelope=Envelope(
                reverse_path=Address("sändér", "xn--bcher-kva.example"),
                recipients=(
                    Recipient(Address("a b", "remote.example"), Notify.SUCCESS | Notify.DELAY, "rfc822;a@b.example"),
                    Recipient(Address("rita", "[IPv6:2001:db8::1]"), Notify.NEVER),
                ),
                body=Body.EIGHT_BIT,
                smtputf8=True,
                ret=Ret.HDRS,
                envid="an id",
            ),
            prefix=b"Received: from \xff\x00here\r\n",
            content_size=6,
            account="sam@ours.example",
            client="2001:db8::2",
            message_id="<1@x.example>",
            tags=("news", "List-Id = *ours*"),
        )
        recipients = (
            QueuedRecipient(
                0,
                message.envelope.recipients[0],
                next_attempt=NOON + 5,
                destination="remote.example by smarthost",
                return_path=Address("bounce+17=x", "ours.example"),
            ),
            QueuedRecipient(
                7,
                Recipient(Address("elsewhere", "other.example")),
                RecipientState.DEFERRED,
                attempts=3,
                next_attempt=NOON + 60.5,
                last_attempt=NOON - 1,
                last_reply=GONE_AWAY,
                last_peer=PEER,
                delay_told=True,
                destination="other.example",
            ),
        )
        await queue.take_in([Intake(message, b"x\x00\xff\r\n.", recipients)])
        (entry,) = await queue.entries(ALL, limit=10)
        assert entry.message == message
        assert entry.recipients == recipients
        assert entry.lease is None
        assert await joined(queue.read_content(queue_id(1))) == b"x\x00\xff\r\n."

    @pytest.mark.parametrize(
        "options",
        [
            {"deliver_by": DeliverBy(-30, ByMode.NOTIFY, trace=True)},
            {"deliver_by": DeliverBy(120, ByMode.RETURN)},
            {"hold_until": NOON + 0.123456, "hold_request": "until;2026-12-24T18:00:00Z"},
            {"priority": -9},
            {"require_tls": True},
            {"deliver_by": DeliverBy(999, ByMode.NOTIFY), "hold_until": NOON, "priority": 9, "require_tls": True},
        ],
    )
    async def test_what_mail_asked_for_is_kept(self, queue: QueueStore, options: dict[str, object]) -> None:
        intake = asking(an_intake(1), **options)
        await queue.take_in([intake, an_intake(2)])
        first, second = await queue.entries(ALL, limit=10)
        assert first.message == intake.message
        assert not second.message.envelope.has_options
        answer = await queue.lease(question())
        assert {one.message.queue_id: one.message for one in answer.messages}[queue_id(1)] == intake.message

    async def test_the_null_sender_stays_null(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, sender=None)])
        (entry,) = await queue.entries(ALL, limit=10)
        assert entry.message.envelope.reverse_path is None

    async def test_what_the_client_asked_for_is_kept_apart_from_who_is_queued(self, queue: QueueStore) -> None:
        intake = an_intake(1, to=("list@ours.example",))
        other = (QueuedRecipient(0, Recipient(Address("rita", "remote.example")), next_attempt=NOON),)
        await queue.take_in([replace(intake, queued=other)])
        leased = await lease_one(queue)
        assert leased.message == intake.message
        assert [str(one.recipient.address) for one in leased.recipients] == ["rita@remote.example"]

    async def test_many_at_once(self, queue: QueueStore) -> None:
        await asyncio.gather(*[queue.take_in([an_intake(number)]) for number in range(333)])
        entries = await queue.entries(ALL, limit=1000)
        assert [entry.message.queue_id for entry in entries] == [queue_id(number) for number in range(333)]

    async def test_empty_content(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, content=b"")])
        assert await joined(queue.read_content(queue_id(1))) == b""

    async def test_content_without_chunks_is_read_in_bounded_pieces(self, queue: QueueStore) -> None:
        content = bytes(range(256)) * (CHUNK_SIZE // 100)
        await queue.take_in([an_intake(1, content=content)])
        pieces = [piece async for piece in queue.read_content(queue_id(1))]
        assert b"".join(pieces) == content
        assert max(map(len, pieces)) <= CHUNK_SIZE

    async def test_a_failing_item_does_not_sink_its_neighbours(self, queue: QueueStore) -> None:
        bad = replace(an_intake(50), content=b"of another size")
        intakes = [bad if number == 50 else an_intake(number) for number in range(100)]
        results = await asyncio.gather(*[queue.take_in([intake]) for intake in intakes], return_exceptions=True)
        assert [number for number, result in enumerate(results) if result is not None] == [50]
        assert isinstance(results[50], ValueError)
        entries = await queue.entries(ALL, limit=1000)
        assert [entry.message.queue_id for entry in entries] == [queue_id(n) for n in range(100) if n != 50]

    async def test_a_call_is_done_whole_or_not_at_all(self, queue: QueueStore) -> None:
        with pytest.raises(ValueError, match="content"):
            await queue.take_in([an_intake(1), replace(an_intake(2), content=b"of another size")])
        assert await queue.entries(ALL, limit=10) == []

    async def test_the_same_queue_id_twice_is_refused(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, content=b"first")])
        with pytest.raises(StoreUnavailable):
            await queue.take_in([an_intake(1, content=b"second")])
        assert await joined(queue.read_content(queue_id(1))) == b"first"

    async def test_an_account_that_is_gone_refuses_the_intake(self, store: Store, accounts: list[Account]) -> None:
        with pytest.raises(KeyError):
            await store.queue.take_in([an_intake(1, boxes=[accounts[0].account_id, 4711])])
        assert await is_empty(store)
        assert [one.messages for one in await store.directory.usage([accounts[0].account_id])] == [0]

    async def test_with_neither_recipients_nor_entries_only_history_stays(self, store: Store) -> None:
        row = HistoryRow(queue_id(1), NOON, "accepted")
        await store.queue.write_chunks([ContentChunk(queue_id(1), 0, b"abc")])
        intake = Intake(a_message(1, size=3), None, history=(row,))
        await store.queue.take_in([intake])
        assert list(await store.history.of_message(queue_id(1))) == [row]
        with pytest.raises(KeyError):
            await joined(store.queue.read_content(queue_id(1)))


class TestLargeContent:
    async def test_chunks_are_joined_in_order(self, queue: QueueStore) -> None:
        data = [bytes([number]) * 1000 for number in range(20)]
        await queue.write_chunks([ContentChunk(queue_id(1), n, data[n]) for n in range(1, 20, 2)])
        await queue.write_chunks([ContentChunk(queue_id(1), n, data[n]) for n in range(0, 20, 2)])
        message = a_message(1, size=20_000)
        await queue.take_in([Intake(message, None, queued(message))])
        assert await joined(queue.read_content(queue_id(1))) == b"".join(data)

    @pytest.mark.parametrize("sequences", [(0, 1), (0, 1, 3), ()])
    async def test_missing_chunks_refuse_the_intake(self, queue: QueueStore, sequences: tuple[int, ...]) -> None:
        await queue.write_chunks([ContentChunk(queue_id(1), n, b"12345") for n in sequences])
        message = a_message(1, size=15)
        with pytest.raises((ValueError, StoreUnavailable)):
            await queue.take_in([Intake(message, None, queued(message))])
        assert await queue.entries(ALL, limit=10) == []

    async def test_chunks_are_read_before_their_intake(self, queue: QueueStore) -> None:
        await queue.write_chunks([ContentChunk(queue_id(1), n, bytes([n]) * 3) for n in range(3)])
        assert await joined(queue.read_chunks(queue_id(1))) == b"\0\0\0\1\1\1\2\2\2"
        await queue.drop_chunks([queue_id(1)])
        assert await joined(queue.read_chunks(queue_id(1))) == b""

    async def test_dropped_chunks_are_gone(self, queue: QueueStore) -> None:
        await queue.write_chunks([ContentChunk(queue_id(1), 0, b"12345")])
        await queue.drop_chunks([queue_id(1)])
        message = a_message(1, size=5)
        with pytest.raises((ValueError, StoreUnavailable)):
            await queue.take_in([Intake(message, None, queued(message))])

    async def test_dropping_does_not_touch_a_message_that_was_taken_in(self, queue: QueueStore) -> None:
        await queue.write_chunks([ContentChunk(queue_id(1), 0, b"12345")])
        message = a_message(1, size=5)
        await queue.take_in([Intake(message, None, queued(message))])
        await queue.drop_chunks([queue_id(1), queue_id(2)])
        await queue.drop_chunks([])
        assert await joined(queue.read_content(queue_id(1))) == b"12345"

    async def test_settling_removes_the_chunks(self, queue: QueueStore) -> None:
        await queue.write_chunks([ContentChunk(queue_id(1), 0, b"12345")])
        message = a_message(1, size=5)
        await queue.take_in([Intake(message, None, queued(message), lease=LEASE)])
        await queue.settle([settled(1, "node-1", relayed(queued(message)[0]))])
        with pytest.raises(KeyError):
            await joined(queue.read_content(queue_id(1)))
        # The same pieces may be written anew, so nothing of the old is left.
        await queue.write_chunks([ContentChunk(queue_id(1), 0, b"12345")])

    async def test_content_that_goes_while_it_is_read(self, queue: QueueStore) -> None:
        await queue.write_chunks([ContentChunk(queue_id(1), n, b"12345") for n in range(3)])
        message = a_message(1, size=15)
        await queue.take_in([Intake(message, None, queued(message))])
        pieces = queue.read_content(queue_id(1))
        assert await anext(pieces) == b"12345"
        await queue.act(QueueAction.REMOVE, ALL, NOON)
        with pytest.raises(KeyError):
            await anext(pieces)

    async def test_unknown_content(self, queue: QueueStore) -> None:
        with pytest.raises(KeyError):
            await joined(queue.read_content(queue_id(1)))


class TestLease:
    async def test_fresh_mail_is_due_when_it_was_received(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, at=NOON)])
        assert (await queue.lease(question(NOON - 1))).messages == ()
        assert (await queue.lease(question(NOON - 1))).next_due == NOON
        leased = await lease_one(queue)
        assert [one.state for one in leased.recipients] == [RecipientState.LEASED]
        assert leased.lost_leases == frozenset()

    async def test_what_is_leased_is_not_leased_again(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1)])
        await lease_one(queue)
        answer = await queue.lease(question(lease=OTHER))
        assert answer.messages == ()
        assert answer.next_due == LEASE.until

    async def test_an_intake_may_bring_its_lease(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE)])
        assert (await queue.lease(question(lease=OTHER))).messages == ()
        (entry,) = await queue.entries(ALL, limit=1)
        assert entry.lease == LEASE
        assert [(one.state, one.next_attempt) for one in entry.recipients] == [(RecipientState.LEASED, None)]

    async def test_oldest_first(self, queue: QueueStore) -> None:
        for number, due in enumerate((30, 10, 20, 40)):
            await queue.take_in([an_intake(number, to=[f"a@d{number % 2}.example"], due=NOON + due)])
        answer = await queue.lease(question(NOON + 100, limit=3))
        assert [one.message.queue_id for one in answer.messages] == [queue_id(1), queue_id(2), queue_id(0)]
        assert answer.next_due == NOON + 40

    async def test_higher_priority_first(self, queue: QueueStore) -> None:
        """RFC 6710 §5.1: higher priority before lower, and among equals as ever."""
        priorities = (0, -4, 4, 0, 4, 9)
        for number, priority in enumerate(priorities):
            due = NOON - 100 + number
            await queue.take_in(
                [asking(an_intake(number, to=[f"a@d{number % 2}.example"], due=due), priority=priority)]
            )
        answer = await queue.lease(question())
        assert [one.message.queue_id for one in answer.messages] == [queue_id(n) for n in (5, 2, 4, 0, 3, 1)]

    async def test_priority_is_found_behind_a_long_line(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(n, to=[f"a@d{n % 3}.example"], due=NOON - 100) for n in range(300)])
        await queue.take_in([asking(an_intake(900, to=["a@d1.example"], due=NOON), priority=1)])
        await queue.take_in(
            [asking(an_intake(n, to=["a@d1.example"], due=NOON - 200), priority=-1) for n in range(500, 560)]
        )
        answer = await queue.lease(question(limit=4, per_destination=2))
        assert answer.messages[0].message.queue_id == queue_id(900)
        assert all(one.message.envelope.priority == 0 for one in answer.messages[1:])

    async def test_priority_does_not_starve_who_has_waited_long(self, queue: QueueStore) -> None:
        long_ago = NOON - 9 * HEAD_START - 1
        await queue.take_in([asking(an_intake(n, due=NOON), priority=9) for n in range(20)])
        await queue.take_in([an_intake(20, due=long_ago)])
        assert (await lease_one(queue, limit=1)).message.queue_id == queue_id(20)

    async def test_priority_is_not_due_before_its_time(self, queue: QueueStore) -> None:
        await queue.take_in([asking(an_intake(1, due=NOON + 50), priority=9), an_intake(2, due=NOON + 70)])
        answer = await queue.lease(question())
        assert (answer.messages, answer.next_due) == ((), NOON + 50)
        answer = await queue.lease(question(excluded=frozenset(["remote.example"])))
        assert (answer.messages, answer.next_due) == ((), None)

    async def test_priority_lasts(self, store: Store) -> None:
        """Through an attempt, a hold and the death of a node."""
        queue = store.queue
        urgent = asking(an_intake(2, due=NOON), priority=4)
        await queue.take_in([an_intake(1, due=NOON - 9), urgent])
        assert (await lease_one(queue, limit=1)).message == urgent.message
        await queue.settle([settled(2, "node-1", deferred(urgent.queued[0], until=NOON))])
        assert (await lease_one(queue, limit=1)).message == urgent.message
        await queue.recover("node-1", NOON)
        assert (await lease_one(queue, limit=1)).message == urgent.message
        await queue.recover("node-1", NOON)
        await queue.act(QueueAction.HOLD, ALL, NOON)
        assert (await queue.lease(question())).next_due is None
        await queue.act(QueueAction.RELEASE, ALL, NOON)
        assert (await lease_one(queue, limit=1)).message == urgent.message
        assert (await queue.counts()).by_state == {RecipientState.LEASED: 1, RecipientState.QUEUED: 1}

    async def test_a_limit_per_destination(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(n, to=["a@full.example"], due=NOON - 100 + n) for n in range(10)])
        await queue.take_in([an_intake(20, to=["b@other.example"], due=NOON)])
        answer = await queue.lease(question(limit=5, per_destination=3))
        domains = [one.recipients[0].recipient.address.domain for one in answer.messages]
        assert domains == ["full.example"] * 3 + ["other.example"]

    async def test_excluded_destinations(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, to=["a@slow.example", "b@fast.example"], due=NOON)])
        await queue.take_in([an_intake(2, to=["c@later.example"], due=NOON + 50)])
        answer = await queue.lease(question(excluded=frozenset(["slow.example"])))
        (message,) = answer.messages
        assert [str(one.recipient.address) for one in message.recipients] == ["b@fast.example"]
        assert answer.next_due == NOON + 50

    async def test_nothing_is_ever_due_in_an_empty_queue(self, queue: QueueStore) -> None:
        answer = await queue.lease(question())
        assert answer.messages == ()
        assert answer.next_due is None

    async def test_a_limit_of_zero_only_asks(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1)])
        answer = await queue.lease(question(limit=0))
        assert (answer.messages, answer.next_due) == ((), NOON)

    async def test_an_expired_lease_is_due_and_known_as_lost(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE)])
        leased = await lease_one(queue, now=LEASE.until, lease=Lease("node-2", LEASE.until + 900))
        assert leased.lost_leases == frozenset([0])

    async def test_limits_hold_for_expired_leases_too(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(n, lease=LEASE, to=[f"a@d{n % 2}.example"]) for n in range(10)])
        after = LEASE.until + 1
        answer = await queue.lease(
            question(after, Lease("node-2", after + 9), per_destination=2, excluded=frozenset(["d1.example"]))
        )
        assert [one.message.queue_id for one in answer.messages] == [queue_id(0), queue_id(2)]

    async def test_a_renewed_lease_does_not_expire(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE)])
        await queue.renew([queue_id(1)], Lease("node-1", LEASE.until + 900))
        await queue.renew([], LEASE)
        answer = await queue.lease(question(LEASE.until + 1, OTHER))
        assert answer.messages == ()
        assert answer.next_due == LEASE.until + 900

    async def test_only_the_holder_renews(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE)])
        await queue.renew([queue_id(1)], Lease("node-2", LEASE.until + 900))
        assert (await lease_one(queue, now=LEASE.until)).lost_leases == frozenset([0])

    async def test_two_askers_never_get_the_same(self, open_store: OpenStore) -> None:
        one, two = await open_store(), await open_store()
        await one.queue.take_in([an_intake(n) for n in range(200)])
        answers = await asyncio.gather(
            *[store.queue.lease(question(lease=mine, limit=40)) for store, mine in ((one, LEASE), (two, OTHER)) * 4]
        )
        got = [message.message.queue_id for answer in answers for message in answer.messages]
        assert len(got) == len(set(got)) == 200


class TestSettle:
    async def test_a_delivered_message_goes(self, store: Store) -> None:
        await store.queue.take_in([an_intake(1, lease=LEASE)])
        row = HistoryRow(queue_id(1), NOON, "relayed", "rita@remote.example", "remote.example")
        leased = (await store.queue.entries(ALL, limit=1))[0].recipients[0]
        await store.queue.settle([settled(1, "node-1", relayed(leased), history=[row])])
        assert await is_empty(store)
        assert list(await store.history.of_message(queue_id(1))) == [row]
        with pytest.raises(KeyError):
            await joined(store.queue.read_content(queue_id(1)))

    async def test_many_at_once(self, store: Store) -> None:
        intakes = [an_intake(n, lease=LEASE) for n in range(150)]
        await store.queue.take_in(intakes)
        await asyncio.gather(
            *[store.queue.settle([settled(n, "node-1", relayed(intakes[n].queued[0]))]) for n in range(150)]
        )
        assert await is_empty(store)

    async def test_a_deferred_recipient_waits(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE)])
        later = replace(deferred(queued(a_message(1))[0], until=NOON + 300.5), delay_told=True)
        await queue.settle([settled(1, "node-1", later)])
        (entry,) = await queue.entries(ALL, limit=1)
        assert entry.recipients == (later,)
        assert entry.lease is None
        assert (await queue.lease(question(NOON + 300))).next_due == NOON + 300.5
        again = await lease_one(queue, now=NOON + 301)
        assert again.lost_leases == frozenset()
        assert again.recipients == (replace(later, state=RecipientState.LEASED, next_attempt=None),)

    async def test_final_recipients_stay_while_others_are_unsettled(self, store: Store) -> None:
        intake = an_intake(1, to=["a@x.example", "b@y.example"], lease=LEASE)
        first, second = intake.queued
        await store.queue.take_in([intake])
        await store.queue.settle([settled(1, "node-1", relayed(first), deferred(second, until=NOON + 9))])
        (entry,) = await store.queue.entries(ALL, limit=1)
        assert entry.recipients == (relayed(first), deferred(second, until=NOON + 9))
        counts = await store.queue.counts()
        assert counts.by_state == {RecipientState.RELAYED: 1, RecipientState.DEFERRED: 1}
        await lease_one(store.queue, now=NOON + 10)
        await store.queue.settle([settled(1, "node-1", failed(second))])
        assert await is_empty(store)

    async def test_two_settlements_of_one_message_at_once(self, store: Store) -> None:
        intake = an_intake(1, to=["a@x.example", "b@y.example"], lease=LEASE)
        await store.queue.take_in([intake])
        await asyncio.gather(
            *[store.queue.settle([settled(1, "node-1", relayed(recipient))]) for recipient in intake.queued]
        )
        assert await is_empty(store)

    async def test_the_order_of_two_settlements_of_one_recipient_counts(self, store: Store) -> None:
        await store.queue.take_in([an_intake(n, lease=LEASE) for n in (1, 2)])
        recipient = queued(a_message(1))[0]
        later = deferred(recipient, until=NOON + 9)
        await store.queue.settle([settled(1, "node-1", later), settled(1, "node-1", relayed(recipient))])
        await store.queue.settle([settled(2, "node-1", relayed(recipient)), settled(2, "node-1", later)])
        (entry,) = await store.queue.entries(ALL, limit=9)
        assert (entry.message.queue_id, entry.recipients) == (queue_id(1), (later,))

    async def test_what_arrived_goes_whoever_stands_beside_it(self, store: Store, accounts: list[Account]) -> None:
        queue, recipient = store.queue, queued(a_message(1))[0]
        await queue.take_in([an_intake(n, lease=LEASE) for n in (1, 2, 3)])
        await queue.take_in([an_intake(4, lease=LEASE, boxes=[accounts[0].account_id]), an_intake(5, lease=OTHER)])
        await queue.take_in([an_intake(6, to=["a@x.example", "b@y.example"], lease=LEASE)])
        await queue.act(QueueAction.HOLD, QueueFilter(queue_ids=(queue_id(2),)), NOON)
        at_once = [settled(n, "node-1", relayed(recipient)) for n in (1, 2, 4, 5, 6, 7)]
        await queue.settle([*at_once, settled(3, "node-1", deferred(recipient, until=NOON + 9))])
        entries = {entry.message.queue_id: entry for entry in await queue.entries(ALL, limit=9)}
        assert list(entries) == [queue_id(3), queue_id(5), queue_id(6)]
        assert [one.state for one in entries[queue_id(5)].recipients] == [RecipientState.LEASED]
        assert [one.state for one in entries[queue_id(6)].recipients] == [RecipientState.RELAYED, RecipientState.LEASED]
        assert await joined(queue.read_content(queue_id(4)))  # a mailbox has it still
        with pytest.raises(KeyError):
            await joined(queue.read_content(queue_id(1)))

    async def test_a_dsn_enters_in_the_same_transaction(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE)])
        dsn = an_intake(2, sender=None, to=["sam@elsewhere.example"], content=b"sorry")
        await queue.settle([settled(1, "node-1", failed(queued(a_message(1))[0]), dsn=dsn)])
        (entry,) = await queue.entries(ALL, limit=9)
        assert entry.message == dsn.message
        assert await joined(queue.read_content(queue_id(2))) == b"sorry"
        assert (await lease_one(queue)).message == dsn.message

    async def test_a_dsn_that_cannot_enter_leaves_the_recipient_unsettled(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE)])
        dsn = replace(an_intake(2), content=b"of another size")
        with pytest.raises(ValueError, match="content"):
            await queue.settle([settled(1, "node-1", failed(queued(a_message(1))[0]), dsn=dsn)])
        (entry,) = await queue.entries(ALL, limit=9)
        assert entry.lease == LEASE

    async def test_what_another_node_leased_is_not_settled(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE)])
        await lease_one(queue, now=LEASE.until, lease=OTHER)
        dsn = an_intake(2, sender=None)
        await queue.settle([settled(1, "node-1", failed(queued(a_message(1))[0]), dsn=dsn)])
        (entry,) = await queue.entries(ALL, limit=9)
        assert entry.message.queue_id == queue_id(1)
        assert entry.lease is not None
        assert entry.lease.node == "node-2"

    async def test_what_is_gone_is_ignored(self, store: Store) -> None:
        row = HistoryRow(queue_id(1), NOON, "relayed")
        await store.queue.settle([settled(1, "node-1", relayed(queued(a_message(1))[0]), history=[row])])
        await store.queue.settle([])
        assert await is_empty(store)
        assert list(await store.history.of_message(queue_id(1))) == [row]

    async def test_given_back_without_an_attempt_is_due_at_once(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE)])
        back = replace(queued(a_message(1))[0], state=RecipientState.QUEUED, next_attempt=None)
        await queue.settle([settled(1, "node-1", back)])
        assert (await lease_one(queue)).lost_leases == frozenset()

    async def test_given_back_without_an_attempt_a_lost_lease_is_still_known(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE)])
        (recipient,) = (await lease_one(queue, now=LEASE.until, lease=OTHER)).recipients
        back = replace(recipient, state=RecipientState.QUEUED, next_attempt=NOON)
        await queue.settle([settled(1, "node-2", back)])
        assert (await lease_one(queue)).lost_leases == frozenset([0])

    async def test_a_finished_attempt_ends_the_doubt(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE)])
        (recipient,) = (await lease_one(queue, now=LEASE.until, lease=OTHER)).recipients
        await queue.settle([settled(1, "node-2", deferred(recipient, until=NOON))])
        assert (await lease_one(queue)).lost_leases == frozenset()

    async def test_leased_is_no_way_to_settle(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE)])
        stays = replace(queued(a_message(1))[0], state=RecipientState.LEASED)
        with pytest.raises(ValueError, match="lease"):
            await queue.settle([settled(1, "node-1", stays)])

    async def test_a_settlement_may_hold(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE)])
        held = replace(queued(a_message(1))[0], state=RecipientState.HELD)
        await queue.settle([settled(1, "node-1", held)])
        assert (await queue.lease(question(NOON + 1e6))).next_due is None


class TestRecover:
    async def test_what_the_node_had_leased_is_due_and_known_as_lost(self, store: Store) -> None:
        await store.queue.take_in([an_intake(1, lease=LEASE), an_intake(2, lease=OTHER), an_intake(3, due=NOON + 99)])
        assert await store.queue.recover("node-1", NOON + 1) == 1
        answer = await store.queue.lease(question(NOON + 1))
        (leased,) = answer.messages
        assert leased.message.queue_id == queue_id(1)
        assert leased.lost_leases == frozenset([0])
        assert answer.next_due == NOON + 99
        assert await store.history.of_message(queue_id(1)) == []  # the next attempt tells of it

    async def test_the_loss_survives_another_death(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE)])
        await queue.recover("node-1", NOON)
        await queue.recover("node-1", NOON)
        await lease_one(queue)
        await queue.recover("node-1", NOON)
        assert (await lease_one(queue)).lost_leases == frozenset([0])

    async def test_chunks_of_uploads_that_may_be_under_way_are_not_swept(self, queue: QueueStore) -> None:
        """Sessions outlive the process that has the queue."""
        ids = QueueIds(lambda: NOON)
        before, since = ids.next(), QueueIds(lambda: NOON + 1).next()
        await queue.write_chunks([ContentChunk(one, 0, b"12345") for one in (before, since)])
        await queue.recover("node-1", NOON + 9, NOON + 1)
        assert [piece async for piece in queue.read_chunks(since)] == [b"12345"]
        await queue.recover("node-1", NOON + 9)
        assert [piece async for piece in queue.read_chunks(since)] == []

    async def test_chunks_of_uploads_that_died_are_swept(self, queue: QueueStore) -> None:
        await queue.write_chunks([ContentChunk(queue_id(n), 0, b"12345") for n in (1, 2)])
        kept, lost = a_message(1, size=5), a_message(2, size=5)
        await queue.take_in([Intake(kept, None, queued(kept))])
        assert await queue.recover("node-1", NOON) == 0
        assert await joined(queue.read_content(queue_id(1))) == b"12345"
        with pytest.raises((ValueError, StoreUnavailable)):
            await queue.take_in([Intake(lost, None, queued(lost))])


class TestEntries:
    async def ids(self, queue: QueueStore, which: QueueFilter) -> list[int]:
        return [entry.message.queue_id - queue_id(0) for entry in await queue.entries(which, limit=100)]

    async def test_filters(self, queue: QueueStore) -> None:
        await queue.take_in(
            [
                an_intake(1, to=["rita@remote.example"], sender="sam@ours.example"),
                an_intake(2, to=["rita@remote.example", "bob@other.example"], sender=None),
                an_intake(3, to=["Bob@other.example"], sender="Ann@ours.example", lease=LEASE),
            ]
        )
        assert await self.ids(queue, ALL) == [1, 2, 3]
        assert await self.ids(queue, QueueFilter(queue_ids=(queue_id(3), queue_id(1), queue_id(77)))) == [1, 3]
        assert await self.ids(queue, QueueFilter(domain="Other.example")) == [2, 3]
        assert await self.ids(queue, QueueFilter(sender="")) == [2]
        assert await self.ids(queue, QueueFilter(sender="ann@ours.example")) == [3]
        assert await self.ids(queue, QueueFilter(recipient="bob@other.example")) == [2, 3]
        assert await self.ids(queue, QueueFilter(recipient="nonsense")) == []
        assert await self.ids(queue, QueueFilter(states=frozenset([RecipientState.LEASED]))) == [3]
        assert await self.ids(queue, QueueFilter(domain="other.example", sender="")) == [2]
        assert await self.ids(queue, QueueFilter(domain=".example")) == [1, 2, 3]
        assert await self.ids(queue, QueueFilter(domain=".Other.example")) == []
        assert await self.ids(queue, QueueFilter(rule="night")) == []
        for number, rule in enumerate(("night", "night/2", "night|ours", "nights", "other"), 4):
            intake = an_intake(number)
            one = replace(intake.queued[0], destination=f"remote.example {rule}")
            await queue.take_in([replace(intake, queued=(one,))])
        assert await self.ids(queue, QueueFilter(rule="night")) == [4, 5, 6]
        every = [n for n in range(1, 9) if queue_id(n) % 2 == 0]
        assert await self.ids(queue, QueueFilter(one_in=2)) == every
        assert await self.ids(queue, QueueFilter(one_in=queue_id(3), domain="other.example")) == [3]
        assert await self.ids(queue, QueueFilter(states=frozenset([RecipientState.RELAYED]))) == []

    async def test_page_by_page(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(n) for n in (5, 1, 4, 2, 3)])
        first = await queue.entries(ALL, limit=2)
        second = await queue.entries(ALL, limit=2, after=first[-1].message.queue_id)
        third = await queue.entries(ALL, limit=2, after=second[-1].message.queue_id)
        found = [entry.message.queue_id for entry in (*first, *second, *third)]
        assert found == [queue_id(n) for n in (1, 2, 3, 4, 5)]
        assert await queue.entries(ALL, limit=2, after=QueueId(found[-1])) == []


class TestAct:
    async def test_retry_makes_waiting_ones_due(self, store: Store) -> None:
        await store.queue.take_in([an_intake(1, due=NOON + 999), an_intake(2, lease=LEASE)])
        assert await store.queue.act(QueueAction.RETRY, ALL, NOON + 5) == 1
        assert (await lease_one(store.queue, now=NOON + 5)).message.queue_id == queue_id(1)
        assert [(row.kind, row.at) for row in await store.history.of_message(queue_id(1))] == [("retried", NOON + 5)]

    async def test_held_ones_wait_until_they_are_released(self, store: Store) -> None:
        await store.queue.take_in([an_intake(1), an_intake(2, to=["a@other.example"])])
        assert await store.queue.act(QueueAction.HOLD, QueueFilter(domain="other.example"), NOON) == 1
        assert await store.queue.act(QueueAction.RETRY, QueueFilter(domain="other.example"), NOON) == 0
        assert (await lease_one(store.queue)).message.queue_id == queue_id(1)
        assert (await store.queue.counts()).by_state == {RecipientState.HELD: 1, RecipientState.LEASED: 1}
        assert await store.queue.act(QueueAction.RELEASE, ALL, NOON + 7) == 1
        assert (await lease_one(store.queue, now=NOON + 7)).message.queue_id == queue_id(2)
        assert [row.kind for row in await store.history.of_message(queue_id(2))] == ["held", "released"]

    async def test_what_its_sender_holds_back_is_released_early_by_name_only(self, store: Store) -> None:
        """RFC 4865 §4.2: not before its time; an operator who names the message knows better."""
        held = asking(an_intake(1, due=NOON + 900), hold_until=NOON + 900)
        for action in (QueueAction.RETRY, QueueAction.RELEASE):
            await store.queue.take_in([held, an_intake(2, due=NOON + 999)])
            await store.queue.act(action, ALL, NOON)
            await store.queue.act(action, QueueFilter(domain="remote.example"), NOON)
            answer = await store.queue.lease(question())
            assert queue_id(1) not in [one.message.queue_id for one in answer.messages]
            assert await store.queue.act(action, QueueFilter(queue_ids=(queue_id(1),)), NOON) == 1
            assert (await lease_one(store.queue)).message == held.message
            await store.queue.act(QueueAction.REMOVE, ALL, NOON)

    async def test_an_operators_hold_ends_and_the_senders_stays(self, queue: QueueStore) -> None:
        """RFC 4865 §4.2: release after a hold of everything lets nothing go before its time."""
        await queue.take_in([asking(an_intake(1, due=NOON + 900), hold_until=NOON + 900)])
        assert await queue.act(QueueAction.HOLD, ALL, NOON) == 1
        assert await queue.act(QueueAction.RELEASE, ALL, NOON + 5) == 1
        answer = await queue.lease(question(NOON + 5))
        assert (answer.messages, answer.next_due) == ((), NOON + 900)
        assert await queue.act(QueueAction.HOLD, ALL, NOON) == 1
        assert await queue.act(QueueAction.RELEASE, ALL, NOON + 901) == 1
        assert (await lease_one(queue, now=NOON + 901)).message.queue_id == queue_id(1)

    async def test_a_retry_after_the_release_is_one_like_any_other(self, queue: QueueStore) -> None:
        intake = asking(an_intake(1, lease=LEASE), hold_until=NOON - 900)
        await queue.take_in([intake])
        await queue.settle([settled(1, "node-1", deferred(intake.queued[0], until=NOON + 300))])
        assert await queue.act(QueueAction.RETRY, ALL, NOON) == 1
        assert (await lease_one(queue)).message == intake.message

    async def test_removed_ones_go(self, store: Store) -> None:
        await store.queue.take_in([an_intake(1), an_intake(2, lease=LEASE), an_intake(3)])
        assert await store.queue.act(QueueAction.REMOVE, QueueFilter(queue_ids=(queue_id(1), queue_id(2))), NOON) == 2
        assert [entry.message.queue_id for entry in await store.queue.entries(ALL, limit=9)] == [queue_id(3)]
        assert [row.kind for row in await store.history.of_message(queue_id(2))] == ["removed"]
        with pytest.raises(KeyError):
            await joined(store.queue.read_content(queue_id(1)))

    async def test_one_recipient_is_removed_the_others_stay(self, store: Store) -> None:
        await store.queue.take_in([an_intake(1, to=["a@x.example", "b@y.example"])])
        assert await store.queue.act(QueueAction.REMOVE, QueueFilter(domain="x.example"), NOON) == 1
        (entry,) = await store.queue.entries(ALL, limit=9)
        assert [one.state for one in entry.recipients] == [RecipientState.REMOVED, RecipientState.QUEUED]
        assert await store.queue.act(QueueAction.REMOVE, ALL, NOON) == 1
        assert await is_empty(store)

    async def test_more_than_one_slice(self, store: Store) -> None:
        addresses = [f"u{n}@d{n % 50}.example" for n in range(1000)]
        await store.queue.take_in([an_intake(n, to=addresses) for n in range(11)])
        assert await store.queue.act(QueueAction.HOLD, QueueFilter(sender="sam@ours.example"), NOON) == 11_000
        assert (await store.queue.counts()).by_state == {RecipientState.HELD: 11_000}
        assert (await store.queue.lease(question(NOON + 1e6))).next_due is None
        assert await store.queue.act(QueueAction.REMOVE, ALL, NOON) == 11_000
        assert await is_empty(store)

    async def test_hold_wins_over_a_later_deferred(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE)])
        await queue.act(QueueAction.HOLD, ALL, NOON)
        await queue.settle([settled(1, "node-1", deferred(queued(a_message(1))[0], until=NOON + 5))])
        (entry,) = await queue.entries(ALL, limit=9)
        assert entry.recipients[0].state is RecipientState.HELD
        assert (await queue.lease(question(NOON + 1e6))).next_due is None

    async def test_what_was_held_during_an_attempt_may_have_arrived(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE), an_intake(2)])
        await queue.act(QueueAction.HOLD, ALL, NOON)
        await queue.act(QueueAction.RELEASE, ALL, NOON)
        answer = await queue.lease(question())
        assert {one.message.queue_id: one.lost_leases for one in answer.messages} == {
            queue_id(1): frozenset([0]),
            queue_id(2): frozenset(),
        }

    async def test_delivered_wins_over_hold(self, store: Store) -> None:
        await store.queue.take_in([an_intake(1, lease=LEASE)])
        await store.queue.act(QueueAction.HOLD, ALL, NOON)
        await store.queue.settle([settled(1, "node-1", relayed(queued(a_message(1))[0]))])
        assert await is_empty(store)

    async def test_delivered_wins_over_remove(self, queue: QueueStore) -> None:
        intake = an_intake(1, to=["a@x.example", "b@y.example"], lease=LEASE)
        await queue.take_in([intake])
        await queue.act(QueueAction.REMOVE, QueueFilter(domain="x.example"), NOON)
        await queue.settle([settled(1, "node-1", deferred(intake.queued[0], until=NOON))])
        (entry,) = await queue.entries(ALL, limit=9)
        assert entry.recipients[0].state is RecipientState.REMOVED
        await queue.settle([settled(1, "node-1", relayed(intake.queued[0]))])
        (entry,) = await queue.entries(ALL, limit=9)
        assert (entry.recipients[0].state, entry.recipients[0].last_reply) == (RecipientState.RELAYED, TAKEN)

    async def test_a_removed_message_stays_removed(self, store: Store) -> None:
        await store.queue.take_in([an_intake(1, lease=LEASE)])
        await store.queue.act(QueueAction.REMOVE, ALL, NOON)
        await store.queue.settle([settled(1, "node-1", deferred(queued(a_message(1))[0], until=NOON))])
        assert await is_empty(store)


class TestCounts:
    async def test_counts(self, queue: QueueStore) -> None:
        held = replace(an_intake(4, at=NOON + 4), queued=())
        held = replace(held, queued=tuple(replace(one, state=RecipientState.HELD) for one in queued(held.message)))
        await queue.take_in(
            [
                an_intake(1, to=["a@x.example", "b@x.example", "c@y.example"], at=NOON - 50),
                an_intake(2, to=["a@x.example"], lease=LEASE),
                an_intake(3, to=["d@z.example"], lease=OTHER),
                held,
            ]
        )
        await queue.settle([settled(3, "node-2", deferred(queued(a_message(3))[0], until=NOON + 99))])
        counts = await queue.counts()
        assert counts.messages == 4
        assert counts.by_state == {
            RecipientState.QUEUED: 3,
            RecipientState.LEASED: 1,
            RecipientState.DEFERRED: 1,
            RecipientState.HELD: 1,
        }
        assert counts.by_domain == (("x.example", 3), ("remote.example", 1), ("y.example", 1), ("z.example", 1))
        assert counts.oldest == NOON - 50

    async def test_age_begins_with_the_release(self, queue: QueueStore) -> None:
        await queue.take_in([asking(an_intake(1, at=NOON - 999), hold_until=NOON - 5)])
        assert (await queue.counts()).oldest == NOON - 5
        await queue.take_in([an_intake(2, at=NOON - 50)])
        assert (await queue.counts()).oldest == NOON - 50
