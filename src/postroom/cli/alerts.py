"""``postroom alerts``: whether alerts reach whom they are for."""

import asyncio
import json as jsonlib

import typer

from postroom.admin.alerting import AlertFailed, send, target_of
from postroom.admin.refusal import Refused
from postroom.cli.desk import ConfigOption, Desk, telling_troubles
from postroom.cli.output import complain, say
from postroom.clock import SystemClock
from postroom.config.model import Settings
from postroom.report.alerts import shape, trial


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="Alerts: test.")
    group.callback()(_group)
    group.command("test")(send_test)
    return group


def _group() -> None:
    """Alerts to webhooks and commands."""


def send_test(context: typer.Context, config: ConfigOption = None) -> None:
    """Send a test alert to each webhook and command of the settings. Exit code 1 if one fails."""
    desk = Desk.of(context)
    with telling_troubles():
        settings, _ = desk.settings(config)
        if not settings.alert:
            raise Refused("there is no [[alert]] in the settings", "add one: docs/operations.md shows how")
    fine = asyncio.run(_send_all(settings, desk.house.now()))
    if not fine:
        raise typer.Exit(1)


async def _send_all(settings: Settings, now: float) -> bool:
    """Whether all got out."""
    body = jsonlib.dumps(
        shape(trial(now), node=settings.node or settings.hostname, hostname=settings.hostname)
    ).encode()
    fine = True
    for number, alert in enumerate(settings.alert, 1):
        target = target_of(alert)
        try:
            await send(alert, body, SystemClock())
        except AlertFailed as error:
            fine = False
            complain(f"alert[{number}] to {target}: {error}", "correct webhook or command of this [[alert]]")
        else:
            say(f"alert[{number}] to {target}: sent")
    return fine
