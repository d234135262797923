"""Both ends of admission over a wire: what is asked is taken in, what comes of it comes back; and nobody there."""

import asyncio
import marshal
from collections.abc import Callable

import pytest
from tests.fakes.house import House

from postroom.mail.message import QueueId
from postroom.mail.trouble import StoreUnavailable
from postroom.net.apart.frames import WireError
from postroom.queue.apart.admitting import BATCH_OCTETS, AdmissionFault, AdmissionServer, RemoteAdmission
from postroom.queue.expansion import build, expand
from postroom.queue.model import Intake


class Queue:
    """The queue's side: takes everything, now or when the test says so. ``error`` is what becomes of it instead."""

    def __init__(self) -> None:
        self.taken: list[tuple[Intake, ...]] = []
        self.under_way: list[asyncio.Future[None]] = []
        self.error: Exception | None = None
        self.at_once = True
        self.breaks = False

    def admit(self, intake: Intake, dsn: Intake | None = None) -> "asyncio.Future[None]":
        if self.breaks:
            raise RuntimeError("a bug")
        self.taken.append((intake,) if dsn is None else (intake, dsn))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.under_way.append(done)
        if self.error is not None:
            done.set_exception(self.error)
        elif self.at_once:
            done.set_result(None)
        return done


class Wire:
    """A door and a queue with nothing but function calls in between; counts the bodies."""

    def __init__(self) -> None:
        self.queue = Queue()
        self.remote = RemoteAdmission()
        self.server = AdmissionServer(self.queue, self._answer)
        self.asked = 0
        self.answers = 0
        self.remote.attach(self._ask)

    def _ask(self, body: bytes) -> None:
        self.asked += 1
        self.server.asked(memoryview(body))

    def _answer(self, body: bytes) -> None:
        self.answers += 1
        self.remote.answered(memoryview(body))


async def make(*to: str, content: bytes = b"Subject: x\r\n\r\nx\r\n") -> Intake:
    house = House()
    draft = house.draft(*to, content=content)
    resolutions = tuple([await house.resolve(one.address) for one in draft.envelope.recipients])
    return build(draft, expand(draft, resolutions, 0.0), 0.0)


async def test_what_a_turn_brings_crosses_together_and_whole() -> None:
    wire = Wire()
    intakes = [await make(*to.split()) for to in ("bob@far.example", "eve@far.example kim@else.example", "a@b.example")]
    dsn = await make("ann@home.example")
    await asyncio.gather(*[wire.remote.admit(one) for one in intakes[:2]], wire.remote.admit(intakes[2], dsn))
    assert wire.queue.taken == [(intakes[0],), (intakes[1],), (intakes[2], dsn)]
    assert (wire.asked, wire.answers) == (1, 1)


async def test_much_content_does_not_wait_for_the_turn_to_end() -> None:
    wire = Wire()
    large = await make("bob@far.example", content=b"x" * (BATCH_OCTETS // 2))
    await asyncio.gather(*[wire.remote.admit(large) for _ in range(4)])
    assert wire.asked == 2
    assert len(wire.queue.taken) == 4


@pytest.mark.parametrize("full", [True, False])
async def test_a_store_that_fails_is_known_as_such(full: bool) -> None:
    wire = Wire()
    wire.queue.error = StoreUnavailable("no room", full=full)
    with pytest.raises(StoreUnavailable, match="no room") as caught:
        await wire.remote.admit(await make("bob@far.example"))
    assert caught.value.full is full


@pytest.mark.parametrize("breaks", [True, False])
async def test_a_bug_costs_the_one_message(breaks: bool) -> None:
    wire = Wire()
    wire.queue.breaks = breaks
    wire.queue.error = ValueError("12 octets, not 13")
    with pytest.raises(AdmissionFault, match="RuntimeError" if breaks else "12 octets, not 13"):
        await wire.remote.admit(await make("bob@far.example"))
    wire.queue.breaks, wire.queue.error = False, None
    await wire.remote.admit(await make("bob@far.example"))


async def test_what_cannot_cross_costs_the_one_message() -> None:
    wire = Wire()
    good, bad = await make("bob@far.example"), await make("eve@far.example")
    bad.message.message_id = object()  # type: ignore[misc, assignment] # plain at run time
    first, second, third = [wire.remote.admit(one) for one in (good, bad, good)]
    async with asyncio.timeout(10):
        await asyncio.gather(first, third)
        with pytest.raises(ValueError, match="unmarshallable"):
            await second
    assert wire.remote.detach("the end") == 0


async def test_nobody_is_admitted_without_a_queue() -> None:
    remote = RemoteAdmission()
    with pytest.raises(StoreUnavailable, match="not ready yet"):
        await remote.admit(await make("bob@far.example"))


async def test_when_the_queue_ends_all_that_it_has_not_answered_fails() -> None:
    wire = Wire()
    wire.queue.at_once = False
    intake = await make("bob@far.example")
    waiting = [wire.remote.admit(intake) for _ in range(3)]
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert len(wire.queue.taken) == 3
    unsent = wire.remote.admit(intake)
    assert wire.remote.detach("it has ended") == 4
    for one in (*waiting[1:], unsent, wire.remote.admit(intake)):
        with pytest.raises(StoreUnavailable, match="it has ended"):
            await one
    await asyncio.sleep(0)
    assert len(wire.queue.taken) == 3, "what had not left stays here"
    wire.queue.at_once = True
    wire.remote.attach(wire._ask)
    await wire.remote.admit(intake)
    for late in wire.queue.under_way[:3]:
        late.set_result(None)  # an answer that nobody waits for any more


async def test_who_does_not_wait_any_more_is_no_trouble() -> None:
    wire = Wire()
    wire.queue.at_once = False
    intake = await make("bob@far.example")
    waiting = [wire.remote.admit(intake), wire.remote.admit(intake)]
    await asyncio.sleep(0)
    for one in waiting:
        one.cancel()
    wire.queue.under_way[0].set_result(None)
    wire.queue.under_way[1].set_exception(StoreUnavailable("no room"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert wire.answers == 1


def _asked(wire: Wire) -> Callable[[bytes], None]:
    return wire.server.asked


def _answered(wire: Wire) -> Callable[[bytes], None]:
    return wire.remote.answered


@pytest.mark.parametrize("end", [_asked, _answered])
@pytest.mark.parametrize("body", [b"", b"x", marshal.dumps(7), marshal.dumps([7]), marshal.dumps([(1, 2, 3)])])
async def test_what_is_none_of_ours_ends_the_wire(end: Callable[[Wire], Callable[[bytes], None]], body: bytes) -> None:
    with pytest.raises(WireError):
        end(Wire())(body)


async def test_ids_are_kept() -> None:
    wire = Wire()
    intake = await make("bob@far.example")
    await wire.remote.admit(intake)
    ((taken,),) = wire.queue.taken
    assert taken.message.queue_id == intake.message.queue_id
    assert isinstance(QueueId(taken.message.queue_id), int)
