"""Accepts connections for a role, within ceilings, and holds its sessions; out of files it pauses rather than fails."""

import asyncio
import errno
import socket
import traceback
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Protocol

from postroom.config.model import ConnectionSettings
from postroom.mail.session import Client, Role
from postroom.net.channel import TlsError
from postroom.net.gate import Gate, Refusal
from postroom.net.networks import member_of
from postroom.net.proxy import Announced, ProxyError, read_header
from postroom.net.stream import SocketStream, plain_address
from postroom.net.sweeper import Sweeper
from postroom.net.tls import ServerTls
from postroom.net.turnaway import Farewells, Refusals, busy_line
from postroom.report.events import InternalError, ListenerPaused, TlsFailed
from postroom.report.reporter import Reporter

BATCH = 64
"""Connections accepted at once, so that those who are in are not kept waiting by those who come."""

PAUSE = 1.0
"""Seconds without accepting after the system had no files or memory left."""

PARTING = 5.0
"""Seconds that sessions which were cut off have to tidy up."""

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


_Met = tuple[SocketStream, Client]
_Meet = Callable[[socket.socket, str, int], Coroutine[Any, Any, _Met | None]]


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
        proxy_networks: tuple[IPv4Network | IPv6Network, ...] = (),
    ) -> None:
        self._sockets = list(sockets)
        self._loop = asyncio.get_running_loop()
        self._service = service
        self._role = service.role
        self._gate = gate
        self._settings = settings
        self._sweeper = sweeper
        self._reporter = reporter
        self._server_tls = server_tls
        self._is_balancer = member_of(proxy_networks)
        self._farewells = Farewells(self._loop)
        self._refusals = Refusals(self._role.value, reporter, self._loop)
        self._implicit_tls = self._role in (Role.SUBMISSIONS, Role.POP3S)
        self._tasks: set[asyncio.Task[None]] = set()
        self._resume: asyncio.TimerHandle | None = None

    @property
    def role(self) -> Role:
        """What the port is for."""
        return self._role

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Address and port of each socket, as bound; empty once it accepts no more."""
        return tuple((name[0], name[1]) for name in (each.getsockname() for each in self._sockets))

    @property
    def sessions(self) -> int:
        """Open sessions that came through here."""
        return len(self._tasks)

    @property
    def lingering(self) -> int:
        """Clients who were turned away and have a moment to read why."""
        return len(self._farewells)

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
        if left:
            await asyncio.wait(left, timeout=PARTING)
        for task in left:  # those who still tidy up wait for a store that does not answer
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        self._farewells.stop()
        self._refusals.stop()
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
        proxied = self._is_balancer(address)
        refusal = self._gate.hold() if proxied else self._gate.admit(address)
        if refusal is not None:
            self._farewells.say(connection, self._refuse(address, refusal))
            return
        meet = self._meet_announced if proxied else self._meet
        task = self._loop.create_task(self._serve(meet, connection, address, port))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refuse(self, address: str, refusal: Refusal) -> bytes:
        """Tell of it, and give what is to be said: nothing where TLS would have to come first."""
        self._refusals.tell(address, refusal.reason)
        return b"" if self._implicit_tls else busy_line(self._service.busy_line, refusal)

    async def _serve(self, meet: _Meet, connection: socket.socket, address: str, port: int) -> None:
        """One connection's life: its client is met, then the session goes from TLS, if that is first, to the end."""
        met = await meet(connection, address, port)
        if met is None:
            return
        stream, client = met
        address = client.address  # the one that was admitted
        try:
            stream.set_timeout(self._settings.tls_timeout if self._implicit_tls else 0)
            if self._implicit_tls:
                client = replace(client, tls=await stream.begin_tls())
            await self._service.run(stream, client)
        except (TlsError, TimeoutError) as error:
            self._reporter.tell(TlsFailed(client, str(error)))
        except OSError:
            pass  # it was gone before anything could be said
        except asyncio.CancelledError:
            stream.abort()
            raise
        except Exception as error:  # noqa: BLE001 - a bug must cost one session, and be heard of
            trace = traceback.format_exc()
            self._reporter.tell(InternalError(f"session {client.session_id} ({self._role.value})", repr(error), trace))
        finally:
            stream.close()
            self._gate.release(address)

    async def _meet(self, connection: socket.socket, address: str, port: int) -> _Met | None:
        """A client that was admitted; None if it was gone before anything could be said."""
        stream = SocketStream((address, port), self._sweeper, self._server_tls)
        connected = False
        try:
            connected = await self._connect(stream, connection)
        finally:
            if not connected:
                self._gate.release(address)
        return (stream, Client(self._gate.next_id(), self._role, address, port)) if connected else None

    async def _meet_announced(self, connection: socket.socket, balancer: str, port: int) -> _Met | None:
        """A client whom a load balancer announces, before TLS and all else; None if it is not announced or admitted."""
        stream = SocketStream((balancer, port), self._sweeper, self._server_tls)
        announced = None
        try:
            if await self._connect(stream, connection):
                stream.set_timeout(self._settings.tls_timeout)
                announced = await _read_announcement(stream)
        except (ProxyError, TimeoutError) as error:
            self._refusals.tell(balancer, "proxy", str(error))
        finally:
            self._gate.let_go()
            if announced is None:
                stream.abort()
        if announced is None:
            return None
        client = Client(self._gate.next_id(), self._role, balancer, port, proxy=balancer)
        if announced.address:
            client = replace(client, address=plain_address(announced.address), port=announced.port)
        stream.speak_for(client.address, client.port)
        refusal = self._gate.admit(client.address)
        if refusal is None:
            return stream, client
        stream.send(self._refuse(client.address, refusal))
        stream.close()
        return None

    async def _connect(self, stream: SocketStream, connection: socket.socket) -> bool:
        """Give the connection to the loop; False if it was gone before anything could be said."""
        try:
            await self._loop.connect_accepted_socket(lambda: stream, connection)
        except OSError:
            connection.close()
            return False
        except BaseException:
            stream.abort()
            raise
        return True

    def _pause(self, error: OSError) -> None:
        """Accept nothing for a while: who is in goes on and gives files back, who comes waits in the backlog."""
        loop = asyncio.get_running_loop()
        self._stop_reading()
        self._resume = loop.call_later(PAUSE, self.start)
        if error.errno in _EXHAUSTED:
            self._reporter.tell(ListenerPaused(self._role.value, error.strerror or str(error), PAUSE))
        else:
            self._reporter.tell(InternalError(f"{self._role.value} listener", repr(error), ""))

    def _stop_reading(self) -> None:
        loop = asyncio.get_running_loop()
        for each in self._sockets:
            loop.remove_reader(each.fileno())


async def _read_announcement(stream: SocketStream) -> Announced | None:
    """What the PROXY header says; what follows it stays in the stream. Raises ProxyError or TimeoutError.

    None where the connection ended before it: a balancer looks now and then whether we are here.
    """
    data = b""
    while True:
        piece = await stream.receive()
        if not piece:
            if data:
                raise ProxyError("the connection ended within the PROXY header")
            return None
        data += piece
        announced = read_header(data)
        if announced is not None:
            stream.put_back(data[announced.size :])
            return announced
