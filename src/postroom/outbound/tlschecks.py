"""What is asked of the certificates that a host has shown, before it gets any mail."""

from collections.abc import Sequence
from typing import Protocol

from postroom.mail.value import value
from postroom.net.peercerts import UNREADABLE, CertificateFault, Flaw, ServerAuthorities, check_names, read_der_chain
from postroom.outbound import dane
from postroom.outbound.dane import Tlsa


@value(frozen=True, slots=True)
class Examined:
    """What came of it. ``narrow``: the certificate is good for these recipient domains, not for the host as such."""

    fault: CertificateFault | None = None
    narrow: bool = False


class Check(Protocol):
    """Examines certificates."""

    def examine(self, chain: Sequence[bytes]) -> Examined:
        """``chain`` as it was shown, the host's own first, in DER."""
        ...


@value(frozen=True, slots=True)
class PkixCheck:
    """An authority must vouch for the host by its name (RFC 8461 §4.2)."""

    authorities: ServerAuthorities
    host: str

    def examine(self, chain: Sequence[bytes]) -> Examined:
        """See ``Check``."""
        try:
            certificates = read_der_chain(chain)
        except UNREADABLE as error:
            return Examined(CertificateFault(Flaw.INVALID, f"its certificates cannot be read: {error}"))
        return Examined(self.authorities.examine(certificates, (self.host,)))


@value(frozen=True, slots=True)
class DaneCheck:
    """The TLSA records must authenticate the host (RFC 7672 §3, §3.2.2).

    ``next_hops`` are, for each recipient domain, the names that it is known by: each domain must be meant, where the
    TLSA base domain is not. ``host`` is a name that the certificate must have in any case (RFC 8689 §4.2.1), ``""`` for
    none.
    """

    tlsa: Tlsa
    next_hops: tuple[tuple[str, ...], ...] = ()
    host: str = ""

    def examine(self, chain: Sequence[bytes]) -> Examined:
        """See ``Check``."""
        fault = dane.examine(self.tlsa, chain, (self.tlsa.base,))
        narrow = False
        if fault is not None and fault.flaw is Flaw.MISMATCH and self.next_hops:
            narrow = all(dane.examine(self.tlsa, chain, names) is None for names in self.next_hops)
            fault = None if narrow else fault
        if fault is None and self.host:
            fault = check_names(read_der_chain(chain)[0], (self.host,), common_name=True)
        return Examined(fault, narrow)
