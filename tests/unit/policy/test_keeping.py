"""What guards the door is written behind, read at the start, and follows what operators change within a tick."""

import pytest
from tests.fakes.guard_store import MemoryGuardStore
from tests.fakes.hand_clock import HandClock

from postroom.config.guard import LimitSettings, LockoutSettings
from postroom.mail.session import Client, Role
from postroom.mail.trouble import StoreUnavailable
from postroom.policy.keeping import FORGET_SECONDS, GuardKeeper
from postroom.policy.limiting import Limiter
from postroom.policy.lockout import Lockout
from postroom.policy.stage import AtMail
from postroom.policy.store import AccountLimits, Ban
from postroom.policy.verdict import Accept
from postroom.report.events import Report
from postroom.report.reporter import Reporter

NOW = 1_800_000_000.0
EVIL = "198.51.100.66"
ALICE = Client(1, Role.SUBMISSION, "192.0.2.7", 4711, account="alice@example.org")


class Process:
    """One server process over a store."""

    def __init__(self, store: MemoryGuardStore, clock: HandClock) -> None:
        self.reports: list[Report] = []
        reporter = Reporter([self.reports.append])
        settings = LimitSettings.model_validate({"account_messages": ("2/1h",)})
        self.limiter = Limiter(settings, clock, reporter)
        self.lockout = Lockout(LockoutSettings.model_validate({}), clock, reporter)
        self.keeper = GuardKeeper(store, self.limiter, self.lockout, clock)
        self.stage = self.limiter.stage(Role.SUBMISSION)

    async def send(self) -> bool:
        """Whether one more message is taken."""
        assert self.stage is not None
        assert self.stage.on_mail is not None
        assert self.stage.on_end is not None
        taken = isinstance(await self.stage.on_mail(AtMail(ALICE, None, None)), Accept)
        self.stage.on_end(ALICE, taken)
        return taken


async def test_kill_minus_nine_takes_only_what_came_since_the_last_tick() -> None:
    store, clock = MemoryGuardStore(), HandClock(NOW)
    first = Process(store, clock)
    await first.keeper.start()
    assert await first.send()
    for _ in range(10):
        first.lockout.failed(EVIL, "bob@example.org")
    await first.keeper.tick()
    assert await first.send()  # this is lost

    second = Process(store, clock)
    await second.keeper.start()
    assert second.lockout.banned(EVIL) == NOW + 900
    assert [await second.send(), await second.send()] == [True, False]
    await second.keeper.flush()

    third = Process(store, clock)
    await third.keeper.start()
    assert not await third.send()


async def test_nothing_is_written_where_nothing_changed() -> None:
    store, clock = MemoryGuardStore(), HandClock(NOW)
    process = Process(store, clock)
    await process.keeper.start()
    await process.keeper.tick()
    assert store.saves == 0
    await process.send()
    await process.keeper.tick()
    await process.keeper.tick()
    assert store.saves == 1


async def test_operators_changes_take_effect_at_the_next_tick() -> None:
    store, clock = MemoryGuardStore(), HandClock(NOW)
    process = Process(store, clock)
    await process.keeper.start()
    await process.send()
    await process.send()
    assert not await process.send()
    await store.limit([AccountLimits("alice@example.org", ())])
    await store.ban([Ban("address", EVIL, NOW, NOW + 60, "spam", author="root")])
    await process.keeper.tick()
    assert await process.send()
    assert process.lockout.banned(EVIL) == NOW + 60
    await store.lift([("address", EVIL)], "root", NOW)
    await process.keeper.tick()
    assert process.lockout.banned(EVIL) is None


async def test_what_could_not_be_written_is_written_later() -> None:
    store, clock = MemoryGuardStore(), HandClock(NOW)
    process = Process(store, clock)
    await process.keeper.start()
    await process.send()
    process.lockout.failed(EVIL, "bob@example.org")
    process.lockout.succeeded("192.0.2.7", "alice@example.org")
    store.unavailable = True
    with pytest.raises(StoreUnavailable):
        await process.keeper.tick()
    store.unavailable = False
    await process.keeper.tick()
    record = await store.load(NOW)
    assert (len(record.standings), len(record.failures), len(record.acquaintances)) == (1, 2, 1)


async def test_what_counts_no_more_goes() -> None:
    store, clock = MemoryGuardStore(), HandClock(NOW)
    process = Process(store, clock)
    await process.keeper.start()
    process.lockout.failed(EVIL, "bob@example.org")
    await process.keeper.tick()
    clock.advance(FORGET_SECONDS * 4)
    await process.keeper.tick()
    assert await store.forget(clock.now()) == 0
