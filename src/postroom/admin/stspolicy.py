"""The MTA-STS policy of our own domains: its text, and the id that says when it changed (RFC 8461 §3.1, §3.2)."""

import hashlib

from postroom.config.model import Settings
from postroom.mail.value import value

POLICY_PATH = "/.well-known/mta-sts.txt"
POLICY_HOST = "mta-sts"
"""The label in front of a domain under which its policy is served (RFC 8461 §3.3)."""


@value(frozen=True, slots=True)
class StsOffer:
    """What we ask of senders to us: ``mode`` is ``none``, ``testing`` or ``enforce``, ``max_age`` seconds."""

    mode: str
    hosts: tuple[str, ...]
    max_age: int


def policy_text(offer: StsOffer) -> str:
    """The policy file, lines with CRLF."""
    lines = ["version: STSv1", f"mode: {offer.mode}"]
    if offer.mode != "none":  # RFC 8461 §3.2: without a mode that needs them, none are needed
        lines += [f"mx: {host}" for host in offer.hosts]
    lines.append(f"max_age: {offer.max_age}")
    return "".join(f"{line}\r\n" for line in lines)


def policy_id(offer: StsOffer) -> str:
    """The id of the record at ``_mta-sts``: another one whenever the policy is another, 20 letters and digits."""
    return hashlib.sha256(policy_text(offer).encode()).hexdigest()[:20]


def policy_record(offer: StsOffer) -> str:
    """The text of the TXT record at ``_mta-sts``."""
    return f"v=STSv1; id={policy_id(offer)};"


def sts_offer(settings: Settings) -> StsOffer | None:
    """What the settings ask of senders; None where no policy is published."""
    publish = settings.publish
    if publish.mta_sts == "off":
        return None
    return StsOffer(publish.mta_sts, (settings.hostname, *publish.backup_mx), int(publish.mta_sts_max_age))
