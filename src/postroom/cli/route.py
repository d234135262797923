"""``postroom route``: where mail for an address would go, by which rule, and why."""

from ipaddress import ip_address
from typing import Annotated

import typer

from postroom.admin.accounts import read_address
from postroom.admin.refusal import Refused
from postroom.admin.reportsroom import report_addresses
from postroom.cli.desk import ConfigOption, Desk, JsonOption
from postroom.cli.house import OpenStore
from postroom.cli.output import print_json, say
from postroom.clock import SystemClock
from postroom.config.model import Settings
from postroom.directory.directory import Directory
from postroom.mail.tags import is_tag
from postroom.outbound.wayfinding import HostView, Question, RouteView, Wayfinder, WayView

_WHERE = {
    "mailbox": "into the mailbox",
    "mx": "to the MX hosts of the domain",
    "smarthost": "by smarthost",
    "lmtp": "by LMTP",
    "maildir": "into a Maildir",
    "command": "to a command",
    "discard": "nowhere: it is thrown away",
    "hold": "nowhere yet: it is held until postroom queue release",
}


def route(
    context: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The recipient.", show_default=False)],
    *,
    sender: Annotated[
        str | None, typer.Option("--sender", metavar="ADDRESS", help='Reverse-path; "<>" for none; else the account.')
    ] = None,
    account: Annotated[str, typer.Option("--account", metavar="ADDRESS", help="Account that submits it.")] = "",
    client: Annotated[str, typer.Option("--client", metavar="IP", help="Address that it comes from.")] = "",
    header: Annotated[
        list[str] | None, typer.Option("--header", metavar="NAME=VALUE", help="A field of its header; may be repeated.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="A tag of it; may be repeated.")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Explain where mail for ADDRESS goes: which rule and why, which hosts. Exit code 1 if it could not go now."""
    desk = Desk.of(context)

    async def job(store: OpenStore, settings: Settings) -> RouteView:
        clock = SystemClock()
        directory = Directory(store.directory, settings.delivery, clock)
        finder = Wayfinder(
            settings,
            resolver=desk.house.resolver(settings.dns),
            resolve=report_addresses(settings, directory.resolve, directory.is_local).resolve,
            is_local=directory.is_local,
            clock=clock,
        )
        question = Question(
            address=read_address(address),
            sender=sender if sender in (None, "", "<>") else str(read_address(str(sender))),
            account=str(read_address(account)) if account else "",
            client=_client(client),
            headers=tuple(_field(text) for text in header or ()),
            tags=tuple(tag or ()),
        )
        return await finder.explain(question)

    view = desk.work(config, job)
    if json:
        print_json(view)
    else:
        _tell(view)
    if not view.is_passable:
        raise typer.Exit(1)


def _client(text: str) -> str:
    try:
        return str(ip_address(text)) if text else ""
    except ValueError as error:
        raise Refused(f"{text!r} is no IP address", "write it as in --client 192.0.2.7") from error


def _field(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or any(c in text for c in "\r\n"):
        raise Refused(f"{text!r} is no field of a header", "write it as in --header List-Id=news.example.org")
    return name, value


def _tell(view: RouteView) -> None:
    tags = [tag for tag in view.tags if is_tag(tag)]  # not those that conditions on the header are kept as
    say(f"{view.address} from {view.sender or '<>'}" + (f", tagged {', '.join(tags)}" if tags else ""))
    if view.reply:
        say(f"  refused: {view.reply}")
    elif not view.ways:
        say("  read by this server, which keeps what it reports: postroom reports")
    for way in view.ways:
        say(f"  {way.address}: {_where(way)}")
        for look in way.rules:
            say(f"    rule {look.name}: {'matches' if look.matches else f'no, {look.why_not}'}")
        if not way.rule:
            say("    no rule matches" if way.rules else "    there are no rules")
        for name, value in (("pool", way.pool), ("schedule", way.schedule), ("place", way.place)):
            if value:
                say(f"    {name} {value}")
        if way.weights:
            say(f"    shares {':'.join(map(str, way.weights))}; this is the order of some of the mail")
        for host in way.hosts:
            say(f"    {_host(host)}")
        if way.reply:
            say(f"    {way.reply}" + (f" ({way.detail})" if way.detail else ""))


def _where(way: WayView) -> str:
    return _WHERE.get(way.kind, "it cannot go now" if way.reply.startswith("4") else "it cannot go")


def _host(host: HostView) -> str:
    if host.trouble:
        return host.trouble
    relay = f" (smarthost {host.relay})" if host.relay else ""
    at = host.address if host.address.startswith("/") else f"{host.host} [{host.address}] port {host.port}"
    return f"{at}{relay}, TLS {host.tls}"
