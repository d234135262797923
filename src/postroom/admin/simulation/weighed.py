"""A shaper that is asked once for what stands for several, and then has the others pass before the next one goes.

So rates and learning meet as many requests as the real queue would make, in the order of time.
"""

from collections.abc import Callable, Iterable, Mapping

from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.mail.delivery import Delivered, Outcome, Site
from postroom.queue.carrier import Grant, Shaper, Wait
from postroom.queue.unshaped import Unshaped
from postroom.report.reporter import Reporter

MakeShaper = Callable[[Settings, Clock, Reporter], Shaper]
"""Makes the shaper that a node has under these settings."""

_MOST_ASKED = 300_000
"""Requests that pass for others at most in one simulation; from then on each stands for itself."""


def unshaped(settings: Settings, _: Clock, __: Reporter) -> Shaper:
    """Nothing but the settings' numbers of connections."""
    return Unshaped(concurrency=settings.outbound.concurrency, per_site=settings.outbound.concurrency_per_site)


class Weighed:
    """Stands before ``inner``. ``weights`` says by the key of a site for how many each request there stands."""

    def __init__(self, inner: Shaper, weights: Mapping[str, float]) -> None:
        self._inner = inner
        self._weights = weights
        self._owed: dict[str, float] = {}
        self._last: dict[str, tuple[Outcome, ...]] = {}
        self._left = _MOST_ASKED

    def limit(self, site: Site) -> int:
        """As the shaper has it."""
        return self._inner.limit(site)

    def together(self, site: Site) -> int:
        """As the shaper has it."""
        return self._inner.together(site)

    def ask(self, site: Site, recipients: int, now: float) -> Grant | Wait:
        """Leave for the next, once the shaper has given leave to all for whom the last ones stood."""
        while self._left and self._owed.get(site.key, 0.0) >= 1.0:
            answer = self._inner.ask(site, recipients, now)
            if isinstance(answer, Wait):
                return answer
            self._left -= 1
            self._owed[site.key] -= 1.0
            self._inner.note(site, answer, self._last[site.key], now)
        return self._inner.ask(site, recipients, now)

    def note(self, site: Site, grant: Grant, outcomes: Iterable[Outcome], now: float) -> None:
        """Learn. What was delivered once was delivered for all; what was not is known after one."""
        learned = tuple(outcomes)
        self._inner.note(site, grant, learned, now)
        if learned and all(isinstance(outcome, Delivered) for outcome in learned):
            self._last[site.key] = learned
            self._owed[site.key] = self._owed.get(site.key, 0.0) + self._weights.get(site.key, 1.0) - 1.0

    def flush(self) -> None:
        """Nobody does."""
        self._inner.flush()
