"""Where verifying gets its keys: asked of the DNS, read once for each text (RFC 6376 §3.6.2, §6.1.2)."""

import asyncio
from collections.abc import Iterable, Sequence
from functools import lru_cache

from postroom.dns.resolver import Resolver
from postroom.mail.trouble import ResolverUnavailable
from postroom.mail.value import value
from postroom.mailauth.dkim.keyrecord import MAX_RECORD, Key, UnusableKey, read_key
from postroom.mailauth.dkim.signature import key_name
from postroom.mailauth.model import Result

MAX_RECORDS = 4
"""Records of one selector that are tried; there should be one (RFC 6376 §3.6.2.2)."""
AT_ONCE = 12
"""Selectors of one message that are asked for at the same time: those of all signatures that are tried, and of the
newest ARC set, so that none waits for a slow one before it.
"""
KEYS_KEPT = 2000
"""Texts of records whose keys are kept: 10 MB if each is as long as may be."""


@value(frozen=True, slots=True)
class NoKey:
    """There is no key to verify with: TEMPERROR or PERMERROR, and why."""

    result: Result
    reason: str
    bits: int = 0
    testing: bool = False


Found = Sequence[Key] | NoKey
Place = tuple[str, str]
"""Selector and domain."""


class KeyFinder:
    """Finds the keys of selectors. Caching answers and asking once for many is the resolver's part."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._read = lru_cache(maxsize=KEYS_KEPT)(read_key)

    async def find_all(self, places: Iterable[Place], until: float) -> dict[Place, Found]:
        """The keys of many selectors, each asked for once, several at the same time; what is not known at ``until``, by
        the event loop's clock, is a TEMPERROR.
        """
        wanted = list(dict.fromkeys(places))
        found: dict[Place, Found] = {}
        for at in range(0, len(wanted), AT_ONCE):
            some = wanted[at : at + AT_ONCE]
            if len(some) == 1:
                found[some[0]] = await self.find(*some[0], until)
            else:
                found.update(
                    zip(some, await asyncio.gather(*[self.find(*place, until) for place in some]), strict=True)
                )
        return found

    async def find(self, selector: str, domain: str, until: float) -> Found:
        """The keys that are published there, usable ones only; what is malformed beside them is passed over
        (RFC 6376 §6.1.2).
        """
        name = key_name(selector, domain)
        try:
            async with asyncio.timeout_at(until):
                answer = await self._resolver.txt(name)
        except TimeoutError:
            return NoKey(Result.TEMPERROR, "the key could not be asked for in time")
        except ResolverUnavailable as error:
            return NoKey(Result.TEMPERROR, f"the key could not be asked for: {error}")
        if not answer.records:
            return NoKey(Result.PERMERROR, f"there is no key at {name}")
        # One octet too many is enough to be refused for, and all that is kept of it.
        read = [self._read(record[: MAX_RECORD + 1]) for record in answer.records[:MAX_RECORDS]]
        keys = [key for key in read if isinstance(key, Key)]
        if keys:
            return keys
        unusable = next(key for key in read if isinstance(key, UnusableKey))
        return NoKey(Result.PERMERROR, unusable.reason, unusable.bits, unusable.testing)
