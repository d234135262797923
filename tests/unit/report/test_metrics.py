"""Prometheus sees every report, and label sets stay small whatever peers do."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.fakes.reports import ATTEMPTS, CLIENT, REPORTS, STRANGER

from postroom.mail.reply import Reply
from postroom.mail.session import Client, Role
from postroom.report.events import (
    AbuseSeen,
    CommandRefused,
    LoginFailed,
    SenderRefused,
    ServerDraining,
    SessionClosed,
    SessionOpened,
    StoreTrouble,
)
from postroom.report.metrics import Metrics
from postroom.report.reporter import Reporter


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def fed() -> Metrics:
    metrics = Metrics()
    reporter = Reporter(choosers=[metrics.choose])
    for report in REPORTS:
        reporter.tell(report)
    return metrics


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("postroom_sessions_total", {"role": "submission"}, 1),
        ("postroom_sessions_open", {"role": "submission"}, 0),
        ("postroom_sessions_closed_total", {"role": "submission", "reason": "quit", "tls": "TLSv1.3"}, 1),
        ("postroom_sessions_refused_total", {"role": "mx", "reason": "address"}, 1),
        ("postroom_listener_pauses_total", {"role": "mx"}, 1),
        ("postroom_tls_failures_total", {"role": "mx"}, 1),
        ("postroom_commands_refused_total", {"role": "mx", "command": "RCPT", "code": "550"}, 1),
        ("postroom_logins_total", {"role": "submission", "mechanism": "PLAIN", "result": "ok"}, 1),
        ("postroom_logins_total", {"role": "mx", "mechanism": "PLAIN", "result": "failed"}, 1),
        ("postroom_senders_refused_total", {"role": "mx", "code": "550"}, 1),
        ("postroom_recipients_refused_total", {"role": "mx", "code": "550"}, 1),
        ("postroom_messages_refused_total", {"role": "mx", "code": "451"}, 1),
        ("postroom_messages_accepted_total", {"role": "submission", "tls": "TLSv1.3"}, 1),
        ("postroom_messages_accepted_total", {"role": "own", "tls": "none"}, 1),
        ("postroom_accepted_octets_total", {"role": "submission"}, 1013),
        ("postroom_recipients_accepted_total", {"to": "mailbox"}, 1),
        ("postroom_recipients_accepted_total", {"to": "queue"}, 2),
        ("postroom_intake_seconds_count", {}, 2),
        ("postroom_attempts_total", {"route": "mx", "outcome": "delivered"}, 1),
        ("postroom_attempts_total", {"route": "mx", "outcome": "deferred"}, 1),
        ("postroom_attempts_total", {"route": "none", "outcome": "failed"}, 1),
        ("postroom_attempts_ambiguous_total", {}, 1),
        ("postroom_attempt_seconds_count", {"route": "mx"}, 2),
        ("postroom_leases_lost_total", {}, 1),
        ("postroom_dsns_total", {"kind": "failed"}, 1),
        ("postroom_store_trouble", {}, 0),
        ("postroom_store_troubles_total", {}, 1),
        ("postroom_mailbox_messages_total", {"action": "retrieved"}, 2),
        ("postroom_mailbox_messages_total", {"action": "removed"}, 1),
        ("postroom_internal_errors_total", {}, 1),
        ("postroom_login_failures_total", {"role": "mx", "reason": "wrong_credentials"}, 1),
        ("postroom_refusals_total", {"role": "mx", "at": "command", "status": "5.1"}, 1),
        ("postroom_refusals_total", {"role": "mx", "at": "sender", "status": "5.1"}, 1),
        ("postroom_refusals_total", {"role": "mx", "at": "recipient", "status": "5.1"}, 1),
        ("postroom_refusals_total", {"role": "mx", "at": "content", "status": "4.3"}, 1),
        ("postroom_lockouts_total", {"scope": "address"}, 1),
        ("postroom_lockouts_lifted_total", {"scope": "account"}, 1),
        ("postroom_abuse_total", {"role": "mx", "kind": "pregreet"}, 1),
        ("postroom_limits_near_total", {"scope": "account_messages"}, 1),
        ("postroom_limits_reached_total", {"scope": "address_messages"}, 1),
        ("postroom_alerts_total", {"on": "lockout", "result": "ok"}, 1),
        ("postroom_alerts_total", {"on": "lockout", "result": "failed"}, 1),
        ("postroom_certificate_renewals_total", {"result": "ok"}, 1),
        ("postroom_certificate_renewals_total", {"result": "failed"}, 1),
    ],
)
def test_counted(fed: Metrics, name: str, labels: dict[str, str], expected: float) -> None:
    assert value(fed, name, **labels) == expected


def test_open_sessions_go_up_and_down() -> None:
    metrics = Metrics()
    metrics.tell(SessionOpened(CLIENT))
    metrics.tell(SessionOpened(CLIENT))
    metrics.tell(SessionClosed(CLIENT, "quit", 1))
    assert value(metrics, "postroom_sessions_open", role="submission") == 1


def test_store_trouble_is_a_state() -> None:
    metrics = Metrics()
    metrics.tell(StoreTrouble("disk"))
    assert value(metrics, "postroom_store_trouble") == 1


def test_queue_gauges() -> None:
    metrics = Metrics()
    metrics.set_queue(messages=5, by_state={"deferred": 7, "held": 1}, oldest_seconds=60)
    assert value(metrics, "postroom_queue_messages") == 5
    assert value(metrics, "postroom_queue_recipients", state="deferred") == 7
    assert value(metrics, "postroom_queue_recipients", state="queued") == 0
    assert value(metrics, "postroom_queue_oldest_seconds") == 60


def test_guard_gauges() -> None:
    metrics = Metrics()
    metrics.set_banned(3)
    metrics.set_certificates({"a.pem": 1.0, "b.pem": 2.0})
    metrics.set_certificates({"b.pem": 5.0})
    assert value(metrics, "postroom_banned") == 3
    assert value(metrics, "postroom_certificate_expires_seconds", path="b.pem") == 5
    assert value(metrics, "postroom_certificate_expires_seconds", path="a.pem") is None


@pytest.mark.parametrize(
    ("reason", "counted"),
    [
        ("the address is banned: 10 failed logins", "banned"),
        ("the account is locked for addresses that it does not know: 20 failed logins", "locked"),
        ("no such account", "unknown_account"),
        ("wrong password", "wrong_credentials"),
        ("the account is disabled", "disabled"),
        ("the token has expired", "bad_token"),
        ("PLAIN has not three fields", "other"),
    ],
)
def test_failed_logins_are_counted_by_a_few_reasons(reason: str, counted: str) -> None:
    metrics = Metrics()
    metrics.tell(LoginFailed(STRANGER, "PLAIN", "alice@example.org", reason, 1, 1))
    assert value(metrics, "postroom_login_failures_total", role="mx", reason=counted) == 1


def test_buckets_hold_their_bound_and_all_below() -> None:
    metrics = Metrics()
    for seconds in (0.25, 0.2500001, 1200, 1201):
        metrics.tell(replace(ATTEMPTS[0], seconds=seconds))
    buckets = {
        bound: value(metrics, "postroom_attempt_seconds_bucket", route="mx", le=bound)
        for bound in ("0.1", "0.25", "0.5", "1200.0", "+Inf")
    }
    assert buckets == {"0.1": 0, "0.25": 1, "0.5": 2, "1200.0": 3, "+Inf": 4}
    assert value(metrics, "postroom_attempt_seconds_sum", route="mx") == pytest.approx(2401.5000001)


def test_each_number_tells_when_it_began(fed: Metrics) -> None:
    accepted = value(fed, "postroom_messages_accepted_created", role="own", tls="none")
    attempts = value(fed, "postroom_attempt_seconds_created", route="mx")
    assert accepted
    assert attempts  # Prometheus sees a restart by them
    fed.tell(ATTEMPTS[0])
    assert value(fed, "postroom_attempt_seconds_created", route="mx") == attempts


def test_one_registry_has_one_of_it() -> None:
    with pytest.raises(ValueError, match="Duplicated"):
        Metrics(Metrics().registry)


def test_text_for_prometheus(fed: Metrics) -> None:
    families = list(text_string_to_metric_families(fed.render().decode()))
    assert len(families) > 20
    assert all(family.documentation for family in families)


def test_peers_cannot_invent_labels() -> None:
    metrics = Metrics()
    metrics.tell(StoreTrouble("first"))
    for number in range(100):
        metrics.tell(CommandRefused(STRANGER, f"XX{number}", "x", Reply.of(500, "5.5.1", "?")))
        metrics.tell(LoginFailed(STRANGER, f"M{number}", f"u{number}@x", f"reason {number}", 1, 1))
        metrics.tell(AbuseSeen(STRANGER, f"kind {number}", "?"))
        metrics.tell(SenderRefused(STRANGER, "", Reply.of(550, f"5.{number}.1", "?"), "?"))
        metrics.tell(SessionOpened(Client(number, Role.MX, f"192.0.2.{number}", number, f"h{number}")))
    samples = [s for family in metrics.registry.collect() for s in family.samples if not s.name.endswith("_created")]
    assert value(metrics, "postroom_commands_refused_total", role="mx", command="other", code="500") == 100
    assert value(metrics, "postroom_logins_total", role="mx", mechanism="other", result="failed") == 100
    assert len(samples) < 75


def test_a_report_without_metric_is_ignored() -> None:
    metrics = Metrics()
    before = metrics.render()
    metrics.tell(ServerDraining(1))
    assert metrics.render() == before
