"""When alerts are raised, and what they say: no more than someone outside may know."""

import json
from typing import get_args

import pytest
from tests.fakes.reports import REPORTS, STRANGER

from postroom.config.guard import AlertSettings
from postroom.report.alerts import MOST_COUNTED, MOST_EXAMPLES, WORDS, Alert, AlertCounter, shape, trial, word_of
from postroom.report.events import (
    InternalError,
    LimitReached,
    LockedOut,
    LoginFailed,
    Report,
    SessionRefused,
    StoreTrouble,
)

NOW = 1_800_000_000.0
REFUSED = SessionRefused("mx", "192.0.2.9", "rate")


def failed(number: int = 0) -> LoginFailed:
    return LoginFailed(STRANGER, "PLAIN", f"a{number}@example.org", "wrong password", 1, 1)


def raised(counter: AlertCounter, *times: float) -> list[float]:
    return [at for at in times if counter.count(REFUSED, NOW + at) is not None]


def test_every_word_of_the_settings_has_its_reports() -> None:
    words = get_args(get_args(AlertSettings.model_fields["on"].annotation)[0])
    assert set(words) == set(WORDS.values())


def test_what_counts() -> None:
    counted = {type(report).__name__ for report in REPORTS if word_of(report)}
    assert counted == {kind.__name__ for kind in WORDS}
    assert word_of(StoreTrouble("disk full")) == "store_trouble"
    assert word_of(StoreTrouble("disk full", recovered=True)) == ""


class TestThreshold:
    def test_one_is_enough(self) -> None:
        assert raised(AlertCounter("x", 1, 60, 0), 0, 1) == [0, 1]

    def test_so_many_within_the_window(self) -> None:
        counter = AlertCounter("x", 3, 60, 900)
        assert raised(counter, 0, 30, 59.9) == [59.9]

    def test_the_window_slides(self) -> None:
        counter = AlertCounter("x", 3, 60, 900)
        assert raised(counter, 0, 50, 61, 109) == [109]

    def test_the_window_is_open_at_its_end(self) -> None:
        assert raised(AlertCounter("x", 2, 60, 0), 0, 60, 119) == [119]

    def test_silent_for_a_while(self) -> None:
        counter = AlertCounter("x", 1, 60, 900)
        assert raised(counter, 0, 1, 899, 900) == [0, 900]

    def test_what_was_silenced_is_told_the_next_time(self) -> None:
        counter = AlertCounter("x", 2, 60, 100)
        raised(counter, 0, 1, 2, 50, 99)
        alert = counter.count(REFUSED, NOW + 101)
        assert alert is not None
        assert (alert.silenced, alert.count, alert.since) == (3, 3, NOW + 50)

    def test_a_flood_is_bounded(self) -> None:
        counter = AlertCounter("x", 1, 60, 10)
        counter.count(REFUSED, NOW)
        for number in range(3 * MOST_COUNTED):
            counter.count(REFUSED, NOW + 1 + number / MOST_COUNTED)
        alert = counter.count(REFUSED, NOW + 11)
        assert alert is not None
        assert alert.count == MOST_COUNTED
        assert len(alert.examples) == MOST_EXAMPLES


class TestExamples:
    def of(self, report: Report) -> dict[str, str]:
        alert = AlertCounter("x", 1, 60, 0).count(report, NOW)
        assert alert is not None
        (example,) = shape(alert, node="n", hostname="h")["examples"]
        assert example.pop("at") == "2027-01-15T08:00:00.000Z"
        assert isinstance(example, dict)
        return example

    def test_the_latest_of_the_window(self) -> None:
        counter = AlertCounter("x", 3, 60, 0)
        alerts = [counter.count(failed(number), NOW + number * 25) for number in range(4)]
        assert isinstance(alerts[-2], Alert)
        assert [example.account for example in alerts[-2].examples] == [f"a{n}@example.org" for n in range(3)]

    def test_failed_login(self) -> None:
        expected = {"address": STRANGER.address, "account": "a0@example.org", "reason": "wrong password"}
        assert self.of(failed()) == expected

    @pytest.mark.parametrize(
        ("report", "address", "account", "reason"),
        [
            (LockedOut("address", "192.0.2.9", "192.0.2.9", "abuse", 0), "192.0.2.9", "", "abuse"),
            (LockedOut("account", "a@b.example", "192.0.2.9", "guessing", 0), "192.0.2.9", "a@b.example", "guessing"),
            (
                LimitReached("account_messages", "a@b.example", "60/1m", 0, "192.0.2.9"),
                "192.0.2.9",
                "a@b.example",
                "account_messages of a@b.example: 60/1m",
            ),
            (REFUSED, "192.0.2.9", "", "mx: rate"),
            (StoreTrouble("disk full"), "", "", "disk full"),
        ],
    )
    def test_others(self, report: Report, address: str, account: str, reason: str) -> None:
        assert self.of(report) == {"address": address, "account": account, "reason": reason}

    def test_of_a_bug_no_more_than_its_kind(self) -> None:
        error = InternalError("session", "ValueError('AUTH PLAIN c2VjcmV0')", "trace with secret")
        assert self.of(error)["reason"] == "session: ValueError"

    @pytest.mark.parametrize("report", [r for r in REPORTS if word_of(r)], ids=lambda r: type(r).__name__)
    def test_every_kind_has_a_reason(self, report: Report) -> None:
        assert self.of(report)["reason"]

    def test_a_long_text_is_cut(self) -> None:
        assert len(self.of(StoreTrouble("x" * 5000))["reason"]) < 500


def test_the_shape() -> None:
    alert = AlertCounter("session_refused", 1, 300, 0).count(REFUSED, NOW)
    assert alert is not None
    assert json.loads(json.dumps(shape(alert, node="a", hostname="mx.example.org"))) == {
        "what": "session_refused",
        "count": 1,
        "window": 300,
        "node": "a",
        "hostname": "mx.example.org",
        "since": "2027-01-15T08:00:00.000Z",
        "at": "2027-01-15T08:00:00.000Z",
        "silenced": 0,
        "examples": [{"at": "2027-01-15T08:00:00.000Z", "address": "192.0.2.9", "account": "", "reason": "mx: rate"}],
    }


def test_the_trial() -> None:
    assert shape(trial(NOW), node="a", hostname="h")["what"] == "test"
