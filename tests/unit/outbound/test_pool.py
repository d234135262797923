"""The pool: last in first out, idle for so long, so many in total."""

import asyncio

import pytest
from tests.fakes.hand_clock import HandClock
from tests.fakes.peer import PeerStream, ScriptedPeer

from postroom.config.road import OutboundSettings
from postroom.mail.delivery import Peer
from postroom.outbound.pool import NOTICED, Pool
from postroom.outbound.session import Session

SETTINGS = OutboundSettings(concurrency=2, idle_timeout=5, messages_per_connection=10)


class Sessions:
    """Opens sessions to one peer."""

    def __init__(self) -> None:
        self.peer = ScriptedPeer()

    def open(self, key: str = "a") -> Session:
        stream = PeerStream(self.peer, ("192.0.2.1", 25))
        stream.skip()  # the greeting
        return Session(key, stream, Peer(), SETTINGS, HandClock())


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def pool(clock: HandClock) -> Pool:
    return Pool(SETTINGS, clock)


async def test_the_session_used_last_is_taken_first(pool: Pool, sessions: Sessions) -> None:
    first, second = sessions.open(), sessions.open()
    for session in (first, second):
        await pool.reserve()
        pool.give_back(session)
    assert pool.take("b") is None
    assert pool.take("a") is second
    assert pool.take("a") is first
    assert pool.take("a") is None
    for session in (first, second):
        pool.give_back(session)
    await pool.close()


async def test_idle_sessions_leave_after_the_timeout(pool: Pool, sessions: Sessions, clock: HandClock) -> None:
    await pool.reserve()
    pool.give_back(sessions.open())
    clock.advance(3)
    await pool.reserve()
    pool.give_back(sessions.open("b"))
    pool.sweep()
    assert pool.idle == 2
    clock.advance(2)
    pool.sweep()
    assert pool.idle == 1
    assert pool.take("a") is None
    clock.advance(100)
    pool.sweep()
    assert pool.idle == pool.places == 0
    await pool.close()
    assert sessions.peer.open == 0


async def test_the_timer_sweeps_by_itself(sessions: Sessions, clock: HandClock) -> None:
    pool = Pool(OutboundSettings(idle_timeout=0.01), clock)
    await pool.reserve()
    pool.give_back(sessions.open())
    clock.advance(0.005)  # the first look finds nothing to do, and another one follows
    await pool.reserve()
    pool.give_back(sessions.open())
    async with asyncio.timeout(5):
        while pool.idle:
            clock.advance(0.004)
            await asyncio.sleep(0.001)
    await pool.close()
    assert sessions.peer.open == 0


async def test_a_full_pool_makes_room_by_ending_the_oldest_idle_session(pool: Pool, sessions: Sessions) -> None:
    for key in ("a", "b"):
        await pool.reserve()
        pool.give_back(sessions.open(key))
    await pool.reserve()
    assert pool.places == 2
    assert pool.take("a") is None
    session = pool.take("b")
    assert session is not None
    pool.retire(session)
    pool.release()
    await pool.close()


async def test_who_waits_gets_places_in_order(pool: Pool, sessions: Sessions) -> None:
    busy = [sessions.open(), sessions.open()]
    for _ in busy:
        await pool.reserve()
    order: list[int] = []

    async def wait(number: int) -> None:
        await pool.reserve()
        order.append(number)

    waiters = [asyncio.create_task(wait(number)) for number in range(4)]
    await asyncio.sleep(0)
    waiters[1].cancel()
    await asyncio.sleep(0)
    pool.give_back(busy[0])  # good as it is, another site waits for its place
    assert pool.idle == 0
    waiters[0].cancel()  # just as it got the place: the next one gets it
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    pool.release()
    await asyncio.gather(*waiters, return_exceptions=True)
    assert order == [2, 3]
    assert pool.places == 2
    await pool.close()


async def test_what_is_broken_or_used_up_is_not_kept(pool: Pool, sessions: Sessions) -> None:
    broken, used = sessions.open(), sessions.open()
    broken.usable = False
    used.messages = 10
    for session in (broken, used):
        await pool.reserve()
        pool.give_back(session)
    assert pool.idle == pool.places == 0
    await pool.close()
    late = sessions.open()
    await pool.reserve()
    pool.give_back(late)  # after the end nothing is kept
    assert pool.idle == 0
    await pool.close()
    assert sessions.peer.open == 0


class Lingering(Session):
    """Its host takes its time over QUIT."""

    def __init__(self, key: str, stream: PeerStream, clock: HandClock) -> None:
        super().__init__(key, stream, Peer(), SETTINGS, clock)
        self.answered = asyncio.Event()

    async def quit(self) -> None:
        await self.answered.wait()
        await super().quit()


async def test_a_session_counts_at_its_site_until_it_is_gone(sessions: Sessions, clock: HandClock) -> None:
    pool = Pool(OutboundSettings(concurrency=10), clock)
    stream = PeerStream(sessions.peer, ("192.0.2.1", 25))
    stream.skip()
    leaving = Lingering("a", stream, clock)
    for _ in range(2):
        await pool.reserve("a", 2)
    pool.retire(leaving)
    third = asyncio.create_task(pool.reserve("a", 2))
    other = asyncio.create_task(pool.reserve("b", 2))
    await other  # another site is not concerned
    assert not third.done()
    assert pool.places == 2
    begun = asyncio.get_running_loop().time()
    leaving.answered.set()
    await third
    assert asyncio.get_running_loop().time() - begun > 0.9 * NOTICED  # the host may notice its end a moment later
    assert pool.places == 3
    pool.release("a")
    pool.release("a")
    pool.release("b")
    await pool.close()
    assert pool.places == 0


async def test_nobody_waits_for_sessions_that_stay(pool: Pool) -> None:
    """That is the shaper's to decide: the pool keeps apart what comes and what goes."""
    await pool.reserve("a", 1)
    await pool.reserve("a", 1)
    assert pool.places == 2
