"""What the road asks of a QueueStore: destinations, filters, redirection, claims, pauses. Kept by the fake as well."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.letters import GONE_AWAY, NOON, an_intake, asking, deferred, queue_id, relayed, settled
from tests.fakes.queue_store import MemoryQueueStore

from postroom.mail.address import Address
from postroom.mail.delivery import Peer, RecipientState
from postroom.mail.message import QueueId
from postroom.queue.model import (
    Intake,
    Lease,
    LeasedMessage,
    LeaseQuestion,
    Pause,
    PauseKind,
    QueueAction,
    QueueFilter,
)
from postroom.queue.putoff import mark_of, paused
from postroom.queue.store import QueueStore
from postroom.storage.sqlite.store import SqliteStore

LEASE = Lease("node-1", NOON + 900)
COMMAND = Lease("command", NOON + 300)
NEW = Address("new", "elsewhere.example")


@pytest.fixture(params=["memory", "sqlite"])
async def queue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[QueueStore]:
    if request.param == "memory":
        yield MemoryQueueStore()
        return
    store = await SqliteStore.open(tmp_path / "postroom.db")
    yield store.queue
    await store.close()


def by(intake: Intake, rule: str, path: Address | None = None) -> Intake:
    """The intake whose recipients go by a rule, with a return path."""
    queued = tuple(
        replace(one, destination=f"{one.recipient.address.domain} {rule}", return_path=path) for one in intake.queued
    )
    return replace(intake, queued=queued)


def tagged(intake: Intake, *tags: str, account: str = "sam@ours.example") -> Intake:
    return replace(intake, message=replace(intake.message, tags=tags, account=account))


def question(now: float = NOON, excluded: frozenset[str] = frozenset(), per_destination: int = 100) -> LeaseQuestion:
    return LeaseQuestion(now, LEASE, 100, per_destination, excluded)


def ids(messages: tuple[LeasedMessage, ...]) -> list[QueueId]:
    return sorted(one.message.queue_id for one in messages)


async def met(queue: QueueStore, which: QueueFilter) -> list[int]:
    """The numbers of the messages that match."""
    return [entry.message.queue_id - queue_id(0) for entry in await queue.entries(which, limit=100)]


class TestDestinations:
    async def test_two_ways_to_one_domain_are_asked_for_apart(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1), by(an_intake(2), "smart"), an_intake(3, to=["x@other.example"])])
        answer = await queue.lease(question(excluded=frozenset({"remote.example smart"})))
        assert ids(answer.messages) == [queue_id(1), queue_id(3)]
        (message,) = (await queue.lease(question())).messages
        assert message.recipients[0].destination == "remote.example smart"

    async def test_what_is_left_out_is_not_the_next_that_is_due(self, queue: QueueStore) -> None:
        await queue.take_in([by(an_intake(1, due=NOON + 5), "smart"), an_intake(2, due=NOON + 9)])
        answer = await queue.lease(question(excluded=frozenset({"remote.example smart"})))
        assert (answer.messages, answer.next_due) == ((), NOON + 9)

    async def test_the_share_is_of_a_destination(self, queue: QueueStore) -> None:
        await queue.take_in([by(an_intake(n), "smart" if n < 4 else "") for n in range(1, 7)])
        assert len((await queue.lease(question(per_destination=2))).messages) == 4

    async def test_some_destinations_have_a_share_of_their_own(self, queue: QueueStore) -> None:
        await queue.take_in([by(an_intake(n), "smart" if n < 4 else "") for n in range(1, 7)])
        asked = replace(question(per_destination=2), shares={"remote.example smart": 1})
        assert len((await queue.lease(asked)).messages) == 3
        asked = replace(question(), shares={"remote.example smart": 0})
        assert len((await queue.lease(asked)).messages) == 1

    async def test_it_and_the_return_path_last_as_long_as_the_recipient(self, queue: QueueStore) -> None:
        path = Address("bounce+1=rita=remote.example", "ours.example")
        intake = by(an_intake(1, to=["rita@remote.example", "b@b.example"], lease=LEASE), "smart", path)
        await queue.take_in([intake])
        first, second = intake.queued
        await queue.settle([settled(1, "node-1", relayed(first), deferred(second, until=NOON + 9))])
        (entry,) = await queue.entries(QueueFilter(), limit=1)
        assert {one.return_path for one in entry.recipients} == {path}
        assert entry.recipients[-1].destination == "b.example smart"
        (leased,) = (await queue.lease(question(NOON + 10))).messages
        assert (leased.recipients[0].return_path, leased.recipients[0].number) == (path, 1)

    async def test_tags_are_kept(self, queue: QueueStore) -> None:
        await queue.take_in([tagged(an_intake(1), "news", "ünï"), asking(tagged(an_intake(2), "a"), priority=3)])
        first, second = await queue.entries(QueueFilter(), limit=9)
        assert (first.message.tags, second.message.tags) == (("news", "ünï"), ("a",))
        assert second.message.envelope.priority == 3

    async def test_held_from_the_start_is_not_leased(self, queue: QueueStore) -> None:
        intake = an_intake(1, lease=LEASE)
        held = tuple(replace(one, state=RecipientState.HELD) for one in intake.queued)
        await queue.take_in([replace(intake, queued=held)])
        (entry,) = await queue.entries(QueueFilter(), limit=1)
        assert (entry.recipients[0].state, entry.lease) == (RecipientState.HELD, None)
        assert (await queue.lease(question(NOON + 10_000))).messages == ()
        assert await queue.act(QueueAction.RELEASE, QueueFilter(), NOON) == 1
        assert ids((await queue.lease(question())).messages) == [queue_id(1)]


class TestFilters:
    @pytest.fixture(autouse=True)
    async def fill(self, queue: QueueStore) -> None:
        """1: by a rule, of another account. 2: tagged, answered by a host. 3: younger, urgent. 4: plain."""
        await queue.take_in(
            [
                tagged(by(an_intake(1), "smart"), account="eve@ours.example"),
                tagged(an_intake(2, lease=LEASE), "news"),
                asking(an_intake(3, at=NOON + 100), priority=4),
                an_intake(4),
            ]
        )
        told = deferred(an_intake(2).queued[0], until=NOON + 60)
        await queue.settle([settled(2, "node-1", replace(told, last_peer=Peer("mx.slow.example", "192.0.2.1", 25)))])

    @pytest.mark.parametrize(
        ("which", "numbers"),
        [
            (QueueFilter(), [1, 2, 3, 4]),
            (QueueFilter(destination="remote.example smart"), [1]),
            (QueueFilter(domain="remote.example", destination="remote.example"), [2, 3, 4]),
            (QueueFilter(account="EVE@ours.example"), [1]),
            (QueueFilter(tag="news"), [2]),
            (QueueFilter(tag="new"), []),
            (QueueFilter(before=NOON + 50), [1, 2, 4]),
            (QueueFilter(priority=4), [3]),
            (QueueFilter(priority=0, tag="news"), [2]),
            (QueueFilter(reply="AWAY"), [2]),
            (QueueFilter(reply="4.4.1"), [2]),
            (QueueFilter(reply="no such text"), []),
            (QueueFilter(host="MX.slow.example"), [2]),
        ],
    )
    async def test_who_is_meant(self, queue: QueueStore, which: QueueFilter, numbers: list[int]) -> None:
        assert await met(queue, which) == numbers
        assert await queue.act(QueueAction.HOLD, which, NOON) == len(numbers)
        assert await met(queue, QueueFilter(states=frozenset({RecipientState.HELD}))) == numbers


class TestRedirect:
    async def test_it_goes_to_the_new_address_as_if_it_had_just_come(self, queue: QueueStore) -> None:
        intake = by(an_intake(1, lease=LEASE), "smart")
        await queue.take_in([intake])
        await queue.settle([settled(1, "node-1", deferred(intake.queued[0], until=NOON + 600))])
        assert await queue.act(QueueAction.REDIRECT, QueueFilter(), NOON + 1, NEW) == 1
        (leased,) = (await queue.lease(question(NOON + 1))).messages
        (one,) = leased.recipients
        assert (one.recipient.address, one.destination) == (NEW, "elsewhere.example")
        assert one.recipient.orcpt == "rfc822;rita@remote.example"  # RFC 3461 §4.2
        assert (one.attempts, one.last_reply) == (0, None)
        assert (await queue.lease(question(NOON + 9000, frozenset({"elsewhere.example"})))).next_due is None

    async def test_the_address_that_the_sender_gave_stays(self, queue: QueueStore) -> None:
        intake = an_intake(1)
        given = replace(intake.queued[0].recipient, orcpt="rfc822;first@first.example")
        await queue.take_in([replace(intake, queued=(replace(intake.queued[0], recipient=given),))])
        await queue.act(QueueAction.REDIRECT, QueueFilter(), NOON, NEW)
        (entry,) = await queue.entries(QueueFilter(), limit=1)
        assert entry.recipients[0].recipient.orcpt == "rfc822;first@first.example"

    async def test_what_is_held_stays_held_and_what_is_leased_stays(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1), an_intake(2, lease=LEASE)])
        await queue.act(QueueAction.HOLD, QueueFilter(queue_ids=(queue_id(1),)), NOON)
        assert await queue.act(QueueAction.REDIRECT, QueueFilter(), NOON, NEW) == 1
        (held,) = await queue.entries(QueueFilter(states=frozenset({RecipientState.HELD})), limit=9)
        assert (held.message.queue_id, held.recipients[0].recipient.address) == (queue_id(1), NEW)
        (leased,) = await queue.entries(QueueFilter(states=frozenset({RecipientState.LEASED})), limit=9)
        assert leased.recipients[0].recipient.address.domain == "remote.example"


class TestClaim:
    async def test_a_command_takes_what_nobody_has(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, due=NOON + 500), an_intake(2, lease=LEASE), an_intake(3)])
        await queue.act(QueueAction.HOLD, QueueFilter(queue_ids=(queue_id(3),)), NOON)
        claimed = await queue.claim(QueueFilter(), COMMAND, 10)
        assert ids(tuple(claimed)) == [queue_id(1), queue_id(3)]
        assert claimed[0].recipients[0].state is RecipientState.LEASED
        assert not await queue.claim(QueueFilter(), COMMAND, 10)
        again = await queue.lease(question(NOON + 600))
        assert ids(again.messages) == [queue_id(1), queue_id(3)]  # the command's leases end like any other

    async def test_piece_by_piece(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(n, to=["a@x.example", "b@y.example"]) for n in (1, 2, 3)])
        which = QueueFilter(domain="y.example")
        sizes = []
        while claimed := await queue.claim(which, COMMAND, 2):
            assert all(one.recipient.address.domain == "y.example" for each in claimed for one in each.recipients)
            sizes.append(len(claimed))
        assert sizes == [2, 1]

    async def test_whoever_claims_settles(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1)])
        (claimed,) = await queue.claim(QueueFilter(), COMMAND, 2)
        await queue.settle([settled(1, "node-1", relayed(claimed.recipients[0]))])
        assert await met(queue, QueueFilter()) == [1]
        await queue.settle([settled(1, "command", relayed(claimed.recipients[0]))])
        assert await met(queue, QueueFilter()) == []


class TestOrders:
    async def test_nothing_is_paused_at_first(self, queue: QueueStore) -> None:
        orders = await queue.orders(0)
        assert orders is not None
        assert (orders.flushes, orders.pauses) == (0, ())
        assert await queue.orders(orders.generation) is None

    async def test_a_pause_is_heard_of_until_it_ends(self, queue: QueueStore) -> None:
        start = await queue.orders(0)
        assert start is not None
        pause = Pause(PauseKind.DOMAIN, "far.example", NOON, NOON + 60.5, "they asked", "ann")
        await queue.pause(pause)
        await queue.pause(Pause(PauseKind.SENDER, "", NOON))
        orders = await queue.orders(start.generation)
        assert orders is not None
        assert orders.pauses == (pause, Pause(PauseKind.SENDER, "", NOON))
        assert await queue.resume(PauseKind.DOMAIN, "far.example")
        assert not await queue.resume(PauseKind.DOMAIN, "far.example")
        assert not await queue.resume(PauseKind.SITE, "")
        after = await queue.orders(orders.generation)
        assert after is not None
        assert [one.kind for one in after.pauses] == [PauseKind.SENDER]

    async def test_a_second_pause_of_the_same_takes_the_place_of_the_first(self, queue: QueueStore) -> None:
        await queue.pause(Pause(PauseKind.SITE, "mx.example", NOON, None, "one"))
        await queue.pause(Pause(PauseKind.SITE, "mx.example", NOON + 1, NOON + 2, "two"))
        orders = await queue.orders(0)
        assert orders is not None
        assert [one.reason for one in orders.pauses] == ["two"]

    async def test_pauses_that_have_ended_are_swept_by_the_next(self, queue: QueueStore) -> None:
        await queue.pause(Pause(PauseKind.SITE, "mx.example", NOON, NOON + 5))
        await queue.pause(Pause(PauseKind.SITE, "other.example", NOON + 5))
        orders = await queue.orders(0)
        assert orders is not None
        assert [one.subject for one in orders.pauses] == ["other.example"]

    async def test_a_flush_is_heard_of(self, queue: QueueStore) -> None:
        before = await queue.orders(0)
        await queue.flush()
        assert before is not None
        after = await queue.orders(before.generation)
        assert after is not None
        assert after.flushes == before.flushes + 1

    async def test_what_is_taken_from_a_server_is_recalled(self, queue: QueueStore) -> None:
        await queue.take_in([an_intake(1, lease=LEASE), an_intake(2)])
        start = await queue.orders(0)
        assert start is not None
        await queue.act(QueueAction.HOLD, QueueFilter(queue_ids=(queue_id(2),)), NOON)
        assert await queue.orders(start.generation) is None
        await queue.act(QueueAction.HOLD, QueueFilter(), NOON)
        orders = await queue.orders(start.generation)
        assert orders is not None
        assert orders.recalls == start.recalls + 1

    async def test_what_a_pause_put_off_goes_on_when_it_ends(self, queue: QueueStore) -> None:
        pause = Pause(PauseKind.DOMAIN, "remote.example", NOON)
        intakes = [an_intake(n, lease=LEASE) for n in (1, 2)]
        await queue.take_in(intakes)
        put_off = replace(
            intakes[0].queued[0],
            state=RecipientState.DEFERRED,
            next_attempt=NOON + 9999,
            last_reply=paused(pause, NOON).reply,
        )
        other = replace(put_off, last_reply=GONE_AWAY)
        await queue.settle([settled(1, "node-1", put_off), settled(2, "node-1", other)])
        assert await queue.act(QueueAction.RESUME, QueueFilter(reply=mark_of(pause)), NOON + 5) == 1
        assert ids((await queue.lease(question(NOON + 5))).messages) == [queue_id(1)]
