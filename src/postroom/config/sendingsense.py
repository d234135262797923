"""Whether source addresses, their pools, warm-up and rules of traffic make sense together."""

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from postroom.config.finding import Finding
from postroom.config.lines import KeyPath
from postroom.config.model import Settings
from postroom.config.sending import SourceSettings

_PATTERN = re.compile(r"[a-z0-9_*?.\[\]-]+", re.IGNORECASE)
_MOST = 1000


def check_sending(settings: Settings) -> Iterator[Finding]:
    """Everything about how mail leaves that contradicts something else."""
    yield from _check_sources(settings)
    yield from _check_pools(settings)
    yield from _check_warmups(settings)
    yield from _check_shaping(settings)
    if settings.source and settings.outbound.source_addresses:
        what = "source_addresses are for mail whose route names no pool; [[source]] addresses for that which does"
        remedy = "name a pool in a route for everything, and remove source_addresses, unless you mean both"
        yield Finding(("outbound", "source_addresses"), what, remedy, is_error=False)


def _check_sources(settings: Settings) -> Iterator[Finding]:
    yield from _check_names("source", [source.name for source in settings.source])
    plans = {plan.name for plan in settings.warmup}
    taken: dict[str, str] = {}
    for number, source in enumerate(settings.source):
        path: KeyPath = ("source", number)
        if not source.ipv4 and not source.ipv6:
            yield Finding((*path, "ipv4"), f"{source.name} has no address", "give ipv4, ipv6 or both")
        yield from _check_addresses(path, source, taken)
        if source.warmup and source.warmup not in plans:
            what = f"there is no warm-up plan {source.warmup!r}"
            yield Finding((*path, "warmup"), what, "add a [[warmup]] of that name, or remove it here")
        if source.warmup and source.since is None:
            what = f"{source.name} has a warm-up plan, and no first day: it would be taken for warm"
            yield Finding((*path, "warmup"), what, "add since, the first day, such as since = 2026-11-26")
        if source.since is not None and not source.warmup:
            what = "since without a warm-up plan means nothing"
            yield Finding(
                (*path, "since"), what, "add warmup, the name of a [[warmup]], or remove since", is_error=False
            )


def _check_addresses(path: KeyPath, source: SourceSettings, taken: dict[str, str]) -> Iterator[Finding]:
    for key, text, version in (("ipv4", source.ipv4, 4), ("ipv6", source.ipv6, 6)):
        if not text:
            continue
        try:
            address = ip_address(text)
        except ValueError:
            yield Finding((*path, key), f"{text!r} is not an IP address", "write an address of this machine")
            continue
        if address.version != version:
            other = "ipv6" if version == 4 else "ipv4"
            yield Finding((*path, key), f"{text} is an IPv{address.version} address", f"write it as {other}")
        elif address.is_unspecified or address.is_multicast:
            yield Finding((*path, key), f"nothing can be sent from {text}", "write an address of this machine")
        if str(address) in taken:
            what = f"{text} is the address of {taken[str(address)]} already"
            yield Finding((*path, key), what, "give each source an address of its own")
        taken.setdefault(str(address), source.name)


def _check_pools(settings: Settings) -> Iterator[Finding]:
    sources = {source.name for source in settings.source}
    yield from _check_names("pool", [pool.name for pool in settings.pool])
    for number, pool in enumerate(settings.pool):
        path: KeyPath = ("pool", number)
        if pool.name in sources:
            what = f"{pool.name!r} is the name of a source: routes could mean either"
            yield Finding((*path, "name"), what, "choose another name")
        for name in pool.sources:
            if name not in sources:
                what = f"there is no source {name!r}"
                yield Finding((*path, "sources"), what, "add a [[source]] of that name, or correct it")
        if len(set(pool.sources)) != len(pool.sources):
            yield Finding((*path, "sources"), "a source is named twice", "name it once, and give it a larger weight")
        if pool.weights and len(pool.weights) != len(pool.sources):
            what = f"{len(pool.weights)} weights for {len(pool.sources)} sources"
            yield Finding((*path, "weights"), what, "give one for each source, in the same order, or none")
        elif any(weight < 1 for weight in pool.weights):
            yield Finding((*path, "weights"), "a weight below 1", "write whole numbers from 1 up")
        elif any(weight > _MOST for weight in pool.weights):
            yield Finding((*path, "weights"), f"a weight above {_MOST}", "write smaller numbers in the same proportion")


def _check_warmups(settings: Settings) -> Iterator[Finding]:
    used = {source.warmup for source in settings.source}
    yield from _check_names("warmup", [plan.name for plan in settings.warmup])
    for number, plan in enumerate(settings.warmup):
        path: KeyPath = ("warmup", number)
        if any(count < 1 for count in plan.daily):
            yield Finding((*path, "daily"), "a day without a message", "write what may be sent, 1 or more on each day")
        elif list(plan.daily) != sorted(plan.daily):
            what = "a day with less than the one before: a warm-up grows"
            yield Finding((*path, "daily"), what, "write growing numbers", is_error=False)
        if plan.name not in used:
            what = f"no source is warmed up by {plan.name!r}"
            yield Finding((*path, "name"), what, f'set warmup = "{plan.name}" in a [[source]]', is_error=False)


def _check_shaping(settings: Settings) -> Iterator[Finding]:
    yield from _check_names("shaping", [rule.name for rule in settings.shaping])
    for number, rule in enumerate(settings.shaping):
        path: KeyPath = ("shaping", number)
        for key, patterns in (("mx", rule.mx), ("domains", rule.domains)):
            for pattern in patterns:
                if not _PATTERN.fullmatch(pattern):
                    what = f"{pattern!r} is no pattern of a name"
                    yield Finding((*path, key), what, 'write names with * and ?, such as "*.google.com"')
        if rule.concurrency is not None and rule.concurrency > settings.outbound.concurrency:
            what = f"{rule.concurrency} is more than [outbound] concurrency, {settings.outbound.concurrency}"
            yield Finding((*path, "concurrency"), what, "the lower one holds", is_error=False)
        first, longest = rule.backoff, rule.longest_backoff
        if first is not None and longest is not None and longest < first:
            what = "longest_backoff is shorter than backoff"
            yield Finding((*path, "longest_backoff"), what, "make it at least as long as backoff")


def _check_names(table: str, names: Iterable[str]) -> Iterator[Finding]:
    seen: set[str] = set()
    for number, name in enumerate(names):
        if not name.strip() or name != name.strip() or not name.isprintable():
            yield Finding((table, number, "name"), f"{name!r} is no name", "write letters, digits and dashes")
        elif name in seen:
            yield Finding((table, number, "name"), f"a second [[{table}]] is called {name!r}", "choose another name")
        seen.add(name)
