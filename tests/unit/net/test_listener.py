"""A listener keeps its ceilings, pauses when out of files, and drains."""

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network

import pytest
from tests.fakes.clock import settle

from postroom.config.certificates import TlsSettings
from postroom.config.guard import FloodSettings
from postroom.config.model import ConnectionSettings, ListenerSettings
from postroom.config.section import read_rate
from postroom.mail.session import Client, Role
from postroom.net.gate import Gate
from postroom.net.listener import Listener
from postroom.net.sockets import open_listeners
from postroom.net.stream import SocketStream, connect
from postroom.net.sweeper import Sweeper
from postroom.net.tls import ServerTls
from postroom.net.turnaway import LINGERING
from postroom.report.events import InternalError, ListenerPaused, Report, SessionRefused, TlsFailed
from postroom.report.reporter import Reporter

ONE_ADDRESS = ConnectionSettings(per_address=2, unlimited_networks=(), tls_timeout=0.2)


@dataclass
class Echo:
    """Greets, says back what it hears, says how it was drained."""

    role: Role = Role.MX
    busy_line: bytes = b"421 4.7.0 busy\r\n"
    clients: list[Client] = field(default_factory=list)
    streams: list[SocketStream] = field(default_factory=list)
    ends_when_drained: bool = True

    async def run(self, stream: SocketStream, client: Client) -> None:
        self.clients.append(client)
        self.streams.append(stream)
        stream.send(b"220\r\n")
        while data := await stream.receive():
            stream.send(data)

    def drain(self) -> None:
        if self.ends_when_drained:
            for stream in self.streams:
                stream.send(b"421\r\n")
                stream.close()


@dataclass
class Bench:
    """A listener under test, with what it told and the streams to it."""

    listener: Listener
    gate: Gate
    sweeper: Sweeper
    reports: list[Report]
    streams: list[SocketStream] = field(default_factory=list)

    async def dial(self) -> SocketStream:
        address, port = self.listener.addresses[0]
        stream = await connect(address, port, timeout=5, sweeper=self.sweeper)
        stream.set_timeout(5)
        self.streams.append(stream)
        return stream


class Builder:
    """Makes listeners and takes them down."""

    def __init__(self) -> None:
        self.benches: list[Bench] = []

    def __call__(
        self,
        service: Echo,
        settings: ConnectionSettings = ONE_ADDRESS,
        tls: ServerTls | None = None,
        *,
        flood: FloodSettings | None = None,
        proxied: bool = False,
    ) -> Bench:
        (opened,) = open_listeners([ListenerSettings(role=service.role, addresses=("127.0.0.1",), port=0)])
        reports: list[Report] = []
        gate, sweeper = Gate(settings, flood), Sweeper(0.05)
        listener = Listener(
            opened.sockets,
            service,
            gate=gate,
            settings=settings,
            sweeper=sweeper,
            reporter=Reporter([reports.append]),
            server_tls=tls,
            proxy_networks=(IPv4Network("127.0.0.0/8"),) if proxied else (),
        )
        listener.start()
        self.benches.append(Bench(listener, gate, sweeper, reports))
        return self.benches[-1]


@pytest.fixture
async def build() -> AsyncIterator[Builder]:
    builder = Builder()
    yield builder
    for bench in builder.benches:
        for stream in bench.streams:
            stream.abort()
        await bench.listener.drain(1)
        while len(bench.sweeper):
            await asyncio.sleep(0)
        bench.sweeper.stop()
        assert bench.gate.open == 0


async def test_sessions_are_numbered_and_know_their_peer(build: Builder) -> None:
    service = Echo()
    bench = build(service)
    first, second = await bench.dial(), await bench.dial()
    assert await first.receive() == b"220\r\n"
    assert await second.receive() == b"220\r\n"
    first.send(b"hello")
    assert await first.receive() == b"hello"
    one, two = service.clients
    assert one.session_id != two.session_id
    assert (one.role, one.address) == (Role.MX, "127.0.0.1")
    assert one.port > 0
    assert bench.listener.sessions == bench.gate.open == 2


async def test_one_address_too_many_is_told_so(build: Builder) -> None:
    bench = build(Echo())
    held = [await bench.dial() for _ in range(2)]
    for each in held:
        await each.receive()
    third = await bench.dial()
    assert await third.receive() == b"421 4.7.0 busy\r\n"
    assert await third.receive() == b""
    assert bench.reports == [SessionRefused("mx", "127.0.0.1", "address")]
    held[0].close()
    while bench.gate.open == 2:
        await asyncio.sleep(0)
    assert await (await bench.dial()).receive() == b"220\r\n"


async def test_implicit_tls_shakes_hands_before_the_session(
    build: Builder, tls_settings: TlsSettings, trusting: ssl.SSLContext
) -> None:
    service = Echo(role=Role.SUBMISSIONS)
    bench = build(service, tls=ServerTls(tls_settings))
    stream = await bench.dial()
    await stream.start_tls(trusting, "mx.example.org")
    assert await stream.receive() == b"220\r\n"
    assert service.clients[0].tls == stream.tls


async def test_implicit_tls_refuses_in_silence(build: Builder, tls_settings: TlsSettings) -> None:
    settings = ConnectionSettings(total=1)
    bench = build(Echo(role=Role.SUBMISSIONS), settings, ServerTls(tls_settings))
    await bench.dial()
    second = await bench.dial()
    assert await second.receive() == b""
    assert bench.reports == [SessionRefused("submissions", "127.0.0.1", "total")]


@pytest.mark.parametrize("said", [b"EHLO clear.example\r\n" * 10, b""])
async def test_a_handshake_that_does_not_come(build: Builder, tls_settings: TlsSettings, said: bytes) -> None:
    bench = build(Echo(role=Role.SUBMISSIONS), tls=ServerTls(tls_settings))
    stream = await bench.dial()
    stream.send(said)
    while await stream.receive():  # an alert may come first
        pass
    (failed,) = bench.reports
    assert isinstance(failed, TlsFailed)
    assert failed.reason


async def test_a_bug_in_a_service_is_heard_of_and_costs_one_session(build: Builder) -> None:
    class Buggy(Echo):
        async def run(self, stream: SocketStream, client: Client) -> None:
            raise ZeroDivisionError("oops")

    bench = build(Buggy())
    assert await (await bench.dial()).receive() == b""
    (error,) = bench.reports
    assert isinstance(error, InternalError)
    assert "ZeroDivisionError" in error.trace


async def test_a_drain_lets_sessions_end(build: Builder) -> None:
    bench = build(Echo())
    stream = await bench.dial()
    await stream.receive()
    assert await bench.listener.drain(5) == 0
    assert await stream.receive() == b"421\r\n"
    assert bench.listener.addresses == ()


async def test_a_drain_cuts_off_who_does_not_end(build: Builder) -> None:
    bench = build(Echo(ends_when_drained=False))
    stream = await bench.dial()
    await stream.receive()
    assert await bench.listener.drain(0.01) == 1
    assert await stream.receive() == b""


async def test_a_drain_does_not_wait_for_a_session_that_waits_for_nothing(
    build: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that tidies up after itself in a store that does not answer."""
    monkeypatch.setattr("postroom.net.listener.PARTING", 0.01)

    class Stuck(Echo):
        async def run(self, stream: SocketStream, client: Client) -> None:
            try:
                await super().run(stream, client)
            finally:
                await asyncio.Event().wait()

    bench = build(Stuck(ends_when_drained=False))
    await (await bench.dial()).receive()
    async with asyncio.timeout(10):
        assert await bench.listener.drain(0.01) == 1


# Floods.

NO_EXEMPTIONS = FloodSettings(connection_rate=(read_rate("3/1h"),), exempt_networks=())


async def test_too_many_in_a_time_are_told_when_to_come_back(build: Builder) -> None:
    bench = build(Echo(), ConnectionSettings(), flood=NO_EXEMPTIONS)
    for _ in range(3):
        assert await (await bench.dial()).receive() == b"220\r\n"
    refused = await bench.dial()
    assert await refused.receive() == b"421 4.7.0 busy, in 20 minutes\r\n"
    assert await refused.receive() == b""
    assert bench.reports == [SessionRefused("mx", "127.0.0.1", "rate")]


async def test_the_line_reaches_a_client_that_spoke_first(build: Builder) -> None:
    """A socket closed with something unread would be reset, and the line be lost."""
    bench = build(Echo(), ConnectionSettings(total=1))
    await (await bench.dial()).receive()
    with socket.create_connection(bench.listener.addresses[0]) as eager:
        eager.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(eager, b"EHLO eager.example\r\n" * 100)
        assert await loop.sock_recv(eager, 100) == b"421 4.7.0 busy\r\n"
        await loop.sock_sendall(eager, b"QUIT\r\n")
        assert await loop.sock_recv(eager, 100) == b""


async def test_the_banned_are_turned_away(build: Builder) -> None:
    bench = build(Echo())
    bench.gate.banned = lambda address: time.time() + 100 if address == "127.0.0.1" else None
    refused = await bench.dial()
    assert (await refused.receive()).startswith(b"421 4.7.0 busy, in 100 seconds")
    assert bench.reports == [SessionRefused("mx", "127.0.0.1", "banned")]


async def test_a_flood_makes_few_reports_and_costs_nobody_else(build: Builder) -> None:
    bench = build(Echo(), ConnectionSettings(), flood=NO_EXEMPTIONS)
    served = await bench.dial()
    await served.receive()
    flood = []
    for _ in range(300):
        flood.append(socket.create_connection(bench.listener.addresses[0]))
        await asyncio.sleep(0)
    served.send(b"still here?")
    assert await served.receive() == b"still here?"
    assert bench.listener.lingering <= LINGERING
    for each in flood:
        each.close()
    await bench.listener.drain(0)
    refused = [each for each in bench.reports if isinstance(each, SessionRefused)]
    assert len(refused) < 10
    assert sum(each.count for each in refused) == 298


# Load balancers.


async def received(stream: SocketStream, expected: bytes) -> bool:
    """Whether that comes next, in whatever pieces."""
    data = b""
    while len(data) < len(expected) and (piece := await stream.receive()):
        data += piece
    return data == expected


ANNOUNCEMENT = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 25\r\n"


async def test_a_balancer_announces_its_client(build: Builder) -> None:
    service = Echo()
    bench = build(service, proxied=True)
    stream = await bench.dial()
    stream.send(ANNOUNCEMENT[:20])
    await settle(20)
    assert not service.clients
    stream.send(ANNOUNCEMENT[20:] + b"early")
    assert await received(stream, b"220\r\nearly")
    (client,) = service.clients
    assert (client.address, client.port, client.proxy) == ("192.0.2.7", 4711, "127.0.0.1")
    assert service.streams[0].peer == ("192.0.2.7", 4711)


async def test_an_announced_address_is_shown_as_ipv4_where_it_is_one(build: Builder) -> None:
    service = Echo()
    bench = build(service, proxied=True)
    stream = await bench.dial()
    stream.send(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 25\r\n")
    await stream.receive()
    assert service.clients[0].address == "192.0.2.7"


async def test_a_balancer_may_speak_for_itself(build: Builder) -> None:
    service = Echo()
    bench = build(service, proxied=True)
    stream = await bench.dial()
    stream.send(b"PROXY UNKNOWN\r\n")
    assert await stream.receive() == b"220\r\n"
    assert (service.clients[0].address, service.clients[0].proxy) == ("127.0.0.1", "127.0.0.1")


async def test_ceilings_count_the_announced_address(build: Builder) -> None:
    bench = build(Echo(), proxied=True)
    for address in (b"192.0.2.7", b"192.0.2.7", b"192.0.2.8"):
        stream = await bench.dial()
        stream.send(ANNOUNCEMENT.replace(b"192.0.2.7", address))
        assert await stream.receive() == b"220\r\n"
    third = await bench.dial()
    third.send(ANNOUNCEMENT)
    assert await third.receive() == b"421 4.7.0 busy\r\n"
    assert await third.receive() == b""
    assert bench.reports == [SessionRefused("mx", "192.0.2.7", "address")]


async def test_connections_without_an_announcement_count_too(build: Builder) -> None:
    bench = build(Echo(), ConnectionSettings(total=1, tls_timeout=5), proxied=True)
    await bench.dial()
    second = await bench.dial()
    assert await second.receive() == b"421 4.7.0 busy\r\n"
    assert bench.reports == [SessionRefused("mx", "127.0.0.1", "total")]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"EHLO plain.example\r\n", "does not begin with a PROXY header"),
        (b"PROXY TCP4 nonsense\r\n", "malformed"),
        (b"PROXY TCP4 192", "took too long"),
        (b"", "took too long"),
    ],
)
async def test_from_a_balancer_the_header_is_required(build: Builder, said: bytes, why: str) -> None:
    service = Echo()
    bench = build(service, proxied=True)
    stream = await bench.dial()
    stream.send(said)
    assert await stream.receive() == b""
    (refused,) = bench.reports
    assert isinstance(refused, SessionRefused)
    assert (refused.address, refused.reason) == ("127.0.0.1", "proxy")
    assert why in refused.detail
    assert not service.clients


@pytest.mark.parametrize(("said", "told"), [(b"", 0), (b"PROXY TCP4", 1)])
async def test_a_balancer_that_looks_and_leaves_is_no_trouble(build: Builder, said: bytes, told: int) -> None:
    bench = build(Echo(), proxied=True)
    with socket.create_connection(bench.listener.addresses[0]) as look:
        look.sendall(said)
    while bench.listener.sessions == 0 and not bench.reports:
        await asyncio.sleep(0)
    while bench.listener.sessions:
        await asyncio.sleep(0)
    assert len(bench.reports) == told


async def test_from_others_the_header_is_only_text(build: Builder) -> None:
    service = Echo()
    bench = build(service)
    stream = await bench.dial()
    stream.send(ANNOUNCEMENT)
    assert await received(stream, b"220\r\n" + ANNOUNCEMENT)
    assert (service.clients[0].address, service.clients[0].proxy) == ("127.0.0.1", "")


async def test_the_header_comes_before_tls(build: Builder, tls_settings: TlsSettings, trusting: ssl.SSLContext) -> None:
    service = Echo(role=Role.SUBMISSIONS)
    bench = build(service, tls=ServerTls(tls_settings), proxied=True)
    stream = await bench.dial()
    stream.send(ANNOUNCEMENT)
    await stream.start_tls(trusting, "mx.example.org")
    assert await stream.receive() == b"220\r\n"
    assert service.clients[0].tls == stream.tls
    assert service.clients[0].address == "192.0.2.7"


class Exhausted(socket.socket):
    """A listening socket whose ``accept`` fails ``failures`` times."""

    code = errno.EMFILE
    failures = 1

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            self.failures -= 1
            raise OSError(self.code, "Too many open files")
        return super().accept()


@pytest.mark.parametrize(("code", "report"), [(errno.EMFILE, ListenerPaused), (errno.EPROTO, InternalError)])
async def test_without_files_it_pauses_and_comes_back(
    monkeypatch: pytest.MonkeyPatch, code: int, report: type[Report]
) -> None:
    monkeypatch.setattr("postroom.net.listener.PAUSE", 0.01)
    listening = Exhausted(socket.AF_INET, socket.SOCK_STREAM)
    listening.code = code
    listening.setblocking(False)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    reports: list[Report] = []
    sweeper = Sweeper()
    listener = Listener(
        [listening],
        Echo(),
        gate=Gate(ConnectionSettings()),
        settings=ConnectionSettings(),
        sweeper=sweeper,
        reporter=Reporter([reports.append]),
    )
    listener.start()
    stream = await connect(*listener.addresses[0], timeout=5, sweeper=sweeper)
    assert await stream.receive() == b"220\r\n"
    assert [type(each) for each in reports] == [report]
    stream.close()
    await listener.drain(5)
    sweeper.stop()


async def test_a_pause_ends_with_the_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    listening = Exhausted(socket.AF_INET, socket.SOCK_STREAM)
    listening.failures = 100
    listening.setblocking(False)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    reports: list[Report] = []
    sweeper = Sweeper()
    listener = Listener(
        [listening],
        Echo(),
        gate=Gate(ConnectionSettings()),
        settings=ConnectionSettings(),
        sweeper=sweeper,
        reporter=Reporter([reports.append]),
    )
    listener.start()
    with socket.create_connection(listener.addresses[0]):
        while not reports:
            await settle(5)
    listener.stop_accepting()
    assert await listener.drain(1) == 0
    sweeper.stop()
