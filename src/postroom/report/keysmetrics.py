"""Numbers of the signing keys, for ``metrics``. Labels come from closed sets: no domain is one."""

from collections.abc import Callable, Mapping

from postroom.report.events import Report
from postroom.report.families import Counter, Gauge, Histogram
from postroom.report.keys import DkimKeyChanged, DkimKeyWaits, DkimTrouble

_STATES = ("made", "published", "seen", "active", "retired", "removable")


class KeyMetrics:
    """The families, and a handler for each report."""

    def __init__(self) -> None:
        self._steps = Counter("dkim_key_steps", "Signing keys that came to a state of their life.", "state")
        self._asked = Counter("dkim_operator_asked", "Times that the operator was asked to change a zone.", "what")
        self._troubles = Counter("dkim_troubles", "Zones that could not be changed, keys that could not be used.")
        self._keys = Gauge("dkim_keys", "Signing keys, by the state of their life.", "state")
        self._unsigned = Gauge("dkim_domains_unsigned", "Domains that are to be signed, and have no key that can.")
        self._oldest = Gauge("dkim_oldest_active_seconds", "For how long the oldest active key has signed.")
        self.handlers: dict[type[Report], Callable[..., None]] = {
            DkimKeyChanged: self._changed,
            DkimKeyWaits: self._waits,
            DkimTrouble: self._trouble,
        }

    @property
    def families(self) -> list[Counter | Gauge | Histogram]:
        """What Prometheus is shown."""
        return [self._steps, self._asked, self._troubles, self._keys, self._unsigned, self._oldest]

    def set_keys(self, *, by_state: Mapping[str, int], unsigned: int, oldest: float) -> None:
        """How the keys stand. Called now and then."""
        for state in _STATES:
            self._keys[state,] = by_state.get(state, 0)
        self._unsigned[()] = unsigned
        self._oldest[()] = oldest

    def _changed(self, report: DkimKeyChanged) -> None:
        self._steps[report.state,] += 1

    def _waits(self, report: DkimKeyWaits) -> None:
        self._asked[report.what,] += 1

    def _trouble(self, _: DkimTrouble) -> None:
        self._troubles[()] += 1
