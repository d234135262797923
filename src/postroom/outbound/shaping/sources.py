"""The source addresses, and in what shares the pools spread mail among them."""

from collections.abc import Sequence

from postroom.config.road import OutboundSettings
from postroom.config.sending import PoolSettings, SourceSettings
from postroom.mail.value import value


@value(frozen=True, slots=True)
class Source:
    """One source: its address of each family, ``""`` where it has none, and the name that it gives in EHLO.

    The one without a name is the system's choice, or what ``[outbound] source_addresses`` says. It has both families.
    """

    name: str
    ipv4: str = ""
    ipv6: str = ""
    hostname: str = ""

    def address_for(self, target: str) -> str | None:
        """The local address for a connection to ``target``; None: the system chooses."""
        return (self.ipv6 if ":" in target else self.ipv4) or None

    def reaches(self, target: str) -> bool:
        """Whether it has an address of the target's family."""
        return not self.name or bool(self.ipv6 if ":" in target else self.ipv4)


class Sources:
    """All sources by name. A pool that is not there is the unnamed source: the sense check says so before."""

    def __init__(
        self, sources: Sequence[SourceSettings], pools: Sequence[PoolSettings], outbound: OutboundSettings
    ) -> None:
        given = {":" in address: address for address in outbound.source_addresses}
        self.unnamed = Source("", given.get(False, ""), given.get(True, ""))
        self._named = {one.name: Source(one.name, one.ipv4, one.ipv6, one.hostname) for one in sources}
        self._pools: dict[str, tuple[tuple[str, int], ...]] = {name: ((name, 1),) for name in self._named}
        for pool in pools:
            weights = pool.weights or (1,) * len(pool.sources)
            shares = zip(pool.sources, weights, strict=False)
            self._pools[pool.name] = tuple([(name, share) for name, share in shares if name in self._named])

    @property
    def hostnames(self) -> dict[str, str]:
        """The names for EHLO of those addresses that have one of their own."""
        return {
            address: one.hostname
            for one in self._named.values()
            if one.hostname
            for address in (one.ipv4, one.ipv6)
            if address
        }

    def named(self, name: str) -> Source:
        """The source of that name."""
        return self._named.get(name, self.unnamed)

    def of_pool(self, pool: str) -> tuple[tuple[str, int], ...]:
        """Names and shares of a pool, or of one source; the unnamed one where there is none."""
        return self._pools.get(pool) or (("", 1),)
