"""The end that asks: what leaves together, what comes back to whom, and what becomes of all when nobody is there."""

import asyncio
from typing import Any

import pytest

from postroom.mail.trouble import StoreUnavailable
from postroom.net.apart.frames import WireError
from postroom.storage.apart import asking
from postroom.storage.apart.asking import RemoteWriter
from postroom.storage.apart.written import Answers, Asked, read_asked, write_answers
from postroom.storage.batch import Kind, Writer

NOTE: Kind[Any, Any, Any] = Kind("note", lambda _, arguments: arguments)


class Wire(list[bytes]):
    """Bodies that were sent."""

    def asked(self) -> list[list[Asked]]:
        return [list(read_asked(body)) for body in self]

    def numbers(self) -> list[list[int]]:
        return [[one[0] for one in body] for body in self.asked()]


async def turn() -> None:
    await asyncio.sleep(0)


def answer(*done: tuple[int, Any], refused: tuple[tuple[int, Exception], ...] = ()) -> bytes:
    return write_answers(Answers(done, refused))


async def test_what_one_turn_brings_leaves_in_one_body() -> None:
    wire = Wire()
    writer: Writer[None] = RemoteWriter(wire.append)
    writer.submit(NOTE, "a")
    writer.submit(NOTE, ("b", 2), weight=3, octets=4)
    assert wire == []
    await turn()
    writer.submit(NOTE, None)
    await turn()
    assert wire.asked() == [[(1, "note", "a", 1, 0), (2, "note", ("b", 2), 3, 4)], [(3, "note", None, 1, 0)]]


async def test_much_leaves_in_several_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "BATCH_OCTETS", 100)
    wire = Wire()
    writer = RemoteWriter(wire.append)
    for octets in (60, 60, 500, 0, 10):
        writer.submit(NOTE, "x", octets=octets)
    await turn()
    assert wire.numbers() == [[1, 2], [3], [4, 5]]


async def test_each_gets_what_came_of_it() -> None:
    writer = RemoteWriter(Wire().append)
    first, second, third = [writer.submit(NOTE, n) for n in range(3)]
    await turn()
    full = StoreUnavailable("no room", full=True)
    writer.answered(memoryview(answer((2, "two"), refused=((1, full), (3, KeyError("gone"))))))
    assert await second == "two"
    with pytest.raises(StoreUnavailable, match="no room") as caught:
        await first
    assert caught.value.full
    with pytest.raises(KeyError, match="gone"):
        await third
    assert writer.under_way == 0


async def test_who_stopped_waiting_harms_nobody() -> None:
    wire = Wire()
    writer = RemoteWriter(wire.append)
    futures = [writer.submit(NOTE, n) for n in range(3)]
    futures[0].cancel()
    await turn()
    futures[1].cancel()
    writer.answered(answer((1, "one"), (3, "three"), refused=((2, ValueError("odd")),)))
    assert await futures[2] == "three"
    assert wire.numbers() == [[1, 2, 3]]  # stopping to wait is not taking it back


async def test_what_cannot_cross_fails_alone() -> None:
    wire = Wire()
    writer = RemoteWriter(wire.append)
    futures = [writer.submit(NOTE, argument) for argument in ("a", lambda: None, "c")]
    await turn()
    assert wire.numbers() == [[1], [3]]
    with pytest.raises(Exception, match="pickle"):
        await futures[1]
    assert writer.under_way == 2


async def test_what_is_too_large_for_a_frame_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MAX_FRAME", 1000)
    wire = Wire()
    writer = RemoteWriter(wire.append)
    futures = [writer.submit(NOTE, b"x" * size) for size in (600, 600, 1100)]
    await turn()
    assert wire.numbers() == [[1], [2]]
    with pytest.raises(ValueError, match="too large"):
        await futures[2]


async def test_without_anybody_there_all_fails_until_somebody_is() -> None:
    wire = Wire()
    writer = RemoteWriter(wire.append)
    sent, given_up = writer.submit(NOTE, 1), writer.submit(NOTE, 2)
    await turn()
    given_up.cancel()
    unsent = writer.submit(NOTE, 3)
    writer.detach("signal {9}")
    with pytest.raises(StoreUnavailable, match=r"ended; what it had to write may be written or not: signal \{9\}"):
        await sent
    for future in (unsent, writer.submit(NOTE, 4)):
        with pytest.raises(StoreUnavailable, match=r"the store's process ended; nothing was written: signal \{9\}"):
            await future
    assert (writer.under_way, len(wire)) == (0, 1)

    other = Wire()
    writer.attach(other.append)
    again = writer.submit(NOTE, 5)
    await turn()
    ((number, *_),) = other.asked()[0]
    writer.answered(answer((number, "five")))
    assert await again == "five"
    assert len(wire) == 1


async def test_nobody_is_there_yet() -> None:
    writer = RemoteWriter()
    with pytest.raises(StoreUnavailable, match="not there yet"):
        await writer.submit(NOTE, 1)
    wire = Wire()
    writer.attach(wire.append)
    writer.submit(NOTE, 2)
    await turn()
    assert wire.numbers() == [[1]]


async def test_the_other_end_may_be_found_gone_when_something_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "BATCH_OCTETS", 1)
    sent: list[bytes] = []

    def send(body: bytes) -> None:
        sent.append(body)
        writer.detach("broken pipe")

    writer = RemoteWriter(send)
    futures = [writer.submit(NOTE, n, octets=1) for n in range(3)]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(one) for one in results] == [StoreUnavailable] * 3
    assert len(sent) == 1


@pytest.mark.parametrize("body", [answer((7, "seven")), answer(refused=((7, ValueError("odd")),)), b"nonsense"])
async def test_what_nobody_asked_for_cuts_the_link(body: bytes) -> None:
    writer = RemoteWriter(Wire().append)
    with pytest.raises(WireError):
        writer.answered(body)


async def test_closing_waits_for_what_is_under_way_and_refuses_what_comes() -> None:
    wire = Wire()
    writer = RemoteWriter(wire.append)
    waiting = writer.submit(NOTE, 1)
    closing = asyncio.ensure_future(writer.close())
    await turn()
    with pytest.raises(StoreUnavailable, match="closed"):
        await writer.submit(NOTE, 2)
    assert wire.numbers() == [[1]]
    assert not closing.done()
    writer.answered(answer((1, "one")))
    assert await waiting == "one"
    await closing
    await writer.close()


async def test_closing_does_not_wait_for_what_will_never_come() -> None:
    writer = RemoteWriter(Wire().append)
    waiting = writer.submit(NOTE, lambda: None)
    closing = asyncio.ensure_future(writer.close())
    with pytest.raises(Exception, match="pickle"):
        await waiting
    await closing

    other = RemoteWriter(Wire().append)
    lost = other.submit(NOTE, 1)
    closing = asyncio.ensure_future(other.close())
    await turn()
    other.detach("exit 1")
    await closing
    with pytest.raises(StoreUnavailable):
        await lost
