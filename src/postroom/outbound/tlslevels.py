"""Remembers what TLS each MX host was met with, so that one that offers less is noticed. It is told, not forbidden."""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from postroom.clock import Clock
from postroom.outbound.tlsmet import TlsMet
from postroom.outbound.tlsstore import HostLevel, TlsLevel
from postroom.report.events import Report
from postroom.report.road import TlsDowngraded

FOR_A_WHILE = 86400.0
"""Seconds for which a host must have had a level before less is told: who comes and goes is not told each time."""

MAX_HOSTS = 50_000
"""Hosts in memory; the ones not met for longest go first."""

_NOTED_AGAIN = 3600.0  # seconds after which it is written that a host was met again

_ORDER = {TlsLevel.NONE: 0, TlsLevel.ENCRYPTED: 1, TlsLevel.VERIFIED: 2}


class TlsLevels:
    """The levels, in memory. ``load`` brings those that were kept, ``changed`` gives those that are to be kept."""

    def __init__(self, clock: Clock, tell: Callable[[Report], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._hosts: OrderedDict[str, HostLevel] = OrderedDict()
        self._changed: dict[str, HostLevel] = {}

    def load(self, levels: Iterable[HostLevel]) -> None:
        """What was kept by an earlier process."""
        for each in sorted(levels, key=lambda each: each.seen_at)[-MAX_HOSTS:]:
            self._hosts[each.host] = each

    def changed(self) -> tuple[HostLevel, ...]:
        """What has changed since this was asked last."""
        changed, self._changed = tuple(self._changed.values()), {}
        return changed

    def note(self, met: TlsMet) -> None:
        """A host was met. Certificates that nobody asked about say nothing against a host that was verified before."""
        host, level, now = met.peer.host, met.level, self._clock.now()
        if level is None:
            return
        known = self._hosts.get(host)
        if known is not None and level is TlsLevel.ENCRYPTED and not met.checked:
            level = known.level if known.level is TlsLevel.VERIFIED else level
        if known is not None and known.level is level:
            if now - known.seen_at >= _NOTED_AGAIN:
                self._put(HostLevel(host, level, known.since, now))
            return
        if known is not None and _ORDER[level] < _ORDER[known.level] and now - known.since >= FOR_A_WHILE:
            self._tell(TlsDowngraded(met.site, host, known.level.value, level.value))
        self._put(HostLevel(host, level, now, now))

    def _put(self, level: HostLevel) -> None:
        self._hosts[level.host] = self._changed[level.host] = level
        self._hosts.move_to_end(level.host)
        if len(self._hosts) > MAX_HOSTS:
            self._hosts.popitem(last=False)
