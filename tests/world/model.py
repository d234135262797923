"""The nouns of the world: hosts, sites and their manners, domains, and what becomes of mail for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Tls(Enum):
    """What a host has to show after STARTTLS."""

    NONE = "none"
    """It does not offer it."""
    GOOD = "good"
    """A certificate for its name, by the authority of the world."""
    WRONG_NAME = "wrong_name"
    """One by the same authority, for another name."""
    EXPIRED = "expired"
    SELF_SIGNED = "self_signed"
    """For its name, by nobody."""
    BROKEN = "broken"
    """It offers it, and what follows is no handshake."""


class Reach(Enum):
    """Whether anybody is at the address."""

    UP = "up"
    REFUSED = "refused"
    SILENT = "silent"
    """Nothing comes back at all."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``count`` in any ``seconds``."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a site asks of each client address. It measures, and refuses what is beyond; 0 and None ask nothing."""

    connections: int = 0
    """At once; one more is greeted with 421."""
    messages_per_connection: int = 0
    """One more gets 421."""
    rate: Rate | None = None
    """Of messages; one more gets 450."""
    greylist: float = 0.0
    """Seconds for which a new triplet of client, sender and recipient gets 450."""

    @property
    def is_any(self) -> bool:
        """Whether there is one that a client can break."""
        return bool(self.connections or self.messages_per_connection or self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How the hosts of a site behave."""

    rules: Rules = Rules()
    slowest_reply: float = 0.0
    """Seconds; replies take between a tenth of it and all of it."""
    drops: bool = False
    """Each message is taken, and the connection lost before the reply to its final dot; the next time all is well."""
    chunking: bool = False


class Tlsa(Enum):
    """What the TLSA record of a host says of its certificate."""

    KEY = "3 1 1"
    """The host's own key (RFC 7672 §3.1.1)."""
    AUTHORITY = "2 1 1"
    """The key of the authority (RFC 7672 §3.1.2)."""
    OTHER_KEY = "3 1 1, not matching"
    OTHER_AUTHORITY = "2 1 1, not matching"
    UNUSABLE = "0 0 1"
    """A usage that SMTP has no use for (RFC 7672 §3.1.3): there must be TLS, of any kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One MX host. ``address`` is the last number of its IPv4 address; 0 stands for IPv6 alone."""

    name: str
    address: int
    tls: Tls = Tls.GOOD
    preference: int = 10
    reach: Reach = Reach.UP
    tlsa: tuple[Tlsa, ...] = ()
    tlsa_is_bogus: bool = False
    """The signature of its TLSA records does not fit."""
    alias: str = ""
    """Another name of it, by which the MX records call it."""


@dataclass(frozen=True, slots=True)
class Site:
    """Hosts that are one destination."""

    name: str
    hosts: tuple[Host, ...]
    manner: Manner = Manner()


class Sts(Enum):
    """What a domain publishes of MTA-STS (RFC 8461)."""

    NONE = "none"
    ENFORCE = "enforce"
    TESTING = "testing"
    ENFORCE_WILDCARD = "enforce, and the policy names its hosts by a pattern"
    ENFORCE_OTHER_HOST = "enforce, and the policy names other hosts"
    MODE_NONE = "none, said by a policy"
    NO_POLICY = "the record is there, the policy is not"
    STRANGE_HOST = "enforce, by a policy host whose certificate has another name"


class End(Enum):
    """How a recipient ends, as the history says it."""

    RELAYED = "relayed"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a recipient, and why (a word of ``mail/cause.py``; ``""`` where nothing stood in the way)."""

    end: End
    cause: str = ""


RELAYED = Fate(End.RELAYED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A recipient domain. ``weight`` is its share of the mail."""

    name: str
    site: Site | None = None
    """None: it has no MX host."""
    fate: Fate = RELAYED
    weight: float = 1.0
    sts: Sts = Sts.NONE
    is_null_mx: bool = False
    has_mx: bool = True
    """Whether there are MX records; else its name is that of its one host (RFC 5321 §5.1)."""
    mx_is_bogus: bool = False
    """The signature of its MX records does not fit: the answer is SERVFAIL."""
    has_people: bool = False
    """Some of its addresses have a fate of their own: see ``people.py``."""
    level: str = "encrypted"
    """How well TLS protects what is relayed: plain, encrypted (nobody vouches for the certificate), or verified."""


@dataclass(frozen=True, slots=True)
class World:
    """All of it. ``network`` is the first three numbers of its addresses, ``port`` that of every MX host."""

    network: str
    port: int
    domains: tuple[Domain, ...]

    @property
    def sites(self) -> Mapping[str, Site]:
        """By name."""
        return {domain.site.name: domain.site for domain in self.domains if domain.site is not None}

    @property
    def hosts(self) -> Mapping[str, Host]:
        """By name."""
        return {host.name: host for site in self.sites.values() for host in site.hosts}

    def address(self, host: Host) -> str:
        """Where a host is."""
        return f"{self.network}.{host.address}" if host.address else "::1"

    @property
    def policy_address(self) -> str:
        """Where MTA-STS policies are, on port 443 (RFC 8461 §3.3)."""
        return f"{self.network}.250"

    @property
    def resolver_address(self) -> str:
        """Where the resolver is."""
        return f"{self.network}.253"
