"""Leads every key through its life: makes, publishes, looks, switches, retires, withdraws, and asks the operator."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace

from postroom.clock import Clock
from postroom.mail.value import value
from postroom.mailauth.keys.lifecycle import (
    REMIND,
    activated,
    due,
    given_up,
    look_every,
    looked,
    published,
    retired,
    signers,
    wants_attention,
    withdrawn,
)
from postroom.mailauth.keys.making import Made, make_pair, new_selector
from postroom.mailauth.keys.model import By, KeyName, KeyPair, KeyState, LifeRules, Look, Order, Sight, name_of
from postroom.mailauth.keys.record import zone_text
from postroom.mailauth.keys.sealing import Sealer
from postroom.mailauth.keys.store import DkimKeyStore, NewKey
from postroom.mailauth.keys.watching import Watcher
from postroom.mailauth.publishing import Publisher, PublishFailed, ZoneRecord
from postroom.report.keys import DkimKeyChanged, DkimKeyWaits, DkimTrouble
from postroom.report.reporter import Reporter

MOST_LOOKS = 200
"""Records that are looked for in one round."""
AT_ONCE = 10
MOST_MADE = 10
"""Keys that are made in one round: an RSA key takes a tenth of a second of CPU."""
TRY_AGAIN = 300.0
"""Seconds after which a zone is tried again that could not be changed."""
RECORD_TTL = 3600

_Keys = dict[KeyName, KeyPair]


@value(frozen=True, slots=True)
class KeyStanding:
    """How the keys stood after a round: for metrics."""

    by_state: Mapping[str, int]
    unsigned: int
    oldest: float


async def make_in_thread(algorithm: str) -> Made:
    """A new key pair, made beside the loop."""
    return await asyncio.to_thread(make_pair, algorithm)


async def begin_key(
    store: DkimKeyStore,
    sealer: Sealer,
    domain: str,
    algorithm: str,
    now: float,
    *,
    make: Callable[[str], Awaitable[Made]] = make_in_thread,
    choose: Callable[[str], str] = secrets.choice,
) -> KeyPair | None:
    """A new key of a domain, in the store; None where another waits already. Raises StoreUnavailable."""
    made = await make(algorithm)
    pair = KeyPair(domain, new_selector(algorithm, now, choose), algorithm, made.record, now)
    return pair if await store.begin(NewKey(pair, sealer.seal(name_of(pair), made.private))) else None


class KeyKeeper:
    """One for each node; ``tick`` is to be called every minute. Several nodes do no harm to one another.

    ``domains`` gives those that are to have keys. ``is_watched`` says of which the DNS can know anything at all.
    """

    def __init__(
        self,
        rules: LifeRules,
        *,
        store: DkimKeyStore,
        sealer: Sealer,
        watcher: Watcher,
        publisher: Publisher | None,
        domains: Callable[[], Awaitable[Collection[str]]],
        clock: Clock,
        reporter: Reporter,
        is_watched: Callable[[str], bool] = lambda _: True,
        make: Callable[[str], Awaitable[Made]] = make_in_thread,
        choose: Callable[[str], str] = secrets.choice,
    ) -> None:
        self._rules = rules
        self._store = store
        self._sealer = sealer
        self._watcher = watcher
        self._publisher = publisher
        self._domains = domains
        self._clock = clock
        self._tell = reporter.tell
        self._is_watched = is_watched
        self._make = make
        self._choose = choose
        self._looks: dict[KeyName, tuple[float, Sight]] = {}  # when, by the monotonic clock, and what was found
        self._tries: dict[KeyName, float] = {}  # when a zone is tried again
        self._told: dict[KeyName, float] = {}  # when it was last told that it could not be changed
        self._may_make = 0
        self.standing = KeyStanding({}, 0, 0.0)

    async def tick(self) -> None:
        """One round. Raises StoreUnavailable; what was not written is found out again the next time."""
        keys = {name_of(key): key for key in await self._store.keys()}
        await self._look(keys)
        self._may_make = MOST_MADE
        wanted = [domain for domain in await self._domains() if self._is_watched(domain)]
        for domain in dict.fromkeys((*wanted, *(domain for domain, _ in keys))):
            await self._live(domain, keys, wanted=domain in wanted)
        await self._ask(keys)
        self._forget(keys)
        self.standing = self._stand(keys, wanted)

    # Looking -----------------------------------------------------------------------

    async def _look(self, keys: _Keys) -> None:
        """Look for the records that are due; where one is gone that signs, also for those that could take its place."""
        waiting = sorted([key for key in keys.values() if self._is_due(key)], key=self._last_look)[:MOST_LOOKS]
        shaken = await self._look_at(waiting, keys)
        if shaken:
            rest = [key for key in keys.values() if key.domain in shaken and key not in waiting]
            await self._look_at([key for key in rest if key.active_at is not None and key.may_sign], keys)

    def _is_due(self, key: KeyPair) -> bool:
        if key.state is KeyState.WITHDRAWN or key.order is Order.SIGN or not self._is_watched(key.domain):
            return False
        known = self._looks.get(name_of(key))
        if known is None:
            return True
        return self._clock.monotonic() - known[0] >= look_every(key, self._clock.now()) - 1

    def _last_look(self, key: KeyPair) -> float:
        known = self._looks.get(name_of(key))
        return float("-inf") if known is None else known[0]

    async def _look_at(self, wanted: Sequence[KeyPair], keys: _Keys) -> set[str]:
        """Take up what the looks found. Returns the domains a key of which could sign, and now cannot."""
        places = asyncio.Semaphore(AT_ONCE)

        async def look(key: KeyPair) -> Look:
            async with places:
                return await self._watcher.look(key)

        looks = await asyncio.gather(*[look(key) for key in wanted])
        moment, now = self._clock.monotonic(), self._clock.now()
        changed: list[tuple[KeyPair, KeyPair]] = []
        for key, found in zip(wanted, looks, strict=True):
            self._looks[name_of(key)] = (moment, found.sight)
            after = looked(key, found, now)
            if after != key:
                changed.append((key, after))
        await self._save([after for _, after in changed], keys)
        return {key.domain for key, after in changed if key.may_sign and not after.may_sign}

    # Acting ------------------------------------------------------------------------

    async def _live(self, domain: str, keys: _Keys, *, wanted: bool) -> None:
        """What is due for one domain, in the order of ``lifecycle.Due``."""
        now = self._clock.now()
        steps = due([key for key in keys.values() if key.domain == domain], now, self._rules, wanted=wanted)
        for algorithm in steps.make[: self._may_make]:
            self._may_make -= 1
            begun = await begin_key(
                self._store, self._sealer, domain, algorithm, now, make=self._make, choose=self._choose
            )
            if begun is not None:
                keys[name_of(begun)] = begun
                self._tell_step(begun)
                await self._publish(begun, keys)
        switch = [activated(key, now) for key in steps.activate] + [retired(key, now) for key in steps.retire]
        await self._save(switch, keys)
        await self._save([given_up(key) for key in steps.give_up], keys)
        if not self._is_watched(domain):
            return
        for key in steps.publish:
            await self._publish(key, keys)
        for key in steps.withdraw:
            await self._withdraw(key, keys)

    async def _publish(self, key: KeyPair, keys: _Keys) -> None:
        """Put a record into the zone, or leave it to the operator."""
        now = self._clock.now()
        if self._publisher is None or not self._publisher.covers(key.name):
            if key.state is KeyState.MADE:
                await self._save([replace(published(key, now), by=By.HAND)], keys)
        elif self._may_put(key) and await self._change(key, self._publisher, add=True):
            await self._save([replace(published(key, now), by=By.UPDATE)], keys)

    def _may_put(self, key: KeyPair) -> bool:
        """A new record always; one that was there only where nothing else stands in its place."""
        known = self._looks.get(name_of(key))
        return key.state is KeyState.MADE or (known is not None and known[1] is Sight.ABSENT)

    async def _withdraw(self, key: KeyPair, keys: _Keys) -> None:
        """Take a record out of the zone that we put there; another is the operator's, and a look will tell."""
        if key.by is not By.UPDATE or self._publisher is None or not self._publisher.covers(key.name):
            return
        if await self._change(key, self._publisher, add=False):
            await self._save([withdrawn(key, self._clock.now())], keys)

    async def _change(self, key: KeyPair, publisher: Publisher, *, add: bool) -> bool:
        """Whether the zone was changed; where it could not be, that is told, and it is tried again in a while."""
        name, moment = name_of(key), self._clock.monotonic()
        if self._tries.get(name, float("-inf")) > moment:
            return False
        record = ZoneRecord(key.name, "TXT", zone_text(key.record), RECORD_TTL)
        try:
            if add:
                await publisher.change([record])
            else:
                await publisher.change([], [record])
        except PublishFailed as error:
            self._tries[name] = moment + TRY_AGAIN
            if moment - self._told.get(name, float("-inf")) >= REMIND:
                self._told[name] = moment
                what = "put in" if add else "taken out"
                self._tell(DkimTrouble(key.domain, key.selector, f"{key.name} could not be {what}: {error}"))
            return False
        self._tries.pop(name, None)
        self._told.pop(name, None)
        return True

    # Telling -----------------------------------------------------------------------

    async def _ask(self, keys: _Keys) -> None:
        """Ask the operator for what only he can do."""
        now = self._clock.now()
        asked = [key for key in keys.values() if self._is_watched(key.domain) and wants_attention(key, now)]
        for key in asked:
            self._tell(DkimKeyWaits(key.domain, key.selector, key.name, _wanted_of(key), key.trouble))
        await self._save([replace(key, told_at=now) for key in asked], keys)

    async def _save(self, after: Sequence[KeyPair], keys: _Keys) -> None:
        """Write new standings, and tell the steps; what somebody else has changed meanwhile must wait."""
        for key, saved in zip(after, await self._store.save(after), strict=True):
            before = keys.pop(name_of(key), None)
            if saved:
                keys[name_of(key)] = replace(key, version=key.version + 1)
                if before is not None and before.state is not key.state:
                    self._tell_step(key)

    def _tell_step(self, key: KeyPair) -> None:
        self._tell(DkimKeyChanged(key.domain, key.selector, key.algorithm, key.state.value, key.name, key.trouble))

    def _forget(self, keys: _Keys) -> None:
        """What is remembered of keys that live no more."""
        living = {name for name, key in keys.items() if key.state is not KeyState.WITHDRAWN}
        self._looks = {name: look for name, look in self._looks.items() if name in living}
        self._tries = {name: at for name, at in self._tries.items() if name in living}
        self._told = {name: at for name, at in self._told.items() if name in living}

    def _stand(self, keys: _Keys, wanted: Sequence[str]) -> KeyStanding:
        by_state: dict[str, int] = {}
        by_domain: dict[str, list[KeyPair]] = {}
        for key in keys.values():
            by_state[key.state.value] = by_state.get(key.state.value, 0) + 1
            by_domain.setdefault(key.domain, []).append(key)
        unsigned = sum(not signers(by_domain.get(domain, ())) for domain in wanted)
        since = [key.active_at for key in keys.values() if key.state is KeyState.ACTIVE and key.active_at is not None]
        return KeyStanding(by_state, unsigned, max(self._clock.now() - min(since), 0.0) if since else 0.0)


def _wanted_of(key: KeyPair) -> str:
    if key.state is KeyState.REMOVABLE:
        return "remove"
    return "mend" if key.active_at is not None else "publish"
