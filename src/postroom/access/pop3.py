"""The POP3 service of one role: what it offers, and the sessions it has open (RFC 1939, RFC 8314 §3.3)."""

from postroom.access.session import Pop3Session, Pop3Setup
from postroom.clock import Clock
from postroom.config.model import Pop3Settings
from postroom.directory.login import LoginDesk
from postroom.mail.session import Role
from postroom.mailbox.store import MailboxStore
from postroom.net.service import SessionService
from postroom.protocol.pop3.answers import BUSY
from postroom.protocol.pop3.capabilities import Pop3Options
from postroom.report.reporter import Reporter

POP3_ROLES = (Role.POP3, Role.POP3S)


class Pop3Service(SessionService):
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
        desk: LoginDesk,
        mailboxes: MailboxStore,
        clock: Clock,
        reporter: Reporter,
        node: str,
    ) -> None:
        if role not in POP3_ROLES:
            raise ValueError(f"{role.value} is not a POP3 role")
        setup = Pop3Setup(
            options=server_options(role, settings, offers_tls=offers_tls),
            idle_timeout=settings.idle_timeout,
            tls_timeout=tls_timeout,
            desk=desk,
            mailboxes=mailboxes,
            clock=clock,
            reporter=reporter,
            node=node,
        )
        super().__init__(role, BUSY.to_bytes(), lambda stream, client: Pop3Session(setup, stream, client))


def server_options(role: Role, settings: Pop3Settings, *, offers_tls: bool) -> Pop3Options:
    """What a role announces and enforces."""
    return Pop3Options(stls=offers_tls and role is Role.POP3, max_errors=settings.max_errors)
