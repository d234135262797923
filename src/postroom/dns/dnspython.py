"""Asks real name servers with dnspython: UDP, TCP where an answer is cut, EDNS (RFC 1035, RFC 6891, RFC 7766)."""

from collections.abc import Callable
from typing import TypeVar

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rdata
import dns.rdatatype
import dns.rdtypes.ANY.CAA
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.NS
import dns.rdtypes.ANY.PTR
import dns.rdtypes.ANY.TLSA
import dns.rdtypes.ANY.TXT
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rdtypes.IN.SRV
import dns.resolver

from postroom.config.model import DnsSettings
from postroom.dns.resolver import (
    Answer,
    CaaRecord,
    Existence,
    Family,
    MxRecord,
    SrvRecord,
    TlsaRecord,
    plain_name,
    reverse_name,
)
from postroom.mail.trouble import ResolverUnavailable

Record = TypeVar("Record")

_EDNS_SIZE = 1232  # octets: what passes any path unfragmented (DNS flag day 2020)
_TRY_TIMEOUT = 3.0  # seconds for one try at one server: then the next, within the settings' timeout


class DnspythonResolver:
    """Asks the servers of the settings, or the system's. One question takes at most ``settings.timeout`` seconds."""

    def __init__(self, settings: DnsSettings) -> None:
        self._resolver = configured(settings)
        self._unchecked = configured(settings)
        # RFC 4035 §3.2.2: CD gets what a validating resolver would hold back.
        self._unchecked.set_flags(dns.flags.RD | dns.flags.CD)

    async def mx(self, domain: str) -> Answer[MxRecord]:
        """The MX records, in no particular order."""
        return await self._ask(domain, dns.rdatatype.MX, _read_mx)

    async def addresses(self, host: str, family: Family) -> Answer[str]:
        """The addresses of one family as text."""
        kind = dns.rdatatype.A if family is Family.IPV4 else dns.rdatatype.AAAA
        return await self._ask(host, kind, _read_address)

    async def txt(self, name: str) -> Answer[bytes]:
        """The TXT records, the strings of each joined."""
        return await self._ask(name, dns.rdatatype.TXT, _read_txt)

    async def tlsa(self, name: str) -> Answer[TlsaRecord]:
        """The TLSA records."""
        return await self._ask(name, dns.rdatatype.TLSA, _read_tlsa)

    async def cname(self, name: str) -> Answer[str]:
        """The name that ``name`` itself is an alias of."""
        return await self._ask(name, dns.rdatatype.CNAME, _read_cname)

    async def ptr(self, address: str) -> Answer[str]:
        """The names that an address points back to."""
        return await self._ask(reverse_name(address), dns.rdatatype.PTR, _read_ptr)

    async def srv(self, name: str) -> Answer[SrvRecord]:
        """The SRV records."""
        return await self._ask(name, dns.rdatatype.SRV, _read_srv)

    async def caa(self, name: str) -> Answer[CaaRecord]:
        """The CAA records at the name itself."""
        return await self._ask(name, dns.rdatatype.CAA, _read_caa)

    async def ns(self, name: str) -> Answer[str]:
        """The name servers of a zone."""
        return await self._ask(name, dns.rdatatype.NS, _read_ns)

    async def answers_unchecked(self, name: str) -> bool:
        """Whether there is an answer once DNSSEC is left unchecked."""
        try:
            await self._unchecked.resolve(
                dns.name.from_text(name), dns.rdatatype.SOA, raise_on_no_answer=False, search=False
            )
        except dns.resolver.NXDOMAIN:
            return True
        except (dns.exception.DNSException, OSError, UnicodeError):
            return False
        return True

    async def _ask(
        self, name: str, kind: dns.rdatatype.RdataType, read: Callable[[dns.rdata.Rdata], Record]
    ) -> Answer[Record]:
        try:
            question = dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError):
            # What cannot be written as a name cannot exist; a hostile domain is no fault of the DNS.
            return Answer((), 0.0, False, Existence.NO_SUCH_DOMAIN, name)
        try:
            found = await self._resolver.resolve(question, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN as error:
            response = error.response(question)  # type: ignore[no-untyped-call]  # dnspython has no types here
            return _negative(response, Existence.NO_SUCH_DOMAIN)
        except (dns.exception.DNSException, OSError) as error:
            raise ResolverUnavailable(f"no answer for {name} {kind.name}: {error}") from error
        if found.rrset is None:
            return _negative(found.response, Existence.NO_DATA)
        return Answer(
            tuple([read(record) for record in found.rrset]),
            float(found.chaining_result.minimum_ttl),
            bool(found.response.flags & dns.flags.AD),
            Existence.FOUND,
            plain_name(found.canonical_name.to_text()),
        )


def server_addresses(settings: DnsSettings) -> tuple[str, ...]:
    """The addresses, without ports, of the servers that are asked under these settings."""
    servers = configured(settings).nameservers
    return tuple([each if isinstance(each, str) else each.answer_nameserver() for each in servers])


def configured(settings: DnsSettings) -> dns.asyncresolver.Resolver:
    """The library's resolver under these settings."""
    if settings.servers:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [_server(text) for text in settings.servers]
    else:
        try:
            resolver = dns.asyncresolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            # resolv.conf(5): without the file, the server on this machine is asked.
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers = ["127.0.0.1"]
    resolver.lifetime = settings.timeout
    resolver.timeout = min(_TRY_TIMEOUT, settings.timeout)
    resolver.use_edns(0, 0, _EDNS_SIZE)
    # RFC 6840 §5.7: AD in the question asks for AD in the answer, without the bulk that DO would bring.
    resolver.set_flags(dns.flags.RD | dns.flags.AD)
    return resolver


def _server(text: str) -> dns.nameserver.Nameserver:
    """The server that ``address``, ``address:port`` or ``[v6]:port`` names."""
    address, port = text, "53"
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or "53"
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    return dns.nameserver.Do53Nameserver(address, int(port))


def _negative(response: dns.message.QueryMessage, existence: Existence) -> Answer[Record]:
    """An answer without records, kept as long as the SOA record in it says (RFC 2308 §5); without one, not at all."""
    chain = response.resolve_chaining()
    has_soa = any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority)
    ttl = float(chain.minimum_ttl) if has_soa else 0.0
    name = plain_name(chain.canonical_name.to_text())
    return Answer((), ttl, bool(response.flags & dns.flags.AD), existence, name)


def _read_mx(record: dns.rdata.Rdata) -> MxRecord:
    assert isinstance(record, dns.rdtypes.ANY.MX.MX)  # noqa: S101 - for the types: dnspython gives what was asked for
    return MxRecord(record.preference, plain_name(record.exchange.to_text()))


def _read_address(record: dns.rdata.Rdata) -> str:
    assert isinstance(record, dns.rdtypes.IN.A.A | dns.rdtypes.IN.AAAA.AAAA)  # noqa: S101 - as above
    return str(record.address)


def _read_txt(record: dns.rdata.Rdata) -> bytes:
    assert isinstance(record, dns.rdtypes.ANY.TXT.TXT)  # noqa: S101 - as above
    return b"".join(record.strings)


def _read_tlsa(record: dns.rdata.Rdata) -> TlsaRecord:
    assert isinstance(record, dns.rdtypes.ANY.TLSA.TLSA)  # noqa: S101 - as above
    return TlsaRecord(record.usage, record.selector, record.mtype, record.cert)


def _read_cname(record: dns.rdata.Rdata) -> str:
    assert isinstance(record, dns.rdtypes.ANY.CNAME.CNAME)  # noqa: S101 - as above
    return plain_name(record.target.to_text())


def _read_ptr(record: dns.rdata.Rdata) -> str:
    assert isinstance(record, dns.rdtypes.ANY.PTR.PTR)  # noqa: S101 - as above
    return plain_name(record.target.to_text())


def _read_srv(record: dns.rdata.Rdata) -> SrvRecord:
    assert isinstance(record, dns.rdtypes.IN.SRV.SRV)  # noqa: S101 - as above
    return SrvRecord(record.priority, record.weight, record.port, plain_name(record.target.to_text()))


def _read_caa(record: dns.rdata.Rdata) -> CaaRecord:
    assert isinstance(record, dns.rdtypes.ANY.CAA.CAA)  # noqa: S101 - as above
    tag, value = record.tag.decode("ascii", "replace").lower(), record.value.decode("utf-8", "replace")
    return CaaRecord(bool(record.flags & 0x80), tag, value)


def _read_ns(record: dns.rdata.Rdata) -> str:
    assert isinstance(record, dns.rdtypes.ANY.NS.NS)  # noqa: S101 - as above
    return plain_name(record.target.to_text())
