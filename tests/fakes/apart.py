"""Both ends of the wire between node and child in one loop: a RemoteCarrier and whoever carries at the other end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from postroom.config.road import OutboundSettings
from postroom.mail.delivery import DeliveryRequest, Outcome, Site
from postroom.net.apart.link import Link
from postroom.outbound.apart.remote import RemoteCarrier
from postroom.outbound.apart.serving import Carry, Serving
from postroom.outbound.carrier import SmtpCarrier
from postroom.outbound.shaping.rules import Rule, Rules
from postroom.outbound.shaping.sources import Source
from postroom.outbound.shaping.traffic import Way
from postroom.outbound.tlsmet import TlsMet

RULES = Rules((), OutboundSettings())


@dataclass
class Apart:
    """``remote`` is the node's end, ``serving`` the child's; ``met`` is what was noted of TLS."""

    remote: RemoteCarrier
    serving: Serving
    link: Link
    met: list[TlsMet]

    def die(self) -> None:
        """The child ends as by ``kill -9``."""
        self.serving.link.abort()


def rule_of(site: Site) -> Rule:
    """The built-in rule for whoever no other one is for."""
    return RULES.rule_for(site)


@asynccontextmanager
async def apart(carry: Carry, remote: RemoteCarrier | None = None) -> AsyncIterator[Apart]:
    """A carrier and its child, joined by a socketpair; what the child had is lost when it dies."""
    met: list[TlsMet] = []
    node = remote or RemoteCarrier(rule_of, met.append)
    lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_lost(trouble: str) -> None:
        node.detach()
        lost.set_result(trouble)

    ours, theirs = socket.socketpair()
    link = Link(node.on_frame, node.on_room, on_lost)
    await link.open(ours)
    serving = Serving(carry)
    await serving.link.open(theirs)
    node.attach(link)
    try:
        yield Apart(node, serving, link, met)
    finally:
        await serving.stop()
        serving.link.abort()
        link.abort()
        await lost
        await serving.ended


def carried_by(carrier: SmtpCarrier) -> Carry:
    """What the child does with a request."""

    async def carry(request: DeliveryRequest, rule: Rule) -> dict[int, Outcome]:
        return await carrier.deliver_by(Way(request.site, Source(request.source), rule), request)

    return carry
