"""Compares a look with the one before: pure. Twice in a row counts, so that a flap is no alarm."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from postroom.admin.dnsfaults.model import DnsFinding, Fault
from postroom.admin.dnswatch.model import KnownFault, WatchedDomain
from postroom.admin.finding import Level
from postroom.mail.value import value

SIGHTS = 2
"""Looks in a row that must find a fault, or its absence, before anyone is told."""

MOST = 200
"""Faults of one domain that are remembered."""

_GRAVITY = {Level.WARNING.value: 1, Level.ERROR.value: 2}
_BLIND = frozenset({Fault.UNAVAILABLE, Fault.DNSSEC_BOGUS, Fault.DOMAIN_MISSING})
"""What keeps a look from seeing the rest: what it does not find may still be wrong."""


@value(frozen=True, slots=True)
class Compared:
    """What is to be remembered, and what is to be told: ``broke`` with the finding, ``mended`` with what it was."""

    after: WatchedDomain
    broke: tuple[DnsFinding, ...] = ()
    mended: tuple[KnownFault, ...] = ()


def compare(domain: str, before: WatchedDomain | None, findings: Sequence[DnsFinding], now: float) -> Compared:
    """``before`` None: the first look, whose faults are taken as known."""
    seen = {(each.fault.value, each.subject): each for each in _grave(findings) if each.fault is not None}
    blind = any(each.fault in _BLIND for each in findings)
    known = {} if before is None else {(each.fault, each.subject): each for each in before.faults}
    after: list[KnownFault] = []
    broke: list[DnsFinding] = []
    mended: list[KnownFault] = []
    for key, finding in list(seen.items())[:MOST]:
        fault = _found(known.get(key), key, finding, now, is_first=before is None)
        if fault.sights == SIGHTS and not fault.told and before is not None and _is_news(known.get(key)):
            broke.append(finding)
            fault = replace(fault, told=True)
        after.append(fault)
    for key, fault in known.items():
        if key in seen:
            continue
        if blind:
            after.append(fault)
        elif fault.sights < SIGHTS or fault.missed + 1 >= SIGHTS:
            mended += [fault] if fault.told else []
        else:
            after.append(replace(fault, missed=fault.missed + 1))
    return Compared(WatchedDomain(domain, now, tuple(after[:MOST])), tuple(broke), tuple(mended))


def has_doubts(watched: WatchedDomain) -> bool:
    """Whether the next look decides something, so that it should come soon."""
    return any(each.sights < SIGHTS or each.missed for each in watched.faults)


def _grave(findings: Sequence[DnsFinding]) -> Iterator[DnsFinding]:
    """Those that somebody should be told of; of the same name and subject the gravest."""
    grave = [each for each in findings if each.level.value in _GRAVITY]
    yield from sorted(grave, key=lambda each: _GRAVITY[each.level.value])


def _found(
    known: KnownFault | None, key: tuple[str, str], finding: DnsFinding, now: float, *, is_first: bool
) -> KnownFault:
    level = finding.level.value
    if known is None or _GRAVITY[level] > _GRAVITY.get(known.level, 0):  # what has become worse is new
        return KnownFault(*key, level, finding.what, now, SIGHTS if is_first else 1)
    sights = min(known.sights + 1, SIGHTS)
    return replace(known, level=level, what=finding.what, sights=sights, missed=0)


def _is_news(known: KnownFault | None) -> bool:
    """It was not confirmed by the look before: what was known from the beginning is not told."""
    return known is not None and known.sights < SIGHTS
