"""The process that carries mail for a node: ``python -m postroom.app.carriers DESCRIPTOR`` (docs/adr/0018).

Only a node starts it. It is told what it needs over the socket of the descriptor, and ends with it.
"""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Awaitable

import uvloop

from postroom.app.process import calm_collector
from postroom.clock import SystemClock
from postroom.config.replyrules import reply_classifier
from postroom.dns.cache import CachingResolver
from postroom.dns.dnspython import DnspythonResolver
from postroom.mail.delivery import DeliveryRequest, Outcome
from postroom.net.apart.child import leave_signals_to_the_node, read_setup
from postroom.outbound.apart.events import Ready
from postroom.outbound.apart.serving import Serving, WireHandler
from postroom.outbound.apart.setup import Setup
from postroom.outbound.carrier import SmtpCarrier
from postroom.outbound.shaping.rules import Rule
from postroom.outbound.shaping.traffic import Traffic, Way
from postroom.report.reporter import Reporter
from postroom.storage.sqlite.contents import SqliteContents


def main() -> int:
    """Serve the node at the other end of the descriptor."""
    leave_signals_to_the_node()
    end = socket.socket(fileno=int(sys.argv[1]))
    told = read_setup(end)
    if told is None:
        return 1
    setup = Setup.from_bytes(told)
    factory = uvloop.new_event_loop if setup.loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_serve(setup, end))


async def _serve(setup: Setup, end: socket.socket) -> int:
    """Until the node has had enough. If it is gone, nothing is finished: its leases are lost anyway, and whoever has
    them next would carry the same mail.
    """
    road = _Road(setup)
    serving = Serving(road.carry)
    await serving.link.open(end)
    logging.getLogger().addHandler(WireHandler(serving))
    try:
        road.open(serving)
    except (OSError, ValueError) as error:
        serving.tell(Ready(str(error)))
        await serving.close()
        return 1
    calm_collector()
    serving.ready()
    if not await serving.ended:
        os._exit(1)
    await serving.stop()
    await road.close()
    await serving.close()
    return 0


class _Road:
    """The rooms of this process."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    def open(self, serving: Serving) -> None:
        """OSError where a file of a smarthost cannot be read."""
        setup, clock = self._setup, SystemClock()
        self._contents = SqliteContents(setup.store)
        self._traffic = Traffic(
            setup.outbound, clock, Reporter(), shaping=setup.shaping, sources=setup.sources, pools=setup.pools
        )
        self._carrier = SmtpCarrier(
            hostname=setup.hostname,
            settings=setup.outbound,
            smarthosts=setup.smarthosts,
            resolver=CachingResolver(DnspythonResolver(setup.dns), clock, setup.dns.cache),
            content=self._contents,
            clock=clock,
            note_tls=serving.note_tls,
            classifier=reply_classifier(setup.replies),
            traffic=self._traffic,
        )

    def carry(self, request: DeliveryRequest, rule: Rule) -> Awaitable[dict[int, Outcome]]:
        """One request by a rule of traffic."""
        way = Way(request.site, self._traffic.sources.named(request.source), rule)
        return self._carrier.deliver_by(way, request)

    async def close(self) -> None:
        """Part from the peers."""
        await self._carrier.close()
        await self._contents.close()


if __name__ == "__main__":
    sys.exit(main())
