"""The POP3 service of one role: what it offers, and the sessions it has open (RFC 1939, RFC 8314 §3.3)."""

from postroom.access.session import Pop3Session, Pop3Setup
from postroom.clock import Clock
from postroom.config.model import Pop3Settings
from postroom.directory.credentials import Credentials
from postroom.mail.session import Client, Role
from postroom.mailbox.store import MailboxStore
from postroom.net.stream import Stream
from postroom.protocol.pop3.answers import BUSY
from postroom.protocol.pop3.capabilities import Pop3Options
from postroom.report.reporter import Reporter

POP3_ROLES = (Role.POP3, Role.POP3S)


class Pop3Service:
    """Runs the sessions of one role. ``tls_timeout`` is seconds; ``offers_tls``: there is a certificate.

    ValueError for a role that is not POP3.
    """

    def __init__(
        self,
        role: Role,
        *,
        settings: Pop3Settings,
        tls_timeout: float,
        offers_tls: bool,
        credentials: Credentials,
        mailboxes: MailboxStore,
        clock: Clock,
        reporter: Reporter,
        node: str,
    ) -> None:
        if role not in POP3_ROLES:
            raise ValueError(f"{role.value} is not a POP3 role")
        self._role = role
        self._setup = Pop3Setup(
            options=Pop3Options(stls=offers_tls and role is Role.POP3, max_errors=settings.max_errors),
            idle_timeout=settings.idle_timeout,
            tls_timeout=tls_timeout,
            credentials=credentials,
            mailboxes=mailboxes,
            clock=clock,
            reporter=reporter,
            node=node,
        )
        self._sessions: set[Pop3Session] = set()
        self._draining = False

    @property
    def role(self) -> Role:
        """What the port is for."""
        return self._role

    @property
    def busy_line(self) -> bytes:
        """Said to a client beyond a ceiling before it is let go."""
        return BUSY.to_bytes()

    @property
    def sessions(self) -> int:
        """Sessions that are open."""
        return len(self._sessions)

    async def run(self, stream: Stream, client: Client) -> None:
        """One session, from greeting to end. Raises nothing but CancelledError."""
        session = Pop3Session(self._setup, stream, client)
        if self._draining:
            session.drain()
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)

    def drain(self) -> None:
        """End each session as soon as nothing is lost by it."""
        self._draining = True
        for session in tuple(self._sessions):
            session.drain()
