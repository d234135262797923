"""The records to publish, as values: what each is for, and who has to put it where."""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from postroom.admin.stspolicy import StsOffer
from postroom.dns.record import ZoneRecord, txt_text
from postroom.mail.session import Role
from postroom.mail.value import value

PLACEHOLDER = "ADDRESS"
"""Stands where a public address belongs that nobody told us."""


_SIGNED = frozenset({"active", "retired"})


class Purpose(Enum):
    """What a record is for."""

    MX = "mx"
    ADDRESS = "address"
    REVERSE = "reverse"
    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"
    AUTHORISATION = "dmarc-authorisation"
    MTA_STS = "mta-sts"
    TLSRPT = "tlsrpt"
    TLSA = "tlsa"
    SRV = "srv"
    AUTOCONFIG = "autoconfig"
    CAA = "caa"


class Way(Enum):
    """What is to be done with a record."""

    PASTE = "paste"
    """It stands in the zone as it is."""
    FILL = "fill"
    """A part of it is not known here: ``PLACEHOLDER``."""
    ASK = "ask"
    """Somebody else publishes it: the provider of the address, or the owner of another domain."""
    CHOOSE = "choose"
    """Not needed; good to have where it fits with what the domain has besides."""


@value(frozen=True, slots=True)
class Desired:
    """One record that should be there. ``why`` is for people; ``zone`` the domain in whose zone it stands."""

    record: ZoneRecord
    purpose: Purpose
    why: str
    zone: str
    way: Way = Way.PASTE
    in_use: bool = True
    """Mail depends on it now; False for a key that waits."""

    @property
    def text(self) -> str:
        """What a TXT record says, its strings joined; the data of others."""
        return txt_text(self.record.data) if self.record.kind == "TXT" else self.record.data


@value(frozen=True, slots=True)
class Published:
    """All that should be published for one domain. ``notes`` are what records cannot say; ``policy`` that of MTA-STS.

    ``policy`` is ``""`` where none is wanted.
    """

    domain: str
    hostname: str
    records: tuple[Desired, ...]
    notes: tuple[str, ...] = ()
    policy: str = ""

    def of(self, purpose: Purpose) -> tuple[Desired, ...]:
        """Those for one purpose."""
        return tuple([each for each in self.records if each.purpose is purpose])


@value(frozen=True, slots=True)
class DkimRecord:
    """A key's TXT record: ``name`` whole, without a final dot. ``state`` is the store's word for the key."""

    name: str
    text: str
    state: str

    @property
    def in_use(self) -> bool:
        """Mail is signed with it, or was until lately."""
        return self.state in _SIGNED


class DkimRecords(Protocol):
    """Whoever keeps the keys that we sign with."""

    async def to_publish(self, domain: str) -> Sequence[DkimRecord]:
        """The records of a domain's keys that must be seen in the DNS now. Raises StoreUnavailable."""
        ...


class NoDkim:
    """Nobody signs."""

    async def to_publish(self, domain: str) -> Sequence[DkimRecord]:
        """None."""
        return ()


@value(frozen=True, slots=True)
class Sender:
    """An address that mail goes out from, and the name that it gives in EHLO."""

    address: str
    helo: str


@value(frozen=True, slots=True)
class Service:
    """A role that the world can reach, and its port."""

    role: Role
    port: int


@value(frozen=True, slots=True)
class TlsKey:
    """The SHA-256 of a certificate's public key, in hex, and whether it is the one in use or the next."""

    digest: str
    is_next: bool = False


@value(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the records are made from. Names are A-labels; addresses are public ones, none where they are not known."""

    hostname: str
    addresses: tuple[str, ...] = ()
    senders: tuple[Sender, ...] = ()
    """Where mail leaves from, beyond the host's own addresses."""
    helo: str = ""
    """The name in EHLO from the host's own addresses; empty: the hostname."""
    sends_itself: bool = True
    """Mail leaves by the host itself; False: all of it by relays."""
    relays: tuple[str, ...] = ()
    """Smarthosts that mail leaves by."""
    services: tuple[Service, ...] = ()
    keys: tuple[TlsKey, ...] = ()
    dane: bool = True
    """TLSA records are published."""
    keeps_key: bool = False
    """The next certificate has the key of this one."""
    authority: str = ""
    """The ACME authority's directory, where one gives the certificate."""
    web_host: str = ""
    """Who answers HTTPS; empty: the hostname."""
    program_host: str = ""
    """Whom mail programs connect to; empty: the hostname."""
    autoconfig: bool = True
    backup_mx: tuple[str, ...] = ()
    dmarc_reports: str = "dmarc-reports"
    """Where reports go: a local part at each domain, or one address for all."""
    tls_reports: str = "tls-reports"
    dmarc: str = "none"
    sts: StsOffer | None = None
    """The MTA-STS policy, None for none."""
    ttl: int = 3600
    notes: tuple[str, ...] = ()
    """What the facts themselves lack."""
