"""How often logins failed lately, by address and by account; a sliding window in bounded memory."""

from ipaddress import IPv6Address

from postroom.directory.cache import LruCache
from postroom.mail.value import value

WINDOW = 900.0  # seconds
_KEPT = 50_000


@value(frozen=True, slots=True)
class _Tally:
    """Failures in the window that runs, by number, and in the one before it."""

    window: int
    now: int
    before: int


class FailureCounts:
    """Counts by any key. The count slides: the window before fades out while the new one fills."""

    def __init__(self, *, window: float = WINDOW, limit: int = _KEPT) -> None:
        self._window = window
        self._tallies: LruCache[str, _Tally] = LruCache(limit)

    def add(self, key: str, now: float) -> int:
        """One more failure at ``now`` (monotonic seconds). Returns those of the last window, this one included."""
        window = int(now // self._window)
        tally = self._tallies.get(key)
        if tally is None or tally.window < window - 1:
            tally = _Tally(window, 0, 0)
        elif tally.window == window - 1:
            tally = _Tally(window, 0, tally.now)
        tally = _Tally(window, tally.now + 1, tally.before)
        self._tallies.put(key, tally)
        fading = 1 - (now % self._window) / self._window
        return tally.now + int(tally.before * fading)

    def __len__(self) -> int:
        return len(self._tallies)


def network_of(address: str) -> str:
    """What an address counts as: itself for IPv4; its /64 for IPv6, which is what one customer has."""
    if ":" not in address:
        return address
    try:
        packed = IPv6Address(address.partition("%")[0]).packed
    except ValueError:
        return address
    return f"{IPv6Address(packed[:8] + bytes(8))}/64"
