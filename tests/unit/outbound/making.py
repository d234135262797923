"""What the tests of outbound build: requests, carriers, zones."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.hand_clock import HandClock
from tests.fakes.peer import Network, ScriptedPeer

from postroom.config.road import OutboundSettings, SmarthostSettings
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.address import Address
from postroom.mail.delivery import DeliveryRequest, QueuedRecipient, RouteKind, Site
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.message import Message, QueueId
from postroom.mail.trouble import StoreUnavailable
from postroom.outbound.carrier import SmtpCarrier
from postroom.outbound.opening import Connect
from postroom.outbound.shaping.traffic import Traffic
from postroom.outbound.tlsmet import NoteTls, note_nothing

PREFIX = b"Received: from client by us\r\n"
CONTENT = b"Subject: hello\r\n\r\n.dots\r\n..more\r\nbody\r\n"
SITE = Site("mx.example.org", RouteKind.MX, (("mx.example.org",),))


@dataclass
class StoredContent:
    """A content source. ``failure`` is raised after ``fail_after`` pieces."""

    pieces: list[bytes] = field(default_factory=list)
    failure: StoreUnavailable | None = None
    fail_after: int = 0
    reads: int = 0

    async def read_content(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        self.reads += 1
        for number, piece in enumerate(self.pieces):
            if self.failure is not None and number >= self.fail_after:
                raise self.failure
            yield piece
        if self.failure is not None:
            raise self.failure


def make_zone() -> Zone:
    return Zone.of(
        {
            "example.org": {"MX": ["10 mx.example.org"]},
            "mx.example.org": {"A": ["192.0.2.1"]},
            "b.example.org": {"A": ["192.0.2.2"]},
            "c.example.org": {"A": ["192.0.2.3"]},
            "smart.example": {"A": ["192.0.2.9"]},
        }
    )


def make_request(
    *recipients: str,
    site: Site = SITE,
    content: bytes | None = CONTENT,
    size: int | None = None,
    sender: str | None = "from@example.net",
    **envelope: Any,
) -> DeliveryRequest:
    names = recipients or ("to@example.org",)
    queued = tuple(QueuedRecipient(n, Recipient(Address.parse(name))) for n, name in enumerate(names, 1))
    reverse_path = None if sender is None else Address.parse(sender)
    message = Message(
        QueueId(7),
        1000.0,
        Envelope(reverse_path, tuple(q.recipient for q in queued), **envelope),
        PREFIX,
        len(content or b"") if size is None else size,
    )
    return DeliveryRequest(message, queued, site, content)


def make_carrier(
    connect: Connect | Network | ScriptedPeer,
    *,
    zone: Zone | None = None,
    source: StoredContent | None = None,
    clock: HandClock | None = None,
    note_tls: NoteTls = note_nothing,
    smarthosts: Iterable[SmarthostSettings] = (),
    traffic: Traffic | None = None,
    **settings: Any,
) -> SmtpCarrier:
    if isinstance(connect, ScriptedPeer):
        connect = Network({"192.0.2.1": connect, "192.0.2.9": connect})
    return SmtpCarrier(
        hostname="us.example.net",
        settings=OutboundSettings(**settings),
        smarthosts=tuple(smarthosts),
        resolver=ZoneResolver(zone or make_zone()),
        content=source or StoredContent(),
        clock=clock or HandClock(),
        connect=connect,
        note_tls=note_tls,
        traffic=traffic,
    )
