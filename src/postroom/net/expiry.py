"""Which certificates end soon, and when it is time to say so again."""

from collections.abc import Iterable
from pathlib import Path

from postroom.net.certificates import Certificate

DAY = 86400.0


class ExpiryWatch:
    """Names a certificate once a day from ``warn_before`` seconds before its end on."""

    def __init__(self, warn_before: float) -> None:
        self._warn_before = warn_before
        self._told: dict[tuple[Path, float], float] = {}

    def due(self, certificates: Iterable[Certificate], now: float) -> list[Certificate]:
        """Those to speak of now. One that stands in is not among them."""
        found: dict[tuple[Path, float], float] = {}
        due = []
        for each in certificates:
            if each.path is None or each.expires_at - now > self._warn_before:
                continue
            key = each.path, each.expires_at  # a renewed one is another
            found[key] = self._told.get(key, now - DAY)
            if now - found[key] >= DAY:
                found[key] = now
                due.append(each)
        self._told = found
        return due
