"""Small content stays in memory, large content goes to the store in chunks, and a dropped one leaves nothing."""

import asyncio
import random

import pytest
from tests.fakes.clock import settle
from tests.fakes.queue_store import MemoryQueueStore
from tests.unit.inbound.conftest import Starter

from postroom.config.model import SmtpSettings
from postroom.inbound.content import ContentSpool
from postroom.mail.message import QueueId
from postroom.mail.trouble import StoreUnavailable
from postroom.queue.model import CHUNK_SIZE, INLINE_LIMIT
from postroom.report.events import MessageRefused

LINE = b"y" * 70 + b"\r\n"
ID = QueueId(5)


@pytest.mark.parametrize("size", [0, 1, INLINE_LIMIT - 1, INLINE_LIMIT])
@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_small_content_is_kept(size: int, pieces: int) -> None:
    store = MemoryQueueStore()
    content = random.Random(size).randbytes(size)
    spool = ContentSpool(store, lambda: ID)
    step = max(1, -(-size // pieces))
    for at in range(0, size, step):
        await spool.add(content[at : at + step])
    assert await spool.finish() == content
    assert (spool.start, spool.size, store.chunks) == (content, size, {})


@pytest.mark.parametrize("size", [INLINE_LIMIT + 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE, 1_000_000])
@pytest.mark.parametrize("step", [1000, 65536, 600_000])
async def test_large_content_goes_to_the_store(size: int, step: int) -> None:
    store = MemoryQueueStore()
    content = random.Random(size).randbytes(size)
    spool = ContentSpool(store, lambda: ID)
    for at in range(0, size, step):
        await spool.add(content[at : at + step])
    assert await spool.finish() is None
    assert b"".join(store.chunks[ID]) == content
    assert {len(chunk) for chunk in store.chunks[ID][:-1]} <= {CHUNK_SIZE}
    assert spool.start == content[:INLINE_LIMIT]
    assert spool.size == size


async def test_a_store_that_is_behind_holds_the_content_back() -> None:
    store = MemoryQueueStore()
    store.blocked["write_chunks"] = asyncio.Event()
    spool = ContentSpool(store, lambda: ID)
    taken = 0

    async def pour() -> None:
        nonlocal taken
        for _ in range(40):
            await spool.add(b"z" * 65536)
            taken += 65536

    pouring = asyncio.create_task(pour())
    await settle()
    assert taken <= 2 * CHUNK_SIZE
    store.blocked["write_chunks"].set()
    await pouring
    assert await spool.finish() is None
    assert sum(map(len, store.chunks[ID])) == 40 * 65536


async def test_dropping_waits_for_what_is_being_written() -> None:
    store = MemoryQueueStore()
    store.blocked["write_chunks"] = asyncio.Event()
    spool = ContentSpool(store, lambda: ID)
    await spool.add(b"z" * (CHUNK_SIZE + 1))
    dropping = asyncio.create_task(spool.drop())
    await settle()
    assert not dropping.done()
    store.blocked["write_chunks"].set()
    await dropping
    assert store.chunks == {}


async def test_a_failed_chunk_is_heard_of_and_can_be_dropped() -> None:
    store = MemoryQueueStore()
    store.failing.add("write_chunks")
    spool = ContentSpool(store, lambda: ID)
    await spool.add(b"z" * CHUNK_SIZE)
    with pytest.raises(StoreUnavailable):
        await spool.add(b"z" * CHUNK_SIZE)
    await spool.drop()
    assert store.chunks == {}


async def test_dropping_small_content_asks_nobody() -> None:
    store = MemoryQueueStore()
    store.failing.add("drop_chunks")
    spool = ContentSpool(store, lambda: ID)
    await spool.add(b"small")
    await spool.drop()


async def test_a_large_message_in_a_session(start: Starter) -> None:
    talk = start()
    await talk.open()
    content = b"Subject: big\r\n\r\n" + LINE * 20_000
    for at in range(0, len(content), 50_000):
        talk.stream.feed(content[at : at + 50_000])
    await settle(500)
    assert "250 2.0.0 queued as" in await talk.say(".")
    (draft,) = talk.house.door.drafts
    assert draft.content is None
    assert draft.content_size == len(content)
    assert draft.content_start == content[:INLINE_LIMIT]
    assert b"".join(talk.house.store.chunks[draft.queue_id]) == content


async def test_a_store_that_fails_in_mid_content(start: Starter) -> None:
    talk = start()
    await talk.open()
    talk.house.store.failing |= {"write_chunks", "drop_chunks"}
    for _ in range(20):
        talk.stream.feed(LINE * 1000)
    await settle(300)
    assert talk.stream.unread == b""
    assert (await talk.say(".")).startswith("452 4.3.1 ")
    (refused,) = talk.house.told(MessageRefused)
    assert "write_chunks fails" in refused.reason
    talk.house.store.failing.clear()
    said = await talk.say("MAIL FROM:<>", "RCPT TO:<bob@local.example>", "DATA", "Subject: again", ".")
    assert "250 2.0.0 queued as" in said


async def test_a_large_message_that_is_refused_leaves_nothing(start: Starter) -> None:
    talk = start(SmtpSettings(max_size=600_000))
    await talk.open()
    for _ in range(20):
        talk.stream.feed(LINE * 1000)
    await settle(300)
    assert (await talk.say(".")).startswith("552 5.3.4 ")
    assert talk.house.store.chunks == {}
    (refused,) = talk.house.told(MessageRefused)
    assert refused.reason == "too big"


async def test_a_client_that_leaves_in_mid_content(start: Starter) -> None:
    talk = start()
    await talk.open()
    for _ in range(20):
        talk.stream.feed(LINE * 1000)
    await settle(300)
    assert talk.house.store.chunks
    talk.stream.feed_eof()
    await talk.over()
    assert talk.house.store.chunks == {}
    assert talk.house.door.drafts == []
