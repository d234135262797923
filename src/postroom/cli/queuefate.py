"""``postroom queue bounce``, ``expire``, ``redirect``: what an operator decides of mail that waits."""

import os
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from postroom.admin import queue
from postroom.admin.accounts import read_address
from postroom.admin.givingup import GivenUp, GivingUp
from postroom.cli.desk import ConfigOption, Desk, done, telling_troubles
from postroom.cli.house import OpenStore
from postroom.cli.output import say
from postroom.cli.queuefilter import AllOption, count_recipients, operator, require_choice, takes_filter
from postroom.cli.signing import signer_of
from postroom.cli.submission import command_ids
from postroom.clock import SystemClock
from postroom.config.model import Settings
from postroom.directory.directory import Directory
from postroom.queue.dsn import DsnMaker
from postroom.queue.model import QueueAction, QueueFilter
from postroom.queue.outage import Outage
from postroom.queue.schedules import Schedules
from postroom.queue.settle import Settler
from postroom.report.reporter import Reporter


def add_to(group: typer.Typer) -> None:
    """The commands, into the group of the queue."""
    for command in (bounce, expire, redirect):
        group.command(command.__name__)(takes_filter(command))


def bounce(
    context: typer.Context,
    *,
    which: QueueFilter,
    text: Annotated[str, typer.Option("--text", metavar="TEXT", help="What the senders are told.")] = "",
    everything: AllOption = False,
    config: ConfigOption = None,
) -> None:
    """Let mail fail now; its senders are told, as of any failure."""
    require_choice(which, everything=everything)
    _give_up(context, config, "failed", lambda giving: giving.bounce(which, text))


def expire(
    context: typer.Context, *, which: QueueFilter, everything: AllOption = False, config: ConfigOption = None
) -> None:
    """Give mail up now as if its time were over; its senders are told."""
    require_choice(which, everything=everything)
    _give_up(context, config, "expired", lambda giving: giving.expire(which))


def redirect(
    context: typer.Context,
    *,
    which: QueueFilter,
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="The new recipient.", show_default=False)],
    everything: AllOption = False,
    config: ConfigOption = None,
) -> None:
    """Send mail to another address instead, from now on. What is held stays held."""
    require_choice(which, everything=everything)
    with telling_troubles():
        address = read_address(to)
    desk = Desk.of(context)

    async def job(store: OpenStore, _: Settings) -> int:
        return await queue.act(store.queue, QueueAction.REDIRECT, which, desk.house.now(), address)

    done(f"{count_recipients(desk.work(config, job))} redirected to {address}")


def _give_up(
    context: typer.Context, config: ConfigOption, word: str, act: Callable[[GivingUp], Awaitable[GivenUp]]
) -> None:
    async def job(store: OpenStore, settings: Settings) -> GivenUp:
        return await act(await _giving_up(store, settings))

    given_up = Desk.of(context).work(config, job)
    done(f"{count_recipients(given_up.count)} {word}")
    if given_up.left:
        say(f"{given_up.left} left: a server has them in hand; hold them first, or try again")


async def _giving_up(store: OpenStore, settings: Settings) -> GivingUp:
    """What gives up mail in this process."""
    clock, reporter = SystemClock(), Reporter()
    directory = Directory(store.directory, settings.delivery, clock)
    node = f"command-{os.getpid()}-{secrets.token_hex(4)}"
    dsns = DsnMaker(
        hostname=settings.hostname,
        contents=store.queue,
        resolve=directory.resolve,
        ids=command_ids(clock),
        clock=clock,
        reporter=reporter,
        signer=await signer_of(store, settings, directory, clock),
    )
    settler = Settler(
        settings=settings.queue,
        node=node,
        store=store.queue,
        dsns=dsns,
        clock=clock,
        reporter=reporter,
        outage=Outage(reporter),
        chance=random.random,
        schedules=Schedules(settings.queue, settings.schedule, settings.route),
    )
    return GivingUp(store.queue, settler, node, clock, operator())
