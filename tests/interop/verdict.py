"""What a server made of mail to one domain, in words that fit every server."""

from dataclasses import dataclass, field

from tests.world.model import Domain, End


@dataclass(frozen=True, slots=True)
class Verdict:
    """``end`` is relayed, deferred or failed. ``level`` is that of TLS where it was relayed: plain, encrypted (nobody
    vouches for the certificate) or verified. ``why`` is for people, and does not count.
    """

    end: str
    level: str = ""
    why: str = field(default="", compare=False)


def wanted(domain: Domain) -> Verdict:
    """What the RFCs make of it."""
    match domain.fate.end:
        case End.RELAYED:
            return Verdict("relayed", domain.level)
        case End.EXPIRED:
            return Verdict("deferred")
        case End.FAILED:
            return Verdict("failed")
