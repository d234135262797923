"""Pauses as operators see them: a domain, a site or a sender whose mail waits."""

from collections.abc import Sequence
from dataclasses import dataclass

from postroom.admin.accounts import read_address
from postroom.admin.domains import read_domain
from postroom.admin.moments import iso, maybe_iso
from postroom.admin.queue import find_pauses
from postroom.admin.refusal import Refused
from postroom.queue.model import Pause, PauseKind, QueueAction, QueueFilter
from postroom.queue.pauses import name_of
from postroom.queue.putoff import mark_of
from postroom.queue.store import QueueStore


@dataclass(frozen=True, slots=True)
class PauseView:
    """One pause; times are RFC 3339 in UTC, ``until`` None where nobody said when it ends.

    ``kind`` is domain, site or sender; ``subject`` ``""`` for the null sender.
    """

    kind: str
    subject: str
    since: str
    until: str | None
    reason: str
    author: str


def read_subject(domain: str, site: str, sender: str | None) -> tuple[PauseKind, str]:
    """What an operator wants to pause. Refused unless it is one thing, and well formed."""
    if (bool(domain), bool(site), sender is not None).count(True) != 1:
        raise Refused("one of them is paused at a time", "name one --domain, --site or --sender")
    if domain:
        return PauseKind.DOMAIN, read_domain(domain)
    if site:
        return PauseKind.SITE, site.lower()
    if not sender:
        return PauseKind.SENDER, ""
    return PauseKind.SENDER, str(read_address(sender)).lower() if "@" in sender.lstrip("@") else read_domain(
        sender.lstrip("@")
    )


async def pause(store: QueueStore, new: Pause) -> PauseView:
    """Stop mail; a running server hears of it within a second."""
    await store.pause(new)
    return _view(new)


async def resume(store: QueueStore, kind: PauseKind, subject: str, now: float) -> None:
    """Let it go on. Refused where it was not paused."""
    if not await store.resume(kind, subject):
        one = Pause(kind, subject, now)
        raise Refused(f"{name_of(one)} is not paused", "postroom queue pauses lists what is")
    await store.act(QueueAction.RESUME, QueueFilter(reply=mark_of(Pause(kind, subject, now))), now)


async def list_pauses(store: QueueStore, now: float) -> Sequence[PauseView]:
    """What is paused now."""
    return [_view(one) for one in (await find_pauses(store)).all if one.until is None or now < one.until]


def _view(one: Pause) -> PauseView:
    return PauseView(one.kind.value, one.subject, iso(one.since), maybe_iso(one.until), one.reason, one.author)
