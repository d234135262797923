"""The promises of ReturnedStore, and of what an intake and a settlement write beside the queue."""

from dataclasses import replace

from tests.contract.implementations import OpenStore, Store
from tests.fakes.letters import NO_SUCH_USER, NOON, a_message, an_intake, queue_id, queued

from postroom.directory.model import Account
from postroom.mail.address import Address
from postroom.mail.delivery import RecipientState
from postroom.queue.model import Lease, Settlement
from postroom.queue.returnmodel import Finding, ReturnedMail
from postroom.report.history import HistoryRow
from postroom.reputation.model import Origin, Suppression

PATH = "b-token@ours.example"
ROW = HistoryRow(queue_id(1), NOON + 9, "bounced", "rita@remote.example", "remote.example", detail='{"by":"verp"}')
RITA = Suppression(
    "ours.example", Address.parse("rita@remote.example"), Origin.BOUNCE, "mailbox_unknown", NOON, NOON, NOON + 9e6
)  # fmt: skip


async def take_in(store: Store, number: int, *names: str, sender: str | None = None) -> None:
    await store.queue.take_in([replace(an_intake(number, sender=sender), returned=names)])


async def test_what_may_be_a_bounce_is_noted_with_its_intake_and_outlives_the_process(open_store: OpenStore) -> None:
    store = await open_store()
    await take_in(store, 3, PATH, sender="daemon@remote.example")
    await take_in(store, 2, "ann@ours.example", "bob@ours.example")
    await take_in(store, 4)
    content = an_intake(1).content
    expected = [
        ReturnedMail(queue_id(2), NOON, ("ann@ours.example", "bob@ours.example"), True, content),
        ReturnedMail(queue_id(3), NOON, (PATH,), False, content),
    ]
    other = await open_store()
    assert list(await other.returned.pending(10)) == expected
    assert list(await other.returned.pending(1)) == expected[:1]
    assert list(await other.returned.pending(10, queue_id(2))) == expected[1:]


async def test_content_is_kept_where_no_mailbox_does(store: Store, accounts: list[Account]) -> None:
    boxes = [account.account_id for account in accounts]
    await store.queue.take_in([replace(an_intake(2, to=(), boxes=boxes), returned=(PATH,))])
    (mail,) = await store.returned.pending(10)
    assert mail.content is None
    assert b"".join([piece async for piece in store.queue.read_content(mail.queue_id)]) == an_intake(2).content


async def test_what_follows_is_written_once(store: Store) -> None:
    await take_in(store, 2, PATH)
    await take_in(store, 3, PATH)
    finding = Finding(queue_id(2), (ROW,), (RITA,))
    assert list(await store.returned.finish([finding, Finding(queue_id(9), (ROW,), (RITA,))])) == [True, False]
    assert list(await store.returned.finish([finding])) == [False]
    assert [one.queue_id for one in await store.returned.pending(10)] == [queue_id(3)]
    assert list(await store.history.of_message(queue_id(1))) == [ROW]
    (found,) = await store.suppression.find([RITA.key])
    assert found == RITA
    assert list(await store.returned.finish([Finding(queue_id(3))])) == [True]
    assert list(await store.returned.pending(10)) == []


async def test_suppressions_are_noted_with_the_settlement(store: Store) -> None:
    lease = Lease("one", NOON + 900)
    await store.queue.take_in([an_intake(1, lease=lease)])
    generation = await store.suppression.generation()
    failed = tuple(
        replace(one, state=RecipientState.FAILED, attempts=1, last_attempt=NOON, last_reply=NO_SUCH_USER)
        for one in queued(a_message(1))
    )
    await store.queue.settle([Settlement(queue_id(1), "one", failed, suppressions=(RITA,))])
    assert list(await store.suppression.find([RITA.key])) == [RITA]
    assert await store.suppression.generation() > generation
