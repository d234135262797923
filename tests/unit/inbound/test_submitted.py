"""A submitted message loses its Bcc, wherever it is cut, and nothing else; its header is known whole."""

import pytest
from tests.fakes.queue_store import MemoryQueueStore

from postroom.inbound.content import ContentSpool
from postroom.inbound.heading import MAX_HEADER
from postroom.inbound.submitted import SubmittedSpool
from postroom.mail.message import QueueIds
from postroom.queue.model import INLINE_LIMIT


async def through(content: bytes, size: int) -> tuple[SubmittedSpool, bytes]:
    store = MemoryQueueStore()
    spool = SubmittedSpool(ContentSpool(store, QueueIds(lambda: 1_800_000_000.0).next))
    for at in range(0, len(content), size):
        await spool.add(content[at : at + size])
    kept = await spool.finish()
    if kept is None:
        kept = b"".join(store.chunks[spool.queue_id])
    assert spool.size == len(kept)
    assert kept.startswith(spool.start)
    return spool, kept


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"", b""),
        (b"\r\n", b"\r\n"),
        (b"\r\nBcc: x\r\n", b"\r\nBcc: x\r\n"),
        (b"From: a\r\nTo: b\r\n\r\nBcc: x\r\n", b"From: a\r\nTo: b\r\n\r\nBcc: x\r\n"),
        (b"Bcc: x\r\nFrom: a\r\n\r\ntext", b"From: a\r\n\r\ntext"),
        (b"From: a\r\nBCC : x,\r\n\ty,\r\n z\r\nTo: b\r\n\r\n", b"From: a\r\nTo: b\r\n\r\n"),
        (b"From: a\r\nResent-Bcc: x\r\nbcc:\r\n\r\n", b"From: a\r\n\r\n"),
        (b"From: a\r\nX-Bcc: x\r\nBcc2: y\r\nSubject: Bcc: z\r\n Bcc: w\r\n\r\n", None),
        (b"From: a\r\nBcc: x\r\n", b"From: a\r\n"),
        (b"From: a\r\nBcc: x", b"From: a\r\n"),
        (b"From: a\r\nno field\r\nBcc: x\r\n\r\n", b"From: a\r\nno field\r\n\r\n"),
    ],
)
async def test_bcc_goes(content: bytes, kept: bytes | None, size: int) -> None:
    """RFC 5322 §3.6.3."""
    spool, found = await through(content, size)
    assert found == (content if kept is None else kept)
    assert not spool.is_too_long


async def test_large_content_streams_on() -> None:
    body = b"x" * 70 + b"\r\n"
    content = b"From: a\r\nBcc: b\r\n\r\n" + body * 20_000
    spool, kept = await through(content, 10_000)
    assert len(kept) > INLINE_LIMIT
    assert kept == content.replace(b"Bcc: b\r\n", b"")
    assert [field.name for field in spool.header.fields] == [b"From", b"Bcc"]


@pytest.mark.parametrize("size", [1000, 1 << 20])
@pytest.mark.parametrize("end", [b"\r\n\r\ntext", b""])
async def test_a_header_without_end_is_not_held(size: int, end: bytes) -> None:
    spool, kept = await through(b"X: " + b"y" * MAX_HEADER + end, size)
    assert spool.is_too_long
    assert kept == b""


@pytest.mark.parametrize(
    ("content", "hidden"),
    [
        (b"From: a\r\n\r\n", False),
        (b"no field\r\nTo: b\r\n\r\nFrom: a\r\n", False),
        (b"To: b\r\nno field\r\nfrom : a\r\n\r\n", True),
        (b"From: b\r\nno field\r\nSender: a\r\n\r\n", True),
    ],
)
async def test_what_stands_behind_a_broken_line_is_noticed(content: bytes, hidden: bool) -> None:
    spool, _ = await through(content, 1 << 20)
    assert spool.has_hidden_origin is hidden


async def test_what_was_stored_can_be_dropped() -> None:
    store = MemoryQueueStore()
    spool = SubmittedSpool(ContentSpool(store, QueueIds(lambda: 1_800_000_000.0).next))
    await spool.add(b"\r\n" + b"x" * 1_000_000)
    await spool.drop()
    assert store.chunks == {}
