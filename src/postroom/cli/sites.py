"""``postroom sites``: how sites stand with our source addresses, and why."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from postroom.admin import sites
from postroom.admin.sites import SiteView
from postroom.cli.desk import ConfigOption, Desk, JsonOption
from postroom.cli.house import OpenStore
from postroom.cli.output import print_facts, print_json, print_table, say
from postroom.config.model import Settings

_SHOWN = 60
"""Characters of a site's name in the table: a set of many hosts has a long one."""


class _ListByDefault(TyperGroup):
    """``postroom sites PATTERN`` lists."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """``ctx`` is a context of the click that typer keeps to itself."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(
        cls=_ListByDefault,
        help="Sites: what limits the traffic there, and why. sites [PATTERN] lists, sites show SITE tells all.",
    )
    group.command("list")(list_all)
    group.command("show")(show)
    return group


def list_all(
    context: typer.Context,
    pattern: Annotated[str, typer.Argument(help="A part of the site's name or of its rule's.")] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List sites, as of a second ago beside a running server."""
    desk = Desk.of(context)

    async def job(store: OpenStore, settings: Settings) -> Sequence[SiteView]:
        now = desk.house.now()
        return await sites.list_sites(store.sites, settings.source, settings.warmup, pattern, now)

    views = desk.work(config, job)
    if json:
        print_json(list(views))
        return
    columns = ("site", "from", "rule", "at once", "a minute", "sent min/h/day", "deferred", "state")
    print_table(columns, [_row(view) for view in views])


def show(
    context: typer.Context,
    site: Annotated[str, typer.Argument(help="The site's name, or enough of it.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show all that is known of one site, for each source address."""
    desk = Desk.of(context)

    async def job(store: OpenStore, settings: Settings) -> Sequence[SiteView]:
        return await sites.show_site(store.sites, settings.source, settings.warmup, site, desk.house.now())

    views = desk.work(config, job)
    if json:
        print_json(list(views))
        return
    for place, view in enumerate(views):
        if place:
            say("")
        print_facts(_facts(view))


def _row(view: SiteView) -> Sequence[object]:
    name = view.site if len(view.site) <= _SHOWN else f"{view.site[: _SHOWN - 1]}…"
    rate = "" if view.rate is None else view.rate
    sent = f"{view.minute} / {view.hour} / {view.day}"
    return (name, view.source or "any", view.rule, view.concurrency, rate, sent, view.deferred, _state(view))


def _state(view: SiteView) -> str:
    if view.blocked_until is not None:
        return f"blocked until {view.blocked_until}: {view.blocked_for}"
    if view.warmup_day is not None and view.warmup_limit is not None:
        return f"warm-up day {view.warmup_day}: {view.warmup_used} of {view.warmup_limit}"
    return f"limited: {view.why}" if view.rate is not None or view.too_many is not None else ""


def _facts(view: SiteView) -> dict[str, object]:
    facts: dict[str, object] = {
        "site": view.site,
        "source": view.source or "the system's choice",
        "rule": f"{view.rule}: {', '.join(view.limits)}",
        "requests at once": view.concurrency,
        "messages a minute": "no limit learned" if view.rate is None else f"{view.rate}, as learned",
    }
    if view.too_many is not None:
        facts["too many at once"] = view.too_many
    if view.why:
        facts["last change"] = f"{view.changed_at}: {view.why}"
    if view.blocked_until is not None:
        facts["blocked"] = f"until {view.blocked_until}: {view.blocked_for}"
    if view.warmup_day is not None:
        facts["warm-up"] = f"day {view.warmup_day}: {view.warmup_used} of {view.warmup_limit} messages"
    facts["sent"] = f"{view.minute} in a minute, {view.hour} in an hour, {view.day} in a day"
    facts["recipients"] = f"{view.delivered} delivered, {view.deferred} deferred, {view.failed} failed"
    if view.causes:
        facts["causes"] = ", ".join([f"{cause} {count}" for cause, count in view.causes.items()])
    facts["last reply"] = view.last_reply
    facts["since"] = view.since
    facts["seen"] = view.seen_at
    return facts
