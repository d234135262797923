"""A pause ends by time, by a drain, or with its session."""

import asyncio

import pytest
from tests.fakes.clock import ManualClock, settle

from postroom.net.pause import Pause


async def test_by_time() -> None:
    clock = ManualClock()
    holding = asyncio.create_task(Pause(clock).hold(5))
    await clock.pass_time(4.9)
    assert not holding.done()
    await clock.pass_time(0.1)
    assert holding.done()


async def test_none() -> None:
    await Pause(ManualClock()).hold(0)


async def test_by_a_drain() -> None:
    pause = Pause(ManualClock())
    holding = asyncio.create_task(pause.hold(5))
    await settle()
    pause.end()
    await holding


async def test_with_its_session() -> None:
    pause = Pause(ManualClock())
    holding = asyncio.create_task(pause.hold(5))
    await settle()
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding


async def test_after_the_end_nobody_holds() -> None:
    """A drain must not wait for a client that earns one pause after the other."""
    clock = ManualClock()
    pause = Pause(clock)
    pause.end()
    await asyncio.wait_for(pause.hold(5), 1)


async def test_what_is_ready_goes_before() -> None:
    clock, sent = ManualClock(), list[str]()
    pause = Pause(clock, lambda: sent.append("ready"))
    await pause.hold(0)
    assert not sent
    holding = asyncio.create_task(pause.hold(5))
    await settle()
    assert sent == ["ready"]
    await clock.pass_time(5)
    await holding
