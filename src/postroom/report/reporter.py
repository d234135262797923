"""Tells each report to every listener; a listener that fails cannot hurt the mail path."""

from collections.abc import Callable, Sequence

from postroom.report.events import InternalError, Report

Listener = Callable[[Report], None]

Chooser = Callable[[type[Report]], Listener | None]
"""Who is to hear reports of a kind, None for nobody. Asked once for each kind: the answer must stay the same."""


class Reporter:
    """Where rooms tell what happened. Listeners are called in order, must not block, and are given by the root.

    ``listeners`` hear everything, and before those whom ``choosers`` name for single kinds of reports.
    """

    def __init__(self, listeners: Sequence[Listener] = (), choosers: Sequence[Chooser] = ()) -> None:
        self._listeners = tuple(listeners)
        self._choosers = tuple(choosers)
        self._hearers: dict[type[Report], tuple[Listener, ...]] = {}  # by kind, as soon as there was one of it

    def listen(self, chooser: Chooser) -> None:
        """Tell one more, from now on."""
        self._choosers = (*self._choosers, chooser)
        self._hearers.clear()

    def tell(self, report: Report) -> None:
        """Hand the report to everyone who is to hear it."""
        kind = type(report)
        for listener in self._hearers.get(kind) or self._choose(kind):
            try:
                listener(report)
            except Exception as error:  # noqa: BLE001 - telling must never break mail; the others hear of it
                self._complain(listener, error)

    def _choose(self, kind: type[Report]) -> tuple[Listener, ...]:
        chosen = [listener for chooser in self._choosers if (listener := chooser(kind)) is not None]
        hearers = self._hearers[kind] = (*self._listeners, *chosen)
        return hearers

    def _complain(self, broken: Listener, error: Exception) -> None:
        complaint = InternalError(where=f"report listener {broken!r}", error=repr(error), trace="")
        for listener in self._choose(InternalError):
            if listener != broken:
                listener(complaint)
