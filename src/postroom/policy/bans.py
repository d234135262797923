"""Who is shut out: addresses, networks and accounts, until when; and who was lately, because the next ban is longer.

Bounded: where there is no room, bans that are over go first, then those that end soonest.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from postroom.policy.store import REMEMBERED, Ban

ADDRESS = "address"
ACCOUNT = "account"

_KEPT = 100_000
_EVICTED = 10  # a full table loses one in so many at once
_SAME = 0.001  # seconds: databases round times
_HOST_BITS = {4: 32, 6: 64}  # a single address, or what one customer has

Key = tuple[str, str]


class BanTable:
    """The bans by (scope, subject). Subjects of scope address are as ``subject_of`` writes them."""

    def __init__(self, limit: int = _KEPT) -> None:
        self._limit = limit
        self._bans: dict[Key, Ban] = {}
        self._wide: dict[tuple[int, int], dict[int, Ban]] = {}  # operators' networks, by version and prefix length

    def __len__(self) -> int:
        return len(self._bans)

    def put(self, ban: Ban, now: float) -> None:
        """Keep a ban, instead of an older one of the same subject."""
        key = (ban.scope, ban.subject)
        if key not in self._bans and len(self._bans) >= self._limit:
            self._make_room(now)
        self._bans[key] = ban
        network = _wide_network(ban)
        if network is not None:
            bits = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
            self._wide.setdefault((network.version, network.prefixlen), {})[bits] = ban

    def get(self, scope: str, subject: str, now: float) -> Ban | None:
        """The ban of exactly this subject, if it holds."""
        ban = self._bans.get((scope, subject))
        return ban if ban is not None and ban.holds(now) else None

    def over_address(self, address: str, subject: str, now: float) -> Ban | None:
        """The ban that shuts out ``address``, whose own subject is ``subject``."""
        if not self._bans:
            return None
        ban = self.get(ADDRESS, subject, now)
        if ban is None and self._wide:
            ban = self._over_networks(address, now)
        return ban

    def repeats(self, scope: str, subject: str, now: float) -> int:
        """How many bans of the subject came within a day of each other, up to now; a lifted one counts for nothing."""
        last = self._bans.get((scope, subject))
        if last is None or last.lifted_by or last.until + REMEMBERED <= now:
            return 0
        return last.repeats + 1

    def holding(self, now: float) -> int:
        """How many subjects are shut out now."""
        return sum([ban.holds(now) for ban in self._bans.values()])

    def replace(self, bans: Sequence[Ban], now: float) -> tuple[list[Ban], list[Ban]]:
        """Take over what the store says. Returns the bans that are new, and those that were ended early."""
        before = self._bans
        self._bans, self._wide = {}, {}
        for ban in bans:
            self.put(ban, now)
        begun = [ban for key, ban in self._bans.items() if ban.holds(now) and not _held(before.get(key), ban, now)]
        lifted = [
            self._bans.get(key, ban) for key, ban in before.items() if ban.holds(now) and not self._holds(key, now)
        ]
        return begun, lifted

    def known(self, keys: Iterable[Key]) -> tuple[Ban, ...]:
        """The bans of these keys, as far as they are kept."""
        return tuple([self._bans[key] for key in keys if key in self._bans])

    def _holds(self, key: Key, now: float) -> bool:
        ban = self._bans.get(key)
        return ban is not None and ban.holds(now)

    def _over_networks(self, address: str, now: float) -> Ban | None:
        try:
            parsed = ip_address(address)
        except ValueError:
            return None
        number = int(parsed)
        for (version, length), bans in self._wide.items():
            if version == parsed.version:
                ban = bans.get(number >> (parsed.max_prefixlen - length))
                if ban is not None and ban.holds(now):
                    return ban
        return None

    def _make_room(self, now: float) -> None:
        kept = [ban for ban in self._bans.values() if ban.holds(now)]
        if len(kept) >= self._limit:
            kept.sort(key=lambda ban: ban.until)
            kept = kept[self._limit // _EVICTED + 1 :]
        self._bans, self._wide = {}, {}
        for ban in kept:
            self.put(ban, now)


def subject_of(text: str) -> str:
    """How the subject of an address or network is written: an IPv6 address as its /64. ValueError if it is neither."""
    network = ip_network(text.strip(), strict=False)
    most = _HOST_BITS[network.version]
    if network.prefixlen > most:
        network = network.supernet(new_prefix=most)
    return str(network.network_address) if network.prefixlen == 32 and network.version == 4 else str(network)


def _held(before: Ban | None, ban: Ban, now: float) -> bool:
    """Whether the ban was known to hold already."""
    return before is not None and before.holds(now) and abs(before.since - ban.since) < _SAME


def _wide_network(ban: Ban) -> IPv4Network | IPv6Network | None:
    """The network of a ban that shuts out more than one client; None for one that is found by its subject."""
    if ban.scope != ADDRESS or "/" not in ban.subject:
        return None
    try:
        network = ip_network(ban.subject)
    except ValueError:
        return None
    return network if network.prefixlen < _HOST_BITS[network.version] else None
