"""The promises of ReportedStore, and of what an intake keeps for it."""

from dataclasses import replace

import pytest
from tests.contract.implementations import OpenStore, Store
from tests.fakes.letters import NOON, an_intake, queue_id

from postroom.directory.model import Account
from postroom.mailauth.reports.model import UnreadableReport
from postroom.mailauth.reports.store import Kept, NewReport, ReportFilter
from postroom.queue.model import ContentChunk, Intake
from postroom.queue.reportmodel import ReportedMail, ReportFinding, ReportNote
from postroom.queue.returnmodel import Finding
from postroom.report.history import HistoryRow

NOTE = ReportNote(("dmarc-reports@ours.example",), "big.example")
REPORT = NewReport(UnreadableReport("ours.example", "why not", "x.example"), NOON, "ours.example", 1)
ROW = HistoryRow(queue_id(2), NOON, "reported", "dmarc-reports@ours.example", "ours.example", detail="{}")


def reported(number: int, note: ReportNote = NOTE) -> Intake:
    return replace(an_intake(number, to=()), reported=note)


async def large(store: Store, number: int, *, boxes: tuple[int, ...] = ()) -> bytes:
    """A message in chunks."""
    pieces = [bytes([65 + n]) * 1000 for n in range(3)]
    await store.queue.write_chunks([ContentChunk(queue_id(number), n, piece) for n, piece in enumerate(pieces)])
    intake = an_intake(number, to=(), boxes=boxes)
    message = replace(intake.message, content_size=3000)
    await store.queue.take_in([replace(intake, message=message, content=None, reported=NOTE)])
    return b"".join(pieces)


async def content_of(store: Store, number: int) -> bytes:
    return b"".join([piece async for piece in store.queue.read_content(queue_id(number))])


async def test_what_is_to_be_read_is_noted_with_its_intake_and_outlives_the_process(open_store: OpenStore) -> None:
    store = await open_store()
    await store.queue.take_in([reported(3), an_intake(4)])
    await store.queue.take_in([reported(2, replace(NOTE, author=None))])
    content = an_intake(1).content
    expected = [
        ReportedMail(queue_id(2), NOON, replace(NOTE, author=None), content),
        ReportedMail(queue_id(3), NOON, NOTE, content),
    ]
    other = await open_store()
    assert list(await other.reported.pending(10)) == expected
    assert list(await other.reported.pending(1)) == expected[:1]


async def test_what_follows_is_written_once(store: Store) -> None:
    await store.queue.take_in([reported(2)])
    finding = ReportFinding(queue_id(2), (REPORT,), (ROW,))
    assert list(await store.reported.finish(finding) or ()) == [Kept.NEW]
    assert await store.reported.finish(finding) is None
    assert await store.reported.finish(ReportFinding(queue_id(9), (REPORT,), (ROW,))) is None
    assert list(await store.reported.pending(10)) == []
    assert list(await store.history.of_message(queue_id(2))) == [ROW]
    assert len(await store.reports.listing(ReportFilter(), limit=10)) == 1


async def test_large_content_stays_until_it_was_read(open_store: OpenStore) -> None:
    store = await open_store()
    content = await large(store, 2)
    await store.queue.recover("one", NOON)  # which sweeps chunks that belong to nothing
    (mail,) = await store.reported.pending(10)
    assert mail.content is None
    assert await content_of(store, 2) == content
    await store.reported.finish(ReportFinding(queue_id(2)))
    with pytest.raises(KeyError):
        await content_of(store, 2)


async def test_a_mailbox_and_a_reader_do_without_each_other(store: Store, accounts: list[Account]) -> None:
    ann = accounts[0].account_id
    content = await large(store, 2, boxes=(ann,))
    (entry,) = await store.mailbox.entries(ann)
    await store.mailbox.remove(ann, [entry.entry_id])
    assert await content_of(store, 2) == content  # it was collected before it was read
    await store.reported.finish(ReportFinding(queue_id(2)))
    with pytest.raises(KeyError):
        await content_of(store, 2)

    await large(store, 3, boxes=(ann,))
    await store.reported.finish(ReportFinding(queue_id(3)))  # and here the other way round
    assert await content_of(store, 3) == content


async def test_a_complaint_is_listed_where_it_is_read_as_something_that_came_back(store: Store) -> None:
    await store.queue.take_in([replace(an_intake(2), returned=("fbl@ours.example",))])
    finding = Finding(queue_id(2), complaints=(REPORT,))
    assert list(await store.returned.finish([finding])) == [True]
    assert list(await store.returned.finish([finding])) == [False]
    assert len(await store.reports.listing(ReportFilter(), limit=10)) == 1
