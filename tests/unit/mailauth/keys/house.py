"""A keeper, its store and a zone, over a clock that the test moves."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.dkim_store import MemoryDkimStore
from tests.fakes.hand_clock import HandClock
from tests.fakes.lagging_zone import LaggingZone, ZoneCache, ZoneServers
from tests.fakes.letters import NOON

from postroom.mailauth.dkim.signingkey import Algorithm, SigningKey, key_record, make_key
from postroom.mailauth.keys.keeping import KeyKeeper
from postroom.mailauth.keys.lifecycle import signers
from postroom.mailauth.keys.making import Made
from postroom.mailauth.keys.model import KeyPair, KeyState, LifeRules
from postroom.mailauth.keys.ring import KeyRing
from postroom.mailauth.keys.sealing import Sealer
from postroom.mailauth.keys.watching import DnsWatcher
from postroom.report.events import Report
from postroom.report.reporter import Reporter

HOUR = 3600.0
DAY = 86400.0
DOMAIN = "example.org"
RULES = LifeRules(wait=HOUR, keep=7 * DAY, rotate=180 * DAY)


async def make_quickly(algorithm: str) -> Made:
    """A pair whose record can be read; every one is of Ed25519, as RSA takes long."""
    record = key_record(SigningKey("", "", Algorithm.ED25519, make_key(Algorithm.ED25519)))
    return Made(algorithm, b"private " + record.encode(), record)


@dataclass
class KeyHouse:
    """``tick`` goes on as a server would; ``restart`` forgets what only the process knew."""

    rules: LifeRules = RULES
    lags: tuple[float, ...] = (0.0,)
    publishes: bool = True
    domains: list[str] = field(default_factory=lambda: [DOMAIN])
    is_watched: Callable[[str], bool] = lambda _: True
    told: list[Report] = field(default_factory=list)
    store: MemoryDkimStore = field(default_factory=MemoryDkimStore)
    clock: HandClock = field(default_factory=lambda: HandClock(NOON))

    def __post_init__(self) -> None:
        self.zone = LaggingZone(self.clock, self.lags)
        self._chance = random.Random(1)
        self.restart()

    def restart(self) -> None:
        reporter = Reporter([self.told.append])
        self.keeper = KeyKeeper(
            self.rules,
            store=self.store,
            sealer=Sealer(),
            watcher=DnsWatcher(ZoneCache(self.zone), ZoneServers(self.zone)),
            publisher=self.zone if self.publishes else None,
            domains=self._domains,
            clock=self.clock,
            reporter=reporter,
            is_watched=self.is_watched,
            make=make_quickly,
            choose=self._chance.choice,
        )
        self.ring: KeyRing[KeyPair] = KeyRing(self.store, Sealer(), lambda pair, _: pair, reporter)

    async def _domains(self) -> list[str]:
        return self.domains

    async def tick(self) -> None:
        await self.keeper.tick()
        await self.ring.refresh()

    async def run(self, seconds: float, step: float = 60.0) -> None:
        """Let time pass, with a round every ``step`` seconds."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            await self.tick()

    def keys(self, *states: KeyState, algorithm: str = "") -> list[KeyPair]:
        """Those of these states (all: any), oldest first."""
        found = [key for key in self.store.pairs.values() if not states or key.state in states]
        return sorted([key for key in found if algorithm in ("", key.algorithm)], key=lambda key: key.made_at)

    def signing(self, domain: str = DOMAIN) -> set[str]:
        """The selectors that sign, as the ring of the server has them."""
        return {key.selector for key in self.ring.keys_for(domain)}

    def signers(self) -> tuple[KeyPair, ...]:
        return signers(self.keys())

    def publish_all(self) -> None:
        """What an operator does by hand: every record that should be there is put into the zone."""
        for key in self.keys():
            if key.state not in (KeyState.REMOVABLE, KeyState.WITHDRAWN):
                self.zone.put(key.name, f'"{key.record}"')

    def unseen_signers(self) -> list[str]:
        """Keys that sign although some server of the zone does not have their record: there must never be one."""
        return [
            f"{key.name} at server {server}"
            for key in self.ring.keys_for(DOMAIN)
            for server in range(len(self.zone.lags))
            if self.zone.at(server, key.name) != (key.record.encode(),)
        ]
