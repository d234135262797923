"""Telling reaches every listener, and a broken one hurts nobody."""

from postroom.report.events import InternalError, Report, ServerDraining, ServerReady
from postroom.report.reporter import Listener, Reporter


def test_every_listener_hears_in_order() -> None:
    heard: list[tuple[str, Report]] = []
    reporter = Reporter([lambda report: heard.append(("a", report)), lambda report: heard.append(("b", report))])
    reporter.tell(ServerDraining(1))
    assert heard == [("a", ServerDraining(1)), ("b", ServerDraining(1))]


def test_a_broken_listener_is_told_to_the_others() -> None:
    heard: list[Report] = []

    def broken(report: Report) -> None:
        raise RuntimeError("no disk")

    Reporter([broken, heard.append]).tell(ServerDraining(1))
    complaint, report = heard
    assert isinstance(complaint, InternalError)
    assert "no disk" in complaint.error
    assert report == ServerDraining(1)


def test_nobody_listens() -> None:
    Reporter().tell(ServerDraining(1))
    assert Reporter()._listeners == ()


def test_choosers_are_asked_once_for_a_kind() -> None:
    asked: list[type[Report]] = []
    heard: list[Report] = []

    def choose(kind: type[Report]) -> Listener | None:
        asked.append(kind)
        return heard.append if kind is ServerDraining else None

    reporter = Reporter(choosers=[choose])
    for report in (ServerDraining(1), ServerReady(()), ServerDraining(2)):
        reporter.tell(report)
    assert heard == [ServerDraining(1), ServerDraining(2)]
    assert asked == [ServerDraining, ServerReady]


def test_one_that_listens_later_hears_what_follows() -> None:
    heard: list[Report] = []
    reporter = Reporter()
    reporter.tell(ServerDraining(1))
    reporter.listen(lambda _: heard.append)
    reporter.tell(ServerDraining(2))
    assert heard == [ServerDraining(2)]


def test_whoever_hears_of_errors_hears_of_a_broken_listener() -> None:
    heard: list[Report] = []

    def broken(report: Report) -> None:
        raise RuntimeError("no disk")

    Reporter([broken], [lambda kind: heard.append if kind is InternalError else None]).tell(ServerDraining(1))
    (complaint,) = heard
    assert isinstance(complaint, InternalError)
