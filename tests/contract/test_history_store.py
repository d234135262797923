"""The promises of HistoryStore."""

from tests.contract.implementations import Store
from tests.fakes.letters import NOON, an_intake, queue_id

from postroom.report.history import HistoryRow, OutcomeTally, Tally

DAY = 86400
REMOTE = "remote.example"


def accepted(number: int, at: float, message_id: str = "") -> HistoryRow:
    return HistoryRow(queue_id(number), at, "accepted", domain="ours.example", message_id=message_id)


def relayed(number: int, at: float, recipient: str = "rita@remote.example") -> HistoryRow:
    return HistoryRow(queue_id(number), at, "relayed", recipient, "remote.example", detail='{"host": "mx"}')


async def put(store: Store, *rows: HistoryRow) -> None:
    """History comes with what it tells of."""
    await store.queue.take_in([an_intake(1000 + int(rows[0].at) % 100_000, history=rows)])


async def test_the_life_of_a_message_in_order(store: Store) -> None:
    await put(store, relayed(1, NOON + 5), accepted(2, NOON + 1))
    await put(store, accepted(1, NOON))
    assert list(await store.history.of_message(queue_id(1))) == [accepted(1, NOON), relayed(1, NOON + 5)]
    assert await store.history.of_message(queue_id(9)) == []


async def test_rows_of_one_moment_keep_their_order(store: Store) -> None:
    rows = [HistoryRow(queue_id(1), NOON, kind) for kind in ("accepted", "placed", "deferred", "relayed")]
    await put(store, *rows)
    assert list(await store.history.of_message(queue_id(1))) == rows


async def test_found_by_recipient_and_by_message_id(store: Store) -> None:
    await put(store, accepted(1, NOON, "<a@x>"), relayed(1, NOON + 1), relayed(1, NOON + 2))
    await put(store, accepted(2, NOON + DAY, "<a@x>"), relayed(2, NOON + 9 * DAY, "Rita@remote.example"))
    await put(store, accepted(3, NOON + 2 * DAY, "<b@x>"), relayed(3, NOON + 20 * DAY))
    find = store.history.find
    assert list(await find("rita@remote.example", 10)) == [queue_id(3), queue_id(2), queue_id(1)]
    assert list(await find("rita@remote.example", 2)) == [queue_id(3), queue_id(2)]
    assert list(await find("<a@x>", 10)) == [queue_id(2), queue_id(1)]
    assert list(await find("b@x", 10)) == [queue_id(3)]
    assert list(await find("", 10)) == []
    assert list(await find("nobody@remote.example", 10)) == []


async def test_nothing_is_found_in_an_empty_history(store: Store) -> None:
    assert list(await store.history.find("a@x", 10)) == []
    assert list(await store.history.tallies(0)) == []
    assert await store.history.expire(NOON) == 0


async def test_outcomes_by_cause_and_by_both_domains(store: Store) -> None:
    def row(number: int, kind: str, cause: str = "", domain: str = REMOTE, at: float = NOON + 5) -> HistoryRow:
        detail = f'{{"cause":"{cause}"}}' if cause else "{}"
        return HistoryRow(queue_id(number), at, kind, f"rita@{domain}", domain, detail=detail)

    await put(store, accepted(1, NOON), accepted(2, NOON), accepted(3, NOON))
    await put(store, relayed(1, NOON - 1), relayed(1, NOON + 6), relayed(2, NOON + 6), relayed(9, NOON + 6))
    rows = [row(1, "failed", "mailbox_unknown"), row(2, "failed", "mailbox_unknown"), row(2, "deferred")]
    rows += [row(3, "bounced", "policy", "far.example"), row(3, "complained"), row(3, "dsn")]
    await put(store, *rows, row(1, "expired", at=NOON - 9))
    ours = "ours.example"
    assert list(await store.history.outcomes(NOON)) == [
        OutcomeTally("bounced", "policy", ours, "far.example", 1),
        OutcomeTally("complained", "", ours, REMOTE, 1),
        OutcomeTally("deferred", "", ours, REMOTE, 1),
        OutcomeTally("failed", "mailbox_unknown", ours, REMOTE, 2),
        OutcomeTally("relayed", "", "", REMOTE, 1),
        OutcomeTally("relayed", "", ours, REMOTE, 2),
    ]


async def test_tallies_since(store: Store) -> None:
    await put(store, *[relayed(n, NOON + n) for n in range(10)], accepted(1, NOON + 5))
    assert sorted(await store.history.tallies(NOON + 5), key=lambda tally: tally.kind) == [
        Tally("accepted", "ours.example", 1),
        Tally("relayed", "remote.example", 5),
    ]


async def test_old_rows_are_forgotten(store: Store) -> None:
    await put(store, *[relayed(n, NOON - 1 - n) for n in range(7000)])
    await put(store, relayed(1, NOON), relayed(2, NOON + DAY))
    assert await store.history.expire(NOON) == 7000
    assert await store.history.expire(NOON) == 0
    assert list(await store.history.find("rita@remote.example", 10)) == [queue_id(2), queue_id(1)]
