"""What the checks found about messages, as the tests of DMARC reports want it."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from postroom.mail.address import Address
from postroom.mail.headers import Header, split_header
from postroom.mailauth.model import (
    Authentication,
    DkimCheck,
    DmarcCheck,
    DmarcRecord,
    Policy,
    Result,
    SpfCheck,
    SpfIdentity,
)
from postroom.mailauth.overrides import Override
from postroom.outbound.dmarcrpt.tally import DmarcTally

RECORD = DmarcRecord("example.org", Policy.REJECT, aggregate=("mailto:dmarc@example.org",))
SPF = SpfCheck(Result.PASS, SpfIdentity.MAIL_FROM, "bounce.example.org", "x@bounce.example.org")
DKIM = DkimCheck(Result.PASS, "example.org", "s1", "rsa-sha256")
PASSED = Authentication(
    spf=SPF,
    dkim=(DKIM,),
    dmarc=DmarcCheck(Result.PASS, "example.org", "example.org", RECORD, None, "example.org", "bounce.example.org"),
)
FAILED = Authentication(
    spf=replace(SPF, result=Result.FAIL, domain="evil.example"),
    dmarc=DmarcCheck(Result.FAIL, "example.org", "example.org", RECORD, Policy.REJECT),
)
LETTER = split_header(b"From: ann@example.org\r\nSubject: hello\r\n\r\n")
REPORT = split_header(b"From: ann@example.org\r\nSubject: Report Domain: us.example Submitter: x\r\n\r\n")


def of_domain(domain: str, authentication: Authentication = PASSED) -> Authentication:
    """The same about another domain."""
    assert authentication.dmarc is not None
    record = replace(RECORD, domain=domain, aggregate=(f"mailto:dmarc@{domain}",))
    return replace(authentication, dmarc=replace(authentication.dmarc, author=domain, record=record))


def with_record(authentication: Authentication, **changes: Any) -> Authentication:
    """The same under another record."""
    assert authentication.dmarc is not None
    return replace(authentication, dmarc=replace(authentication.dmarc, record=replace(RECORD, **changes)))


def note(
    tally: DmarcTally,
    authentication: Authentication = PASSED,
    *,
    header: Header = LETTER,
    client: str = "192.0.2.1",
    envelope_from: Address | None = Address("ann", "bounce.example.org"),  # noqa: B008 - a frozen value
    envelope_to: Collection[str] = ("us.example",),
    disposition: Policy = Policy.NONE,
    overrides: Sequence[Override] = (),
) -> None:
    """One message."""
    tally.note(
        authentication,
        header=header,
        client=client,
        envelope_from=envelope_from,
        envelope_to=envelope_to,
        disposition=disposition,
        overrides=overrides,
    )
