"""A far end of many sites in one process: takes everything, keeps nothing, counts; with TLS and with latency if asked.

``python -m bench.farsink --hosts 200 --latency 0.02 [--certificate FILE --key FILE]`` listens on one port of
127.9.0.1, 127.9.0.2, … (of 127.0.0.1 where one host is asked for), prints ``ready PORT DNSPORT`` and then ``mesg=N``
lines while messages come. Its name server says that site7.example has the MX mx.site7.example, which is the seventh.
It announces PIPELINING and CHUNKING, as large receivers do: what comes together is answered together, after the
latency, as a round trip would have it.
"""

import argparse
import asyncio
import ssl
import sys
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import uvloop

TTL = 3600
_END = b"\r\n.\r\n"


def address_of(number: int) -> str:
    """The address of host ``number``, counted from 1."""
    return f"127.9.{number // 250}.{number % 250 + 1}"


class FarEnd:
    """What all sessions share."""

    def __init__(self, latency: float, context: ssl.SSLContext | None) -> None:
        self.latency = latency
        self.context = context
        self.messages = 0
        self.open = 0
        self.most_open = 0


class Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, far: FarEnd) -> None:
        self._far = far
        self._buffer = b""
        self._in_data = False
        self._secured = False
        self._upgrading = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        fresh = self._transport is None
        self._transport = cast(asyncio.Transport, transport)  # the loop's own class is none of asyncio's
        if fresh:
            self._far.open += 1
            self._far.most_open = max(self._far.most_open, self._far.open)
            self._say(b"220 far.example ESMTP\r\n")

    def connection_lost(self, error: Exception | None) -> None:
        if not self._upgrading:
            self._far.open -= 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        replies = bytearray()
        while not self._upgrading:
            if self._in_data:
                at = self._buffer.find(_END)
                if at < 0:
                    break
                self._buffer = self._buffer[at + len(_END) :]
                self._in_data = False
                self._far.messages += 1
                replies += b"250 2.0.0 taken\r\n"
                continue
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                break
            if line[:5].upper() == b"BDAT ":
                size = int(line.split()[1])
                if len(rest) < size:
                    break
                self._buffer = rest[size:]
                if line.upper().endswith(b"LAST"):
                    self._far.messages += 1
                replies += b"250 2.0.0 taken\r\n"
                continue
            self._buffer = rest
            replies += self._answer(line[:4].upper())
        if replies:
            self._say(bytes(replies))

    def _answer(self, verb: bytes) -> bytes:
        match verb:
            case b"EHLO":
                tls = b"250-STARTTLS\r\n" if self._far.context is not None and not self._secured else b""
                return b"250-far.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-8BITMIME\r\n" + tls + b"250 SIZE\r\n"
            case b"DATA":
                self._in_data = True
                return b"354 go on\r\n"
            case b"STAR":
                self._upgrading = True
                assert self._transport is not None
                self._transport.pause_reading()  # the handshake is for start_tls, which reads on
                asyncio.get_running_loop().create_task(self._upgrade())
                return b"220 2.0.0 go on\r\n"
            case b"QUIT":
                assert self._transport is not None
                asyncio.get_running_loop().call_later(self._far.latency + 0.001, self._transport.close)
                return b"221 2.0.0 bye\r\n"
            case _:
                return b"250 2.0.0 ok\r\n"

    def _say(self, text: bytes) -> None:
        if self._far.latency:
            asyncio.get_running_loop().call_later(self._far.latency, self._write, text)
        else:
            self._write(text)

    def _write(self, text: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(text)

    async def _upgrade(self) -> None:
        """The handshake, after the reply to STARTTLS has left."""
        await asyncio.sleep(self._far.latency)
        transport, context = self._transport, self._far.context
        assert transport is not None
        assert context is not None
        try:
            self._transport = await asyncio.get_running_loop().start_tls(transport, self, context, server_side=True)
        except OSError:  # the client gave up: the bench sees that its mail does not come
            transport.abort()
            return
        self._secured, self._upgrading = True, False


class Names(asyncio.DatagramProtocol):
    """The name server."""

    def __init__(self, hosts: int) -> None:
        self._hosts = hosts
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(answer(data, self._hosts), addr)


def answer(question: bytes, hosts: int) -> bytes:
    """The reply to one question: MX of siteN.example, A of mx.siteN.example; of all else there is nothing."""
    asked = dns.message.from_wire(question)
    reply = dns.message.make_response(asked)
    reply.flags |= dns.flags.AA | dns.flags.RA
    name, kind = asked.question[0].name, asked.question[0].rdtype
    labels = [label.decode().lower() for label in name.labels[:-1]]
    site = labels[-2] if len(labels) >= 2 else ""
    number = int(site[4:]) if site.startswith("site") and site[4:].isdigit() else 0
    if 1 <= number <= hosts:
        if kind == dns.rdatatype.MX and len(labels) == 2:
            reply.answer.append(dns.rrset.from_text(name, TTL, "IN", "MX", f"10 mx.site{number}.example."))
        elif kind == dns.rdatatype.A and labels[0] == "mx":
            reply.answer.append(dns.rrset.from_text(name, TTL, "IN", "A", address_of(number)))
    if not reply.answer:  # so that the negative answer is kept, too
        soa = f"ns.example. hostmaster.example. 1 3600 600 86400 {TTL}"
        reply.authority.append(dns.rrset.from_text("example.", TTL, "IN", "SOA", soa))
    return reply.to_wire()


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.farsink")
    parser.add_argument("--hosts", type=int, default=1)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--seconds", type=float, default=900.0, help="after which it ends by itself")
    asked = parser.parse_args()
    context = None
    if asked.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(asked.certificate, asked.key)
    far = FarEnd(asked.latency, context)
    loop = asyncio.get_running_loop()
    addresses = [address_of(n) for n in range(1, asked.hosts + 1)] if asked.hosts > 1 else ["127.0.0.1"]
    first = await loop.create_server(lambda: Session(far), addresses[0], 0, backlog=1000)
    port = first.sockets[0].getsockname()[1]
    for address in addresses[1:]:
        await loop.create_server(lambda: Session(far), address, port, backlog=1000)
    names, _ = await loop.create_datagram_endpoint(lambda: Names(asked.hosts), local_addr=("127.0.0.1", 0))
    print(f"ready {port} {names.get_extra_info('sockname')[1]}", flush=True)
    told, ends_at = -1, loop.time() + asked.seconds
    while loop.time() < ends_at:
        if far.messages != told:
            told = far.messages
            sys.stdout.write(f"mesg={told} open={far.most_open}\n")
            sys.stdout.flush()
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    uvloop.run(_main())
