"""The SMTP service of one role: what it announces, which policy it asks, and the sessions it has open."""

from functools import partial

from postroom.clock import Clock
from postroom.config.guard import FloodSettings
from postroom.config.model import SmtpSettings
from postroom.directory.checker import Checker
from postroom.directory.directory import Directory
from postroom.directory.guard import LoginGuard, Unguarded
from postroom.directory.login import LoginDesk
from postroom.inbound.conduct import manners
from postroom.inbound.etrn import QueueStarter, Revive
from postroom.inbound.heading import is_nobody, unchanged
from postroom.inbound.originator import Originator
from postroom.inbound.session import SmtpSession
from postroom.inbound.setup import SessionSetup
from postroom.inbound.trace import Tracer
from postroom.inbound.transaction import Door, Resolver, Rooms
from postroom.mail.message import QueueIds
from postroom.mail.reply import Reply
from postroom.mail.session import Role
from postroom.mail.tags import UNTAGGED, Tagger
from postroom.mail.value import value
from postroom.net.service import SessionService
from postroom.policy.authentication import MailChecks
from postroom.policy.chain import Chain
from postroom.policy.limiting import Limiter
from postroom.policy.lockout import Lockout
from postroom.policy.networks import member_of
from postroom.policy.qualified import qualified_stage
from postroom.policy.recipients import recipients_stage
from postroom.policy.relaying import relaying_stage
from postroom.policy.sender import sender_stage
from postroom.policy.stage import Stage
from postroom.policy.suppressed import suppressed_stage
from postroom.protocol.smtp.options import ServerOptions
from postroom.queue.store import QueueStore
from postroom.report.reporter import Reporter
from postroom.reputation.listing import SuppressionList

SMTP_ROLES = (Role.MX, Role.SUBMISSION, Role.SUBMISSIONS, Role.LMTP)
SUBMISSION_ROLES = frozenset({Role.SUBMISSION, Role.SUBMISSIONS})

_LONGEST_HOLD = 999_999_999  # seconds, RFC 4865 §3


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
    flood: FloodSettings
    limits: Limiter | None = None
    lockout: Lockout | None = None
    guard: LoginGuard | None = None
    """Guards logins in place of ``lockout``."""
    tagger: Tagger = UNTAGGED
    """What rules of routing ask of a header."""
    resolver: Resolver | None = None
    """Knows what addresses lead to in place of the directory: it knows return paths too."""
    suppressions: SuppressionList | None = None
    checks: MailChecks | None = None
    """Finds out whose incoming mail is; None: nothing is checked, nor taken out of a header."""
    revive: Revive | None = None
    """Has the scheduler try sites that are dead, for ETRN."""


class SmtpService(SessionService):
    """Runs the sessions of one role. ValueError for a role that is not SMTP."""

    def __init__(self, role: Role, house: House) -> None:
        if role not in SMTP_ROLES:
            raise ValueError(f"{role.value} is not an SMTP role")
        self._setup = _setup(role, house)
        busy = Reply.of(421, "4.7.0", f"{house.hostname} Too many connections, please try again later")
        super().__init__(role, busy.to_bytes(), partial(SmtpSession, self._setup))


def server_options(role: Role, house: House) -> ServerOptions:
    """What a role announces and enforces.

    mx: no AUTH, STARTTLS where there is a certificate. submission: AUTH, and both it and MAIL only after STARTTLS
    (RFC 6409 §4.3, RFC 8314 §3.3). submissions: the same with TLS from the start. lmtp: as mx, for a mail system that
    has done the rest already (RFC 2033 §1).
    """
    submission = role in SUBMISSION_ROLES
    settings = house.settings
    return ServerOptions(
        hostname=house.hostname,
        max_size=settings.max_size,
        max_recipients=settings.max_recipients,
        max_line=settings.max_line,
        starttls=house.offers_tls and role is not Role.SUBMISSIONS,
        auth_mechanisms=house.checker.mechanisms if submission else (),
        require_tls=submission,
        require_auth=submission,
        normalise_newlines=settings.normalise_newlines,
        lmtp=role is Role.LMTP,
        max_errors=settings.max_errors,
        max_transactions=settings.max_transactions,
        min_deliver_by=int(settings.min_deliver_by),
        max_hold=min(int(settings.max_hold), _LONGEST_HOLD) if submission else 0,  # RFC 4865 §4.2 (2)
        now=house.clock.now,
    )


def stages_of(role: Role, house: House) -> tuple[Stage, ...]:
    """The policy of a role, in the order in which it is asked."""
    abuse = None if house.lockout is None else house.lockout.abuse
    recipients = recipients_stage(house.directory, abuse, house.settings.trusted_networks)
    limits = None if house.limits is None else house.limits.stage(role)
    last: tuple[Stage, ...] = () if limits is None else (limits,)  # so that only what all others take is counted
    checks = None if house.checks is None else house.checks.stage(role)
    if checks is not None:
        last = (*last, checks)  # of those who are refused anyway nothing is asked
    if role is Role.MX:
        return relaying_stage(house.settings.trusted_networks), recipients, *last
    if role is Role.LMTP:  # a mail system that asks for an unknown recipient does not guess
        return relaying_stage(()), recipients_stage(house.directory), *last
    if house.suppressions is not None:
        last = (suppressed_stage(house.suppressions, house.clock), *last)
    return sender_stage(house.directory), relaying_stage(()), qualified_stage(), recipients, *last


def _desk(house: House) -> LoginDesk:
    return LoginDesk(house.checker, house.guard or house.lockout or Unguarded(), house.reporter)


def _starter(house: House) -> QueueStarter:
    return QueueStarter(
        house.store,
        is_trusted=member_of(house.settings.trusted_networks),
        clock=house.clock,
        reporter=house.reporter,
        revive=house.revive,
    )


def _setup(role: Role, house: House) -> SessionSetup:
    hostname, settings = house.hostname, house.settings
    submission, checks = role in SUBMISSION_ROLES, house.checks
    rooms = Rooms(
        chain=Chain(stages_of(role, house)),
        resolver=house.resolver or house.directory,
        door=house.door,
        store=house.store,
        next_id=house.queue_ids.next,
        tracer=Tracer(hostname),
        clock=house.clock,
        reporter=house.reporter,
        settings=settings,
        originator=Originator(house.directory, settings.fix_sender) if submission else None,
        may_hurry=member_of(settings.trusted_networks),
        tagger=house.tagger,
        is_checked=is_nobody if checks is None else checks.checks,
        without_forged=unchanged if checks is None else checks.without_forged,
    )
    return SessionSetup(
        options=server_options(role, house),
        rooms=rooms,
        desk=_desk(house) if submission else None,
        greeting=Reply(220, "", (f"{hostname} {'LMTP' if role is Role.LMTP else 'ESMTP'} Postroom",)),
        hello=Reply(250, "", (hostname,)),
        tls_timeout=house.tls_timeout,
        manners=manners(
            house.flood,
            watch_greeting=role is Role.MX,
            abuse=None if house.lockout is None else house.lockout.abuse,
            reporter=house.reporter,
            clock=house.clock,
        ),
        may_introduce=member_of(settings.xclient_networks),
        starter=None if role is Role.LMTP else _starter(house),
    )
