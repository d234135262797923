"""Another process hears the reports that it wants, and they are the same there."""

import pickle

import pytest
from tests.fakes.reports import REPORTS

from postroom.net.apart.loading import load
from postroom.report.alerts import WORDS
from postroom.report.events import Report, ServerDraining, StoreTrouble
from postroom.report.forwarding import Forwarder
from postroom.report.reporter import Reporter
from postroom.report.road import CarriersEnded, QueueEnded

COUNTED = [report for report in REPORTS if type(report) in WORDS]


def test_only_what_is_wanted_is_handed_on() -> None:
    sent: list[Report] = []
    reporter = Reporter(choosers=[Forwarder([StoreTrouble, QueueEnded], sent.append).choose])
    for report in (StoreTrouble("disk"), ServerDraining(1), CarriersEnded("exit 1", 0, 1), QueueEnded("exit 1", 0, 1)):
        reporter.tell(report)
    assert sent == [StoreTrouble("disk"), QueueEnded("exit 1", 0, 1)]


def test_nothing_is_wanted() -> None:
    assert all(Forwarder((), print).choose(kind) is None for kind in WORDS)


def test_every_kind_that_counts_has_a_sample() -> None:
    assert {type(report) for report in COUNTED} == set(WORDS)


@pytest.mark.parametrize("report", COUNTED, ids=lambda report: type(report).__name__)
def test_what_counts_survives_the_wire(report: Report) -> None:
    arrived = load(pickle.dumps(report, protocol=5))
    assert type(arrived) is type(report)
    assert arrived == report


def test_the_kinds_survive_the_wire() -> None:
    assert pickle.loads(pickle.dumps(frozenset(WORDS), protocol=5)) == frozenset(WORDS)
