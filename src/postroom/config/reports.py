"""The settings of reports that others send us about our mail."""

from typing import Literal

from pydantic import Field

from postroom.config.section import Duration, Section

ReportAddressKind = Literal["dmarc", "failures", "tls"]
"""For what a domain publishes an address: DMARC's rua and ruf, TLSRPT's rua."""


class ReportsSettings(Section):
    """``[reports]``: reports of others about mail in our name (DMARC, TLSRPT, failures): where they come to, and how
    long they are kept. ``postroom reports`` shows them.
    """

    enabled: bool = Field(
        True,
        description="Whether mail to the addresses below is taken for every domain of this server, without an account "
        "or alias of that name, and read. An account or alias of that name gets it too.",
    )
    dmarc: str = Field(
        "dmarc-reports",
        description="Where DMARC aggregate reports go (rua): a local part at each domain, or one full address for all.",
    )
    failures: str = Field("dmarc-reports", description="Where DMARC failure reports go (ruf); as above.")
    tls: str = Field("tls-reports", description="Where TLS reports go (TLSRPT's rua); as above.")
    addresses: tuple[str, ...] = Field(
        (), description="Further addresses, or local parts at each domain, whose mail is read for reports."
    )
    keep_in: str = Field(
        "", description="Address of this server that gets such mail as well; empty: it is read and not kept."
    )
    keep: Duration = Field(180 * 86400, gt=0, description="How long reports are kept.")
    max_per_day: int = Field(
        2000, ge=1, description="Reports of each kind that are kept of one day for each domain that they come to."
    )


def report_address(settings: ReportsSettings, domain: str, kind: ReportAddressKind) -> str:
    """The address to publish for a domain (RFC 9989 §4.7, RFC 8460 §3): whoever prints records must use this one."""
    written = {"dmarc": settings.dmarc, "failures": settings.failures, "tls": settings.tls}[kind]
    return written if "@" in written else f"{written}@{domain}"
