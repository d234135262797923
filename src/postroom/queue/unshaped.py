"""The shaper of those who shape nothing: everything may go, within the settings' number of connections."""

from collections.abc import Iterable

from postroom.mail.delivery import Outcome, RouteKind, Site
from postroom.queue.carrier import Grant, Wait

_HERE = frozenset({RouteKind.MAILBOX, RouteKind.MAILDIR, RouteKind.COMMAND, RouteKind.DISCARD})

_GRANT = Grant()


class Unshaped:
    """``concurrency`` is the limit for what stays in the house, ``per_site`` that of each site."""

    def __init__(self, *, concurrency: int, per_site: int) -> None:
        self._concurrency = concurrency
        self._per_site = min(per_site, concurrency)

    def limit(self, site: Site) -> int:
        """How many requests may be under way at the site at once."""
        return self._concurrency if site.kind in _HERE else self._per_site

    def together(self, site: Site) -> int:
        """As many as there are."""
        return 0

    def ask(self, site: Site, recipients: int, now: float) -> Grant | Wait:
        """Leave, always."""
        return _GRANT

    def note(self, site: Site, grant: Grant, outcomes: Iterable[Outcome], now: float) -> None:
        """Learns nothing."""

    def flush(self) -> None:
        """Knows of nothing blocked."""
