"""Return paths of our making: SRS for what is forwarded, VERP for what is submitted; and read when they come back.

Both carry a code (an HMAC) that nobody else can make, so that they open no relay, and the day on which they were made,
after which they are good for a limited time. What they say is not secret. SRS is written as libsrs2 and its kin write
it: other forwarders take it for theirs to wrap, and ours wraps theirs.
"""

import base64
import hashlib
import hmac
import math
import re
import struct
from enum import Enum

from postroom.mail.address import MAX_LOCAL, Address
from postroom.mail.domain import normalise_domain
from postroom.mail.message import QueueId
from postroom.mail.value import value

_DAY = 86400.0
_DAYS = 1024
"""SRS writes the day in two digits of base32: it comes round after so many."""

_LONGEST = 366
"""Days beyond which no return path is good, whatever the settings say: far from where the day comes round."""

_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_CODE = 8  # digits of base32: 40 bits, each guess of which costs a RCPT
_MAC = 6  # octets of a VERP token's code
_FACTS = struct.Struct(">QHI")  # queue id, day, mark of the recipient
_MARK_OF_VERP = "b-"

_VERP = re.compile(r"b-([a-z2-7]{32})", re.IGNORECASE | re.ASCII)
_SRS0 = re.compile(r"srs0[-=+]([^=]+)=([a-z2-7]{2})=([^=]+)=(.+)", re.IGNORECASE | re.ASCII | re.DOTALL)
_SRS1 = re.compile(r"srs1[-=+]([^=]+)=([^=]+)=([-=+].+)", re.IGNORECASE | re.ASCII | re.DOTALL)
_ANY_SRS = re.compile(r"srs([01])[-=+]", re.IGNORECASE | re.ASCII)
_STARTS = frozenset({"b-", "B-", "sr", "SR", "Sr", "sR"})


class Flaw(Enum):
    """Why a return path of our form is not good."""

    FORGED = "forged"
    EXPIRED = "expired"


@value(frozen=True, slots=True)
class Forwarded:
    """An SRS address of ours: mail to it is for ``original``."""

    original: Address


@value(frozen=True, slots=True)
class Sent:
    """A VERP address of ours: it is about one recipient (by its ``mark``, see ``mark_of``) of one message."""

    queue_id: QueueId
    mark: int


Returning = Forwarded | Sent | Flaw
"""What an address says that has the form of a return path of ours."""


def may_return(local: str) -> bool:
    """Whether the local part begins like a return path: cheap, for every recipient there is."""
    return local[:2] in _STARTS


def mark_of(recipient: Address) -> int:
    """What a VERP token knows its recipient by among those of the message: 32 bits."""
    return int.from_bytes(hashlib.sha256(recipient.key.encode()).digest()[:4])


class ReturnPaths:
    """Makes and reads them. ``secret`` is the store's own, ``lifetime`` seconds, of which a year counts at most."""

    def __init__(self, secret: bytes, lifetime: float) -> None:
        self._srs_key = hmac.digest(secret, b"postroom return path: SRS", "sha256")
        self._verp_key = hmac.digest(secret, b"postroom return path: VERP", "sha256")
        self._days = min(math.ceil(lifetime / _DAY), _LONGEST)

    # Making

    def srs(self, sender: Address, domain: str, now: float) -> Address | None:
        """The return path at ``domain`` for mail of ``sender`` that is forwarded; None where it would be too long.

        What has an SRS address already gets one that leads to the first forwarder, however many there are.
        """
        day = int(now // _DAY)
        inner = _SRS0.fullmatch(sender.local)
        outer = _SRS1.fullmatch(sender.local)
        if outer is not None:
            first, rest = outer[2].lower(), outer[3]
            local = f"SRS1={self._code(f'{day}={first}={rest}')}={first}={rest}"
        elif inner is not None:
            rest = sender.local[4:]  # from the separator on, which the first forwarder chose
            local = f"SRS1={self._code(f'{day}={sender.domain}={rest}')}={sender.domain}={rest}"
        else:
            facts = f"{_write_day(day)}={sender.domain}={sender.local}"
            local = f"SRS0={self._code(facts)}={facts}"
        # RFC 5321 §4.5.3.1.1; and a domain that is an address literal cannot stand in an unquoted local part
        if len(local.encode()) > MAX_LOCAL or sender.domain.startswith("["):
            return None
        return Address(local, domain)

    def verp(self, queue_id: QueueId, recipient: Address, domain: str, now: float) -> Address:
        """The return path at ``domain`` of one recipient of one message."""
        facts = _FACTS.pack(queue_id, int(now // _DAY) & 0xFFFF, mark_of(recipient))
        token = facts + hmac.digest(self._verp_key, facts, "sha256")[:_MAC]
        return Address(_MARK_OF_VERP + base64.b32encode(token).decode().lower(), domain)

    # Reading

    def read(self, address: Address, now: float) -> Returning | None:
        """What a return path says; None where the address is not of such a form. Case does not matter."""
        local = address.local
        if local[:2] not in _STARTS:
            return None
        token = _VERP.fullmatch(local)
        if token is not None:
            return self._read_verp(token[1], now)
        srs = _ANY_SRS.match(local)
        if srs is None:
            return None
        return self._read_srs0(local, now) if srs[1] == "0" else self._read_srs1(local, now)

    def _read_verp(self, text: str, now: float) -> Returning:
        token = base64.b32decode(text.upper())
        facts, code = token[:-_MAC], token[-_MAC:]
        if not hmac.compare_digest(code, hmac.digest(self._verp_key, facts, "sha256")[:_MAC]):
            return Flaw.FORGED
        queue_id, day, mark = _FACTS.unpack(facts)
        if (int(now // _DAY) - day) % 0x10000 > self._days:
            return Flaw.EXPIRED
        return Sent(QueueId(queue_id), mark)

    def _read_srs0(self, local: str, now: float) -> Returning:
        found = _SRS0.fullmatch(local)
        if found is None:
            return Flaw.FORGED
        code, day, domain, original = found.groups()
        if not self._is_ours(code, f"{day}={domain}={original}"):
            return Flaw.FORGED
        if (int(now // _DAY) - _read_day(day)) % _DAYS > self._days:
            return Flaw.EXPIRED
        return Forwarded(Address(original, normalise_domain(domain)))

    def _read_srs1(self, local: str, now: float) -> Returning:
        """SRS1 has no place for a day, so the code is made with it: one is right where one of the days is."""
        found = _SRS1.fullmatch(local)
        if found is None:
            return Flaw.FORGED
        code, first, rest = found.groups()
        today = int(now // _DAY)
        for day in range(today, today - self._days - 1, -1):
            if self._is_ours(code, f"{day}={first}={rest}"):
                return Forwarded(Address(f"SRS0{rest}", normalise_domain(first)))
        return Flaw.FORGED

    def _is_ours(self, code: str, facts: str) -> bool:
        return hmac.compare_digest(code.upper().encode(), self._code(facts).encode())

    def _code(self, facts: str) -> str:
        """Whatever case the facts come back in."""
        digest = hmac.digest(self._srs_key, facts.lower().encode(), "sha256")
        return base64.b32encode(digest[:5]).decode()[:_CODE]


def _write_day(day: int) -> str:
    return _BASE32[day // 32 % 32] + _BASE32[day % 32]


def _read_day(text: str) -> int:
    digits = text.upper()
    return _BASE32.index(digits[0]) * 32 + _BASE32.index(digits[1])
