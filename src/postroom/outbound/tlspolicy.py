"""Says what TLS an attempt needs, from the settings and from what failed lately."""

import ssl
from collections.abc import Sequence
from enum import Enum

from postroom.clock import Clock
from postroom.config.road import OutboundSettings, SmarthostSettings
from postroom.mail.delivery import Site
from postroom.mail.value import value
from postroom.net.tls import opportunistic_context, verifying_context

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
    """The need, and the context for the handshake where there may be one."""

    need: TlsNeed
    context: ssl.SSLContext | None = None


PLAIN = TlsPlan(TlsNeed.NONE)


class TlsPolicy:
    """Plans TLS for sites: opportunistic for MX hosts, by its settings for a smarthost."""

    def __init__(self, settings: OutboundSettings, smarthosts: Sequence[SmarthostSettings], clock: Clock) -> None:
        self._clock = clock
        self._needs = {smarthost.name: TlsNeed(smarthost.tls) for smarthost in smarthosts}
        self._ca_files = {smarthost.name: smarthost.ca_file for smarthost in smarthosts}
        self._mx_need = TlsNeed.OPPORTUNISTIC if settings.tls else TlsNeed.NONE
        self._verifying: dict[str, ssl.SSLContext] = {}
        self._opportunistic: ssl.SSLContext | None = None
        self._plain_until: dict[str, float] = {}

    def plan(self, site: Site, host: str, *, secured: bool = False) -> TlsPlan:
        """What a new connection to ``host`` of ``site`` needs. OSError where a smarthost's ca_file cannot be read.

        ``secured``: TLS with a valid certificate for the host in any case (RFC 8689 §4.2.1).
        """
        need = self._needs[site.route] if site.route else self._mx_need
        if secured and need is not TlsNeed.IMPLICIT:
            need = TlsNeed.REQUIRED
        match need:
            case TlsNeed.NONE:
                return PLAIN
            case TlsNeed.OPPORTUNISTIC:
                if self._plain_until.get(host, 0.0) > self._clock.monotonic():
                    return PLAIN
                if self._opportunistic is None:
                    self._opportunistic = opportunistic_context()
                return TlsPlan(need, self._opportunistic)
            case TlsNeed.REQUIRED | TlsNeed.IMPLICIT:
                context = self._verifying.get(site.route)
                if context is None:
                    context = self._verifying[site.route] = verifying_context(self._ca_files.get(site.route))
                return TlsPlan(need, context)

    def handshake_failed(self, host: str) -> None:
        """An opportunistic handshake failed: the host is met in the clear for a while."""
        self._plain_until.pop(host, None)
        self._plain_until[host] = self._clock.monotonic() + PLAIN_FOR
        if len(self._plain_until) > MAX_REMEMBERED:
            del self._plain_until[next(iter(self._plain_until))]
