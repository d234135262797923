"""What a mail program can connect to here: the listeners that people log in at, best first."""

from collections.abc import Iterable
from enum import Enum

from postroom.config.model import ListenerSettings
from postroom.mail.session import Role
from postroom.mail.value import value


class Security(Enum):
    """How a connection is encrypted."""

    TLS = "TLS from the start"
    STARTTLS = "STARTTLS"


@value(frozen=True, slots=True)
class Service:
    """One port. ``protocol`` is ``pop3`` or ``smtp``."""

    protocol: str
    host: str
    port: int
    security: Security


@value(frozen=True, slots=True)
class Offer:
    """Everything, TLS from the start before STARTTLS (RFC 8314 §3)."""

    incoming: tuple[Service, ...]
    outgoing: tuple[Service, ...]


_INCOMING = {Role.POP3S: Security.TLS, Role.POP3: Security.STARTTLS}
_OUTGOING = {Role.SUBMISSIONS: Security.TLS, Role.SUBMISSION: Security.STARTTLS}


def offer_of(listeners: Iterable[ListenerSettings], host: str) -> Offer:
    """What these listeners offer under a host name. A port that the system chooses is left out: nobody can know it."""
    known = [each for each in listeners if each.port]
    return Offer(_services("pop3", known, _INCOMING, host), _services("smtp", known, _OUTGOING, host))


def _services(
    protocol: str, listeners: list[ListenerSettings], roles: dict[Role, Security], host: str
) -> tuple[Service, ...]:
    found = [
        Service(protocol, host, each.port, security)
        for role, security in roles.items()
        for each in listeners
        if each.role is role
    ]
    return tuple(dict.fromkeys(found))
