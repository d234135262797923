"""Puts the verbs together to the ``postroom`` command."""

from typing import Annotated

import typer

from postroom import __version__
from postroom.cli import (
    alerts,
    alias,
    bans,
    certificate,
    check,
    demo,
    dkim,
    dns,
    domain,
    init,
    limits,
    queue,
    reports,
    route,
    send,
    serve,
    simulate,
    sites,
    stats,
    suppression,
    user,
    why,
)


def make_program() -> typer.Typer:
    """The whole command line. It is run with a House as its context object."""
    program = typer.Typer(
        name="postroom",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Postroom: a complete mail server.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong use.",
    )
    program.callback()(_globals)
    program.command("init")(init.init)
    program.command("serve")(serve.serve)
    program.add_typer(check.commands(), name="check")
    program.command("dns")(dns.dns)
    program.add_typer(domain.commands(), name="domain")
    program.add_typer(dkim.commands(), name="dkim")
    program.add_typer(user.commands(), name="user")
    program.add_typer(alias.commands(), name="alias")
    program.add_typer(limits.commands(), name="limits")
    program.add_typer(bans.commands(), name="bans")
    program.add_typer(certificate.commands(), name="certificate")
    program.add_typer(alerts.commands(), name="alerts")
    program.add_typer(queue.commands(), name="queue")
    program.command("route")(route.route)
    program.add_typer(suppression.commands(), name="suppression")
    program.add_typer(sites.commands(), name="sites")
    program.add_typer(reports.commands(), name="reports")
    program.command("why")(why.why)
    program.command("send")(send.send)
    program.command("simulate")(simulate.simulate)
    program.command("stats")(stats.stats)
    program.command("demo")(demo.demo)
    return program


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"postroom {__version__}")
        raise typer.Exit


def _globals(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Postroom: a complete mail server."""
