"""A stream keeps its promises on both event loops."""

import asyncio
import socket
import ssl

import pytest
from tests.unit.net.conftest import Pairer

from postroom.config.certificates import TlsSettings
from postroom.net.channel import TlsError
from postroom.net.stream import READ_LIMIT, SocketStream, connect, plain_address
from postroom.net.tls import ServerTls, opportunistic_context


async def read_until(stream: SocketStream, size: int) -> bytes:
    received = b""
    while len(received) < size:
        piece = await stream.receive()
        if not piece:
            break
        received += piece
    return received


async def send_for_ever(stream: SocketStream) -> None:
    while True:
        stream.send(b"y" * 65536)
        await stream.drain()
        await asyncio.sleep(0)


async def test_bytes_travel_both_ways(pair: Pairer) -> None:
    client, server = await pair(None)
    client.send(b"EHLO a\r\n")
    assert await server.receive() == b"EHLO a\r\n"
    server.send(b"250 ")
    server.send(b"hi\r\n")
    assert await read_until(client, 8) == b"250 hi\r\n"


async def test_end_of_stream_is_empty_and_stays_so(pair: Pairer) -> None:
    client, server = await pair(None)
    client.send(b"QUIT\r\n")
    client.close()
    assert await server.receive() == b"QUIT\r\n"
    assert await server.receive() == b""
    assert await server.receive() == b""


async def test_a_client_that_shuts_its_writing_side_still_gets_its_replies(pair: Pairer) -> None:
    loop = asyncio.get_running_loop()
    client, server = await pair(None)
    del client
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    theirs = await connect("127.0.0.1", listening.getsockname()[1], timeout=5)
    ours, _ = await loop.sock_accept(listening)
    ours.shutdown(socket.SHUT_WR)
    assert await theirs.receive() == b""
    theirs.send(b"221 bye\r\n")
    assert await loop.sock_recv(ours, 100) == b"221 bye\r\n"
    theirs.abort()
    ours.close()
    listening.close()
    server.abort()


async def test_silence_ends_in_a_timeout(pair: Pairer) -> None:
    _, server = await pair(None)
    server.set_timeout(0.01)
    with pytest.raises(TimeoutError):
        await server.receive()


async def test_setting_the_timeout_again_restarts_it(pair: Pairer) -> None:
    client, server = await pair(None)
    server.set_timeout(0.01)
    server.set_timeout(60)
    asyncio.get_running_loop().call_later(0.1, client.send, b"late\r\n")
    assert await server.receive() == b"late\r\n"


async def test_a_deadline_that_passed_before_the_wait_counts(pair: Pairer) -> None:
    _, server = await pair(None)
    server.set_timeout(1e-9)
    with pytest.raises(TimeoutError):
        await server.receive()


async def test_what_a_busy_reader_does_not_take_is_bounded(pair: Pairer) -> None:
    client, server = await pair(None)
    client.set_timeout(0.2)
    sent = 0

    async def send_and_count() -> None:
        nonlocal sent
        while True:
            client.send(b"x" * 65536)
            sent += 65536
            await client.drain()

    with pytest.raises(TimeoutError):
        await send_and_count()
    assert server._held <= READ_LIMIT + 256 * 1024
    client.set_timeout(5)
    server.set_timeout(5)
    received = len(await server.receive())
    while received < sent:
        received += len(await server.receive())
    assert received == sent


async def test_a_peer_that_never_reads_ends_in_a_timeout(pair: Pairer) -> None:
    _, server = await pair(None)
    server.set_timeout(0.05)
    with pytest.raises(TimeoutError):
        await send_for_ever(server)


async def test_draining_a_lost_connection_says_so(pair: Pairer) -> None:
    client, server = await pair(None)
    client.abort()
    assert await server.receive() == b""
    with pytest.raises(ConnectionError):
        await send_for_ever(server)
    server.send(b"into the void")
    server.close()


async def test_nothing_listens(unused_tcp_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        await connect("127.0.0.1", unused_tcp_port, timeout=5, source="127.0.0.1")


async def shake(client: SocketStream, server: SocketStream, context: ssl.SSLContext) -> None:
    await asyncio.gather(server.start_tls(), client.start_tls(context, "mx.example.org"))


async def test_tls_carries_bytes_and_tells_its_facts(
    pair: Pairer, tls_settings: TlsSettings, trusting: ssl.SSLContext
) -> None:
    client, server = await pair(ServerTls(tls_settings))
    await shake(client, server, trusting)
    assert client.tls == server.tls
    assert server.tls is not None
    assert server.tls.version == "TLSv1.3"
    assert server.tls.cipher
    big = b"z" * 1_000_000
    client.send(big)
    assert await read_until(server, len(big)) == big
    server.send(b"250 ok\r\n")
    assert await client.receive() == b"250 ok\r\n"
    client.close()
    assert await server.receive() == b""


async def test_tls_1_2_is_spoken(pair: Pairer, tls_settings: TlsSettings, trusting: ssl.SSLContext) -> None:
    trusting.maximum_version = ssl.TLSVersion.TLSv1_2
    client, server = await pair(ServerTls(tls_settings))
    await shake(client, server, trusting)
    client.send(b"over 1.2")
    assert await server.receive() == b"over 1.2"
    assert server.tls is not None
    assert server.tls.version == "TLSv1.2"


async def test_what_was_said_in_the_clear_is_dropped(
    pair: Pairer, tls_settings: TlsSettings, trusting: ssl.SSLContext
) -> None:
    client, server = await pair(ServerTls(tls_settings))
    client.send(b"STARTTLS\r\n")
    assert await server.receive() == b"STARTTLS\r\n"
    client.send(b"RCPT TO:<injected@example.org>\r\n")
    while not server._chunks:
        await asyncio.sleep(0)
    server.send(b"220 go\r\n")
    shaking = asyncio.create_task(server.start_tls())
    assert await client.receive() == b"220 go\r\n"
    await client.start_tls(trusting, "mx.example.org")
    client.send(b"EHLO a\r\n")
    await shaking
    assert await server.receive() == b"EHLO a\r\n"


async def test_what_comes_with_the_end_of_the_handshake_is_held(tls_settings: TlsSettings, pair: Pairer) -> None:
    """The client's last handshake bytes and its first command arrive in one segment."""
    client, server = await pair(ServerTls(tls_settings))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = opportunistic_context().wrap_bio(incoming, outgoing, server_hostname="mx.example.org")
    shaking = asyncio.create_task(server.start_tls())
    await asyncio.sleep(0)  # the server waits for the handshake before the client can know of it
    while True:
        try:
            peer.do_handshake()
            break
        except ssl.SSLWantReadError:
            client.send(outgoing.read())
            answer = await client.receive()
            assert answer
            incoming.write(answer)
    peer.write(b"EHLO early\r\n")
    client.send(outgoing.read())
    await shaking
    assert await server.receive() == b"EHLO early\r\n"


async def test_implicit_tls_takes_what_came_before_it_was_asked(
    pair: Pairer, tls_settings: TlsSettings, trusting: ssl.SSLContext
) -> None:
    client, server = await pair(ServerTls(tls_settings))
    shaking = asyncio.create_task(client.start_tls(trusting, "mx.example.org"))
    while not server._chunks:
        await asyncio.sleep(0)
    facts = await server.begin_tls()
    assert await shaking == facts


async def test_garbage_instead_of_a_handshake(pair: Pairer, tls_settings: TlsSettings) -> None:
    client, server = await pair(ServerTls(tls_settings))
    shaking = asyncio.create_task(server.start_tls())
    await asyncio.sleep(0)
    client.send(b"MAIL FROM:<a@example.org>\r\n" * 20)
    with pytest.raises(TlsError, match=r"\w"):
        await shaking
    assert await server.receive() == b""


async def test_a_peer_that_leaves_during_the_handshake(pair: Pairer, tls_settings: TlsSettings) -> None:
    client, server = await pair(ServerTls(tls_settings))
    client.close()
    with pytest.raises(TlsError, match="closed during the handshake"):
        await server.start_tls()


async def test_a_peer_that_is_silent_during_the_handshake(pair: Pairer, tls_settings: TlsSettings) -> None:
    _, server = await pair(ServerTls(tls_settings))
    server.set_timeout(0.01)
    with pytest.raises(TimeoutError):
        await server.start_tls()


async def test_a_certificate_for_another_name_is_not_accepted(
    pair: Pairer, tls_settings: TlsSettings, trusting: ssl.SSLContext
) -> None:
    client, server = await pair(ServerTls(tls_settings))
    shaking = asyncio.create_task(server.start_tls())
    await asyncio.sleep(0)
    with pytest.raises(TlsError, match="certificate not accepted"):
        await client.start_tls(trusting, "other.example.org")
    with pytest.raises(TlsError):
        await shaking


async def test_broken_cipher_text_ends_the_stream(
    pair: Pairer, tls_settings: TlsSettings, trusting: ssl.SSLContext
) -> None:
    client, server = await pair(ServerTls(tls_settings))
    await shake(client, server, trusting)
    assert client._transport is not None
    client._transport.write(b"\x17\x03\x03\x00\x20" + b"!" * 32)
    assert await server.receive() == b""


async def test_tls_needs_a_certificate_and_happens_once(
    pair: Pairer, tls_settings: TlsSettings, trusting: ssl.SSLContext
) -> None:
    _, bare = await pair(None)
    with pytest.raises(RuntimeError):
        await bare.start_tls()
    client, server = await pair(ServerTls(tls_settings))
    await shake(client, server, trusting)
    with pytest.raises(RuntimeError):
        await server.start_tls()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%lo", "fe80::1"),
    ],
)
def test_addresses_are_shown_plainly(given: str, shown: str) -> None:
    assert plain_address(given) == shown
