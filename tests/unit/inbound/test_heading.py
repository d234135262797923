"""The header on its way in: held until it is whole, edited once, and known as it came however the content is cut."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.fakes.checked_world import HOST, KeepingTally, a_zone, make_checks, signed
from tests.fakes.queue_store import MemoryQueueStore
from tests.fakes.smtp_house import NOW, SmtpHouse

from postroom.inbound.content import ContentSpool
from postroom.inbound.fitting import stored
from postroom.inbound.heading import MAX_HEADER, HeaderSpool
from postroom.inbound.service import stages_of
from postroom.inbound.trace import Tracer
from postroom.inbound.transaction import Rooms, Transaction
from postroom.mail.address import Address
from postroom.mail.envelope import Body, Recipient
from postroom.mail.message import Message, QueueIds
from postroom.mail.reply import Reply
from postroom.mail.session import Client, Role
from postroom.mail.trouble import StoreUnavailable
from postroom.mailauth.content import Content
from postroom.mailauth.results import without_forged
from postroom.policy.chain import Chain
from postroom.policy.networks import member_of
from postroom.protocol.smtp.events import Mail
from postroom.queue.model import INLINE_LIMIT

BOB = Address.parse("bob@local.example")
ANN = Address.parse("ann@remote.example")
CLIENT = Client(1, Role.MX, "192.0.2.1", 4711, "client.example", esmtp=True)
FORGED = f"Authentication-Results: {HOST}; dmarc=pass\r\n".encode()
HEADER = b"From: info@bank.example\r\nTo: bob@local.example\r\n"


async def whole(content: Content) -> bytes:
    return content if isinstance(content, bytes) else b"".join([piece async for piece in content()])


async def through(content: bytes, size: int) -> tuple[HeaderSpool, bytes, Content]:
    """The spool, what it passed on, and that content again as it is read."""
    store = MemoryQueueStore()
    inner = ContentSpool(store, QueueIds(lambda: NOW).next)
    spool = HeaderSpool(inner, lambda header: without_forged(header, HOST))
    for at in range(0, len(content), size):
        await spool.add(content[at : at + size])
    kept = await spool.finish()
    passed_on = stored(store, spool.queue_id, kept)
    return spool, await whole(passed_on), passed_on


@pytest.mark.parametrize("size", [1, 3, 100, 1 << 20])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b""),
        (b"\r\n", b"\r\n"),
        (b"\r\n" + FORGED, b"\r\n" + FORGED),
        (HEADER + b"\r\ntext", HEADER + b"\r\ntext"),
        (FORGED + HEADER + b"\r\n" + FORGED, HEADER + b"\r\n" + FORGED),
        (FORGED + b"\r\ntext", b"\r\ntext"),
        (FORGED, b""),
        (FORGED[:-2], b""),
        (HEADER + FORGED.replace(b"; ", b";\r\n\t"), HEADER),
        (HEADER + b"no field\r\n" + FORGED + b"\r\n", HEADER + b"no field\r\n\r\n"),
    ],
)
async def test_what_is_taken_out(before: bytes, after: bytes, size: int) -> None:
    """RFC 8601 §5; and the content as it came can be had all the same."""
    spool, kept, passed_on = await through(before, size)
    assert kept == after
    assert spool.size == len(after)
    assert await whole(spool.as_it_came(passed_on)) == before
    assert before.startswith(spool.original)


@pytest.mark.parametrize("size", [7000, 1 << 20])
@pytest.mark.parametrize("front", [b"", FORGED, FORGED * 3000])
async def test_large_content_as_it_came(front: bytes, size: int) -> None:
    content = front + HEADER + b"\r\n" + b"line of text\r\n" * 60_000
    spool, kept, passed_on = await through(content, size)
    assert not isinstance(passed_on, bytes)
    assert kept == content[len(front) :]
    assert await whole(spool.as_it_came(passed_on)) == content
    assert await whole(spool.as_it_came(passed_on)) == content  # as often as somebody reads it


async def test_pieces_that_end_within_the_header() -> None:
    spool, kept, _ = await through(FORGED + HEADER + b"\r\ntext\r\n", 1 << 20)

    async def pieces() -> AsyncIterator[bytes]:
        for octet in kept:
            yield bytes((octet,))

    assert await whole(spool.as_it_came(pieces)) == FORGED + HEADER + b"\r\ntext\r\n"


@pytest.mark.parametrize("size", [1000, 1 << 20])
@pytest.mark.parametrize("end", [b"\r\n\r\ntext", b""])
async def test_a_header_without_end_is_not_held(size: int, end: bytes) -> None:
    spool, kept, _ = await through(b"X: " + b"y" * MAX_HEADER + end, size)
    assert spool.is_too_long
    assert kept == b""


# The whole way in.


def rooms(house: SmtpHouse, **settings: Any) -> Rooms:
    house.people.add_account(str(BOB), password="set")
    checks = make_checks(house.clock, house.reports.append, zone=a_zone(), tally=KeepingTally(), **settings)
    stage = checks.stage(Role.MX)
    assert stage is not None
    return Rooms(
        chain=Chain([*stages_of(Role.MX, house.house), stage]),
        resolver=house.directory,
        door=house.door,
        store=house.store,
        next_id=house.house.queue_ids.next,
        tracer=Tracer(HOST),
        clock=house.clock,
        reporter=house.house.reporter,
        settings=house.house.settings,
        originator=None,
        may_hurry=member_of(()),
        is_checked=checks.checks,
        without_forged=checks.without_forged,
    )


async def arrives(
    house: SmtpHouse, content: bytes, *, body: Body = Body.SEVEN_BIT, size: int = 50_000, **settings: Any
) -> Message | Reply:
    transaction = Transaction(rooms(house, **settings), CLIENT, Mail(ANN, body=body))
    assert (await transaction.open()).is_positive
    assert await transaction.add(Recipient(BOB)) is None
    transaction.begin_content()
    for at in range(0, len(content), size):
        await transaction.take(content[at : at + size])
    try:
        return await transaction.finish()
    except StoreUnavailable:
        await transaction.abandon()
        raise


def in_store(house: SmtpHouse) -> bytes:
    (draft,) = house.door.drafts
    content = draft.content
    return content if content is not None else b"".join(house.store.chunks[draft.queue_id])


@pytest.mark.parametrize("lines", [1, 10_000], ids=["small", "in chunks"])
async def test_signatures_are_of_what_came(lines: int) -> None:
    """A forged field that was signed with the rest goes, and the signature is good all the same (RFC 8601 §5)."""
    house = SmtpHouse()
    sent = await signed(FORGED + HEADER + b"Subject: hi\r\n\r\n" + b"text to fill it\r\n" * lines, NOW)
    assert isinstance(await arrives(house, sent), Message)
    (draft,) = house.door.drafts
    assert b"dkim=pass" in draft.prefix
    assert draft.prefix.startswith(f"Authentication-Results: {HOST};".encode())
    assert in_store(house) == sent.replace(FORGED, b"")
    assert draft.content_size == len(sent) - len(FORGED)


@pytest.mark.parametrize("octets", [bytes(range(256)), bytes(range(256)) * 2000], ids=["small", "in chunks"])
async def test_signatures_of_binary_content(octets: bytes) -> None:
    """RFC 3030 §3: it is converted for the mailbox; what was signed is what came."""
    house = SmtpHouse()
    binary = b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    sent = await signed(FORGED + HEADER + binary + octets, NOW)
    assert isinstance(await arrives(house, sent, body=Body.BINARY), Message)
    (draft,) = house.door.drafts
    assert b"dkim=pass" in draft.prefix
    assert b"base64" in in_store(house)
    assert FORGED not in in_store(house)
    assert set(house.store.chunks) <= {draft.queue_id}


async def test_a_refused_message_leaves_nothing() -> None:
    house = SmtpHouse()
    reply = await arrives(house, HEADER + b"\r\n" + b"text to fill it\r\n" * 10_000)
    assert isinstance(reply, Reply)
    assert reply.status == "5.7.26"
    assert house.store.chunks == {}


async def test_a_header_that_is_too_long_is_refused() -> None:
    """RFC 3463 §3.4. It could hide a field of ours, and nothing else in it would be seen."""
    house = SmtpHouse()
    for content in (b"X: " + b"y" * MAX_HEADER + b"\r\n" + FORGED + b"\r\n", (b"X: y" * 9 + b"\r\n") * 40_000):
        reply = await arrives(house, content)
        assert isinstance(reply, Reply)
        assert (reply.code, reply.status) == (552, "5.3.4")


async def test_content_that_cannot_be_read_is_our_trouble() -> None:
    house = SmtpHouse()

    def broken(_: object) -> AsyncIterator[bytes]:
        raise StoreUnavailable("the disk is gone")

    house.store.read_chunks = broken  # type: ignore[method-assign,assignment]
    with pytest.raises(StoreUnavailable):
        await arrives(house, await signed(HEADER + b"\r\n" + b"x" * 2 * INLINE_LIMIT, NOW))
    assert not house.door.drafts


async def test_quarantine_reaches_the_draft() -> None:
    house = SmtpHouse()
    content = HEADER.replace(b"bank", b"shop") + b"\r\ntext\r\n"
    assert isinstance(await arrives(house, content, quarantine="hold"), Message)
    (draft,) = house.door.drafts
    assert draft.tags == ("quarantine",)
    assert draft.hold
    assert draft.facts["checked"]["action"] == "quarantine"
