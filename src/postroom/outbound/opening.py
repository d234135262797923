"""Opens a session: connection, greeting, EHLO, TLS, AUTH (RFC 5321 §3.1, §3.2, RFC 3207, RFC 4954)."""

import ssl
from dataclasses import replace
from enum import Enum
from typing import Protocol

from postroom.clock import Clock
from postroom.config.road import OutboundSettings
from postroom.mail.delivery import Peer, RouteKind, Site
from postroom.mail.reply import Reply
from postroom.mail.session import TlsFacts
from postroom.mail.value import value
from postroom.net.peercerts import CertificateFault, Flaw
from postroom.net.stream import Stream, connect
from postroom.net.sweeper import Sweeper
from postroom.net.tls import TlsError
from postroom.outbound import tlstrouble, trouble
from postroom.outbound.hosts import Target
from postroom.outbound.login import Login, log_in
from postroom.outbound.session import Session
from postroom.outbound.shaping.sources import Source, Sources
from postroom.outbound.tlsmet import NoteTls, TlsMet, note_nothing
from postroom.outbound.tlspolicy import TlsNeed, TlsPlan
from postroom.outbound.tlsstore import TlsLevel
from postroom.outbound.trouble import AttemptEnded, Step
from postroom.protocol.smtp.commands import Command, SayHello, SayStartTls


class ClientStream(Stream, Protocol):
    """A stream whose handshake can be held from the client's side."""

    @property
    def local_address(self) -> str:
        """Our own end of the connection."""
        ...

    def peer_chain(self) -> tuple[bytes, ...]:
        """The certificates that the host showed, its own first, in DER; not examined."""
        ...

    @property
    def tls(self) -> TlsFacts | None:
        """What the handshake agreed on, or None in the clear."""
        ...

    async def start_tls(self, context: ssl.SSLContext | None = None, server_hostname: str | None = None) -> TlsFacts:
        """With ``context`` the client's side of a handshake."""
        ...


class Connect(Protocol):
    """Makes connections. Raises OSError, TimeoutError or TlsError."""

    async def __call__(
        self,
        host_address: str,
        port: int,
        *,
        timeout: float,  # noqa: ASYNC109 - as net.stream has it
        source: str | None,
        tls: ssl.SSLContext | None,
        server_hostname: str | None,
    ) -> ClientStream:
        """A connection to an IP address, or to a socket in the file system by its path."""
        ...


class SocketConnect:
    """Connections over the network; one timer watches them all."""

    def __init__(self) -> None:
        self._sweeper = Sweeper()

    async def __call__(
        self,
        host_address: str,
        port: int,
        *,
        timeout: float,  # noqa: ASYNC109 - as net.stream has it
        source: str | None,
        tls: ssl.SSLContext | None,
        server_hostname: str | None,
    ) -> ClientStream:
        """A connection to an IP address, or to a socket in the file system by its path."""
        return await connect(
            host_address,
            port,
            timeout=timeout,
            source=source,
            tls=tls,
            server_hostname=server_hostname,
            sweeper=self._sweeper,
        )


class _NotOffered(Enum):
    NO_STARTTLS = "starttls-not-supported"  # RFC 8460 §4.3.1


@value(frozen=True, slots=True)
class _NoStartTls:
    """The host cannot, or will not."""

    text: str = "it does not offer STARTTLS"
    flaw: _NotOffered = _NotOffered.NO_STARTTLS


_NO_STARTTLS = _NoStartTls()


class Opener:
    """Opens sessions, all with the same name and timeouts."""

    def __init__(
        self,
        hostname: str,
        settings: OutboundSettings,
        connect: Connect,
        clock: Clock,
        sources: Sources,
        *,
        note: NoteTls = note_nothing,
    ) -> None:
        """``note`` hears what came of TLS with MX hosts."""
        self._note = note
        self._hostname = settings.hostname or hostname
        self._settings = settings
        self._connect = connect
        self._clock = clock
        self._names = sources.hostnames

    async def open(self, site: Site, target: Target, plan: TlsPlan, login: Login | None, source: Source) -> Session:
        """A session that is ready for MAIL. AttemptEnded if it cannot be had."""
        from_here = source.address_for(target.address) or ""
        peer = Peer(target.host, target.address, target.port, policy=plan.policy, source=from_here)
        stream = await self._reach(target, plan, peer)
        if stream.tls is not None:
            peer = replace(peer, tls=_shown(stream.tls))
        session = Session(site.line, stream, peer, self._settings, self._clock, lmtp=site.kind is RouteKind.LMTP)
        try:
            await self._greet(session)
            if plan.need in {TlsNeed.OPPORTUNISTIC, TlsNeed.REQUIRED}:
                await self._secure(session, stream, plan, site)
            elif plan.need is TlsNeed.NONE:
                self._tell(site, plan, session, stream, level=TlsLevel.NONE, fault=plan.flaw)
            if login is not None:
                await self._log_in(session, login)
        except BaseException:
            session.abort()
            raise
        session.opened(knows_us=login is not None)
        return session

    async def _reach(self, target: Target, plan: TlsPlan, peer: Peer) -> ClientStream:
        implicit = plan.need is TlsNeed.IMPLICIT
        try:
            return await self._connect(
                target.address,
                target.port,
                timeout=self._settings.connect_timeout,
                source=peer.source or None,
                tls=plan.context if implicit else None,
                server_hostname=target.host if implicit else None,
            )
        except OSError as error:
            step = Step.TLS if isinstance(error, TlsError) else Step.CONNECT
            raise AttemptEnded(trouble.from_exception(step, error, peer)) from error

    async def _greet(self, session: Session) -> None:
        greeting = await session.reply(Step.GREETING, self._settings.greeting_timeout)
        if greeting.code != 220:  # RFC 5321 §3.1: 554; RFC 7504 §3: 521
            raise AttemptEnded(trouble.from_reply(Step.GREETING, greeting, session.peer))
        await self._hello(session)

    async def _hello(self, session: Session) -> None:
        """EHLO; HELO for a host that does not know it (RFC 5321 §3.2). LMTP has LHLO alone."""
        seconds = self._settings.command_timeout
        name = self._names.get(session.peer.source, self._hostname)  # RFC 5321 §4.1.4: that of the address
        reply = await session.ask(SayHello(name), Step.HELLO, seconds)
        if reply.is_permanent and not session.is_lmtp:
            reply = await session.ask(SayHello(name, esmtp=False), Step.HELLO, seconds)
        if not 200 <= reply.code < 300:
            raise AttemptEnded(trouble.from_reply(Step.HELLO, reply, session.peer))

    async def _secure(self, session: Session, stream: ClientStream, plan: TlsPlan, site: Site) -> None:
        """STARTTLS, then EHLO again (RFC 3207 §4.2). Where TLS is not required its refusal does no harm."""
        required = plan.need is TlsNeed.REQUIRED
        level = None if required else TlsLevel.NONE
        if "STARTTLS" not in session.engine.capabilities:
            self._tell(site, plan, session, stream, level=level, fault=_NO_STARTTLS)
            if required:
                raise AttemptEnded(trouble.tls_not_offered(session.peer))
            return
        reply = await session.ask(SayStartTls(), Step.TLS, self._settings.command_timeout)
        if reply.code != 220:
            self._tell(site, plan, session, stream, level=level, fault=replace(_NO_STARTTLS, text=f"STARTTLS: {reply}"))
            if required:
                raise AttemptEnded(trouble.from_reply(Step.TLS, reply, session.peer))
            return
        stream.set_timeout(self._settings.connect_timeout)
        try:
            facts = await stream.start_tls(plan.context, plan.name or session.peer.host)
        except OSError as error:
            if not isinstance(error, TimeoutError):  # RFC 8460 §4.3.4
                self._tell(site, plan, session, stream, level=None, fault=CertificateFault(Flaw.INVALID, str(error)))
            raise AttemptEnded(trouble.from_exception(Step.TLS, error, session.peer)) from error
        session.engine.tls_established()
        session.peer = replace(session.peer, tls=_shown(facts))
        self._examine(session, stream, plan, site)
        await self._hello(session)

    def _examine(self, session: Session, stream: ClientStream, plan: TlsPlan, site: Site) -> None:
        """Look at the certificates as the plan demands. AttemptEnded where they do not do."""
        if plan.check is None:
            self._tell(site, plan, session, stream, level=TlsLevel.ENCRYPTED, fault=plan.flaw)
            return
        examined = plan.check.examine(stream.peer_chain())
        session.single = examined.narrow
        fault = examined.fault
        if fault is None:
            self._tell(site, plan, session, stream, level=TlsLevel.VERIFIED, fault=plan.flaw)
            return
        self._tell(site, plan, session, stream, level=None if plan.strict else TlsLevel.ENCRYPTED, fault=fault)
        if plan.strict:
            raise AttemptEnded(tlstrouble.unverified(session.peer, fault))

    def _tell(
        self,
        site: Site,
        plan: TlsPlan,
        session: Session,
        stream: ClientStream,
        *,
        level: TlsLevel | None,
        fault: CertificateFault | _NoStartTls | None,
    ) -> None:
        """What came of TLS: into the history with the peer, and to those who count."""
        if site.kind is not RouteKind.MX:
            return
        if fault is not None and not plan.strict:
            session.peer = replace(session.peer, policy=f"{plan.policy} (would fail: {fault.text})")
        peer = session.peer if session.peer.source else replace(session.peer, source=stream.local_address)
        failure, reason = ("", "") if fault is None else (fault.flaw.value, fault.text)
        checked = plan.check is not None
        self._note(TlsMet(site.key, plan.domains, plan.applied, peer, level, failure, reason, checked))

    async def _log_in(self, session: Session, login: Login) -> None:
        async def ask(command: Command) -> Reply:
            return await session.ask(command, Step.AUTH, self._settings.command_timeout)

        await log_in(login, ask, session.engine.capabilities.get("AUTH", ""), session.peer)


def _shown(facts: TlsFacts) -> str:
    return f"{facts.version} {facts.cipher}"
