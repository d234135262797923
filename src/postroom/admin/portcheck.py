"""Whether the ports of the settings can be opened, or are open already because the server runs."""

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from postroom.admin.finding import Finding, Level
from postroom.config.model import Settings
from postroom.config.sense import listeners_of

AREA = "ports"
_NO_FAMILY = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_GREETS_BY_NAME = frozenset({"mx", "submission"})  # RFC 5321 §4.2: 220 and the host's name
_LOOK_TIMEOUT = 2.0  # seconds to wait for a greeting on this machine


@dataclass(frozen=True, slots=True)
class Place:
    """One address and port, and what is to listen there."""

    name: str
    address: str
    port: int

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.name} {address}:{self.port}"


def places_of(settings: Settings) -> list[Place]:
    """Everything that the server would open."""
    places = [
        Place(listener.role.value, address, listener.port)
        for listener in listeners_of(settings)
        for address in listener.addresses
    ]
    if settings.web.enabled:
        places.append(Place("web", settings.web.address, settings.web.port))
    if settings.https.enabled:
        places.append(Place("https", settings.https.address, settings.https.port))
    if settings.acme.enabled and settings.acme.port:
        places.append(Place("acme", settings.acme.address, settings.acme.port))
    return places


def check_ports(settings: Settings) -> Iterator[Finding]:
    """Try to bind each port for a moment. Where one is taken, its greeting tells whether this server runs already."""
    tried = [(place, _try(place)) for place in places_of(settings)]
    taken = [place for place, trouble in tried if trouble is not None and trouble.errno == errno.EADDRINUSE]
    greetings = {place: _greeting(place) for place in taken if place.name in _GREETS_BY_NAME}
    runs = any(settings.hostname in greeting for greeting in greetings.values())
    for place, trouble in tried:
        if trouble is None:
            yield Finding(Level.OK, AREA, f"{place} is free")
        elif place in taken:
            yield _explain_taken(place, greetings.get(place, ""), settings.hostname, runs=runs)
        else:
            yield _explain(place, trouble)


def _try(place: Place) -> OSError | None:
    family = socket.AF_INET6 if ":" in place.address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            trial.bind((place.address, place.port))
            trial.listen(1)
    except OSError as error:
        return error
    return None


def _explain_taken(place: Place, greeting: str, hostname: str, *, runs: bool) -> Finding:
    """A port that cannot be bound because someone has it: ourselves, if this server runs and nobody else greets."""
    if runs and (not greeting or hostname in greeting):
        return Finding(Level.OK, AREA, f"{place} is open: this server runs")
    owner = f" by something that greets with {greeting!r}" if greeting else ""
    return Finding(Level.ERROR, AREA, f"{place} is in use{owner}", "stop the other program, or choose another port")


def _explain(place: Place, error: OSError) -> Finding:
    if error.errno == errno.EACCES:
        remedy = "start as root (privileges are dropped), let the service manager open it, or use a port above 1023"
        return Finding(Level.WARNING, AREA, f"{place} needs privileges that you do not have now", remedy)
    if error.errno in _NO_FAMILY:
        what = f"{place}: this machine has no such address"
        if place.address == "::1":
            return Finding(Level.OK, AREA, f"{what} (no IPv6; it is left out)")
        return Finding(Level.ERROR, AREA, what, "correct addresses of the listener")
    return Finding(Level.ERROR, AREA, f"{place}: {error.strerror or error}", "correct address or port")


def _greeting(place: Place) -> str:
    """The first line that a listener there says by itself; ``""`` for one that waits for TLS or a request."""
    try:
        with socket.create_connection((place.address, place.port), _LOOK_TIMEOUT) as peer:
            peer.settimeout(_LOOK_TIMEOUT)
            first = peer.recv(200)
    except OSError:
        return ""
    return first.partition(b"\r\n")[0].decode("ascii", "replace")
