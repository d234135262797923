"""A small DNS server on loopback, UDP and TCP, for a zone: ``python -m tests.fakes.dns_server ZONEFILE``."""

import argparse
import asyncio
import signal
import struct
from pathlib import Path
from types import TracebackType

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.rrset

from postroom.dns.resolver import Existence
from postroom.dns.zone import Found, Zone, txt_strings
from postroom.mail.trouble import ResolverUnavailable

_IN = dns.rdataclass.IN
_TRIES = 20
NOTHING = Found((), Existence.NO_DATA, "")
"""What a question with CD gets for a bogus name: an answer at all is what matters."""


class DnsServer:
    """``async with DnsServer(zone) as server: server.port``.

    ``truncate`` cuts all UDP answers: TCP is needed. ``authoritative``: it speaks for the zone.
    """

    def __init__(
        self, zone: Zone, *, host: str = "127.0.0.1", port: int = 0, truncate: bool = False, authoritative: bool = False
    ) -> None:
        self.zone = zone
        self.host = host
        self.port = port
        self.truncate = truncate
        self.authoritative = authoritative
        self.tcp_questions = 0
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def __aenter__(self) -> "DnsServer":
        loop = asyncio.get_running_loop()
        for last in range(_TRIES - 1, -1, -1):
            udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=(self.host, self.port))
            port = udp.get_extra_info("sockname")[1]
            try:
                self._tcp = await asyncio.start_server(self._serve_tcp, self.host, port)
            except OSError:  # the port that UDP was given is taken in TCP
                udp.close()
                if not last or self.port:
                    raise
                continue
            self._udp, self.port = udp, port
            break
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._udp is not None
        assert self._tcp is not None
        self._udp.close()
        self._tcp.close()
        await self._tcp.wait_closed()

    @property
    def address(self) -> str:
        """As the settings write a resolver."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def answer(self, wire: bytes, *, udp: bool) -> bytes | None:
        """The answer to a question on the wire; None for silence."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        question = query.question[0]
        response = dns.message.make_response(query, recursion_available=not self.authoritative)
        if self.authoritative:
            response.flags |= dns.flags.AA
        name = question.name.to_text()
        try:
            unchecked = query.flags & dns.flags.CD and name.lower().removesuffix(".") in self.zone.bogus
            found = NOTHING if unchecked else self.zone.find(dns.rdatatype.to_text(question.rdtype), name)
        except ResolverUnavailable:
            if name.lower().removesuffix(".") in self.zone.silent:
                return None
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        if udp and self.truncate:
            response.flags |= dns.flags.TC
            return response.to_wire()
        self._fill(response, found, question.rdtype)
        try:
            return response.to_wire(max_size=max(512, query.payload) if udp else 65535)
        except dns.exception.TooBig:
            response.answer.clear()
            response.flags |= dns.flags.TC
            return response.to_wire()

    def _fill(self, response: dns.message.Message, found: Found, kind: dns.rdatatype.RdataType) -> None:
        if self.zone.vouches_for(found):
            response.flags |= dns.flags.AD
        for name, target in found.aliases:
            response.answer.append(
                dns.rrset.from_text(_absolute(name), self.zone.ttl, _IN, "CNAME", _absolute(target).to_text())
            )
        if found.texts:
            records = [_rdata(kind, text) for text in found.texts]
            response.answer.append(dns.rrset.from_rdata_list(_absolute(found.name), self.zone.ttl, records))
            return
        if found.existence is Existence.NO_SUCH_DOMAIN:
            response.set_rcode(dns.rcode.NXDOMAIN)
        soa = f". . 1 3600 600 86400 {self.zone.negative_ttl}"
        response.authority.append(dns.rrset.from_text(dns.name.root, self.zone.negative_ttl, _IN, "SOA", soa))

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack("!H", await reader.readexactly(2))
                self.tcp_questions += 1
                answer = self.answer(await reader.readexactly(size), udp=False)
                if answer is not None:
                    writer.write(struct.pack("!H", len(answer)) + answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is done
        finally:
            writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a datagram endpoint has no other; uvloop's is no subclass

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        answer = self._server.answer(data, udp=True)
        if answer is not None:
            self._transport.sendto(answer, addr)


def _absolute(name: str) -> dns.name.Name:
    return dns.name.from_text(name)


def _rdata(kind: dns.rdatatype.RdataType, text: str) -> dns.rdata.Rdata:
    if kind == dns.rdatatype.TXT:
        strings = [piece[at : at + 255] for piece in txt_strings(text) for at in range(0, max(len(piece), 1), 255)]
        return dns.rdtypes.ANY.TXT.TXT(_IN, kind, strings)
    return dns.rdata.from_text(_IN, kind, text, origin=dns.name.root, relativize=False)


async def _run(zone: Zone, host: str, port: int) -> None:
    async with DnsServer(zone, host=host, port=port) as server:
        print(f"dns server ready on {server.address}", flush=True)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await stop.wait()


def main() -> None:
    """Serve a zone file until a signal ends it; the first line of output says where."""
    parser = argparse.ArgumentParser(description="A small DNS server on loopback.")
    parser.add_argument("zone", type=Path, help="zone file: name [ttl] [IN] type data")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    asyncio.run(_run(Zone.parse(arguments.zone.read_text()), arguments.host, arguments.port))


if __name__ == "__main__":
    main()
