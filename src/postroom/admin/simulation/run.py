"""Runs the queue's own rooms on a sample of the queue, in virtual time. They know nothing of it."""

import asyncio
import random
from collections.abc import Sequence

from postroom.admin.moments import iso, span
from postroom.admin.simulation.memory import SimulatedQueue
from postroom.admin.simulation.sample import Sample
from postroom.admin.simulation.scripts import SiteScript
from postroom.admin.simulation.tally import Tally
from postroom.admin.simulation.views import Simulation
from postroom.admin.simulation.virtual import VirtualClock, VirtualLoop
from postroom.admin.simulation.weighed import MakeShaper, Weighed, unshaped
from postroom.admin.simulation.world import ByRules, World
from postroom.config.model import Settings
from postroom.directory.model import Resolution, Resolved
from postroom.mail.address import Address
from postroom.mail.delivery import RouteKind
from postroom.mail.message import QueueIds
from postroom.queue.carrier import Shaper
from postroom.queue.dsn import DsnMaker
from postroom.queue.outage import Outage
from postroom.queue.scheduler import Scheduler
from postroom.queue.schedules import Schedules
from postroom.queue.settle import Settler
from postroom.report.events import Report
from postroom.report.reporter import Reporter

MOST_REPORTS = 400_000
"""Attempts after which a simulation ends early: settings that retry each second would make it as long as the days."""

TICK = 60.0
"""Seconds to which the rooms wake: what they do is late by so much at most, which no line of the table shows."""

_SHOWN = ("first_retry", "retry_factor", "longest_retry", "retry_jitter", "lifetime", "delay_warning", "dsn_lifetime")
_NUMBERS = frozenset({"retry_factor", "retry_jitter"})  # the others are durations
_NODE = "simulation"


def simulate(
    sample: Sample,
    settings: Settings,
    scripts: Sequence[SiteScript] = (),
    *,
    now: float,
    seconds: float,
    every: float,
    settings_file: str = "",
    make_shaper: MakeShaper = unshaped,
    by_rules: ByRules | None = None,
) -> Simulation:
    """The next ``seconds`` of the sampled queue, in spans of ``every`` seconds. Must not be called from a loop.

    ``by_rules`` says where mail goes under these settings, where that may be elsewhere than as it waits.
    """
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        clock = VirtualClock(now, loop, TICK)
        tally = Tally(sample, now, every)
        world = World(sample, scripts, settings, clock, by_rules)
        ended = runner.run(_live(sample, settings, world, tally, clock=clock, seconds=seconds, make_shaper=make_shaper))
    return Simulation(
        settings_file=settings_file,
        since=iso(now),
        until=iso(ended),
        complete=ended >= now + seconds,
        recipients=sample.recipients,
        simulated=len(sample.weights),
        held=sample.held,
        totals={**tally.totals(), "waiting": tally.timeline(ended)[-1].waiting},
        timeline=tally.timeline(ended),
        destinations=tally.destinations(world.assumed()),
        settings=shown_settings(settings),
    )


def shown_settings(settings: Settings) -> dict[str, str]:
    """Those that decide when something is tried, told and given up."""
    found = {f"queue.{name}": _show(name, getattr(settings.queue, name)) for name in _SHOWN}
    found["outbound.concurrency"] = str(settings.outbound.concurrency)
    found["outbound.concurrency_per_site"] = str(settings.outbound.concurrency_per_site)
    for schedule in settings.schedule:
        for name, value in schedule:
            if value is not None and name != "name":
                found[f"schedule {schedule.name}.{name}"] = _show(name, value)
    return found


def _show(name: str, value: float) -> str:
    return f"{value:g}" if name in _NUMBERS else span(value)


async def _live(
    sample: Sample,
    settings: Settings,
    world: World,
    tally: Tally,
    *,
    clock: VirtualClock,
    seconds: float,
    make_shaper: MakeShaper,
) -> float:
    """Let the time pass. Returns when it ended."""
    enough = asyncio.Event()
    begins = clock.now()

    def tell(report: Report) -> None:
        tally.now = min(clock.now(), begins + seconds)
        tally.tell(report)
        if tally.reports >= MOST_REPORTS:
            enough.set()

    reporter = Reporter([tell])
    shaper = Weighed(make_shaper(settings, clock, reporter), world.weights())
    scheduler = _build(sample, settings, world, shaper, reporter=reporter, clock=clock)
    await scheduler.heed()
    work = asyncio.create_task(scheduler.run())
    heed = asyncio.create_task(_heed(scheduler, sample, clock))
    limit = asyncio.create_task(enough.wait())
    await asyncio.wait((work, limit), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in (work, heed, limit):
        task.cancel()
    await asyncio.gather(work, heed, limit, return_exceptions=True)
    return min(clock.now(), begins + seconds) if enough.is_set() else begins + seconds


async def _heed(scheduler: Scheduler, sample: Sample, clock: VirtualClock) -> None:
    """Let it look at the pauses whenever one ends."""
    for until in sorted(pause.until for pause in sample.orders.pauses if pause.until is not None):
        await clock.sleep(max(until - clock.now(), 0.0))
        await scheduler.heed()


def _build(
    sample: Sample, settings: Settings, world: World, shaper: Shaper, *, reporter: Reporter, clock: VirtualClock
) -> Scheduler:
    # Nobody else puts anything into this queue: the store need not be asked each second, only so often that leases live
    queue = settings.queue.model_copy(update={"poll": settings.queue.lease / 4})
    store = SimulatedQueue(sample.entries, sample.orders, clock.now())
    outage = Outage(reporter)
    settler = Settler(
        settings=queue,
        node=_NODE,
        store=store,
        dsns=DsnMaker(
            hostname=settings.hostname,
            contents=store,
            resolve=_resolve,
            ids=QueueIds(clock.now),
            clock=clock,
            reporter=reporter,
        ),
        clock=clock,
        reporter=reporter,
        outage=outage,
        schedules=Schedules(queue, settings.schedule, settings.route),
        chance=random.Random(1).random,  # noqa: S311 - the same each time: two settings are compared on equal luck
    )
    return Scheduler(
        settings=queue,
        concurrency=settings.outbound.concurrency,
        node=_NODE,
        store=store,
        router=world,
        shaper=shaper,
        carriers=dict.fromkeys(RouteKind, world),
        settler=settler,
        clock=clock,
        reporter=reporter,
        outage=outage,
    )


async def _resolve(_: Address) -> Resolution:
    """Whoever is told is told: reports are counted as they are made, and go nowhere."""
    return Resolved(())
