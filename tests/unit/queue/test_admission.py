"""Admission: the commit with its lease, who goes straight on, and what is given back when the commit fails."""

import asyncio
from collections.abc import Collection

import pytest
from tests.fakes.hand_clock import HandClock
from tests.fakes.house import House

from postroom.mail.trouble import StoreUnavailable
from postroom.queue.admission import QueueAdmission
from postroom.queue.expansion import build, expand
from postroom.queue.model import Intake, Lease, LeasedMessage
from postroom.report.events import InternalError, Report, StoreTrouble
from postroom.report.reporter import Reporter


class Ready:
    """A ready list with room for one message, or none; ``broken`` raises at the offer."""

    def __init__(self, *, room: bool = True, broken: bool = False) -> None:
        self.room = room
        self.broken = broken
        self.reserved: list[tuple[set[str], int, int]] = []
        self.released: list[tuple[int, int]] = []
        self.offered: list[tuple[LeasedMessage, Lease]] = []
        self.woken = 0

    def reserve(self, destinations: Collection[str], recipients: int, octets: int) -> Lease | None:
        if not self.room:
            return None
        self.reserved.append((set(destinations), recipients, octets))
        return Lease("one", 900.0)

    def release(self, recipients: int, octets: int) -> None:
        self.released.append((recipients, octets))

    def offer(self, leased: LeasedMessage, lease: Lease) -> None:
        if self.broken:
            raise RuntimeError("a bug")
        self.offered.append((leased, lease))

    def wake(self) -> None:
        self.woken += 1


class Desk:
    """An admission over the stored queue of a house."""

    def __init__(self, ready: Ready) -> None:
        self.house = House()
        self.reports: list[Report] = []
        self.admission = QueueAdmission(
            store=self.house.store, ready=ready, clock=HandClock(0.0), reporter=Reporter([self.reports.append])
        )

    async def intake(self, *to: str, **asks: object) -> Intake:
        draft = self.house.draft(*to, asks=asks)
        resolutions = tuple([await self.house.resolve(one.address) for one in draft.envelope.recipients])
        return build(draft, expand(draft, resolutions, 0.0), 0.0)

    def stored(self, intake: Intake) -> bool:
        return intake.message.queue_id in self.house.store.messages


async def test_it_is_leased_in_the_commit_and_goes_straight_on() -> None:
    ready = Ready()
    desk = Desk(ready)
    intake = await desk.intake("bob@far.example", "eve@far.example")
    assert intake.content is not None
    await desk.admission.admit(intake)
    assert ready.reserved == [({"far.example"}, 2, len(intake.content))]
    ((leased, lease),) = ready.offered
    assert leased == LeasedMessage(intake.message, intake.queued, intake.content)
    assert lease == Lease("one", 900.0)
    assert not ready.released
    assert not ready.woken
    assert desk.stored(intake)


async def test_without_room_it_waits_in_the_store() -> None:
    ready = Ready(room=False)
    desk = Desk(ready)
    intake = await desk.intake("bob@far.example")
    await desk.admission.admit(intake)
    assert desk.stored(intake)
    assert not ready.offered
    assert not ready.woken, "the scheduler knows that it is starved"


async def test_what_is_to_be_released_later_waits_in_the_store() -> None:
    ready = Ready()
    desk = Desk(ready)
    intake = await desk.intake("bob@far.example", hold_until=3600.0)
    await desk.admission.admit(intake)
    assert not ready.reserved
    assert ready.woken == 1, "its time may be the next at which something is due"


async def test_what_fails_is_given_back_and_told_once() -> None:
    ready = Ready()
    desk = Desk(ready)
    intake = await desk.intake("bob@far.example")
    desk.house.store.failing.add("take_in")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await desk.admission.admit(intake)
    assert ready.released == [(1, len(intake.content or b""))] * 2
    assert not ready.offered
    assert desk.reports == [StoreTrouble("take in: take_in fails, as asked")]


async def test_who_does_not_wait_any_more_has_no_place() -> None:
    ready = Ready()
    desk = Desk(ready)
    done = desk.admission.admit(await desk.intake("bob@far.example"))
    done.cancel()
    await asyncio.gather(done, return_exceptions=True)
    await asyncio.sleep(0)
    assert len(ready.released) == 1
    assert not ready.offered


async def test_a_bug_behind_the_offer_does_not_undo_what_is_on_disk() -> None:
    desk = Desk(Ready(broken=True))
    intake = await desk.intake("bob@far.example")
    await desk.admission.admit(intake)
    assert desk.stored(intake)
    (report,) = desk.reports
    assert isinstance(report, InternalError)
    assert report.where == "offer"
