"""The lines of all sites: which destination leads to which, and which of them are not to be asked for.

Lines are made when the first comes who wants to go there, and forgotten when nothing would be lost by it.
"""

import math
from collections.abc import Iterator, Sequence

from postroom.mail.delivery import QueuedRecipient, Site
from postroom.queue.carrier import Shaper
from postroom.queue.lines import SWEEP_PAUSE, Berths, Line
from postroom.queue.pauses import Pauses

ROUTE_KEPT = 10.0
"""Seconds for which a route is used again without asking; the router's own cache obeys the DNS's times."""

_MAX_ROUTES = 20_000  # destinations whose line is remembered


class Board:
    """``share`` is how many recipients may stand in one line. Times are seconds of the monotonic clock."""

    def __init__(self, shaper: Shaper, share: int) -> None:
        self._shaper = shaper
        self._share = share
        self._lines: dict[str, Line] = {}
        self._berths: dict[tuple[str, str], Berths] = {}  # by site and pool of source addresses
        self._line_of: dict[str, tuple[Line, float]] = {}
        self._pauses = Pauses()

    def __iter__(self) -> Iterator[Line]:
        """All lines."""
        return iter(self._lines.values())

    def known(self, destination: str, now: float) -> Line | None:
        """The line for the destination if its route is fresh."""
        known = self._line_of.get(destination)
        return known[0] if known is not None and now < known[1] else None

    def last_known(self, destination: str) -> Line | None:
        """The line for the destination as far as it is remembered."""
        known = self._line_of.get(destination)
        return None if known is None else known[0]

    def line(self, site: Site, now: float) -> Line:
        """The line for the site."""
        name = site.line
        line = self._lines.get(name)
        if line is None:
            berths = self._berths.get((site.key, site.pool))
            if berths is None:
                berths = self._berths[site.key, site.pool] = Berths(max(self._shaper.limit(site), 1))
            line = self._lines[name] = Line(site, berths, now, self._share)
            line.pause = self._pauses.of_site(site)
            berths.lines.append(line)
        return line

    def lead(self, destination: str, site: Site, now: float) -> None:
        """The router has said that the destination leads to this site."""
        line = self.line(site, now)
        line.site = site
        line.berths.limit = max(self._shaper.limit(site), 1)
        before = self._line_of.get(destination)
        if before is not None:
            before[0].destinations.discard(destination)
        line.destinations.add(destination)
        line.used_at = now
        self._line_of[destination] = line, now + ROUTE_KEPT

    def note_aliases(self, line: Line, recipients: Sequence[QueuedRecipient]) -> None:
        """The store knows them under what was decided at their intake, and is to be asked by that."""
        for one in recipients:
            if one.waits_under not in line.destinations:
                line.aliases.add(one.waits_under)

    def pause(self, pauses: Pauses, now: float) -> None:
        """Note which sites are paused."""
        self._pauses = pauses
        for line in self._lines.values():
            line.pause = pauses.of_site(line.site)
            if line.pause is not None:
                line.sweep_at = now + SWEEP_PAUSE

    def excluded(self, limit: int, now: float) -> set[str]:
        """The destinations of lines that have enough, or are shut and not to be swept yet. Asking marks the sweep."""
        excluded: set[str] = set()
        for line in self._lines.values():
            if line.is_shut(now):
                if now < line.sweep_at:
                    excluded |= line.destinations
                    excluded |= line.aliases
                else:
                    line.sweep_at = now + SWEEP_PAUSE
            elif line.waiting * 2 > min(limit, line.share):
                line.starved = True
                excluded |= line.destinations
                excluded |= line.aliases
        return excluded

    def shares(self, now: float) -> dict[str, int]:
        """How many more are wanted for lines that rest now and then; for all others whatever there is."""
        return {
            destination: max(line.share - line.waiting, 0)
            for line in self._lines.values()
            if line.is_slow and not line.is_shut(now)
            for destination in (*line.destinations, *line.aliases)
        }

    def next_opening(self, now: float) -> float:
        """When the first of the lines that are shut is to be swept or tried again; infinite for never."""
        return min((line.opens_at() for line in self._lines.values() if line.is_shut(now)), default=math.inf)

    def tend(self, now: float) -> None:
        """Forget the sites that nobody wants to go to, and routes that are stale where there are many."""
        for line in [line for line in self._lines.values() if line.is_idle(now)]:
            self._forget(line)
        if len(self._line_of) > _MAX_ROUTES:
            for destination, (line, until) in list(self._line_of.items()):
                if until < now:
                    del self._line_of[destination]
                    line.destinations.discard(destination)

    def _forget(self, line: Line) -> None:
        del self._lines[line.site.line]
        line.berths.lines.remove(line)
        if not line.berths.lines:
            del self._berths[line.site.key, line.site.pool]
        for destination in line.destinations:
            self._line_of.pop(destination, None)
