"""The settings for what the DNS says of us: the records to publish, and the zones that we may change by ourselves."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from postroom.config.section import DomainName, Duration, OptionalDomainName, Section


class PublishSettings(Section):
    """``[publish]``: what the records say that ``postroom dns`` prints and ``postroom check dns`` expects."""

    public_addresses: tuple[str, ...] = Field(
        (),
        description="Addresses under which the world reaches this host; empty: those of its listeners and interfaces "
        "that are public. Needed behind address translation.",
    )
    web_host: OptionalDomainName = Field(
        "",
        description="Host that answers HTTPS for mta-sts, autoconfig and autodiscover names; empty: the hostname.",
    )
    dmarc: Literal["none", "quarantine", "reject"] = Field(
        "none",
        description="What others shall do with mail that is not ours (DMARC p=). Begin with none, read the reports, "
        "then quarantine, then reject.",
    )
    backup_mx: tuple[DomainName, ...] = Field(
        (), description="Further hosts that take mail for our domains, after this one."
    )
    dane: bool = Field(
        True, description="Whether TLSA records are published (DANE); of use only in a zone that is signed by DNSSEC."
    )
    mta_sts: Literal["off", "testing", "enforce"] = Field(
        "testing", description="Mode of the MTA-STS policy that senders to us find; off: none is published."
    )
    mta_sts_max_age: Duration = Field(
        7 * 86400, ge=86400, le=31_557_600, description="How long senders keep the policy (RFC 8461 §3.2)."
    )
    ttl: Duration = Field(3600, ge=60, le=604800, description="TTL of the records that are printed.")


class ZoneSettings(Section):
    """One ``[[zone]]``: a zone that this server may change by signed updates (RFC 2136, RFC 8945)."""

    name: DomainName = Field(description="Name of the zone, such as example.org.")
    server: str = Field(description="Its primary name server: an address, or a host name.")
    port: int = Field(53, ge=1, le=65535, description="Port of the same, over TCP.")
    key: str = Field(description="Name of the TSIG key, as the name server knows it.")
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = Field(
        "hmac-sha256", description="Algorithm of the TSIG key."
    )
    secret_file: Path = Field(
        description="File with the key's secret: base64 on its first line, or what tsig-keygen writes."
    )
    ttl: Duration = Field(3600, ge=30, le=604800, description="Longest TTL of what is put there.")
