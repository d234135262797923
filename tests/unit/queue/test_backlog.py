"""A site that is dead, with a long queue: what it costs the others (DESIGN §8; bench/crowd.py has the full size)."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from tests.fakes.carrier import DOWN, FakeCarrier, FakeRouter
from tests.fakes.house import House
from tests.fakes.letters import an_intake

from postroom.clock import SystemClock
from postroom.mail.delivery import DeliveryRequest, Outcome, RouteKind
from postroom.queue.dsn import DsnMaker
from postroom.queue.outage import Outage
from postroom.queue.scheduler import Scheduler
from postroom.queue.settle import Settler
from postroom.queue.unshaped import Unshaped
from postroom.storage.sqlite.store import SqliteStore

BACKLOG = 20_000
OTHERS = 50


class _Timed(FakeCarrier):
    """Remembers when each address was served."""

    def __init__(self) -> None:
        super().__init__()
        self.served: dict[str, float] = {}

    async def deliver(self, request: DeliveryRequest) -> Mapping[int, Outcome]:
        for one in request.recipients:
            self.served.setdefault(str(one.recipient.address), time.monotonic())
        return await super().deliver(request)


async def test_a_long_queue_for_a_dead_site_does_not_delay_the_others(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "postroom.db")
    clock = SystemClock()
    now = clock.now()
    for start in range(0, BACKLOG, 2000):
        await store.queue.take_in(
            [an_intake(n, to=["r@dead.example"], at=now - 7200, content=b"x") for n in range(start, start + 2000)]
        )
    house = House()  # for its settings and its directory
    carrier, outage = _Timed(), Outage(house.reporter)
    carrier.by_domain["dead.example"] = DOWN
    dsns = DsnMaker(
        hostname="mx.example", contents=store.queue, resolve=house.resolve, ids=house.ids, clock=clock,
        reporter=house.reporter,
    )  # fmt: skip
    settler = Settler(
        settings=house.settings, node="one", store=store.queue, dsns=dsns, clock=clock, reporter=house.reporter,
        outage=outage, chance=lambda: 0.5,
    )  # fmt: skip
    scheduler = Scheduler(
        settings=house.settings.model_copy(update={"poll": 0.05}),
        concurrency=100,
        node="one",
        store=store.queue,
        router=FakeRouter(),
        shaper=Unshaped(concurrency=100, per_site=20),
        carriers=dict.fromkeys(RouteKind, carrier),
        settler=settler,
        clock=clock,
        reporter=house.reporter,
        outage=outage,
    )
    running = asyncio.create_task(scheduler.run())
    sent: dict[str, float] = {}
    for n in range(OTHERS):
        name = f"r{n}@d{n % 7}.example"
        await store.queue.take_in([an_intake(BACKLOG + n, to=[name], at=clock.now(), content=b"x")])
        sent[name] = time.monotonic()
        await asyncio.sleep(0)
    deadline = time.monotonic() + 30
    while not sent.keys() <= carrier.served.keys() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    delays = sorted(carrier.served[name] - at for name, at in sent.items())
    await scheduler.drain(5)
    await running
    await store.close()
    assert delays[-1] < 10.0  # the figure is for `python -m bench --only backlog`; what is busy elsewhere counts here
    assert sum(1 for one in carrier.requests if one.site.key == "dead.example") < 50  # a few find out, not all
