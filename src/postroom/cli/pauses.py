"""``postroom queue pause``, ``resume``, ``pauses``: a domain, a site or a sender whose mail waits."""

from collections.abc import Sequence
from typing import Annotated

import typer

from postroom.admin import pauses
from postroom.admin.pauses import PauseView
from postroom.cli.desk import ConfigOption, Desk, JsonOption, done, telling_troubles
from postroom.cli.house import OpenStore
from postroom.cli.output import print_json, print_table, say
from postroom.cli.queuefilter import operator, read_seconds
from postroom.config.model import Settings
from postroom.queue.model import Pause

DomainOption = Annotated[str, typer.Option("--domain", metavar="DOMAIN", help="Mail to this domain.")]
SiteOption = Annotated[
    str,
    typer.Option("--site", metavar="NAME", help="Mail to this site: its key, one of its hosts, or its smarthost."),
]
SenderOption = Annotated[
    str | None,
    typer.Option("--sender", metavar="WHO", help='Mail of this address or domain; "" is the null sender (bounces).'),
]


def add_to(group: typer.Typer) -> None:
    """The commands, into the group of the queue."""
    group.command("pause")(pause)
    group.command("resume")(resume)
    group.command("pauses")(list_all)


def pause(
    context: typer.Context,
    *,
    domain: DomainOption = "",
    site: SiteOption = "",
    sender: SenderOption = None,
    length: Annotated[str, typer.Option("--for", metavar="TIME", help='How long, as in "4h"; else until resume.')] = "",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; for the list and the log.")] = "",
    config: ConfigOption = None,
) -> None:
    """Stop mail to a domain or a site, or of a sender. It waits; its time goes on. A server hears of it in a second."""
    desk = Desk.of(context)
    with telling_troubles():
        kind, subject = pauses.read_subject(domain, site, sender)
        now = desk.house.now()
        until = now + read_seconds(length) if length else None
    new = Pause(kind, subject, now, until, reason, operator())

    async def job(store: OpenStore, _: Settings) -> PauseView:
        return await pauses.pause(store.queue, new)

    view = desk.work(config, job)
    done(f"paused {view.kind} {view.subject or '<>'} until {view.until or 'postroom queue resume'}")


def resume(
    context: typer.Context,
    *,
    domain: DomainOption = "",
    site: SiteOption = "",
    sender: SenderOption = None,
    config: ConfigOption = None,
) -> None:
    """Let go on what was paused."""
    desk = Desk.of(context)
    with telling_troubles():
        kind, subject = pauses.read_subject(domain, site, sender)

    async def job(store: OpenStore, _: Settings) -> None:
        await pauses.resume(store.queue, kind, subject, desk.house.now())

    desk.work(config, job)
    done(f"resumed {kind.value} {subject or '<>'}")


def list_all(context: typer.Context, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List what is paused."""
    desk = Desk.of(context)

    async def job(store: OpenStore, _: Settings) -> Sequence[PauseView]:
        return await pauses.list_pauses(store.queue, desk.house.now())

    views = desk.work(config, job)
    if json:
        print_json(list(views))
        return
    if not views:
        say("nothing is paused")
        return
    rows = [
        (view.kind, view.subject or "<>", view.since, view.until or "resumed", view.reason, view.author)
        for view in views
    ]
    print_table(("what", "which", "since", "until", "reason", "by"), rows)
