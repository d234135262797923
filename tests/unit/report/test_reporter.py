"""Telling reaches every listener, and a broken one hurts nobody."""

from postroom.report.events import InternalError, Report, ServerDraining
from postroom.report.reporter import Reporter


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
