"""Rare cases on the way out: what is bounded, what never ends, who says good-bye badly."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.fakes.hand_clock import HandClock
from tests.fakes.peer import ALL_EXTENSIONS, Network, PeerStream, ScriptedPeer
from tests.unit.outbound.making import CONTENT, SITE, StoredContent, make_carrier, make_request, make_zone

from postroom.config.road import OutboundSettings, SmarthostSettings
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.delivery import NO_PEER, Deferred, Delivered, Peer, RouteKind, Site
from postroom.mail.message import QueueId
from postroom.mail.reply import Reply
from postroom.net.stream import connect
from postroom.outbound.hosts import MAX_SHUNNED, Hosts, Target
from postroom.outbound.session import Session
from postroom.outbound.trouble import Scope, content_malformed, tls_not_offered


async def test_shunned_addresses_are_still_tried_if_nothing_else_is_left() -> None:
    network = Network()
    carrier = make_carrier(network)
    two = Site("two", RouteKind.MX, (("mx.example.org",), ("b.example.org",)))
    await carrier.deliver(make_request(site=SITE))
    await carrier.deliver(make_request(site=two))
    assert network.tried == ["192.0.2.1", "192.0.2.2", "192.0.2.1"]
    network.peers["192.0.2.1"] = ScriptedPeer()
    assert isinstance((await carrier.deliver(make_request(site=SITE)))[1], Delivered)
    await carrier.close()


async def test_only_so_many_addresses_are_shunned() -> None:
    hosts = Hosts(ZoneResolver(make_zone()), OutboundSettings(), HandClock())
    hosts.shun("192.0.2.1")
    for number in range(MAX_SHUNNED):
        hosts.shun(f"2001:db8::{number:x}")
    both = Site("x", RouteKind.MX, (("mx.example.org",), ("b.example.org",)))
    targets = [target async for target in hosts.of(both)]
    assert [target.address for target in targets if isinstance(target, Target)] == ["192.0.2.1", "192.0.2.2"]


async def test_a_smarthost_without_address_is_our_mistake() -> None:
    site = Site("smarthost:smart", RouteKind.SMARTHOST, (("gone.example",),), 25, "")
    outcome = (await make_carrier(Network(), zone=Zone()).deliver(make_request(site=site)))[1]
    assert isinstance(outcome, Deferred)
    assert outcome.reply.status == "4.4.4"


async def test_a_server_that_never_stops_asking_is_left() -> None:
    # LOGIN answers twice; a server that goes on with 334 after PLAIN's only message is cut off.
    peer = ScriptedPeer((*ALL_EXTENSIONS, "AUTH PLAIN"), {"AUTH": "334 ", "*": "334 "}, tls=True)
    settings = SmarthostSettings(name="smart", host="smart.example", user="user", password="secret")
    site = Site("smarthost:smart", RouteKind.SMARTHOST, (("smart.example",),), 587, "smart")
    outcome = (await make_carrier(peer, smarthosts=[settings]).deliver(make_request(site=site)))[1]
    assert isinstance(outcome, Deferred)
    assert peer.open == 0


@pytest.mark.parametrize("field", ["silent_at", "close_at", "garbage_at"])
async def test_a_host_that_does_not_answer_quit_is_left_all_the_same(field: str) -> None:
    peer = ScriptedPeer(**{field: "QUIT"})  # type: ignore[arg-type]
    carrier = make_carrier(peer)
    assert isinstance((await carrier.deliver(make_request()))[1], Delivered)
    await carrier.close()
    assert peer.open == 0


class SlowToClose:
    """A host on loopback that answers QUIT, and closes when it is told to or when the client has closed."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self.may_close = asyncio.Event()
        self.heard_the_end = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"QUIT\r\n"
        writer.write(b"221 2.0.0 bye\r\n")
        await writer.drain()
        self.answered.set()
        told = asyncio.create_task(self.may_close.wait())
        heard = asyncio.create_task(reader.read())
        await asyncio.wait((told, heard), return_when=asyncio.FIRST_COMPLETED)
        if heard.done():
            self.heard_the_end.set()
        told.cancel()
        writer.close()
        await heard

    async def greet(self, server: asyncio.Server) -> Session:
        """A session with it in which all but QUIT was said."""
        stream = await connect("127.0.0.1", server.sockets[0].getsockname()[1], timeout=5)
        session = Session("a", stream, Peer(), OutboundSettings(), HandClock())
        session.engine.receive_data(b"220 slow.example\r\n")
        session.engine.next_event()
        return session


async def test_a_session_is_over_when_the_host_has_closed_it() -> None:
    # RFC 5321 §4.1.1.10: it is the host that closes; until then it counts the connection.
    host = SlowToClose()
    async with await asyncio.start_server(host.serve, "127.0.0.1", 0) as server:
        session = await host.greet(server)
        leaving = asyncio.create_task(session.quit())
        await host.answered.wait()
        await asyncio.wait((leaving,), timeout=0.05)
        assert not leaving.done()
        host.may_close.set()
        await asyncio.wait_for(leaving, 5)
        assert not host.heard_the_end.is_set()


async def test_a_host_that_leaves_closing_to_us_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.outbound.session.CLOSE_TIMEOUT", 0.05)
    host = SlowToClose()
    async with await asyncio.start_server(host.serve, "127.0.0.1", 0) as server:
        session = await host.greet(server)
        await asyncio.wait_for(session.quit(), 5)
        await asyncio.wait_for(host.heard_the_end.wait(), 5)


class PlainIterator:
    """An iterator that is no generator."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop(0)


class PlainSource(StoredContent):
    """A content source whose iterators are no generators."""

    def read_content(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        return PlainIterator(list(self.pieces))


async def test_content_may_come_from_any_iterator() -> None:
    pieces = [CONTENT * 1000] * 10
    source = PlainSource(pieces)
    peer = ScriptedPeer()
    carrier = make_carrier(peer, source=source)
    outcome = (await carrier.deliver(make_request(content=None, size=len(CONTENT) * 10_000)))[1]
    assert isinstance(outcome, Delivered)
    assert peer.taken[0].content.endswith(CONTENT * 10_000)
    await carrier.close()


async def test_a_prefix_in_utf8_needs_smtputf8_too() -> None:
    request = make_request(smtputf8=True)
    message = replace(request.message, prefix="Received: from grüße\r\n".encode())
    carrier = make_carrier(ScriptedPeer(("PIPELINING",)))
    outcome = (await carrier.deliver(replace(request, message=message)))[1]
    assert outcome.reply.status == "5.6.9"
    await carrier.close()


class StuckNetwork(Network):
    """Its connections take nothing after a while."""

    async def __call__(self, *args: object, **options: object) -> PeerStream:
        stream = await super().__call__(*args, **options)  # type: ignore[arg-type]

        async def drain() -> None:
            raise TimeoutError("the peer took too long")

        stream.drain = drain  # type: ignore[method-assign]
        return stream


async def test_a_host_that_stops_reading_is_given_up() -> None:
    peer = ScriptedPeer()
    carrier = make_carrier(StuckNetwork({"192.0.2.1": peer}))
    outcome = (await carrier.deliver(make_request(content=b"a line\r\n" * 100_000)))[1]
    assert isinstance(outcome, Deferred)
    assert outcome.reply.status == "4.4.2"
    assert not outcome.ambiguous
    assert peer.open == 0


def test_a_reply_of_ours_names_the_host_as_far_as_it_is_known() -> None:
    assert tls_not_offered(NO_PEER).outcome.reply.text == "the server does not offer STARTTLS"
    literal = Peer("192.0.2.1", "192.0.2.1", 25)
    assert tls_not_offered(literal).outcome.reply.text == "192.0.2.1 does not offer STARTTLS"
    assert tls_not_offered(literal).scope is Scope.HOST


def test_text_for_the_peer_is_not_text_for_the_log() -> None:
    failed = content_malformed(NO_PEER, ValueError("at octet 17"))
    assert isinstance(failed.reply, Reply)
    assert "17" not in failed.reply.text
    assert "17" in failed.detail
