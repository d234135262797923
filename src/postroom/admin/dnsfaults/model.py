"""Faults by name, what was found, and what the checks go by."""

from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from postroom.admin.dnsrecords.model import Desired, Facts, Published
from postroom.admin.dnsrecords.zonefile import zone_line
from postroom.admin.finding import Level
from postroom.dns.resolver import InspectingResolver
from postroom.mail.address import Address
from postroom.mail.delivery import StsPolicy
from postroom.mail.value import value
from postroom.mailauth.model import SpfCheck


class Fault(Enum):
    """What can be wrong. The names are stable."""

    UNAVAILABLE = "dns-unavailable"
    DNSSEC_BOGUS = "dnssec-bogus"
    DOMAIN_MISSING = "domain-missing"
    DOMAIN_ALIAS = "domain-alias"
    NS_SINGLE = "ns-single"
    TTL_ZERO = "ttl-zero"
    TTL_LONG = "ttl-long"

    HOST_LITERAL = "host-literal"
    HOST_NO_ADDRESS = "host-no-address"
    HOST_ALIAS = "host-alias"
    ADDRESS_MISSING = "address-missing"
    ADDRESS_FOREIGN = "address-foreign"
    ADDRESS_PRIVATE = "address-private"
    HELO_NO_ADDRESS = "helo-no-address"
    HELO_ADDRESS_MISSING = "helo-address-missing"
    PTR_MISSING = "ptr-missing"
    PTR_ELSEWHERE = "ptr-elsewhere"
    PTR_NOT_CONFIRMED = "ptr-not-confirmed"
    CAA_FORBIDS = "caa-forbids"

    MX_MISSING = "mx-missing"
    MX_NULL = "mx-null"
    MX_ELSEWHERE = "mx-elsewhere"
    MX_NOT_FIRST = "mx-not-first"
    MX_ALIAS = "mx-alias"
    MX_NO_ADDRESS = "mx-no-address"
    MX_LITERAL = "mx-literal"

    SPF_MISSING = "spf-missing"
    SPF_SEVERAL = "spf-several"
    SPF_TYPO = "spf-typo"
    SPF_PERMERROR = "spf-permerror"
    SPF_TEMPERROR = "spf-temperror"
    SPF_NOT_COVERING = "spf-not-covering"
    SPF_PLUS_ALL = "spf-plus-all"
    SPF_NO_ALL = "spf-no-all"
    SPF_NEUTRAL_ALL = "spf-neutral-all"
    SPF_SOFT_ALL = "spf-soft-all"
    SPF_PTR = "spf-ptr"

    DKIM_NONE = "dkim-none"
    DKIM_MISSING = "dkim-missing"
    DKIM_SEVERAL = "dkim-several"
    DKIM_SPLIT = "dkim-split"
    DKIM_TRUNCATED = "dkim-truncated"
    DKIM_REVOKED = "dkim-revoked"
    DKIM_WRONG = "dkim-wrong"
    DKIM_INVALID = "dkim-invalid"
    DKIM_WEAK = "dkim-weak"
    DKIM_TESTING = "dkim-testing"

    DMARC_MISSING = "dmarc-missing"
    DMARC_SEVERAL = "dmarc-several"
    DMARC_INVALID = "dmarc-invalid"
    DMARC_NONE = "dmarc-none"
    DMARC_WEAKER = "dmarc-weaker"
    DMARC_TESTING = "dmarc-testing"
    DMARC_OBSOLETE = "dmarc-obsolete"
    DMARC_NO_REPORTS = "dmarc-no-reports"
    DMARC_REPORTS_INVALID = "dmarc-reports-invalid"
    DMARC_UNAUTHORISED = "dmarc-unauthorised"
    DMARC_UNALIGNED = "dmarc-unaligned"

    STS_MISSING = "sts-missing"
    STS_SEVERAL = "sts-several"
    STS_INVALID = "sts-invalid"
    STS_HOST_MISSING = "sts-host-missing"
    STS_UNREACHABLE = "sts-unreachable"
    STS_UNTRUSTED = "sts-untrusted"
    STS_STATUS = "sts-status"
    STS_TYPE = "sts-type"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_POLICY_DIFFERS = "sts-policy-differs"
    STS_MX_MISMATCH = "sts-mx-mismatch"
    STS_ID_UNCHANGED = "sts-id-unchanged"

    TLSRPT_MISSING = "tlsrpt-missing"
    TLSRPT_SEVERAL = "tlsrpt-several"
    TLSRPT_INVALID = "tlsrpt-invalid"

    TLSA_MISSING = "tlsa-missing"
    TLSA_MISMATCH = "tlsa-mismatch"
    TLSA_UNSIGNED = "tlsa-unsigned"
    TLSA_KEY_MISSING = "tlsa-key-missing"
    TLSA_STALE = "tlsa-stale"
    TLSA_UNUSABLE = "tlsa-unusable"

    SRV_MISSING = "srv-missing"
    SRV_DENIED = "srv-denied"
    SRV_ELSEWHERE = "srv-elsewhere"
    SRV_NOT_OFFERED = "srv-not-offered"
    SRV_TARGET_MISSING = "srv-target-missing"
    SRV_TARGET_ALIAS = "srv-target-alias"
    AUTOCONFIG_MISSING = "autoconfig-missing"


@value(frozen=True, slots=True)
class DnsFinding:
    """What one look found. ``domain`` is whose it is, ``""`` for the host itself; ``subject`` the name in the DNS.

    ``fault`` is None where all is well. ``consequence`` says what comes of it, ``remedy`` what to do.
    """

    level: Level
    fault: Fault | None
    domain: str
    subject: str
    what: str
    consequence: str = ""
    remedy: str = ""


@value(frozen=True, slots=True)
class Fetched:
    """A policy that was fetched, or why it was not: then ``fault`` says of which kind the trouble is."""

    policy: StsPolicy | None = None
    fault: Fault | None = None
    why: str = ""


class SpfAsker(Protocol):
    """Who evaluates SPF."""

    async def check(self, client: str, helo: str, sender: Address | None) -> tuple[SpfCheck, SpfCheck]:
        """What SPF finds for the HELO name and for MAIL FROM. Never raises for the DNS: TEMPERROR."""
        ...


class PolicyFetcher(Protocol):
    """Who fetches MTA-STS policies."""

    async def fetch(self, domain: str) -> Fetched:
        """The policy that a domain serves. Raises nothing."""
        ...


@value(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the checks of one domain go by."""

    domain: str
    facts: Facts
    wanted: Published
    resolver: InspectingResolver
    spf: SpfAsker
    policies: PolicyFetcher
    return_domain: str = ""
    """The domain of our return paths; empty: that of the sender."""

    def good(self, subject: str, what: str) -> DnsFinding:
        """Nothing is wrong."""
        return DnsFinding(Level.OK, None, self.domain, subject, what)

    def note(self, fault: Fault, subject: str, what: str, *, consequence: str = "", remedy: str = "") -> DnsFinding:
        """Worth knowing; nothing breaks."""
        return DnsFinding(Level.NOTE, fault, self.domain, subject, what, consequence, remedy)

    def warning(self, fault: Fault, subject: str, what: str, *, consequence: str, remedy: str) -> DnsFinding:
        """Some mail suffers, or soon will."""
        return DnsFinding(Level.WARNING, fault, self.domain, subject, what, consequence, remedy)

    def error(self, fault: Fault, subject: str, what: str, *, consequence: str, remedy: str) -> DnsFinding:
        """Mail is refused or lost."""
        return DnsFinding(Level.ERROR, fault, self.domain, subject, what, consequence, remedy)


def publish(desired: Iterable[Desired]) -> str:
    """The remedy that is a record."""
    return "publish: " + "; ".join(zone_line(each.record) for each in desired)


def shown(text: str | bytes, most: int = 120) -> str:
    """A stranger's text for a line: printable, and not long."""
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    clean = "".join(char if char.isprintable() else "?" for char in plain)
    return clean if len(clean) <= most else clean[: most - 1] + "…"
