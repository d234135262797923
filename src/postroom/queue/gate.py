"""Asks the shaper on behalf of the lines. A bug in a shaper is told, and stops no mail."""

import traceback
from collections.abc import Mapping

from postroom.mail.delivery import Outcome, Site
from postroom.queue.carrier import Grant, Shaper, Wait
from postroom.queue.lines import RECIPIENTS_AT_ONCE, Line
from postroom.report.events import InternalError
from postroom.report.reporter import Reporter

_FREE = Grant()


class Gate:
    """Times are seconds of the monotonic clock."""

    def __init__(self, shaper: Shaper, reporter: Reporter) -> None:
        self._shaper = shaper
        self._reporter = reporter

    def ask(self, site: Site, recipients: int, now: float) -> Grant | Wait:
        """Leave for one request, or how long to wait."""
        try:
            return self._shaper.ask(site, recipients, now)
        except Exception as error:  # noqa: BLE001 - told, and the mail goes as it would without a shaper
            self._complain(error)
            return _FREE

    def together(self, site: Site) -> int:
        """Recipients of one request there."""
        try:
            return min(self._shaper.together(site) or RECIPIENTS_AT_ONCE, RECIPIENTS_AT_ONCE)
        except Exception as error:  # noqa: BLE001 - as above
            self._complain(error)
            return RECIPIENTS_AT_ONCE

    def learn(self, line: Line, grant: Grant, outcomes: Mapping[int, Outcome], now: float) -> None:
        """What became of the request; the line's limit may follow."""
        try:
            self._shaper.note(line.site, grant, outcomes.values(), now)
            line.berths.limit = max(self._shaper.limit(line.site), 1)
        except Exception as error:  # noqa: BLE001 - told; what became of the mail is to be recorded all the same
            self._complain(error)

    def widen(self, line: Line) -> None:
        """Give the line the limit that holds now."""
        try:
            line.berths.limit = max(self._shaper.limit(line.site), 1)
        except Exception as error:  # noqa: BLE001 - told, and the old limit stays
            self._complain(error)

    def flush(self) -> None:
        """An operator wants everything tried now."""
        try:
            self._shaper.flush()
        except Exception as error:  # noqa: BLE001 - told; the lines go on all the same
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        trace = "".join(traceback.format_exception(error))
        self._reporter.tell(InternalError("shaper", repr(error), trace))
