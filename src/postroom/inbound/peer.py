"""Who the client is: what it says by EHLO, proves by TLS and AUTH, and what a proxy says of it by XCLIENT."""

from dataclasses import replace

from postroom.directory.login import LoginDesk
from postroom.inbound import replies
from postroom.inbound.login import SmtpLogin
from postroom.mail.reply import Reply
from postroom.mail.session import Client
from postroom.net.pause import Pause
from postroom.net.stream import Stream
from postroom.net.tls import TlsError
from postroom.protocol.smtp.events import Auth, AuthResponse, Hello, XClient
from postroom.report.events import TlsFailed
from postroom.report.reporter import Reporter

_NOWHERE = "0.0.0.0"  # noqa: S104 - RFC 1122 §3.2.1.3: no client has it, and no network that is trusted contains it


class TlsEnded(Exception):
    """The handshake failed and was reported; the session is over."""


class Peer:
    """The client of one session. ``client`` is what is known of it now; ``desk`` is None where nobody logs in.

    ``pause`` is where answers to failed logins are held back.
    """

    __slots__ = ("_desk", "_login", "_pause", "_reporter", "_stream", "client")

    def __init__(
        self, client: Client, stream: Stream, desk: LoginDesk | None, pause: Pause, reporter: Reporter
    ) -> None:
        self.client = client
        self._stream = stream
        self._desk = desk
        self._pause = pause
        self._reporter = reporter
        self._login: SmtpLogin | None = None

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """What this client may log in with, which depends on its TLS."""
        return () if self._desk is None else self._desk.mechanisms(self.client, self._stream.channel_binding)

    def say_hello(self, hello: Hello) -> None:
        """EHLO, HELO or LHLO."""
        was = self.client
        self.client = Client(
            was.session_id, was.role, was.address, was.port, hello.domain, hello.esmtp, was.tls, was.account, was.proxy
        )

    def introduce(self, facts: XClient) -> None:
        """XCLIENT: another client stands behind the connection, of whom only this and what was said so far is known."""
        was = self.client
        address, port, account = was.address, was.port, was.account
        if facts.address is not None:
            # The port and the login belonged to another address.
            address, port, account = facts.address or _NOWHERE, 0, ""
        if facts.port is not None:
            port = facts.port
        if facts.login is not None:
            account = facts.login
        self.client = Client(
            was.session_id,
            was.role,
            address,
            port,
            was.helo if facts.helo is None else facts.helo,
            was.esmtp if facts.esmtp is None else facts.esmtp,
            was.tls,
            account,
            was.proxy or was.address,
        )
        self._login = None

    async def secure(self) -> None:
        """The handshake of STARTTLS. What was known before counts no longer (RFC 3207 §4.2). Raises TlsEnded."""
        try:
            facts = await self._stream.start_tls()
        except (TlsError, TimeoutError) as error:
            self._reporter.tell(TlsFailed(self.client, str(error) or "the peer took too long"))
            raise TlsEnded from error
        self.client = replace(self.client, helo="", esmtp=False, tls=facts, account="")
        self._login = None

    async def log_in(self, step: Auth | AuthResponse) -> Reply:
        """One step of AUTH. A 235 means that ``client`` has its account now."""
        if isinstance(step, Auth):
            if self._desk is None:
                return replies.NO_AUTH  # the engine does not ask where no mechanism is announced
            binding = self._stream.channel_binding
            self._login = SmtpLogin(self._desk, self.client, step.mechanism, self._pause, binding)
        login = self._login
        assert login is not None  # noqa: S101 - the engine asks in order
        reply = await login.step(step.initial if isinstance(step, Auth) else step.data)
        if reply.code != 334:
            self._login = None
        if login.account:
            self.client = replace(self.client, account=login.account)
        return reply
