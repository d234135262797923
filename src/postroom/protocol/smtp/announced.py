"""What a server announced, read from its EHLO reply once, so that a message can be fitted to it (RFC 5321 §2.2.1)."""

import re
from collections.abc import Mapping

from postroom.mail.value import value
from postroom.protocol.smtp.writing import can_take_binary

_LIMIT = re.compile(r"([A-Z0-9-]+)=([1-9][0-9]{0,5})", re.ASCII | re.IGNORECASE)  # RFC 9422 §3: 1 to 999999
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)  # RFC 2852 §2
_OCTETS = re.compile(r"[0-9]{1,20}", re.ASCII)  # RFC 1870 §3


@value(frozen=True, slots=True)
class Announced:
    """The extensions of one session. Numbers are 0 where there is no limit.

    ``chunking`` is CHUNKING, ``binary`` BINARYMIME with it; ``min_deliver_by`` is None without DELIVERBY, else the
    seconds that mode R must leave at least; ``mail_max``, ``rcpt_max`` and ``rcpt_domain_max`` are RFC 9422.
    """

    max_size: int = 0
    eight_bit: bool = False
    chunking: bool = False
    binary: bool = False
    smtputf8: bool = False
    dsn: bool = False
    require_tls: bool = False
    min_deliver_by: int | None = None
    mail_max: int = 0
    rcpt_max: int = 0
    rcpt_domain_max: int = 0


NOTHING_ANNOUNCED = Announced()


def read_announced(capabilities: Mapping[str, str]) -> Announced:
    """What the keywords of an EHLO reply mean. A parameter that makes no sense counts as absent."""
    limits = _read_limits(capabilities["LIMITS"]) if "LIMITS" in capabilities else {}
    deliver_by = capabilities.get("DELIVERBY")
    return Announced(
        max_size=_read_number(_OCTETS, capabilities.get("SIZE", "")),
        eight_bit="8BITMIME" in capabilities or "SMTPUTF8" in capabilities,  # which needs it: RFC 6531 §3.1
        chunking="CHUNKING" in capabilities,
        binary=can_take_binary(capabilities),
        smtputf8="SMTPUTF8" in capabilities,
        dsn="DSN" in capabilities,
        require_tls="REQUIRETLS" in capabilities,
        min_deliver_by=None if deliver_by is None else _read_number(_SECONDS, deliver_by),
        mail_max=limits.get("MAILMAX", 0),
        rcpt_max=limits.get("RCPTMAX", 0),
        rcpt_domain_max=limits.get("RCPTDOMAINMAX", 0),
    )


def _read_number(pattern: re.Pattern[str], text: str) -> int:
    text = text.strip()
    return int(text) if pattern.fullmatch(text) else 0


def _read_limits(text: str) -> dict[str, int]:
    """RFC 9422 §3. Limits that are unknown or absurd are left out; of two that differ the first counts."""
    limits: dict[str, int] = {}
    for word in text.split():
        match = _LIMIT.fullmatch(word)
        if match is not None:
            limits.setdefault(match[1].upper(), int(match[2]))
    return limits
