"""Keeps what the DNS said as long as it said (RFC 1035 §3.2.1, RFC 2308 §5); asks each question once at a time."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from postroom.clock import Clock
from postroom.dns.resolver import (
    Answer,
    CaaRecord,
    Existence,
    Family,
    InspectingResolver,
    MxRecord,
    SrvRecord,
    TlsaRecord,
    plain_name,
)
from postroom.mail.trouble import ResolverUnavailable

Record = TypeVar("Record")

_Key = tuple[str, str]

MAX_TTL = 86400.0  # seconds; RFC 8767 §4 caps TTLs for the sake of mistakes, a day is what resolvers use
MAX_NEGATIVE_TTL = 3600.0  # RFC 2308 §5: one to three hours work well
MAX_OCTETS = 16 * 1024
"""Of an answer that is kept. Honest ones have some hundred; the DNS carries 64 KiB, and any stranger could fill the
memory with thousands of those.
"""
_RECORD = 64  # octets of a record besides its text
FAILURE_TTL = 5.0  # RFC 9520 §3.2: failures are kept for at least one second, and for five minutes at most


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer or the failure to get one, until a moment of the monotonic clock."""

    answer: Answer[Any] | ResolverUnavailable
    until: float


class CachingResolver:
    """A resolver in front of another. Keeps at most ``size`` answers, the least recently used go first.

    An answer that is kept is given without suspending. Whoever asks what is being asked already waits for that answer.
    """

    def __init__(self, resolver: InspectingResolver, clock: Clock, size: int = 10000) -> None:
        self._resolver = resolver
        self._clock = clock
        self._size = size
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._asking: dict[_Key, asyncio.Task[Answer[Any]]] = {}

    async def mx(self, domain: str) -> Answer[MxRecord]:
        """The MX records, in no particular order."""
        name = plain_name(domain)
        return await self._ask(("MX", name), lambda: self._resolver.mx(name))

    async def addresses(self, host: str, family: Family) -> Answer[str]:
        """The addresses of one family as text."""
        name = plain_name(host)
        return await self._ask((family.value, name), lambda: self._resolver.addresses(name, family))

    async def txt(self, name: str) -> Answer[bytes]:
        """The TXT records, the strings of each joined."""
        plain = plain_name(name)
        return await self._ask(("TXT", plain), lambda: self._resolver.txt(plain))

    async def tlsa(self, name: str) -> Answer[TlsaRecord]:
        """The TLSA records."""
        plain = plain_name(name)
        return await self._ask(("TLSA", plain), lambda: self._resolver.tlsa(plain))

    async def cname(self, name: str) -> Answer[str]:
        """The name that ``name`` itself is an alias of."""
        plain = plain_name(name)
        return await self._ask(("CNAME", plain), lambda: self._resolver.cname(plain))

    async def ptr(self, address: str) -> Answer[str]:
        """The names that an address points back to."""
        return await self._ask(("PTR", address), lambda: self._resolver.ptr(address))

    async def srv(self, name: str) -> Answer[SrvRecord]:
        """The SRV records."""
        plain = plain_name(name)
        return await self._ask(("SRV", plain), lambda: self._resolver.srv(plain))

    async def caa(self, name: str) -> Answer[CaaRecord]:
        """The CAA records at the name itself."""
        plain = plain_name(name)
        return await self._ask(("CAA", plain), lambda: self._resolver.caa(plain))

    async def ns(self, name: str) -> Answer[str]:
        """The name servers of a zone."""
        plain = plain_name(name)
        return await self._ask(("NS", plain), lambda: self._resolver.ns(plain))

    async def answers_unchecked(self, name: str) -> bool:
        """Asked anew each time: a diagnosis must not be old."""
        return await self._resolver.answers_unchecked(name)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)

    async def _ask(self, key: _Key, ask: Callable[[], Awaitable[Answer[Record]]]) -> Answer[Record]:
        kept = self._kept.get(key)
        if kept is not None:
            if kept.until > self._clock.monotonic():
                self._kept.move_to_end(key)
                if isinstance(kept.answer, ResolverUnavailable):
                    raise ResolverUnavailable(str(kept.answer))
                return kept.answer
            del self._kept[key]
        task = self._asking.get(key)
        if task is None:
            # A task of its own: the first to ask may be cancelled, and the others still want to know.
            task = asyncio.create_task(self._fetch(key, ask))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asked(key, done))
        return await asyncio.shield(task)

    async def _fetch(self, key: _Key, ask: Callable[[], Awaitable[Answer[Record]]]) -> Answer[Record]:
        try:
            answer = await ask()
        except ResolverUnavailable as failure:
            self._keep(key, failure, FAILURE_TTL)
            raise
        limit = MAX_TTL if answer.existence is Existence.FOUND else MAX_NEGATIVE_TTL
        self._keep(key, answer, min(answer.ttl, limit))
        return answer

    def _keep(self, key: _Key, answer: Answer[Any] | ResolverUnavailable, ttl: float) -> None:
        if ttl <= 0 or not self._size:  # RFC 1035 §3.2.1: zero is for the transaction in progress
            return
        if isinstance(answer, Answer) and octets_of(answer) > MAX_OCTETS:
            return
        self._kept[key] = _Kept(answer, self._clock.monotonic() + ttl)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def _asked(self, key: _Key, done: asyncio.Task[Answer[Any]]) -> None:
        del self._asking[key]
        if not done.cancelled():
            done.exception()  # seen, even if everybody who asked has gone


def octets_of(answer: Answer[Any]) -> int:
    """About what the records of an answer take in memory."""
    return sum([_RECORD + len(record) if isinstance(record, bytes | str) else 2 * _RECORD for record in answer.records])
