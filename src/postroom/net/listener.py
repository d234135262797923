"""Accepts connections for a role, within ceilings, and holds its sessions; out of files it pauses rather than fails."""

import asyncio
import errno
import itertools
import socket
import traceback
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from typing import Protocol

from postroom.config.model import ConnectionSettings
from postroom.mail.session import Client, Role
from postroom.net.stream import SocketStream, plain_address
from postroom.net.sweeper import Sweeper
from postroom.net.tls import ServerTls, TlsError
from postroom.report.events import InternalError, ListenerPaused, SessionRefused, TlsFailed
from postroom.report.reporter import Reporter

BATCH = 64
"""Connections accepted at once, so that those who are in are not kept waiting by those who come."""

PAUSE = 1.0
"""Seconds without accepting after the system had no files or memory left."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Service(Protocol):
    """What speaks with the clients of a listener."""

    @property
    def role(self) -> Role:
        """What the port is for."""
        ...

    @property
    def busy_line(self) -> bytes:
        """Said to a client beyond a ceiling before it is let go."""
        ...

    async def run(self, stream: SocketStream, client: Client) -> None:
        """One session, from greeting to end. Should raise nothing but CancelledError."""
        ...

    def drain(self) -> None:
        """End sessions that are idle, and the others as soon as they are; begin none that lasts."""
        ...


class Gate:
    """Counts what clients hold open, over all listeners, and numbers the sessions."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._open = 0
        self._of: dict[str | bytes, int] = {}
        self._ids = itertools.count(1)

    @property
    def open(self) -> int:
        """Sessions now."""
        return self._open

    def admit(self, address: str) -> str:
        """Count a session of ``address``; where it is one too many, only return which ceiling it is: total, address."""
        if self._open >= self._settings.total:
            return "total"
        key = _key(address)
        held = self._of.get(key, 0)
        if held >= self._settings.per_address and not self._unlimited(address):
            return "address"
        self._of[key] = held + 1
        self._open += 1
        return ""

    def release(self, address: str) -> None:
        """The session is over."""
        key = _key(address)
        self._open -= 1
        held = self._of[key] - 1
        if held:
            self._of[key] = held
        else:
            del self._of[key]

    def next_id(self) -> int:
        """A number for a new session, unique in this process."""
        return next(self._ids)

    def _unlimited(self, address: str) -> bool:
        parsed = ip_address(address)
        return any(parsed in network for network in self._settings.unlimited_networks)


class Listener:
    """The sockets of one role, and the sessions that came through them."""

    def __init__(
        self,
        sockets: Iterable[socket.socket],
        service: Service,
        *,
        gate: Gate,
        settings: ConnectionSettings,
        sweeper: Sweeper,
        reporter: Reporter,
        server_tls: ServerTls | None = None,
    ) -> None:
        self._sockets = list(sockets)
        self._loop = asyncio.get_running_loop()
        self._service = service
        self._gate = gate
        self._settings = settings
        self._sweeper = sweeper
        self._reporter = reporter
        self._server_tls = server_tls
        self._implicit_tls = service.role in (Role.SUBMISSIONS, Role.POP3S)
        self._tasks: set[asyncio.Task[None]] = set()
        self._resume: asyncio.TimerHandle | None = None

    @property
    def role(self) -> Role:
        """What the port is for."""
        return self._service.role

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Address and port of each socket, as bound; empty once it accepts no more."""
        return tuple((name[0], name[1]) for name in (each.getsockname() for each in self._sockets))

    @property
    def sessions(self) -> int:
        """Open sessions that came through here."""
        return len(self._tasks)

    def start(self) -> None:
        """Accept from now on."""
        loop = asyncio.get_running_loop()
        self._resume = None
        for each in self._sockets:
            loop.add_reader(each.fileno(), self._accept, each)

    def stop_accepting(self) -> None:
        """Close the sockets; sessions go on."""
        self._stop_reading()
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        for each in self._sockets:
            each.close()
        self._sockets.clear()

    async def drain(self, timeout: float) -> int:  # noqa: ASYNC109 - what is left then is cut off, not an error
        """Accept no more, let sessions end within ``timeout`` seconds, then cut them off; returns how many were."""
        self.stop_accepting()
        self._service.drain()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)
        left = tuple(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return len(left)

    def _accept(self, listening: socket.socket) -> None:
        """Take in who waits, as the loop says that someone does."""
        for _ in range(BATCH):
            try:
                connection, name = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            self._take(connection, plain_address(name[0]), name[1])

    def _take(self, connection: socket.socket, address: str, port: int) -> None:
        refusal = self._gate.admit(address)
        if refusal:
            self._turn_away(connection, address, refusal)
            return
        task = self._loop.create_task(self._serve(connection, address, port))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _turn_away(self, connection: socket.socket, address: str, reason: str) -> None:
        with connection, suppress(OSError):
            connection.setblocking(False)
            if not self._implicit_tls:
                connection.send(self._service.busy_line)
        self._reporter.tell(SessionRefused(self.role.value, address, reason))

    async def _serve(self, connection: socket.socket, address: str, port: int) -> None:
        """One connection's life."""
        client = Client(self._gate.next_id(), self._service.role, address, port)
        stream = SocketStream((address, port), self._sweeper, self._server_tls)
        try:
            await self._loop.connect_accepted_socket(lambda: stream, connection)
            if self._implicit_tls:
                stream.set_timeout(self._settings.tls_timeout)
                client = replace(client, tls=await stream.begin_tls())
            await self._service.run(stream, client)
        except (TlsError, TimeoutError) as error:
            self._reporter.tell(TlsFailed(client, str(error)))
        except OSError:
            connection.close()  # it was gone before anything could be said
        except asyncio.CancelledError:
            stream.abort()
            raise
        except Exception as error:  # noqa: BLE001 - a bug must cost one session, and be heard of
            trace = traceback.format_exc()
            self._reporter.tell(InternalError(f"session {client.session_id} ({self.role.value})", repr(error), trace))
        finally:
            stream.close()
            self._gate.release(address)

    def _pause(self, error: OSError) -> None:
        """Accept nothing for a while: who is in goes on and gives files back, who comes waits in the backlog."""
        loop = asyncio.get_running_loop()
        self._stop_reading()
        self._resume = loop.call_later(PAUSE, self.start)
        if error.errno in _EXHAUSTED:
            self._reporter.tell(ListenerPaused(self.role.value, error.strerror or str(error), PAUSE))
        else:
            self._reporter.tell(InternalError(f"{self.role.value} listener", repr(error), ""))

    def _stop_reading(self) -> None:
        loop = asyncio.get_running_loop()
        for each in self._sockets:
            loop.remove_reader(each.fileno())


def _key(address: str) -> str | bytes:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 address."""
    return socket.inet_pton(socket.AF_INET6, address)[:8] if ":" in address else address
