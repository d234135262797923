"""Finds the servers of a zone, and asks them themselves, with dnspython (RFC 1034 §4.3.2)."""

import asyncio
from collections.abc import Sequence

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rdtypes.ANY.NS
import dns.rdtypes.ANY.TXT
import dns.resolver

from postroom.config.model import DnsSettings
from postroom.dns.authorities import ServerAnswer
from postroom.dns.dnspython import configured
from postroom.dns.resolver import plain_name

MAX_SERVERS = 13
"""Servers of one zone that are asked; as many as the root has."""

TIMEOUT = 3.0
"""Seconds for one server, over UDP and TCP together."""

_PORT = 53
_EDNS_SIZE = 1232  # octets: what passes any path unfragmented (DNS flag day 2020)


class DnspythonAuthorities:
    """Finds the servers by their NS records, as our resolver knows them, and asks each, at port 53.

    Our resolver is not asked about ``name`` itself: it would remember that it is not there. A name that is an alias
    (CNAME) is not told by its servers. Where no DNS leaves the network but by a resolver, every server is silent.
    """

    def __init__(self, settings: DnsSettings, *, port: int = _PORT) -> None:
        self._resolver = configured(settings)
        self._port = port

    async def txt(self, name: str) -> Sequence[ServerAnswer]:
        """What each server of the zone has, asked at the same time."""
        try:
            question = dns.name.from_text(name)
            hosts = await self._hosts(_above_underscores(plain_name(name)))
            answers = await self._ask_all(question, hosts)
            elsewhere = next((referred for _, referred in answers if referred), ())
            if elsewhere:  # RFC 1034 §4.3.2 step 3b: a zone of its own below, as for _domainkey
                answers = await self._ask_all(question, elsewhere)
        except (dns.exception.DNSException, OSError, ValueError):
            return ()
        return [answer for answer, _ in answers]

    async def _hosts(self, name: str) -> Sequence[str]:
        """The name servers of the nearest name at or above ``name`` that has any."""
        while "." in name:
            try:
                found = await self._resolver.resolve(name + ".", "NS", raise_on_no_answer=False, search=False)
            except dns.resolver.NXDOMAIN:
                found = None
            if found is not None and found.rrset is not None:
                return sorted({plain_name(str(each)) for each in found.rrset})[:MAX_SERVERS]
            name = name.partition(".")[2]
        return ()

    async def _ask_all(
        self, question: dns.name.Name, hosts: Sequence[str]
    ) -> Sequence[tuple[ServerAnswer, Sequence[str]]]:
        return await asyncio.gather(*[self._ask(question, host) for host in hosts])

    async def _ask(self, question: dns.name.Name, host: str) -> tuple[ServerAnswer, Sequence[str]]:
        """What a server says, and the servers that it refers to."""
        query = dns.message.make_query(question, dns.rdatatype.TXT, use_edns=0, payload=_EDNS_SIZE)
        query.flags &= ~dns.flags.RD
        try:
            address = await self._address(host)
            async with asyncio.timeout(TIMEOUT):
                answer, _ = await dns.asyncquery.udp_with_fallback(query, address, timeout=TIMEOUT, port=self._port)
        except (dns.exception.DNSException, OSError, ValueError, EOFError):
            return ServerAnswer(host, None), ()
        if answer.flags & dns.flags.AA:
            return ServerAnswer(host, _records(answer, question)), ()
        return ServerAnswer(host, None), _referred(answer)

    async def _address(self, host: str) -> str:
        """One address of a host, IPv4 where it has one. A DNSException where it has none."""
        addresses = await self._resolver.resolve_name(host + ".")
        return next(iter(addresses.addresses()))


def _above_underscores(name: str) -> str:
    """What is right of the last label with an underscore: no zone is cut off below it, as a rule."""
    labels = name.split(".")
    last = max((at for at, label in enumerate(labels) if label.startswith("_")), default=-1)
    return ".".join(labels[last + 1 :])


def _records(answer: dns.message.Message, question: dns.name.Name) -> tuple[bytes, ...] | None:
    """The TXT records of an authoritative answer: ``()`` for NXDOMAIN and no data, None for a failure or an alias."""
    if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return None
    if any(rrset.rdtype == dns.rdatatype.CNAME for rrset in answer.answer):
        return None
    return tuple(
        [
            b"".join(record.strings)
            for rrset in answer.answer
            if rrset.rdtype == dns.rdatatype.TXT and rrset.name == question
            for record in rrset
            if isinstance(record, dns.rdtypes.ANY.TXT.TXT)
        ]
    )


def _referred(answer: dns.message.Message) -> Sequence[str]:
    hosts = {
        plain_name(record.target.to_text())
        for rrset in answer.authority
        for record in rrset
        if isinstance(record, dns.rdtypes.ANY.NS.NS)
    }
    return sorted(hosts)[:MAX_SERVERS]
