"""Hands reports on to whoever hears them in another process: only the kinds that are wanted there."""

from collections.abc import Callable, Collection

from postroom.report.events import Report
from postroom.report.reporter import Listener


class Forwarder:
    """Listens to a Reporter (``choose``) for another process. ``send`` takes each report, and must not block."""

    def __init__(self, wanted: Collection[type[Report]], send: Callable[[Report], None]) -> None:
        self._wanted = frozenset(wanted)
        self._send = send

    def choose(self, kind: type[Report]) -> Listener | None:
        """``send`` for reports of the kinds that are wanted."""
        return self._send if kind in self._wanted else None
