"""The SMTP service of one role: what it announces, which policy it asks, and the sessions it has open."""

from postroom.clock import Clock
from postroom.config.model import SmtpSettings
from postroom.directory.directory import Directory
from postroom.inbound.login import Checker
from postroom.inbound.session import SessionSetup, SmtpSession
from postroom.inbound.trace import Tracer
from postroom.inbound.transaction import Door, Rooms
from postroom.mail.message import QueueIds
from postroom.mail.reply import Reply
from postroom.mail.session import Role
from postroom.mail.value import value
from postroom.net.service import SessionService
from postroom.policy.chain import Chain
from postroom.policy.limiting import Limiter
from postroom.policy.lockout import Lockout
from postroom.policy.recipients import recipients_stage
from postroom.policy.relaying import relaying_stage
from postroom.policy.sender import sender_stage
from postroom.policy.stage import Stage
from postroom.protocol.sasl.mechanisms import SERVER
from postroom.protocol.smtp.options import ServerOptions
from postroom.queue.store import QueueStore
from postroom.report.reporter import Reporter

SMTP_ROLES = (Role.MX, Role.SUBMISSION, Role.SUBMISSIONS)


@value(frozen=True, slots=True, kw_only=True)
class House:
    """What the SMTP services of a server share. ``tls_timeout`` is seconds; ``offers_tls``: there is a certificate."""

    hostname: str
    settings: SmtpSettings
    tls_timeout: float
    offers_tls: bool
    directory: Directory
    checker: Checker
    door: Door
    store: QueueStore
    queue_ids: QueueIds
    clock: Clock
    reporter: Reporter
    limits: Limiter | None = None
    lockout: Lockout | None = None


class SmtpService(SessionService):
    """Runs the sessions of one role. ValueError for a role that is not SMTP."""

    def __init__(self, role: Role, house: House) -> None:
        if role not in SMTP_ROLES:
            raise ValueError(f"{role.value} is not an SMTP role")
        self._setup = _setup(role, house)
        busy = Reply.of(421, "4.7.0", f"{house.hostname} Too many connections, please try again later")
        super().__init__(role, busy.to_bytes(), lambda stream, client: SmtpSession(self._setup, stream, client))


def server_options(role: Role, hostname: str, settings: SmtpSettings, *, offers_tls: bool) -> ServerOptions:
    """What a role announces and enforces.

    mx: no AUTH, STARTTLS where there is a certificate. submission: AUTH, and both it and MAIL only after STARTTLS
    (RFC 6409 §4.3, RFC 8314 §3.3). submissions: the same with TLS from the start.
    """
    submission = role is not Role.MX
    return ServerOptions(
        hostname=hostname,
        max_size=settings.max_size,
        max_recipients=settings.max_recipients,
        max_line=settings.max_line,
        starttls=offers_tls and role is not Role.SUBMISSIONS,
        auth_mechanisms=tuple(SERVER) if submission else (),
        require_tls=submission,
        require_auth=submission,
        normalise_newlines=settings.normalise_newlines,
        max_errors=settings.max_errors,
    )


def stages_of(role: Role, house: House) -> tuple[Stage, ...]:
    """The policy of a role, in the order in which it is asked."""
    abuse = None if house.lockout is None else house.lockout.abuse
    recipients = recipients_stage(house.directory, abuse, house.settings.trusted_networks)
    limits = None if house.limits is None else house.limits.stage(role)
    last = () if limits is None else (limits,)  # so that only what all others take is counted
    if role is Role.MX:
        return relaying_stage(house.settings.trusted_networks), recipients, *last
    return sender_stage(house.directory), relaying_stage(()), recipients, *last


def _setup(role: Role, house: House) -> SessionSetup:
    hostname = house.hostname
    rooms = Rooms(
        chain=Chain(stages_of(role, house)),
        resolver=house.directory,
        door=house.door,
        store=house.store,
        next_id=house.queue_ids.next,
        tracer=Tracer(hostname),
        clock=house.clock,
        reporter=house.reporter,
        settings=house.settings,
        completes=role is not Role.MX,
    )
    return SessionSetup(
        options=server_options(role, hostname, house.settings, offers_tls=house.offers_tls),
        rooms=rooms,
        checker=None if role is Role.MX else house.checker,
        greeting=Reply(220, "", (f"{hostname} ESMTP Postroom",)),
        hello=Reply(250, "", (hostname,)),
        tls_timeout=house.tls_timeout,
    )
