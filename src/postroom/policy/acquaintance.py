"""From where each account has been logged in to: such an address gets in while the account is locked for others."""

from collections.abc import Sequence

from postroom.directory.cache import LruCache
from postroom.policy.store import ACQUAINTED, Acquaintance

MOST_OF_ONE = 32
"""Networks that one account knows; the one that was seen longest ago makes room."""

_KEPT = 100_000  # networks of all accounts together
_WRITTEN_EVERY = 86400.0  # seconds after which it is written again that a network was seen


class Acquaintances:
    """Networks by account key. Times are seconds since the Unix epoch."""

    def __init__(self, limit: int = _KEPT) -> None:
        self._networks: LruCache[str, dict[str, float]] = LruCache(limit)
        self._changed: set[tuple[str, str]] = set()

    def knows(self, account: str, network: str, now: float) -> bool:
        """Whether the account was logged in to from there."""
        networks = self._networks.get(account)
        return networks is not None and networks.get(network, 0.0) + ACQUAINTED > now

    def meet(self, account: str, network: str, now: float) -> None:
        """It was, just now."""
        networks = self._networks.get(account) or {}
        if now - networks.get(network, 0.0) < _WRITTEN_EVERY:
            return
        self._add(networks, account, network, now)
        self._changed.add((account, network))

    def changed(self) -> tuple[Acquaintance, ...]:
        """What has changed since this was last asked, for the store."""
        pairs, self._changed = self._changed, set()
        found = []
        for account, network in pairs:
            networks = self._networks.get(account)
            if networks is not None and network in networks:
                found.append(Acquaintance(account, network, networks[network]))
        return tuple(found)

    def restore(self, rows: Sequence[Acquaintance]) -> None:
        """Take back what ``changed`` gave."""
        for row in sorted(rows, key=lambda one: one.seen_at):
            self._add(self._networks.get(row.account) or {}, row.account, row.network, row.seen_at)

    def save_again(self, rows: Sequence[Acquaintance]) -> None:
        """These could not be written."""
        self._changed.update([(row.account, row.network) for row in rows])

    def _add(self, networks: dict[str, float], account: str, network: str, now: float) -> None:
        networks.pop(network, None)
        while len(networks) >= MOST_OF_ONE:
            del networks[next(iter(networks))]
        networks[network] = now
        self._networks.put(account, networks, weight=len(networks))
