"""Keeps what guards the door beyond the process: reads it at the start, writes behind, follows operators' changes.

What kill -9 can take is what was counted since the last tick, about a second.
"""

from postroom.clock import Clock
from postroom.mail.trouble import StoreUnavailable
from postroom.policy.limiting import Limiter
from postroom.policy.lockout import Lockout
from postroom.policy.store import GuardRecord, GuardStore

FORGET_SECONDS = 600.0
"""How often rows that count no more are removed from the store."""


class GuardKeeper:
    """Between the store and those who count in memory. ``tick`` is for twice a second or so, ``flush`` for the end."""

    def __init__(self, store: GuardStore, limiter: Limiter, lockout: Lockout, clock: Clock) -> None:
        self._store = store
        self._limiter = limiter
        self._lockout = lockout
        self._clock = clock
        self._generation: int | None = None
        self._forget_at = 0.0

    async def start(self) -> None:
        """Before the first session: take up what an earlier process counted. Raises StoreUnavailable."""
        self._generation = await self._store.generation()
        self._limiter.set_account_limits(await self._store.account_limits())
        record = await self._store.load(self._clock.now())
        self._limiter.restore(record)
        self._lockout.restore(record)
        self._forget_at = self._clock.monotonic() + FORGET_SECONDS

    async def tick(self) -> None:
        """Write what changed, then take over what operators changed. StoreUnavailable leaves both for the next time."""
        await self.flush()
        generation = await self._store.generation()
        if generation != self._generation:
            self._limiter.set_account_limits(await self._store.account_limits())
            self._lockout.take_over(await self._store.bans(self._clock.now()))
            self._generation = generation
        if self._clock.monotonic() >= self._forget_at:
            self._forget_at = self._clock.monotonic() + FORGET_SECONDS
            await self._store.forget(self._clock.now())

    async def flush(self) -> None:
        """Write what changed since the last time; what cannot be written stays for the next."""
        guarded = self._lockout.changed()
        record = GuardRecord(self._limiter.changed(), guarded.failures, guarded.bans, guarded.acquaintances)
        if not len(record):
            return
        try:
            await self._store.save(record)
        except StoreUnavailable:
            self._limiter.save_again(record.standings)
            self._lockout.save_again(record)
            raise
