"""The suppression list as operators and the API see and change it: listed, added, removed, carried over."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from postroom.admin.moments import iso
from postroom.admin.refusal import Refused
from postroom.mail.address import Address
from postroom.mail.domain import normalise_domain
from postroom.mail.message import read_queue_id, show_queue_id
from postroom.reputation.model import FOREVER, LONGEST_REASON, Origin, Suppression, SuppressionFilter
from postroom.reputation.store import Key, SuppressionStore

MOST_LISTED = 1000
"""Entries of one page at most."""

_TOGETHER = 1000
_LONGEST_LINE = 4096
_LONGEST_CAUSE = 64


@dataclass(frozen=True, slots=True)
class SuppressionView:
    """One entry as listed. ``stands``: mail is refused for it now; ``origin`` is bounce, complaint or manual."""

    sender_domain: str
    recipient: str
    origin: str
    cause: str
    since: str
    latest: str
    until: str
    count: int
    stands: bool
    reason: str
    queue_id: str


@dataclass(frozen=True, slots=True)
class SuppressionPage:
    """Entries, and after what the next page begins (``""``: there is none)."""

    entries: tuple[SuppressionView, ...]
    next: str


async def list_entries(
    store: SuppressionStore,
    which: SuppressionFilter,
    *,
    limit: int,
    after: str = "",
    bounces: int,
    now: float,
) -> SuppressionPage:
    """One page, in order of sending domain and address. ``bounces`` is ``suppression.bounces`` of the settings."""
    found = await store.entries(which, limit=limit + 1, after=_read_cursor(after))
    shown = found[:limit]
    following = " ".join(shown[-1].key) if len(found) > limit else ""
    return SuppressionPage(tuple([show(one, bounces=bounces, now=now) for one in shown]), following)


def read_filter(
    *,
    sender_domain: str = "",
    recipient: str = "",
    recipient_domain: str = "",
    cause: str = "",
    origin: str = "",
) -> SuppressionFilter:
    """The filter that texts write; ``cause`` may also be an origin. Refused for what is none."""
    origins = {one.value: one for one in Origin}
    if cause in origins and not origin:
        origin, cause = cause, ""
    if origin and origin not in origins:
        raise Refused(f"{origin!r} is no origin", f"it is one of {', '.join(origins)}")
    return SuppressionFilter(
        read_domain(sender_domain) if sender_domain else "",
        read_recipient(recipient).key if recipient else "",
        read_domain(recipient_domain) if recipient_domain else "",
        cause,
        origins.get(origin),
    )


def new_entry(
    recipient: str, sender_domain: str, *, reason: str = "", seconds: float | None = None, now: float
) -> Suppression:
    """An entry that an operator wants, from now on; ``seconds`` None: without an end. Refused if it makes no sense."""
    if seconds is not None and seconds <= 0:
        raise Refused("an entry needs a length", 'write it as in "30d"')
    until = FOREVER if seconds is None else min(now + seconds, FOREVER)
    address, domain = read_recipient(recipient), read_domain(sender_domain)
    return Suppression(domain, address, Origin.MANUAL, "manual", now, now, until, 1, reason[:LONGEST_REASON])


async def remove_entries(store: SuppressionStore, recipients: Sequence[str], sender_domain: str = "") -> Sequence[str]:
    """Take addresses off the list of one sending domain, or of all; each as ``domain: address``.

    Refused, and nothing is removed, if one of them is not there.
    """
    domain = read_domain(sender_domain) if sender_domain else ""
    found: list[Suppression] = []
    for text in recipients:
        which = SuppressionFilter(sender_domain=domain, recipient=read_recipient(text).key)
        entries = [one async for one in walk(store, which)]
        if not entries:
            of_whom = f" of {domain}" if domain else ""
            raise Refused(f"{text} is not on the suppression list{of_whom}", "postroom suppression list shows who is")
        found += entries
    await store.remove([one.key for one in found])
    return [f"{one.sender_domain}: {one.recipient}" for one in found]


async def walk(store: SuppressionStore, which: SuppressionFilter) -> AsyncIterator[Suppression]:
    """All entries, a page at a time."""
    after: Key = ("", "")
    while page := await store.entries(which, limit=_TOGETHER, after=after):
        for one in page:
            yield one
        after = page[-1].key


def show(one: Suppression, *, bounces: int, now: float) -> SuppressionView:
    """An entry for people and programs."""
    return SuppressionView(
        one.sender_domain,
        str(one.recipient),
        one.origin.value,
        one.cause,
        iso(one.since),
        iso(one.latest),
        iso(one.until),
        one.count,
        one.stands(bounces, now),
        one.reason,
        show_queue_id(one.queue_id) if one.queue_id else "",
    )


# Carrying over


async def export_lines(store: SuppressionStore, which: SuppressionFilter) -> AsyncIterator[str]:
    """Each entry as a line of JSON that ``read_lines`` understands."""
    async for one in walk(store, which):
        facts = asdict(show(one, bounces=1, now=one.latest))
        del facts["stands"]
        yield json.dumps(facts, ensure_ascii=False)


def read_lines(lines: Iterable[str], *, sender_domain: str = "", now: float) -> Iterator[Suppression]:
    """The entries that lines write: JSON as exported, or an address alone, for ``sender_domain``.

    Empty lines, and those that begin with ``#``, are passed over. Refused for a line that is neither, with its number.
    """
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            yield _read_line(text, sender_domain, now)
        except Refused as refused:
            raise Refused(f"line {number}: {refused.what}", refused.remedy) from refused
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise Refused(f"line {number}: {error}", "postroom suppression export shows the form") from error


async def put_all(store: SuppressionStore, entries: Iterable[Suppression]) -> int:
    """Set all of these entries; returns how many."""
    listed = list(entries)
    for start in range(0, len(listed), _TOGETHER):
        await store.put(listed[start : start + _TOGETHER])
    return len(listed)


def _read_line(text: str, sender_domain: str, now: float) -> Suppression:
    if len(text) > _LONGEST_LINE:
        raise ValueError("the line is too long")
    if not text.startswith("{"):
        return new_entry(text, sender_domain, reason="imported", now=now)
    facts: dict[str, Any] = json.loads(text)
    since = _read_time(facts["since"]) if "since" in facts else now
    queue_id = str(facts.get("queue_id", ""))
    return Suppression(
        read_domain(str(facts.get("sender_domain") or sender_domain)),
        read_recipient(str(facts["recipient"])),
        Origin(facts.get("origin", Origin.MANUAL.value)),
        str(facts.get("cause", "manual"))[:_LONGEST_CAUSE],
        since,
        _read_time(facts["latest"]) if "latest" in facts else since,
        _read_time(facts["until"]) if "until" in facts else FOREVER,
        max(int(facts.get("count", 1)), 1),
        str(facts.get("reason", ""))[:LONGEST_REASON],
        read_queue_id(queue_id) if queue_id else 0,
    )


def _read_time(text: object) -> float:
    return datetime.fromisoformat(str(text)).timestamp()


def _read_cursor(text: str) -> Key:
    domain, _, key = text.partition(" ")
    return domain, key


def read_recipient(text: str) -> Address:
    """The address. Refused if it is none."""
    try:
        address = Address.parse(text.strip())
    except ValueError as error:
        raise Refused(f"{text!r} is no address: {error}", "write it as in name@example.org") from error
    if not address.domain:
        raise Refused(f"{text!r} has no domain", "write it as in name@example.org")
    return address


def read_domain(text: str) -> str:
    """The domain, normalised. Refused if it is none."""
    try:
        return normalise_domain(text.strip())
    except ValueError as error:
        raise Refused(
            f"{text!r} is no domain: {error}", "name the sending domain, as in --domain example.org"
        ) from error
