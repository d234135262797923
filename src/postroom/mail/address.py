"""Mail addresses: local part and domain, canonical inside, quoted only on the wire (RFC 5321 §4.1.2, RFC 6531 §3.3)."""

from dataclasses import dataclass

from postroom.mail.domain import normalise_domain


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox. ``local`` is the local part without quoting, ``domain`` is normalised (A-labels or an address
    literal), ``""`` only for the bare ``postmaster`` of RFC 5321 §4.1.1.3.
    """

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """The address that ``text`` writes, without angle brackets. ValueError, saying what is wrong, if it is none."""
        local, _, domain = text.rpartition("@")
        return cls(local, normalise_domain(domain))

    @property
    def key(self) -> str:
        """What the directory looks up: the local part case-folded and NFC-normalised, and the domain."""
        return f"{self.local.casefold()}@{self.domain}"

    @property
    def needs_smtputf8(self) -> bool:
        """The local part cannot be written in ASCII."""
        return not self.local.isascii()

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}" if self.domain else self.local
