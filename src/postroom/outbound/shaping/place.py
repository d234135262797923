"""A site as it is reached from one pool: its lanes, and in what shares they are used."""

from collections.abc import Sequence

from postroom.outbound.shaping.lane import Lane
from postroom.outbound.shaping.rules import Rule


class Place:
    """``only`` is the lane where there is just one, the usual case. ``limit`` counts for what stays in the house."""

    __slots__ = ("_current", "_shares", "is_house", "lanes", "limit", "only", "rule", "used_at")

    def __init__(self, rule: Rule, lanes: tuple[Lane, ...], shares: tuple[int, ...], limit: int) -> None:
        self.rule = rule
        self.lanes = lanes
        self.limit = limit
        self.is_house = not lanes
        self.only = lanes[0] if len(lanes) == 1 else None
        self.used_at = 0.0
        self._shares = dict(zip(map(id, lanes), shares, strict=True))
        self._current = dict.fromkeys(self._shares, 0)

    def choose(self, able: Sequence[Lane]) -> Lane:
        """The one among these whose turn it is: each gains its share, the one with most pays for all."""
        total = 0
        best = able[0]
        for lane in able:
            share = self._shares[id(lane)]
            total += share
            self._current[id(lane)] += share
            if self._current[id(lane)] > self._current[id(best)]:
                best = lane
        self._current[id(best)] -= total
        return best
