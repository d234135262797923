"""Tells each report to every listener; a listener that fails cannot hurt the mail path."""

from collections.abc import Callable, Sequence

from postroom.report.events import InternalError, Report

Listener = Callable[[Report], None]


class Reporter:
    """Where rooms tell what happened. Listeners are called in order, must not block, and are given by the root."""

    def __init__(self, listeners: Sequence[Listener] = ()) -> None:
        self._listeners = tuple(listeners)

    def listen(self, listener: Listener) -> None:
        """Tell one more, from now on."""
        self._listeners = (*self._listeners, listener)

    def tell(self, report: Report) -> None:
        """Hand the report to every listener."""
        for listener in self._listeners:
            try:
                listener(report)
            except Exception as error:  # noqa: BLE001 - telling must never break mail; the others hear of it
                self._complain(listener, error)

    def _complain(self, broken: Listener, error: Exception) -> None:
        complaint = InternalError(where=f"report listener {broken!r}", error=repr(error), trace="")
        for listener in self._listeners:
            if listener is not broken:
                listener(complaint)
