"""Says what TLS an attempt needs, from the settings and from what failed lately; ``mxtls`` adds what domains want."""

import ssl
from collections.abc import Sequence
from enum import Enum

from postroom.clock import Clock
from postroom.config.road import OutboundSettings, SmarthostSettings
from postroom.mail.delivery import Site
from postroom.mail.value import value
from postroom.net.peercerts import CertificateFault
from postroom.net.tls import opportunistic_context, verifying_context
from postroom.outbound.tlschecks import Check
from postroom.outbound.tlsmet import NO_POLICY, AppliedPolicy

PLAIN_FOR = 300.0  # seconds for which a host whose handshake failed is not asked for TLS again
MAX_REMEMBERED = 1000  # hosts; the oldest are forgotten


class TlsNeed(Enum):
    """How much TLS a connection must have."""

    NONE = "none"
    OPPORTUNISTIC = "opportunistic"
    """STARTTLS where it is offered, any certificate; in the clear where that fails (RFC 7435)."""
    REQUIRED = "required"
    """STARTTLS with a valid certificate for the host, or not at all."""
    IMPLICIT = "implicit"
    """TLS from the first octet, with a valid certificate for the host (RFC 8314 §3.3)."""


@value(frozen=True, slots=True)
class TlsPlan:
    """The need, the context for the handshake where there may be one, and what is demanded beyond.

    ``policy`` is what ``Peer.policy`` says. ``name`` is the SNI (``""``: the host's name). ``check`` examines what the
    host showed, before anything is sent; where it is not ``strict``, what it finds is told and does no harm. ``flaw``
    is what was wrong before anything was asked. ``applied`` and ``domains`` are for TLSRPT: the policy, and on whose
    behalf; without domains nothing is counted.
    """

    need: TlsNeed
    context: ssl.SSLContext | None = None
    policy: str = "none"
    name: str = ""
    check: Check | None = None
    strict: bool = True
    flaw: CertificateFault | None = None
    applied: AppliedPolicy = NO_POLICY
    domains: tuple[str, ...] = ()


PLAIN = TlsPlan(TlsNeed.NONE)


class TlsPolicy:
    """Plans TLS for sites: opportunistic for MX hosts, by its settings for a smarthost."""

    def __init__(self, settings: OutboundSettings, smarthosts: Sequence[SmarthostSettings], clock: Clock) -> None:
        self._clock = clock
        self._needs = {smarthost.name: TlsNeed(smarthost.tls) for smarthost in smarthosts}
        self._smarthosts = {smarthost.name: smarthost for smarthost in smarthosts}
        self._mx_need = TlsNeed.OPPORTUNISTIC if settings.tls else TlsNeed.NONE
        self._verifying: dict[str, ssl.SSLContext] = {}
        self._opportunistic: ssl.SSLContext | None = None
        self._mx_ca_file = settings.sts_ca_file
        self._plain_until: dict[str, float] = {}

    def any_certificate(self) -> ssl.SSLContext:
        """The context of a handshake that any certificate will do for."""
        if self._opportunistic is None:
            self._opportunistic = opportunistic_context()
        return self._opportunistic

    def plan(self, site: Site, host: str, *, secured: bool = False, relay: str = "") -> TlsPlan:
        """What a new connection to ``host`` of ``site`` needs; ``relay`` names the smarthost where there are several.

        OSError where a smarthost's ca_file, certificate or key cannot be read.

        ``secured``: TLS with a valid certificate for the host in any case (RFC 8689 §4.2.1).
        """
        route = relay or site.route
        need = self._needs[route] if route else self._mx_need
        if secured and need is not TlsNeed.IMPLICIT:
            need = TlsNeed.REQUIRED
        match need:
            case TlsNeed.NONE:
                return PLAIN
            case TlsNeed.OPPORTUNISTIC:
                if self._plain_until.get(host, 0.0) > self._clock.monotonic():
                    return TlsPlan(TlsNeed.NONE, policy=need.value)
                return TlsPlan(need, self.any_certificate(), need.value)
            case TlsNeed.REQUIRED | TlsNeed.IMPLICIT:
                context = self._verifying.get(route)
                if context is None:
                    context = self._verifying[route] = self._context(route)
                return TlsPlan(need, context, TlsNeed.REQUIRED.value)

    def _context(self, route: str) -> ssl.SSLContext:
        """What checks the host's certificate, and shows ours where the settings name one."""
        smarthost = self._smarthosts.get(route)
        context = verifying_context(self._mx_ca_file if smarthost is None else smarthost.ca_file)
        if smarthost is not None and smarthost.certificate is not None:
            # With a password of ours OpenSSL does not ask for one on the terminal, should the key be encrypted.
            context.load_cert_chain(smarthost.certificate, smarthost.key, password="")
        return context

    def handshake_failed(self, host: str) -> None:
        """An opportunistic handshake failed: the host is met in the clear for a while."""
        self._plain_until.pop(host, None)
        self._plain_until[host] = self._clock.monotonic() + PLAIN_FOR
        if len(self._plain_until) > MAX_REMEMBERED:
            del self._plain_until[next(iter(self._plain_until))]
