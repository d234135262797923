"""Opens the sockets that listeners accept on, or takes them from the service manager; says how to mend what fails."""

import errno
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from postroom.config.model import ListenerSettings

BACKLOG = 4096
"""Connections that wait to be accepted; the system caps it (net.core.somaxconn)."""

_FIRST_INHERITED = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)
_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_ANY_MACHINES = frozenset({"::", "::1"})


class BindError(Exception):
    """A listener cannot be opened. The text names address, port and remedy, for the person who started the server."""


class TcpSocket(socket.socket):
    """A socket that remembers its family. The library's own looks up family and type as members of their enumerations
    each time, and five times for each connection that is accepted and given to a loop.
    """

    __slots__ = ("_family",)

    def __init__(
        self, family: int = -1, kind: int = socket.SOCK_STREAM, proto: int = -1, fileno: int | None = None
    ) -> None:
        super().__init__(family, kind, proto, fileno)
        self._family = family if isinstance(family, socket.AddressFamily) else super().family

    @property
    def family(self) -> socket.AddressFamily:
        """IPv4 or IPv6."""
        return self._family

    @property
    def type(self) -> socket.SocketKind:
        """Always that of TCP."""
        return socket.SOCK_STREAM

    def accept(self) -> tuple["TcpSocket", Any]:
        """The next connection and the name of its other end. Raises OSError."""
        descriptor, name = self._accept()  # type: ignore[attr-defined] # what the accept of the library itself calls
        return TcpSocket(self._family, socket.SOCK_STREAM, 0, descriptor), name


@dataclass(frozen=True, slots=True)
class Inherited:
    """A listening socket from the service manager, and what it calls it (``""``: nothing)."""

    name: str
    socket: socket.socket


@dataclass(frozen=True, slots=True)
class Opened:
    """The listening sockets of one listener, bound and not accepting yet."""

    settings: ListenerSettings
    sockets: tuple[socket.socket, ...]

    def close(self) -> None:
        """Give them back to the system."""
        for each in self.sockets:
            each.close()

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Address and port of each, as bound."""
        return tuple((name[0], name[1]) for name in (each.getsockname() for each in self.sockets))


def inherited_sockets(environment: Mapping[str, str], pid: int) -> tuple[Inherited, ...]:
    """The sockets that the service manager opened for this process (sd_listen_fds(3)); none where it opened none."""
    if environment.get("LISTEN_PID") != str(pid):
        return ()
    count = int(environment.get("LISTEN_FDS", "0"))
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    found = []
    for offset in range(count):
        taken = TcpSocket(fileno=_FIRST_INHERITED + offset)
        taken.set_inheritable(False)
        taken.setblocking(False)
        found.append(Inherited(names[offset] if offset < len(names) else "", taken))
    return tuple(found)


def open_listeners(listeners: Sequence[ListenerSettings], inherited: Sequence[Inherited] = ()) -> tuple[Opened, ...]:
    """Bind all of them or none: the step that may need root. Raises BindError.

    A listener takes those inherited sockets that are named like its role or are bound to its port, and binds none
    itself if there are any. An IPv6 wildcard or loopback address is left out on a machine without IPv6 as long as the
    listener has another address.
    """
    with ExitStack() as undo:
        opened = []
        left = list(inherited)
        for settings in listeners:
            mine = [each for each in left if _belongs(each, settings)]
            left = [each for each in left if each not in mine]
            each = Opened(settings, tuple([one.socket for one in mine]) or _bind_all(settings))
            undo.callback(each.close)
            opened.append(each)
        for stray in left:
            stray.socket.close()
        undo.pop_all()
    return tuple(opened)


def _belongs(inherited: Inherited, settings: ListenerSettings) -> bool:
    port: int = inherited.socket.getsockname()[1]
    return inherited.name == settings.role.value or port == settings.port


def _bind_all(settings: ListenerSettings) -> tuple[socket.socket, ...]:
    """A socket for each address of the listener."""
    with ExitStack() as undo:
        sockets = []
        missing: BindError | None = None
        for address in settings.addresses:
            try:
                bound = bind(address, settings.port)
            except OSError as error:
                missing = BindError(_explain(settings, address, error))
                if address in _ANY_MACHINES and error.errno in _NO_IPV6:
                    continue
                raise missing from error
            undo.callback(bound.close)
            sockets.append(bound)
        if not sockets:
            raise missing or BindError(f"the {settings.role.value} listener has no address: give it one in addresses")
        undo.pop_all()
    return tuple(sockets)


def bind(address: str, port: int, *, backlog: int = BACKLOG, both_families: bool = False) -> socket.socket:
    """A listening socket. ``both_families``: the wildcard ``::`` listens for IPv4 too. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = TcpSocket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both_families)
        bound.setblocking(False)
        bound.bind((address, port))
        bound.listen(backlog)
    except BaseException:
        bound.close()
        raise
    return bound


def _explain(settings: ListenerSettings, address: str, error: OSError) -> str:
    """What failed, where, and what to do about it."""
    shown = f"[{address}]" if ":" in address else address
    role = settings.role.value
    match error.errno:
        case errno.EADDRINUSE:
            remedy = "another program listens there: stop it, or give this listener another port"
        case errno.EACCES | errno.EPERM:
            remedy = (
                "ports below 1024 are for root: start as root (privileges are dropped afterwards), grant "
                "CAP_NET_BIND_SERVICE, let the service manager open the socket, or give this listener another port"
            )
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            remedy = "this machine does not have that address: correct addresses of this listener"
        case _:
            remedy = "correct addresses or port of this listener"
    return f"cannot listen on {shown} port {settings.port} for {role}: {error.strerror or error}; {remedy}"
