"""Asks the sources about a password: bounded, each question once at a time, and strangers as long as those we know.

What was right is remembered for some minutes under a keyed hash that covers what the answer hangs on (the stored hash),
so that a changed password takes effect at once. What a source beyond our sight answers is not remembered.
"""

import asyncio
import hmac
import secrets
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from postroom.clock import Clock
from postroom.directory.cache import LruCache
from postroom.directory.checker import Unavailable
from postroom.directory.networks import network_of
from postroom.directory.sources.source import Claim, Source, SourceUnavailable
from postroom.mail.value import value

REMEMBERED = 300.0
"""Seconds for which a verified password need not be verified again."""

_KEPT = 10_000  # accounts whose password is remembered


@value(frozen=True, slots=True)
class Verified:
    """``right``: the password belongs to the account; ``source`` said so, ``""``: no source knows the account."""

    right: bool
    source: str = ""


_NOBODY = Verified(False)


class Verifying:
    """Questions to the sources, in order. At most ``waiting`` are open, ``waiting_per_address`` of one client."""

    def __init__(self, sources: Sequence[Source], clock: Clock, *, waiting: int, waiting_per_address: int) -> None:
        self._sources = sources
        self._clock = clock
        self._waiting = waiting
        self._waiting_per_address = waiting_per_address
        self._secret = secrets.token_bytes(32)
        self._remembered: LruCache[str, tuple[bytes, float, str]] = LruCache(_KEPT)  # proof, when it lapses, source
        self._running: dict[bytes, asyncio.Task[Verified | Unavailable]] = {}
        self._callers: Counter[str] = Counter()

    async def verify(self, claim: Claim, address: str, *, known: bool) -> Verified | Unavailable:
        """Whether the claim is true; for nobody (not ``known``) it is false, after as long as for somebody."""
        network, key = network_of(address), claim.address.key
        try:
            marks = [await source.mark(claim) for source in self._sources]
        except SourceUnavailable as error:
            return Unavailable(str(error))
        proof = self._proof("1" if known else "0", key, *[mark or "" for mark in marks], prepared=claim.prepared)
        found = self._remembered.get(key)
        if found is not None and found[1] > self._clock.monotonic() and hmac.compare_digest(found[0], proof):
            return Verified(True, found[2])
        if not self._has_room(network) and proof not in self._running:
            return Unavailable("too many logins are being checked")
        self._callers[network] += 1
        try:
            answer = await asyncio.shield(self._share(proof, claim, known=known))
        finally:
            self._callers[network] -= 1
            if not self._callers[network]:
                del self._callers[network]
        if isinstance(answer, Verified) and answer.right and self._may_remember(answer.source, marks):
            self._remembered.put(key, (proof, self._clock.monotonic() + REMEMBERED, answer.source))
        return answer

    async def close(self) -> None:
        """Give up what is being asked, and let go of the sources."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        for source in self._sources:
            await source.close()

    def _has_room(self, network: str) -> bool:
        return len(self._running) < self._waiting and self._callers[network] < self._waiting_per_address

    def _share(self, proof: bytes, claim: Claim, *, known: bool) -> "asyncio.Task[Verified | Unavailable]":
        """Those who ask the same at the same time share the answer."""
        running = self._running.get(proof)
        if running is None:
            running = asyncio.create_task(self._ask(claim, known=known), name="password")
            self._running[proof] = running
            running.add_done_callback(lambda _: self._running.pop(proof, None))
        return running

    async def _ask(self, claim: Claim, *, known: bool) -> Verified | Unavailable:
        try:
            return await self._ask_in_order(claim) if known else await self._imitate(claim)
        except SourceUnavailable as error:
            return Unavailable(str(error))

    async def _ask_in_order(self, claim: Claim) -> Verified:
        for source in self._sources:
            answer = await source.verify(claim)
            if answer is not None:
                return Verified(answer, source.name)
        return await self._imitate(claim)

    async def _imitate(self, claim: Claim) -> Verified:
        """Nobody is known to one of the sources, always the same one, so that where there are several the time does not
        tell who is known to none.
        """
        choice = self._proof("imitate", claim.address.key)
        await self._sources[choice[0] % len(self._sources)].imitate(claim)
        return _NOBODY

    def _may_remember(self, name: str, marks: Sequence[str | None]) -> bool:
        """Whether all that led to the answer of this source is in the marks."""
        names = [source.name for source in self._sources]
        return None not in marks[: names.index(name) + 1]

    def _proof(self, *texts: str, prepared: bytes = b"") -> bytes:
        """What only this process can make of them, and only with all of them."""
        digest = blake2b(key=self._secret, digest_size=32)
        for part in (*[text.encode("utf-8", "surrogatepass") for text in texts], prepared):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.digest()
