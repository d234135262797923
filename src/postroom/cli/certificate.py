"""``postroom certificate``: the certificates of this host, and a new one from the ACME authority now."""

import time
from collections.abc import Callable

import typer

from postroom.admin.acme import ORDER_PATIENCE
from postroom.admin.acmeshelf import Shelf
from postroom.admin.acmeview import CertificateView, list_certificates
from postroom.admin.refusal import Refused
from postroom.cli.desk import ConfigOption, Desk, JsonOption, act_as_owner, done, telling_troubles
from postroom.cli.output import print_json, print_table

NOTICED_WITHIN = 15.0
"""Seconds within which a server that runs sees a request; it looks every other second."""

_LOOK = 0.2


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="Certificates of this host: list, renew.")
    group.command("list")(list_all)
    group.command("renew")(renew)
    return group


def list_all(context: typer.Context, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the certificates, the one that is shown by default first."""
    desk = Desk.of(context)
    with telling_troubles():
        settings, _ = desk.settings(config)
        views = list_certificates(settings, desk.house.now())
    if json:
        print_json(views)
        return
    rows = [
        (", ".join(view.names), view.issuer, (view.expires_at or "")[:10], _renewal(view), view.path, view.trouble)
        for view in views
    ]
    print_table(("names", "issuer", "expires", "renewed", "file", "trouble"), rows)


def _renewal(view: CertificateView) -> str:
    return "" if view.renews_at is None else view.renews_at[:16].replace("T", " ")


def renew(context: typer.Context, config: ConfigOption = None) -> None:
    """Let the server order a new certificate from the ACME authority now, also while it waits after a failure."""
    desk = Desk.of(context)
    with telling_troubles():
        settings, _ = desk.settings(config)
        if not settings.acme.enabled:
            raise Refused(
                "[acme] is not enabled", "set enabled = true and agree = true in [acme], then start the server"
            )
        act_as_owner(settings.store.file)
        shelf = Shelf(settings.data)
        before = shelf.last_state().tried_at
        shelf.ask()
        if not _wait(lambda: not shelf.is_asked, NOTICED_WITHIN):
            raise Refused("no server took the request up", "start it: it renews the certificate then")
        if not _wait(lambda: shelf.last_state().tried_at != before, ORDER_PATIENCE):
            raise Refused("the order is still under way", "look again later: postroom certificate list")
        trouble = shelf.last_state().trouble
        if trouble:
            raise Refused(trouble, "mend that and try again; what there was stays in use")
        stored = shelf.stored()
    done(f"renewed {', '.join(stored.names)}" if stored is not None else "renewed")


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    """Whether it is done within so many seconds."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK)
    return True
