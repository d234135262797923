"""Counts reports for Prometheus, in a registry of its own. Labels come from closed sets: nothing grows with traffic."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from postroom.mail.delivery import Deferred, Delivered, Failed, Outcome
from postroom.mail.reply import Reply
from postroom.mail.session import Client
from postroom.report.events import (
    AttemptMade,
    CommandRefused,
    DsnMade,
    InternalError,
    LeaseLost,
    ListenerPaused,
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

_PREFIX = "postroom_"
_INTAKE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_ATTEMPT_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1200)
_OUTCOMES: dict[type[Outcome], str] = {Delivered: "delivered", Deferred: "deferred", Failed: "failed"}
_MECHANISMS = frozenset(
    {"PLAIN", "LOGIN", "USER", "APOP", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "XOAUTH2", "OAUTHBEARER"}
)
_SMTP = ("HELO", "EHLO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP")
_POP3 = ("USER", "PASS", "APOP", "CAPA", "STAT", "LIST", "RETR", "DELE", "UIDL", "TOP", "STLS")
_COMMANDS = frozenset((*_SMTP, "STARTTLS", "AUTH", *_POP3))


class Metrics:
    """A listener for the Reporter: ``Reporter([metrics.tell])``; ``render`` gives the text that Prometheus reads."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._children: dict[tuple[object, ...], Counter] = {}
        self._attempts_by_route: dict[str, Histogram] = {}
        self._make_session_metrics()
        self._make_message_metrics()
        self._make_queue_metrics()
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
        }

    def tell(self, report: Report) -> None:
        """Count one report."""
        handler = self._handlers.get(type(report))
        if handler is not None:
            handler(report)

    def set_queue(self, *, messages: int, by_state: Mapping[str, int], oldest_seconds: float) -> None:
        """How full the queue is: recipients by state, and the age of the oldest message. Called now and then."""
        self._queue_messages.set(messages)
        for state in ("queued", "leased", "held", "deferred"):
            self._queue_recipients.labels(state).set(by_state.get(state, 0))
        self._queue_oldest.set(oldest_seconds)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)

    # The collectors.

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(_PREFIX + name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(_PREFIX + name, text, labels, registry=self.registry)

    def _make_session_metrics(self) -> None:
        self._sessions_open = self._gauge("sessions_open", "Sessions that are open now.", "role")
        self._sessions = self._counter("sessions", "Sessions that were opened.", "role")
        self._closed = self._counter("sessions_closed", "Sessions that ended, by TLS version.", "role", "reason", "tls")
        self._refused = self._counter("sessions_refused", "Connections beyond a ceiling.", "role", "reason")
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
        self._intake = Histogram(
            _PREFIX + "intake_seconds",
            "Time from the end of the content to the commit before 250.",
            registry=self.registry,
            buckets=_INTAKE_BUCKETS,
        )
        self._senders = self._counter("senders_refused", "MAIL commands refused.", "role", "code")
        self._recipients = self._counter("recipients_refused", "RCPT commands refused.", "role", "code")
        self._messages_refused = self._counter("messages_refused", "Contents refused.", "role", "code")

    def _make_queue_metrics(self) -> None:
        self._attempts = self._counter("attempts", "Attempts at one recipient.", "route", "outcome")
        self._ambiguous = self._counter("attempts_ambiguous", "Attempts that lost the connection after the final dot.")
        self._attempt_seconds = Histogram(
            _PREFIX + "attempt_seconds",
            "Duration of attempts.",
            ["route"],
            registry=self.registry,
            buckets=_ATTEMPT_BUCKETS,
        )
        self._leases_lost = self._counter("leases_lost", "Leases that ended without settlement.")
        self._dsns = self._counter("dsns", "Delivery status notifications made.", "kind")
        self._trouble = self._gauge("store_trouble", "1 while the store fails, else 0.")
        self._troubles = self._counter("store_troubles", "Times that the store failed.")
        self._errors = self._counter("internal_errors", "Exceptions that nobody expected.")
        self._queue_messages = self._gauge("queue_messages", "Messages in the queue.")
        self._queue_recipients = self._gauge("queue_recipients", "Recipients in the queue.", "state")
        self._queue_oldest = self._gauge("queue_oldest_seconds", "Age of the oldest message in the queue.")

    def _count(self, collector: Counter, *labels: str, by: float = 1) -> None:
        """Count under these labels. The labelled child is kept: finding it again by name costs more than counting."""
        key = (collector, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = collector.labels(*labels)
        child.inc(by)

    # One method for each report.

    def _session_opened(self, report: SessionOpened) -> None:
        role = report.client.role.value
        self._sessions_open.labels(role).inc()
        self._count(self._sessions, role)

    def _session_closed(self, report: SessionClosed) -> None:
        role = report.client.role.value
        self._sessions_open.labels(role).dec()
        self._count(self._closed, role, report.reason, _tls(report.client))

    def _session_refused(self, report: SessionRefused) -> None:
        self._count(self._refused, report.role, report.reason)

    def _listener_paused(self, report: ListenerPaused) -> None:
        self._count(self._pauses, report.role)

    def _tls_failed(self, report: TlsFailed) -> None:
        self._count(self._tls, report.client.role.value)

    def _command_refused(self, report: CommandRefused) -> None:
        command = report.command if report.command in _COMMANDS else "other"
        self._count(self._commands, report.client.role.value, command, _code(report.reply))

    def _login_succeeded(self, report: LoginSucceeded) -> None:
        self._count(self._logins, report.client.role.value, _mechanism(report.mechanism), "ok")

    def _login_failed(self, report: LoginFailed) -> None:
        self._count(self._logins, report.client.role.value, _mechanism(report.mechanism), "failed")

    def _sender_refused(self, report: SenderRefused) -> None:
        self._count(self._senders, report.client.role.value, _code(report.reply))

    def _recipient_refused(self, report: RecipientRefused) -> None:
        self._count(self._recipients, report.client.role.value, _code(report.reply))

    def _message_refused(self, report: MessageRefused) -> None:
        self._count(self._messages_refused, report.client.role.value, _code(report.reply))

    def _message_accepted(self, report: MessageAccepted) -> None:
        client = report.client
        role, tls = ("own", "none") if client is None else (client.role.value, _tls(client))
        self._count(self._accepted, role, tls)
        self._count(self._octets, role, by=report.message.size)
        if report.placed:
            self._count(self._placed, "mailbox", by=len(report.placed))
        if report.queued:
            self._count(self._placed, "queue", by=len(report.queued))
        self._intake.observe(report.seconds)

    def _attempt_made(self, report: AttemptMade) -> None:
        route = "none" if report.site is None else report.site.kind.value
        self._count(self._attempts, route, _OUTCOMES[type(report.outcome)])
        if isinstance(report.outcome, Deferred) and report.outcome.ambiguous:
            self._ambiguous.inc()
        child = self._attempts_by_route.get(route)
        if child is None:
            child = self._attempts_by_route[route] = self._attempt_seconds.labels(route)
        child.observe(report.seconds)

    def _lease_lost(self, _: LeaseLost) -> None:
        self._leases_lost.inc()

    def _dsn_made(self, report: DsnMade) -> None:
        self._count(self._dsns, report.kind)

    def _store_trouble(self, report: StoreTrouble) -> None:
        self._trouble.set(0 if report.recovered else 1)
        if not report.recovered:
            self._troubles.inc()

    def _mailbox_closed(self, report: MailboxClosed) -> None:
        self._count(self._collected, "retrieved", by=report.retrieved)
        self._count(self._collected, "removed", by=report.removed)

    def _internal_error(self, _: InternalError) -> None:
        self._errors.inc()


def _tls(client: Client) -> str:
    return "none" if client.tls is None else client.tls.version


def _code(reply: Reply) -> str:
    return str(reply.code)


def _mechanism(name: str) -> str:
    """Peers choose the name: unknown ones share a label."""
    return name if name in _MECHANISMS else "other"
