"""Mail addresses: local part and domain, canonical inside, quoted only on the wire (RFC 5321 §4.1.2, RFC 6531 §3.3)."""

import re
import unicodedata

from postroom.mail.domain import LABEL, normalise_domain
from postroom.mail.value import value

MAX_LOCAL = 64
"""Octets of the local parts that we make (RFC 5321 §4.5.3.1.1). Longer ones are taken, within an address: forwarders
make them (SRS), and no limit is wanted where it can be helped (RFC 5321 §4.5.3.1).
"""
MAX_ADDRESS = 254  # octets: a path has 256, its angle brackets included (RFC 5321 §4.5.3.1.3)

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"  # RFC 5322 §3.2.3
# RFC 6531 §3.3 adds UTF8-non-ascii; C1 controls, line separators and lone surrogates are kept out: no name has them.
_BEYOND = "\u00a0-\u2027\u202a-\ud7ff\ue000-\U0010ffff"
_PLAIN = re.compile(rf"([{_ATEXT}]+(?:\.[{_ATEXT}]+)*)@({LABEL}(?:\.{LABEL})*)")
_DOT_STRING = re.compile(rf"[{_ATEXT}{_BEYOND}]+(?:\.[{_ATEXT}{_BEYOND}]+)*")
_QUOTED = re.compile(rf'"(?:[ !#-\[\]-~{_BEYOND}]|\\[ -~])*"')  # qtextSMTP and quoted-pairSMTP
_PAIR = re.compile(r"\\(.)")
_TO_QUOTE = re.compile(r'(["\\])')
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@value(frozen=True, slots=True)
class Address:
    """One mailbox. ``local`` is the local part without quoting, ``domain`` is normalised (A-labels or an address
    literal), ``""`` only for the bare ``postmaster`` of RFC 5321 §4.1.1.3.
    """

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """The address that ``text`` writes, without angle brackets. ValueError, saying what is wrong, if it is none."""
        plain = _PLAIN.fullmatch(text) if len(text) <= MAX_ADDRESS else None
        if plain is not None:
            local, domain = plain.groups()
            return cls(local, domain.lower())
        return cls(*_parse_slowly(text))

    @property
    def key(self) -> str:
        """What the directory looks up: the local part case-folded and NFC-normalised, and the domain.

        An empty local part (``""@example.org`` on the wire) stays quoted, so that no key begins with ``@``.
        """
        if self.local.isascii():
            return f"{self.local.lower() or _EMPTY}@{self.domain}"
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", self.local).casefold())
        return f"{folded}@{self.domain}"

    @property
    def needs_smtputf8(self) -> bool:
        """The local part cannot be written in ASCII."""
        return not self.local.isascii()

    def __str__(self) -> str:
        local = self.local
        if not _DOT_STRING.fullmatch(local):
            local = '"' + _TO_QUOTE.sub(r"\\\1", local) + '"'
        return f"{local}@{self.domain}" if self.domain else local


_EMPTY = '""'


def _parse_slowly(text: str) -> tuple[str, str]:
    """Local part and domain of anything but a plain ASCII address within its limits."""
    if len(text) > 2 * MAX_ADDRESS:  # room for a quoted pair at each octet; nothing below looks at more than this
        raise ValueError(f"the address is longer than {MAX_ADDRESS} octets")
    if _CONTROL.search(text):
        raise ValueError("the address has a control character")
    if text.lower() == "postmaster":  # RFC 5321 §4.1.1.3, §4.5.1
        return text, ""
    written, at, domain_text = text.rpartition("@")
    if not at:
        raise ValueError("the address has no @")
    if not written:
        raise ValueError("the local part is missing")
    local = _read_local(written)
    domain = normalise_domain(domain_text)
    if len(local.encode()) + 1 + len(domain) > MAX_ADDRESS:
        raise ValueError(f"the address is longer than {MAX_ADDRESS} octets")
    return local, domain


def _read_local(written: str) -> str:
    """The local part without its quoting."""
    if written.startswith('"'):
        if not _QUOTED.fullmatch(written):
            raise ValueError("the quoted local part is malformed")
        return _PAIR.sub(r"\1", written[1:-1])
    if not _DOT_STRING.fullmatch(written):
        raise ValueError("the local part is malformed: it must be quoted")
    return written
