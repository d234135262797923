"""The port to the DNS: what mail asks, and answers as values (RFC 1035, RFC 2308, RFC 6698)."""

from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Generic, Protocol, TypeVar

Record = TypeVar("Record")


class Family(Enum):
    """Of which kind an address is, named by its record type."""

    IPV4 = "A"
    IPV6 = "AAAA"


class Existence(Enum):
    """What the DNS knows of a name (RFC 2308 §2)."""

    FOUND = "found"
    NO_DATA = "no data"
    """The name exists, but has no record of this type."""
    NO_SUCH_DOMAIN = "no such domain"
    """The name does not exist (NXDOMAIN)."""


@dataclass(frozen=True, slots=True)
class MxRecord:
    """One MX record. ``host`` is lower-case without a final dot; ``""`` is the root, the null MX of RFC 7505."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class TlsaRecord:
    """One TLSA record: certificate usage, selector, matching type, and the association data (RFC 6698 §2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes

    def __str__(self) -> str:
        """As zone files have it (RFC 6698 §2.2)."""
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex().upper()}"


@dataclass(frozen=True, slots=True)
class SrvRecord:
    """One SRV record (RFC 2782). ``target`` is lower-case without a final dot; ``""`` is the root: no such service."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class CaaRecord:
    """One CAA record: who may issue certificates (RFC 8659 §4.1). A ``critical`` one with a ``tag`` that is
    not known forbids it.
    """

    critical: bool
    tag: str
    value: str


@dataclass(frozen=True, slots=True)
class Answer(Generic[Record]):
    """What the DNS said. ``ttl`` is in seconds, also for a negative answer (RFC 2308 §5).

    ``authenticated`` is the AD bit (RFC 4035 §3.2.3): all of the answer was validated, CNAMEs on the way and a denial
    too. It is worth what the path to the resolver is worth. ``name`` is where the records stand once CNAMEs are
    followed.
    """

    records: tuple[Record, ...] = ()
    ttl: float = 0.0
    authenticated: bool = False
    existence: Existence = Existence.FOUND
    name: str = ""


class Resolver(Protocol):
    """Asks the DNS. Names come without a final dot, A-labels for IDN. CNAMEs are followed.

    Every method raises ``ResolverUnavailable`` where there is no answer (SERVFAIL, timeout, no network).
    """

    async def mx(self, domain: str) -> Answer[MxRecord]:
        """The MX records, in no particular order."""
        ...

    async def addresses(self, host: str, family: Family) -> Answer[str]:
        """The addresses of one family as text."""
        ...

    async def txt(self, name: str) -> Answer[bytes]:
        """The TXT records, the strings of each joined (RFC 7208 §3.3)."""
        ...

    async def tlsa(self, name: str) -> Answer[TlsaRecord]:
        """The TLSA records; ``name`` with its ``_port._tcp`` in front (RFC 6698 §3)."""
        ...

    async def cname(self, name: str) -> Answer[str]:
        """The name that ``name`` itself is an alias of; nothing is followed (RFC 7672 §2.1.3)."""
        ...

    async def ptr(self, address: str) -> Answer[str]:
        """The names that an IPv4 or IPv6 address points back to. ValueError if ``address`` is none."""
        ...


class InspectingResolver(Resolver, Protocol):
    """What whoever looks after zones asks besides."""

    async def srv(self, name: str) -> Answer[SrvRecord]:
        """The SRV records; ``name`` with its ``_service._proto`` in front (RFC 2782)."""
        ...

    async def caa(self, name: str) -> Answer[CaaRecord]:
        """The CAA records at the name itself; whoever wants those of its parents climbs (RFC 8659 §3)."""
        ...

    async def ns(self, name: str) -> Answer[str]:
        """The name servers of a zone; none where ``name`` is not the apex of one."""
        ...

    async def answers_unchecked(self, name: str) -> bool:
        """Whether there is an answer for a name once DNSSEC is left unchecked (CD, RFC 4035 §3.2.2).

        If so where the others fail, the zone's signatures are broken. Raises nothing: no answer is False.
        """
        ...


def reverse_name(address: str) -> str:
    """The name whose PTR records belong to an address (RFC 1035 §3.5, RFC 3596 §2.5). ValueError if it is none."""
    return ip_address(address).reverse_pointer


def plain_name(name: str) -> str:
    """A name as this package writes it: lower-case, without the final dot."""
    return name.lower().removesuffix(".")
