"""Reports are told in two processes, and Prometheus sees one server."""

import re
from dataclasses import replace

import orjson
import pytest
from tests.fakes.reports import ATTEMPTS, CLIENT, REPORTS

from postroom.report.events import SessionOpened, StoreTrouble
from postroom.report.metrics import Metrics
from postroom.report.road import QueueEnded, SiteBlocked, SiteReopened

BLOCKED = SiteBlocked("mx.example.net", "", "421", 0)


def fed() -> Metrics:
    metrics = Metrics()
    for report in REPORTS:
        metrics.tell(report)
    return metrics


def numbers(text: bytes) -> dict[str, float]:
    """Each sample by its name and labels."""
    return {
        name: float(number)
        for name, _, number in (line.rpartition(" ") for line in text.decode().splitlines() if line[0] != "#")
    }


def test_both_are_summed() -> None:
    ours, theirs = fed(), fed()
    alone = numbers(ours.render())
    both = numbers(ours.render([theirs.export()]))
    assert list(both) == list(alone)
    for name, number in both.items():
        if re.search(r"_(total|count|sum|bucket)\b", name):
            assert number == pytest.approx(2 * alone[name]), name
    assert both["postroom_queue_ended_total"] == 4


def test_an_empty_one_changes_nothing() -> None:
    metrics = fed()
    metrics.set_queue(messages=5, by_state={"held": 1}, oldest_seconds=60)
    metrics.set_banned(3)
    assert metrics.render([Metrics().export()]) == metrics.render()
    assert numbers(Metrics().render([metrics.export()])) == numbers(metrics.render())


def test_what_only_one_counted_is_there_once() -> None:
    ours, theirs = Metrics(), Metrics()
    ours.tell(SessionOpened(CLIENT))
    theirs.tell(replace(ATTEMPTS[0], seconds=0.25))
    both = numbers(ours.render([theirs.export()]))
    assert both['postroom_sessions_total{role="submission"}'] == 1
    assert both['postroom_attempts_total{outcome="delivered",route="mx"}'] == 1
    assert both['postroom_attempt_seconds_bucket{le="0.1",route="mx"}'] == 0
    assert both['postroom_attempt_seconds_bucket{le="0.25",route="mx"}'] == 1


def test_several_others() -> None:
    one = Metrics()
    one.tell(QueueEnded("exit 1", 0, 0.1))
    assert numbers(one.render([one.export()] * 3))["postroom_queue_ended_total"] == 4


def test_gauges_are_as_the_other_says() -> None:
    ours, theirs = Metrics(), Metrics()
    ours.set_queue(messages=5, by_state={"held": 1}, oldest_seconds=60)
    theirs.set_queue(messages=0, by_state={"held": 2}, oldest_seconds=0)
    both = numbers(ours.render([theirs.export()]))
    assert both["postroom_queue_messages"] == 0
    assert both['postroom_queue_recipients{state="held"}'] == 2


def test_gauges_that_the_other_never_set_are_ours() -> None:
    ours, theirs = Metrics(), Metrics()
    ours.set_banned(3)
    ours.tell(StoreTrouble("disk"))
    both = numbers(ours.render([theirs.export()]))
    assert (both["postroom_banned"], both["postroom_store_trouble"]) == (3, 1)


def test_a_gauge_that_came_back_to_nothing_is_said() -> None:
    ours, theirs = Metrics(), Metrics()
    ours.tell(BLOCKED)
    theirs.tell(BLOCKED)
    theirs.tell(SiteReopened("mx.example.net", ""))
    assert numbers(ours.render([theirs.export()]))["postroom_sites_blocked"] == 0


def test_a_sum_began_when_its_first_part_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.report.families.time", lambda: 1000.0)
    early = Metrics()
    early.tell(ATTEMPTS[0])
    monkeypatch.setattr("postroom.report.families.time", lambda: 2000.0)
    late = fed()
    for both in (late.render([early.export()]), early.render([late.export()])):
        began = numbers(both)
        assert began["postroom_internal_errors_created"] == 1000
        assert began['postroom_attempt_seconds_created{route="mx"}'] == 1000
        assert began['postroom_attempt_seconds_created{route="none"}'] == 2000


def test_rendering_leaves_both_as_they_are() -> None:
    ours, theirs = fed(), fed()
    before, export = ours.render(), theirs.export()
    ours.render([export])
    assert (ours.render(), theirs.export()) == (before, export)


@pytest.mark.parametrize(
    "export",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        {"postroom_unheard_of": []},
        {"postroom_dsns": 7},
        {"postroom_dsns": [7]},
        {"postroom_dsns": [[["failed"], 1]]},
        {"postroom_dsns": [[["failed"], "1", 1.0]]},
        {"postroom_dsns": [[["failed"], 1, None]]},
        {"postroom_dsns": [[["failed", "more"], 1, 1.0]]},
        {"postroom_dsns": [[[1], 1, 1.0]]},
        {"postroom_dsns": [["f", 1, 1.0]]},
        {"postroom_banned": [[[], None]]},
        {"postroom_banned": [[[], 1, 1.0]]},
        {"postroom_intake_seconds": [[[], [1, 2], 1.0, 1.0]]},
        {"postroom_intake_seconds": [[[], ["1"] * 13, 1.0, 1.0]]},
        {"postroom_intake_seconds": [[[], [1] * 13, "1", 1.0]]},
    ],
    ids=str,
)
def test_what_is_no_export(export: object) -> None:
    metrics = fed()
    before = metrics.render()
    with pytest.raises(ValueError, match="no export of metrics"):
        metrics.render([export if isinstance(export, bytes) else orjson.dumps(export)])
    assert metrics.render() == before
