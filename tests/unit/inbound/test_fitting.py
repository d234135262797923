"""Binary content becomes text that POP3 can carry (RFC 3030 §3, RFC 1939 §3), large or small, or is refused."""

import email
import email.policy

import pytest
from tests.fakes.queue_store import MemoryQueueStore

from postroom.inbound.content import ContentSpool
from postroom.inbound.fitting import FittingSpool
from postroom.mail.message import QueueId, QueueIds
from postroom.mail.trouble import StoreUnavailable
from postroom.mailauth.content import Content
from postroom.queue.model import ContentChunk

HEADER = b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"


def make(store: MemoryQueueStore) -> FittingSpool:
    next_id = QueueIds(lambda: 1_800_000_000.0).next
    return FittingSpool(store, lambda: ContentSpool(store, next_id))


async def through(store: MemoryQueueStore, content: bytes, size: int = 50_000) -> tuple[FittingSpool, bytes]:
    spool = make(store)
    for at in range(0, len(content), size):
        await spool.add(content[at : at + size])
    kept = await spool.finish()
    if kept is None:
        kept = b"".join(store.chunks[spool.queue_id])
    return spool, kept


async def whole(content: Content | None) -> bytes:
    assert content is not None
    if isinstance(content, bytes):
        return content
    return b"".join([piece async for piece in content()])


@pytest.mark.parametrize("octets", [b"\0\n.\r\r\n.\r\nx", bytes(range(256)) * 2000], ids=["small", "large"])
async def test_a_binary_part_is_encoded(octets: bytes) -> None:
    store = MemoryQueueStore()
    spool, kept = await through(store, HEADER + octets)
    assert spool.trouble == ""
    assert spool.size == len(kept)
    assert kept.startswith(spool.start)
    assert email.message_from_bytes(kept, policy=email.policy.SMTP).get_payload(decode=True) == octets
    lines = kept.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line or len(line) > 998 for line in lines)
    assert await whole(spool.received) == HEADER + octets  # as signatures are of that
    await spool.release()
    assert len(store.chunks) <= 1  # what was received is gone
    assert spool.received is None


async def test_text_is_left_alone() -> None:
    content = b"Subject: hi\r\n\r\n" + b"text\r\n" * 50_000
    spool, kept = await through(MemoryQueueStore(), content)
    assert (spool.trouble, kept) == ("", content)


@pytest.mark.parametrize(
    "content",
    [
        b"Subject: a\nB: c\r\n\r\n",
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\0\r\n--b\r\n\r\n\r\n--b--\r\n",
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext",
    ],
    ids=["header", "between the parts", "not closed"],
)
async def test_what_cannot_be_right_is_refused(content: bytes) -> None:
    spool, _ = await through(MemoryQueueStore(), content, 10)
    assert spool.trouble


async def test_nothing_is_kept_once_it_is_certain() -> None:
    store = MemoryQueueStore()
    spool = make(store)
    await spool.add(
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\0\r\n--b--\r\n" + b"x" * 10
    )
    size = spool.size
    await spool.add(b"x" * 1_000_000)
    assert spool.trouble
    assert spool.size == size
    await spool.finish()
    await spool.drop()
    assert store.chunks == {}


async def test_a_store_that_fails_meanwhile_leaves_nothing_of_the_conversion() -> None:
    class Failing(MemoryQueueStore):
        async def write_chunks(self, chunks: "list[ContentChunk] | tuple[ContentChunk, ...]") -> None:  # type: ignore[override]
            if len(self.chunks) > 1:
                raise StoreUnavailable("full", full=True)
            await super().write_chunks(chunks)

    store = Failing()
    spool = make(store)
    await spool.add(HEADER + bytes(1_000_000))
    with pytest.raises(StoreUnavailable):
        await spool.finish()
    assert set(store.chunks) <= {QueueId(spool.queue_id)}
    await spool.drop()
    assert store.chunks == {}
