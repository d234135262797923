"""How sites stand with our source addresses, as operators see it. The server writes behind: as of a second ago."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from postroom.admin.moments import iso, maybe_iso
from postroom.admin.refusal import Refused
from postroom.config.sending import SourceSettings, WarmupSettings
from postroom.queue.sites import SiteStanding, SiteStore, WarmupDay, provider_of, warmup_day

_Plans = dict[str, tuple[tuple[int, ...], date]]


@dataclass(frozen=True, slots=True)
class SiteView:
    """One site and one source (``""``: the system's choice).

    ``limits`` is what the rule says; ``concurrency`` how many requests may be under way now, ``rate`` the messages a
    minute that were learned (None: no limit is known), ``too_many`` the number of connections that was too many,
    ``why`` the reply that caused the last change. ``minute``, ``hour`` and ``day`` are messages, the other counts
    recipients since ``since``. ``warmup_day`` counts from 1; 0: it has not begun, None: the source is warm.
    """

    site: str
    source: str
    rule: str
    limits: tuple[str, ...]
    concurrency: int
    rate: int | None
    too_many: int | None
    why: str
    changed_at: str | None
    blocked_until: str | None
    blocked_for: str
    minute: int
    hour: int
    day: int
    delivered: int
    deferred: int
    failed: int
    causes: Mapping[str, int]
    last_reply: str
    warmup_day: int | None
    warmup_limit: int | None
    warmup_used: int | None
    since: str
    seen_at: str


async def list_sites(
    store: SiteStore,
    sources: Sequence[SourceSettings],
    plans: Sequence[WarmupSettings],
    pattern: str,
    now: float,
) -> Sequence[SiteView]:
    """The sites whose name or rule contains the text, case aside; by site and source."""
    daily = {plan.name: plan.daily for plan in plans}
    warming: _Plans = {
        source.name: (daily[source.warmup], source.since)
        for source in sources
        if source.warmup in daily and source.since is not None
    }
    used = {(one.source, one.provider): one.messages for one in (await store.load(now)).warmups} if warming else {}
    return [_view(one, warming, used, now) for one in await store.find(pattern)]


async def show_site(
    store: SiteStore, sources: Sequence[SourceSettings], plans: Sequence[WarmupSettings], site: str, now: float
) -> Sequence[SiteView]:
    """One site, for each source. Refused where nothing was sent to it lately."""
    found = await list_sites(store, sources, plans, site, now)
    exact = [view for view in found if view.site.lower() == site.lower()]
    if exact:
        return exact
    names = sorted({view.site for view in found})
    if len(names) == 1:
        return found
    if names:
        more = ", ..." if len(names) > 5 else ""
        raise Refused(f"{site!r} is not one site", f"write the whole name: {', '.join(names[:5])}{more}")
    raise Refused(f"nothing was sent to {site!r} lately", "postroom sites lists those that are known")


def _view(one: SiteStanding, warming: _Plans, used: Mapping[tuple[str, str], int], now: float) -> SiteView:
    today: WarmupDay | None = None
    if one.source in warming:
        today = warmup_day(*warming[one.source], now)
    ago = now - one.seen_at
    is_blocked = one.blocked_until is not None and one.blocked_until > now
    return SiteView(
        site=one.site,
        source=one.source,
        rule=one.rule,
        limits=one.limits,
        concurrency=one.concurrency,
        rate=None if one.rate is None else round(one.rate),
        too_many=one.too_many,
        why=one.why,
        changed_at=maybe_iso(one.changed_at),
        blocked_until=maybe_iso(one.blocked_until) if is_blocked else None,
        blocked_for=one.blocked_for if is_blocked else "",
        minute=one.minute if ago < 60 else 0,
        hour=one.hour if ago < 3600 else 0,
        day=one.day if ago < 86400 else 0,
        delivered=one.delivered,
        deferred=one.deferred,
        failed=one.failed,
        causes=dict(one.causes),
        last_reply=one.last_reply,
        warmup_day=None if today is None else today.day,
        warmup_limit=None if today is None else today.limit,
        warmup_used=None if today is None else used.get((one.source, provider_of(one.site, one.rule)), 0),
        since=iso(one.since),
        seen_at=iso(one.seen_at),
    )
