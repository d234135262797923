"""Counts reports for Prometheus: plain numbers, made into families only when someone asks for them.

Labels come from closed sets: nothing grows with traffic. Everything here runs on one thread, the event loop's: reports
are told there, and the web port renders there. So no lock is needed, and counting costs a dictionary entry.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from postroom.mail.delivery import Deferred, Delivered, Failed, Outcome
from postroom.mail.reply import Reply
from postroom.mail.session import Client
from postroom.report.checkingmetrics import CheckingMetrics
from postroom.report.events import (
    AbuseSeen,
    AlertRaised,
    AttemptMade,
    CertificateRenewed,
    CertificateTrouble,
    CommandRefused,
    DsnMade,
    InternalError,
    LeaseLost,
    LimitNear,
    LimitReached,
    ListenerPaused,
    LockedOut,
    LockoutLifted,
    LoginFailed,
    LoginSucceeded,
    MailboxClosed,
    MessageAccepted,
    MessageRefused,
    RecipientRefused,
    Report,
    SenderRefused,
    SessionClosed,
    SessionOpened,
    SessionRefused,
    StoreTrouble,
    TlsFailed,
)
from postroom.report.families import Counter, Gauge, Histogram
from postroom.report.keysmetrics import KeyMetrics
from postroom.report.receivedmetrics import ReceivedMetrics
from postroom.report.roadmetrics import RoadMetrics
from postroom.report.zonesmetrics import ZoneMetrics

_INTAKE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_ATTEMPT_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1200)
_OUTCOMES: dict[type[Outcome], str] = {Delivered: "delivered", Deferred: "deferred", Failed: "failed"}
_SCRAM = ("SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
_MECHANISMS = frozenset({"PLAIN", "LOGIN", "USER", "APOP", "XOAUTH2", "OAUTHBEARER", "EXTERNAL", *_SCRAM})
_SMTP = ("HELO", "EHLO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP")
_POP3 = ("USER", "PASS", "APOP", "CAPA", "STAT", "LIST", "RETR", "DELE", "UIDL", "TOP", "STLS", "UTF8", "LANG")
_COMMANDS = frozenset((*_SMTP, "STARTTLS", "AUTH", "XCLIENT", *_POP3))
_ABUSE = frozenset({"pregreet", "commands", "garbage", "slow", "guessing", "refusals", "smuggling"})
_STATUSES = frozenset({f"{kind}.{subject}" for kind in "45" for subject in range(8)})
_LOGIN_REASONS = (
    # What the reason of a failed login begins with or has in it, and the class that is counted.
    ("is banned", "banned"),
    ("is locked", "locked"),
    ("no such account", "unknown_account"),
    ("wrong password", "wrong_credentials"),
    ("disabled", "disabled"),
    ("token", "bad_token"),
    ("certificate", "bad_certificate"),
)


class Metrics:
    """Listens to a Reporter (``choose``); ``render`` gives the text that Prometheus reads.

    Where reports are told in two processes, each has its own: one asks the other for its ``export``, and renders both.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._families: list[Counter | Gauge | Histogram] = []
        self._make_session_metrics()
        self._make_message_metrics()
        self._make_queue_metrics()
        self._make_guard_metrics()
        self._handlers: dict[type[Report], Callable[..., None]] = {
            SessionOpened: self._session_opened,
            SessionClosed: self._session_closed,
            SessionRefused: self._session_refused,
            ListenerPaused: self._listener_paused,
            TlsFailed: self._tls_failed,
            CommandRefused: self._command_refused,
            LoginSucceeded: self._login_succeeded,
            LoginFailed: self._login_failed,
            SenderRefused: self._sender_refused,
            RecipientRefused: self._recipient_refused,
            MessageRefused: self._message_refused,
            MessageAccepted: self._message_accepted,
            AttemptMade: self._attempt_made,
            LeaseLost: self._lease_lost,
            DsnMade: self._dsn_made,
            StoreTrouble: self._store_trouble,
            MailboxClosed: self._mailbox_closed,
            InternalError: self._internal_error,
            LockedOut: self._locked_out,
            LockoutLifted: self._lockout_lifted,
            AbuseSeen: self._abuse_seen,
            LimitNear: self._limit_near,
            LimitReached: self._limit_reached,
            AlertRaised: self._alert_raised,
            CertificateRenewed: self._certificate_renewed,
            CertificateTrouble: self._certificate_trouble,
        }
        self.keys = KeyMetrics()
        for part in (RoadMetrics(), self.keys, CheckingMetrics(), ReceivedMetrics(), ZoneMetrics()):
            self._handlers |= part.handlers
            self._families += part.families
        self.registry.register(self)

    def choose(self, kind: type[Report]) -> Callable[[Report], None] | None:
        """What counts the reports of a kind; None where they are not counted."""
        return self._handlers.get(kind)

    def tell(self, report: Report) -> None:
        """Count one report."""
        handler = self._handlers.get(type(report))
        if handler is not None:
            handler(report)

    def set_queue(self, *, messages: int, by_state: Mapping[str, int], oldest_seconds: float) -> None:
        """How full the queue is: recipients by state, and the age of the oldest message. Called now and then."""
        self._queue_messages[()] = messages
        for state in ("queued", "leased", "held", "deferred"):
            self._queue_recipients[state,] = by_state.get(state, 0)
        self._queue_oldest[()] = oldest_seconds

    def set_banned(self, count: int) -> None:
        """How many addresses, networks and accounts are shut out now. Called now and then."""
        self._banned[()] = count

    def set_certificates(self, expiries: Mapping[str, float]) -> None:
        """When our certificates end, by file, in seconds since the Unix epoch. Called now and then."""
        self._certificates.clear()
        for path, expires_at in expiries.items():
            self._certificates[path,] = expires_at

    def export(self) -> bytes:
        """Every number as it stands now, for ``render`` in another process."""
        return orjson.dumps({family.name: family.state() for family in self._families})

    def render(self, others: Sequence[bytes] = ()) -> bytes:
        """The Prometheus text format, of these numbers and those of ``others`` (``export``): what is counted is
        summed, gauges that one of the others has set are as it says. ValueError where that is no export.
        """
        if not others:
            return generate_latest(self.registry)
        both = Metrics()
        for export in (self.export(), *others):
            both._add(export)
        return generate_latest(both.registry)

    def inherit(self, export: bytes) -> None:
        """Count on from what a process that is no more had counted (``export``), so that no sum falls: without its
        gauges. Nothing where that is no export.
        """
        with contextlib.suppress(ValueError):
            self._add(export, gauges=False)

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for: every number as it stands now."""
        return (family.family() for family in self._families)

    def describe(self) -> Iterator[Metric]:
        """The same, so that a registry refuses a second ``Metrics``, whose numbers would have the same names."""
        return self.collect()

    def _add(self, export: bytes, *, gauges: bool = True) -> None:
        families = {family.name: family for family in self._families}
        try:
            for name, state in orjson.loads(export).items():
                if gauges or not isinstance(families[name], Gauge):
                    families[name].add(state)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no export of metrics: {error!r}") from error

    # The families.

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        counter = Counter(name, text, *labels)
        self._families.append(counter)
        return counter

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        gauge = Gauge(name, text, *labels)
        self._families.append(gauge)
        return gauge

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
        histogram = Histogram(name, text, bounds, *labels)
        self._families.append(histogram)
        return histogram

    def _make_session_metrics(self) -> None:
        self._sessions_open = self._gauge("sessions_open", "Sessions that are open now.", "role")
        self._sessions = self._counter("sessions", "Sessions that were opened.", "role")
        self._closed = self._counter("sessions_closed", "Sessions that ended, by TLS version.", "role", "reason", "tls")
        self._refused = self._counter("sessions_refused", "Connections that were turned away.", "role", "reason")
        self._pauses = self._counter("listener_pauses", "Times that accepting stopped for a while.", "role")
        self._tls = self._counter("tls_failures", "TLS handshakes that did not succeed.", "role")
        self._commands = self._counter("commands_refused", "Commands answered 4xx or 5xx.", "role", "command", "code")
        self._logins = self._counter("logins", "Logins.", "role", "mechanism", "result")
        self._collected = self._counter("mailbox_messages", "Messages collected or removed over POP3.", "action")

    def _make_message_metrics(self) -> None:
        self._accepted = self._counter("messages_accepted", "Messages acknowledged with 250.", "role", "tls")
        self._octets = self._counter("accepted_octets", "Octets of accepted messages.", "role")
        self._placed = self._counter(
            "recipients_accepted", "Recipients of accepted messages, by where they went.", "to"
        )
        self._intake = self._histogram(
            "intake_seconds", "Time from the end of the content to the commit before 250.", _INTAKE_BUCKETS
        )
        self._senders = self._counter("senders_refused", "MAIL commands refused.", "role", "code")
        self._recipients = self._counter("recipients_refused", "RCPT commands refused.", "role", "code")
        self._messages_refused = self._counter("messages_refused", "Contents refused.", "role", "code")

    def _make_queue_metrics(self) -> None:
        self._attempts = self._counter("attempts", "Attempts at one recipient.", "route", "outcome")
        self._causes = self._counter("attempt_causes", "Why attempts did not succeed.", "outcome", "cause")
        self._ambiguous = self._counter("attempts_ambiguous", "Attempts that lost the connection after the final dot.")
        self._attempt_seconds = self._histogram("attempt_seconds", "Duration of attempts.", _ATTEMPT_BUCKETS, "route")
        self._leases_lost = self._counter("leases_lost", "Leases that ended without settlement.")
        self._dsns = self._counter("dsns", "Delivery status notifications made.", "kind")
        self._trouble = self._gauge("store_trouble", "1 while the store fails, else 0.")
        self._troubles = self._counter("store_troubles", "Times that the store failed.")
        self._errors = self._counter("internal_errors", "Exceptions that nobody expected.")
        self._queue_messages = self._gauge("queue_messages", "Messages in the queue.")
        self._queue_recipients = self._gauge("queue_recipients", "Recipients in the queue.", "state")
        self._queue_oldest = self._gauge("queue_oldest_seconds", "Age of the oldest message in the queue.")

    def _make_guard_metrics(self) -> None:
        self._login_failures = self._counter("login_failures", "Failed logins, by reason.", "role", "reason")
        self._refusals = self._counter(
            "refusals", "Commands, senders, recipients and contents refused, by status.", "role", "at", "status"
        )
        self._lockouts = self._counter("lockouts", "Bans of addresses and locks of accounts.", "scope")
        self._lifted = self._counter("lockouts_lifted", "Bans and locks that were ended by hand.", "scope")
        self._banned = self._gauge("banned", "Addresses, networks and accounts that are shut out now.")
        self._abuse = self._counter("abuse", "What well-behaved clients do not do.", "role", "kind")
        self._near = self._counter("limits_near", "Subjects told that a rate limit is nearly used up.", "scope")
        self._reached = self._counter("limits_reached", "Subjects that reached a rate limit, once a window.", "scope")
        self._alerts = self._counter("alerts", "Alerts.", "on", "result")
        self._certificates = self._gauge("certificate_expires_seconds", "When a certificate of ours ends.", "path")
        self._renewals = self._counter("certificate_renewals", "Attempts to renew a certificate by ACME.", "result")

    # One method for each report.

    def _session_opened(self, report: SessionOpened) -> None:
        role = report.client.role.value
        self._sessions_open[role,] += 1
        self._sessions[role,] += 1

    def _session_closed(self, report: SessionClosed) -> None:
        role = report.client.role.value
        self._sessions_open[role,] -= 1
        self._closed[role, report.reason, _tls(report.client)] += 1

    def _session_refused(self, report: SessionRefused) -> None:
        self._refused[report.role, report.reason] += report.count

    def _listener_paused(self, report: ListenerPaused) -> None:
        self._pauses[report.role,] += 1

    def _tls_failed(self, report: TlsFailed) -> None:
        self._tls[report.client.role.value,] += 1

    def _command_refused(self, report: CommandRefused) -> None:
        command = report.command if report.command in _COMMANDS else "other"
        self._commands[report.client.role.value, command, _code(report.reply)] += 1
        self._count_refusal(report.client, "command", report.reply)

    def _login_succeeded(self, report: LoginSucceeded) -> None:
        self._logins[report.client.role.value, _mechanism(report.mechanism), "ok"] += 1

    def _login_failed(self, report: LoginFailed) -> None:
        self._logins[report.client.role.value, _mechanism(report.mechanism), "failed"] += 1
        self._login_failures[report.client.role.value, _login_reason(report.reason)] += 1

    def _sender_refused(self, report: SenderRefused) -> None:
        self._senders[report.client.role.value, _code(report.reply)] += 1
        self._count_refusal(report.client, "sender", report.reply)

    def _recipient_refused(self, report: RecipientRefused) -> None:
        self._recipients[report.client.role.value, _code(report.reply)] += 1
        self._count_refusal(report.client, "recipient", report.reply)

    def _message_refused(self, report: MessageRefused) -> None:
        self._messages_refused[report.client.role.value, _code(report.reply)] += 1
        self._count_refusal(report.client, "content", report.reply)

    def _message_accepted(self, report: MessageAccepted) -> None:
        client = report.client
        role, tls = ("own", "none") if client is None else (client.role.value, _tls(client))
        self._accepted[role, tls] += 1
        self._octets[role,] += report.message.size
        if report.placed:
            self._placed["mailbox",] += len(report.placed)
        if report.queued:
            self._placed["queue",] += len(report.queued)
        self._intake.observe(report.seconds)

    def _attempt_made(self, report: AttemptMade) -> None:
        route = "none" if report.site is None else report.site.kind.value
        self._attempts[route, _OUTCOMES[type(report.outcome)]] += 1
        if not isinstance(report.outcome, Delivered):
            self._causes[_OUTCOMES[type(report.outcome)], report.outcome.cause.value] += 1
        if isinstance(report.outcome, Deferred) and report.outcome.ambiguous:
            self._ambiguous[()] += 1
        self._attempt_seconds.observe(report.seconds, route)

    def _lease_lost(self, _: LeaseLost) -> None:
        self._leases_lost[()] += 1

    def _dsn_made(self, report: DsnMade) -> None:
        self._dsns[report.kind,] += 1

    def _store_trouble(self, report: StoreTrouble) -> None:
        self._trouble[()] = 0 if report.recovered else 1
        if not report.recovered:
            self._troubles[()] += 1

    def _mailbox_closed(self, report: MailboxClosed) -> None:
        self._collected["retrieved",] += report.retrieved
        self._collected["removed",] += report.removed

    def _internal_error(self, _: InternalError) -> None:
        self._errors[()] += 1

    def _locked_out(self, report: LockedOut) -> None:
        self._lockouts[report.scope,] += 1

    def _lockout_lifted(self, report: LockoutLifted) -> None:
        self._lifted[report.scope,] += 1

    def _abuse_seen(self, report: AbuseSeen) -> None:
        kind = report.kind if report.kind in _ABUSE else "other"
        self._abuse[report.client.role.value, kind] += 1

    def _limit_near(self, report: LimitNear) -> None:
        self._near[report.scope,] += 1

    def _limit_reached(self, report: LimitReached) -> None:
        self._reached[report.scope,] += 1

    def _alert_raised(self, report: AlertRaised) -> None:
        self._alerts[report.on, "failed" if report.trouble else "ok"] += 1

    def _certificate_renewed(self, _: CertificateRenewed) -> None:
        self._renewals["ok",] += 1

    def _certificate_trouble(self, _: CertificateTrouble) -> None:
        self._renewals["failed",] += 1

    def _count_refusal(self, client: Client, at: str, reply: Reply) -> None:
        status = reply.status[:3]
        self._refusals[client.role.value, at, status if status in _STATUSES else "other"] += 1


def _tls(client: Client) -> str:
    return "none" if client.tls is None else client.tls.version


def _code(reply: Reply) -> str:
    return str(reply.code)


def _mechanism(name: str) -> str:
    """Peers choose the name: unknown ones share a label."""
    return name if name in _MECHANISMS else "other"


def _login_reason(reason: str) -> str:
    """The class of a reason that is written for people."""
    return next((name for words, name in _LOGIN_REASONS if words in reason), "other")
