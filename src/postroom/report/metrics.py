"""Counts reports for Prometheus: plain numbers, made into families only when someone asks for them.

Labels come from closed sets: nothing grows with traffic. Everything here runs on one thread, the event loop's: reports
are told there, and the web port renders there. So no lock is needed, and counting costs a dictionary entry.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from time import time

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric, Sample

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


class _Numbers(dict[tuple[str, ...], float]):
    """One family of numbers, by the values of its labels. A number starts at 0, when it is first counted."""

    __slots__ = ("labels", "name", "started", "text")

    def __init__(self, name: str, text: str, *labels: str) -> None:
        super().__init__()
        self.name, self.text, self.labels = _PREFIX + name, text, labels
        self.started: dict[tuple[str, ...], float] = {}
        if not labels:
            self[()] = self[()]  # it has but one number, which is shown from the beginning

    def __missing__(self, key: tuple[str, ...]) -> float:
        self.started[key] = time()
        return 0


class _Counter(_Numbers):
    """Numbers that only grow."""

    __slots__ = ()

    def family(self) -> Metric:
        family = CounterMetricFamily(self.name, self.text, labels=self.labels)
        for key, number in self.items():
            family.add_metric(key, number, created=self.started[key])
        return family


class _Gauge(_Numbers):
    """Numbers that go up and down."""

    __slots__ = ()

    def family(self) -> Metric:
        family = GaugeMetricFamily(self.name, self.text, labels=self.labels)
        for key, number in self.items():
            family.add_metric(key, number)
        return family


class _Spread:
    """The durations under one set of labels. Each bucket counts its own; Prometheus' sums are made when asked for."""

    __slots__ = ("counts", "started", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.total = 0.0
        self.started = time()


class _Histogram:
    """A family of durations in seconds, by the values of its labels. ``bounds`` ascend and belong to their bucket."""

    __slots__ = ("bounds", "labels", "name", "spreads", "text")

    def __init__(self, name: str, text: str, bounds: tuple[float, ...], *labels: str) -> None:
        self.name, self.text, self.bounds, self.labels = _PREFIX + name, text, bounds, labels
        self.spreads: dict[tuple[str, ...], _Spread] = {}
        if not labels:
            self._start(())

    def observe(self, seconds: float, *key: str) -> None:
        spread = self.spreads.get(key) or self._start(key)
        spread.counts[bisect_left(self.bounds, seconds)] += 1
        spread.total += seconds

    def family(self) -> Metric:
        family = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        names = [*(str(float(bound)) for bound in self.bounds), "+Inf"]
        for key, spread in self.spreads.items():
            family.add_metric(key, list(zip(names, accumulate(spread.counts), strict=True)), spread.total)
            labels = dict(zip(self.labels, key, strict=True))
            family.samples.append(Sample(self.name + "_created", labels, spread.started))
        return family

    def _start(self, key: tuple[str, ...]) -> _Spread:
        spread = self.spreads[key] = _Spread(len(self.bounds) + 1)
        return spread


class Metrics:
    """A listener for the Reporter: ``Reporter([metrics.tell])``; ``render`` gives the text that Prometheus reads."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._families: list[_Counter | _Gauge | _Histogram] = []
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
        self.registry.register(self)

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

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for: every number as it stands now."""
        return (family.family() for family in self._families)

    def describe(self) -> Iterator[Metric]:
        """The same, so that a registry refuses a second ``Metrics``, whose numbers would have the same names."""
        return self.collect()

    # The families.

    def _counter(self, name: str, text: str, *labels: str) -> _Counter:
        counter = _Counter(name, text, *labels)
        self._families.append(counter)
        return counter

    def _gauge(self, name: str, text: str, *labels: str) -> _Gauge:
        gauge = _Gauge(name, text, *labels)
        self._families.append(gauge)
        return gauge

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...], *labels: str) -> _Histogram:
        histogram = _Histogram(name, text, bounds, *labels)
        self._families.append(histogram)
        return histogram

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
        self._intake = self._histogram(
            "intake_seconds", "Time from the end of the content to the commit before 250.", _INTAKE_BUCKETS
        )
        self._senders = self._counter("senders_refused", "MAIL commands refused.", "role", "code")
        self._recipients = self._counter("recipients_refused", "RCPT commands refused.", "role", "code")
        self._messages_refused = self._counter("messages_refused", "Contents refused.", "role", "code")

    def _make_queue_metrics(self) -> None:
        self._attempts = self._counter("attempts", "Attempts at one recipient.", "route", "outcome")
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
        self._refused[report.role, report.reason] += 1

    def _listener_paused(self, report: ListenerPaused) -> None:
        self._pauses[report.role,] += 1

    def _tls_failed(self, report: TlsFailed) -> None:
        self._tls[report.client.role.value,] += 1

    def _command_refused(self, report: CommandRefused) -> None:
        command = report.command if report.command in _COMMANDS else "other"
        self._commands[report.client.role.value, command, _code(report.reply)] += 1

    def _login_succeeded(self, report: LoginSucceeded) -> None:
        self._logins[report.client.role.value, _mechanism(report.mechanism), "ok"] += 1

    def _login_failed(self, report: LoginFailed) -> None:
        self._logins[report.client.role.value, _mechanism(report.mechanism), "failed"] += 1

    def _sender_refused(self, report: SenderRefused) -> None:
        self._senders[report.client.role.value, _code(report.reply)] += 1

    def _recipient_refused(self, report: RecipientRefused) -> None:
        self._recipients[report.client.role.value, _code(report.reply)] += 1

    def _message_refused(self, report: MessageRefused) -> None:
        self._messages_refused[report.client.role.value, _code(report.reply)] += 1

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


def _tls(client: Client) -> str:
    return "none" if client.tls is None else client.tls.version


def _code(reply: Reply) -> str:
    return str(reply.code)


def _mechanism(name: str) -> str:
    """Peers choose the name: unknown ones share a label."""
    return name if name in _MECHANISMS else "other"
