"""The life of keys, decided: what a look in the DNS changes, what is due, and which keys sign. Pure.

No key signs whose record was not found at two looks in a row, the first of them ``wait`` ago: by then it is at every
server of the zone, and nobody remembers that it was not there. (A verifier cannot remember that before it has asked,
and nobody asks for a selector that nobody can guess; RFC 2308 §5.)
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from postroom.mail.value import value
from postroom.mailauth.keys.model import (
    GONE,
    LIVING,
    SIGHTS_NEEDED,
    WAITING,
    By,
    KeyPair,
    KeyState,
    LifeRules,
    Look,
    Order,
    Sight,
)

REMIND = 86400.0
"""Seconds between two requests to the operator about the same key."""

REPUBLISH = 3600.0
"""Seconds between two tries to put back a record that is gone."""

LOOK_AT_LEAST = 60.0
LOOK_AT_MOST = 900.0
LOOK_ACTIVE = 600.0
LOOK_RETIRED = 3600.0
LOOK_REMOVABLE = 6 * 3600.0


@value(frozen=True, slots=True)
class Due:
    """What is to be done for the keys of one domain, in this order: none of it has happened yet.

    ``make``: algorithms for which a key is to be made. ``publish``: records to put into the zone (again). ``activate``
    and ``retire``: keys to switch to and from, together. ``give_up``: keys whose private half goes now. ``withdraw``:
    records to take out of the zone.
    """

    make: tuple[str, ...] = ()
    publish: tuple[KeyPair, ...] = ()
    activate: tuple[KeyPair, ...] = ()
    retire: tuple[KeyPair, ...] = ()
    give_up: tuple[KeyPair, ...] = ()
    withdraw: tuple[KeyPair, ...] = ()


def looked(key: KeyPair, look: Look, now: float) -> KeyPair:
    """The key after a look; the same value where the look changes nothing. An UNKNOWN one never does."""
    if look.sight is Sight.UNKNOWN or key.state is KeyState.WITHDRAWN:
        return key
    if look.sight is Sight.VISIBLE:
        key = _sighted(key, now)
    elif key.state is KeyState.REMOVABLE:
        if look.sight is Sight.ABSENT:
            return replace(key, state=KeyState.WITHDRAWN, withdrawn_at=now, sights=0, seen_since=None, trouble="")
    elif key.state is KeyState.MADE:
        return key  # nobody was asked to publish it yet
    elif key.sights:
        key = replace(key, sights=0, seen_since=None)
        if key.state is KeyState.SEEN:
            key = replace(key, state=KeyState.PUBLISHED)
    return key if key.trouble == look.detail else replace(key, trouble=look.detail)


def _sighted(key: KeyPair, now: float) -> KeyPair:
    if key.sights < SIGHTS_NEEDED:
        since = now if key.seen_since is None else key.seen_since
        key = replace(key, sights=key.sights + 1, seen_since=since, trouble="")
    if key.state in (KeyState.MADE, KeyState.PUBLISHED):
        key = replace(key, state=KeyState.SEEN, published_at=now if key.published_at is None else key.published_at)
    return key


def is_ready(key: KeyPair, now: float, rules: LifeRules) -> bool:
    """Whether a key that waits may take over."""
    if key.state not in WAITING or key.order is Order.NEVER:
        return False
    if key.order is Order.SIGN:
        return True
    return key.is_visible and key.seen_since is not None and now - key.seen_since >= rules.wait


def due(keys: Sequence[KeyPair], now: float, rules: LifeRules, *, wanted: bool) -> Due:
    """What is to be done for all keys of one domain. ``wanted``: it is to have keys; else they live to their end."""
    algorithms = dict.fromkeys((*rules.algorithms, *(key.algorithm for key in keys)))
    lines = [(algorithm, [key for key in keys if key.algorithm == algorithm]) for algorithm in algorithms]
    make: list[str] = []
    publish: list[KeyPair] = []
    activate: list[KeyPair] = []
    retire: list[KeyPair] = []
    for algorithm, line in lines:
        if algorithm not in rules.algorithms:
            retire += [key for key in line if key.state in LIVING]
            continue
        newest, outgoing = _switch(line, now, rules)
        activate += newest
        retire += outgoing
        publish += [key for key in line if _is_to_publish(key, now)]
        if wanted and _wants_next(line, lines, now, rules):
            make.append(algorithm)
    return Due(
        tuple(make),
        tuple(publish),
        tuple(activate),
        tuple(retire),
        tuple([key for key in keys if _has_ended(key, now, rules)]),
        tuple([key for key in keys if key.state is KeyState.REMOVABLE]),
    )


def _switch(line: Sequence[KeyPair], now: float, rules: LifeRules) -> tuple[Sequence[KeyPair], Sequence[KeyPair]]:
    """Which key of a line is to sign from now on, if another, and which no more. One signs, and no two."""
    ready = sorted([key for key in line if is_ready(key, now, rules)], key=lambda key: (key.made_at, key.selector))
    active = sorted([key for key in line if key.state is KeyState.ACTIVE], key=lambda key: key.active_at or 0.0)
    if ready:
        return ready[-1:], [*active, *ready[:-1]]
    return (), active[:-1]


def _is_to_publish(key: KeyPair, now: float) -> bool:
    """A new one; and now and then one that is in use, whose record we put there and cannot be seen."""
    if key.state is KeyState.MADE:
        return True
    if key.state is not KeyState.ACTIVE or key.by is not By.UPDATE or key.sights or key.order is Order.SIGN:
        return False
    return key.published_at is None or now - key.published_at >= REPUBLISH


def _wants_next(
    line: Sequence[KeyPair], lines: Sequence[tuple[str, Sequence[KeyPair]]], now: float, rules: LifeRules
) -> bool:
    """Whether the next key of a line is to be made: there is none, or the one that signs is old.

    Never while another line of the domain is changing its key: not all of them change at once.
    """
    if any(key.state in WAITING for key in line):
        return False
    active = [key for key in line if key.state is KeyState.ACTIVE]
    if not active:
        return True
    changing = any(other is not line and _is_changing(other) for _, other in lines)
    return not changing and rotates_at(active[-1], line, rules) <= now


def _is_changing(line: Sequence[KeyPair]) -> bool:
    return any(key.state in WAITING for key in line) and any(key.state is KeyState.ACTIVE for key in line)


def rotates_at(key: KeyPair, line: Iterable[KeyPair], rules: LifeRules) -> float:
    """When the successor of an active key is made; infinite for never.

    The first key of every algorithm but the first lives half as long, so that the lines are out of step from then on.
    """
    if not rules.rotate or key.active_at is None:
        return float("inf")
    first = all(other is key or other.active_at is None for other in line)
    staggered = first and key.algorithm in rules.algorithms[1:]
    return key.active_at + (rules.rotate / 2 if staggered else rules.rotate)


def _has_ended(key: KeyPair, now: float, rules: LifeRules) -> bool:
    return key.state is KeyState.RETIRED and key.retired_at is not None and now - key.retired_at >= rules.keep


def published(key: KeyPair, now: float) -> KeyPair:
    """Its record was put into the zone, or the operator asked to."""
    state = KeyState.PUBLISHED if key.state is KeyState.MADE else key.state
    return replace(key, state=state, published_at=now)


def activated(key: KeyPair, now: float) -> KeyPair:
    """From now on it signs."""
    return replace(key, state=KeyState.ACTIVE, active_at=now, told_at=None, trouble="")


def retired(key: KeyPair, now: float) -> KeyPair:
    """From now on it does not, unless those that do are not visible."""
    return replace(key, state=KeyState.RETIRED, retired_at=now, told_at=None)


def given_up(key: KeyPair) -> KeyPair:
    """Its private half goes."""
    return replace(key, state=KeyState.REMOVABLE, told_at=None)


def withdrawn(key: KeyPair, now: float) -> KeyPair:
    """Its record has gone."""
    return replace(key, state=KeyState.WITHDRAWN, withdrawn_at=now, sights=0, seen_since=None, trouble="")


def signers(keys: Iterable[KeyPair]) -> tuple[KeyPair, ...]:
    """Those that sign for one domain, one of each algorithm: the active one, or in its place the one last retired.

    None of them is without a visible record, unless an operator said so; an algorithm without such a key is left out.
    """
    best: dict[str, KeyPair] = {}
    for key in keys:
        if not key.may_sign:
            continue
        standing = best.get(key.algorithm)
        if standing is None or _precedence(key) > _precedence(standing):
            best[key.algorithm] = key
    return tuple([best[algorithm] for algorithm in sorted(best, reverse=True)])


def _precedence(key: KeyPair) -> tuple[bool, float]:
    return key.state is KeyState.ACTIVE, key.active_at or 0.0


def look_every(key: KeyPair, now: float) -> float:
    """Seconds between two looks for its record."""
    match key.state:
        case KeyState.MADE | KeyState.PUBLISHED | KeyState.SEEN:
            return min(max((now - (key.published_at or key.made_at)) / 10, LOOK_AT_LEAST), LOOK_AT_MOST)
        case KeyState.ACTIVE:
            return LOOK_ACTIVE if key.is_visible else LOOK_AT_LEAST
        case KeyState.RETIRED:
            return LOOK_RETIRED if key.is_visible else LOOK_AT_MOST
        case KeyState.REMOVABLE:
            return LOOK_REMOVABLE
        case KeyState.WITHDRAWN:
            return float("inf")


def wants_attention(key: KeyPair, now: float) -> bool:
    """Whether the operator is to be asked (again): to publish a record, to mend it, or to remove it."""
    if key.told_at is not None and now - key.told_at < REMIND:
        return False
    if key.order is Order.SIGN and key.state not in GONE:
        return False
    match key.state:
        case KeyState.MADE | KeyState.WITHDRAWN | KeyState.RETIRED | KeyState.SEEN:
            return False
        case KeyState.PUBLISHED if key.by is By.UPDATE and now - (key.published_at or now) < REMIND:
            return False  # it is on its way to the secondaries
        case KeyState.PUBLISHED | KeyState.ACTIVE:
            return not key.sights
        case KeyState.REMOVABLE:
            return key.told_at is None and key.by is not By.UPDATE
