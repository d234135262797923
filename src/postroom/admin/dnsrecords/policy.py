"""The MTA-STS policy that senders to us find, and the id by which they notice that it has changed (RFC 8461 §3)."""

from collections.abc import Sequence
from hashlib import sha256


def sts_policy(mode: str, mx: Sequence[str], max_age: int) -> str:
    """The policy's text, lines ended by CRLF (RFC 8461 §3.2)."""
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {host}" for host in mx), f"max_age: {max_age}"]
    return "".join(f"{line}\r\n" for line in lines)


def sts_id(policy: str) -> str:
    """Another one for each policy: 20 letters and digits (RFC 8461 §3.1)."""
    return sha256(policy.encode()).hexdigest()[:20]


def sts_record(policy: str) -> str:
    """The TXT record at ``_mta-sts``."""
    return f"v=STSv1; id={sts_id(policy)};"
