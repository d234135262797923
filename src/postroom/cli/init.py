"""``postroom init``: everything a new server needs, in one folder."""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from postroom.admin.accounts import add_account, read_address
from postroom.admin.aliases import put_alias
from postroom.admin.dkim import make_first
from postroom.admin.dnsrecords.facts import gather
from postroom.admin.dnsrecords.making import host_records
from postroom.admin.dnsrecords.zonefile import zone_file, zone_line
from postroom.admin.domains import add_domain, read_domain
from postroom.admin.setup import Laid, lay_out
from postroom.cli.desk import Desk, PasswordStdinOption, telling_troubles
from postroom.cli.dns import published_for
from postroom.cli.house import House, OpenStore
from postroom.cli.output import say
from postroom.cli.passwords import obtain_password
from postroom.config.load import load
from postroom.config.model import Settings
from postroom.mail.address import Address
from postroom.mailauth.keys.sealing import Sealer


def init(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder of the new server.")] = Path(),
    *,
    hostname: Annotated[str, typer.Option("--hostname", help="Full name of this machine.", show_default=False)] = "",
    domain: Annotated[str, typer.Option("--domain", help="First domain whose mail is ours.", show_default=False)] = "",
    user: Annotated[
        str,
        typer.Option("--user", metavar="ADDRESS", help="First account; postmaster leads to it.", show_default=False),
    ] = "",
    password_stdin: PasswordStdinOption = False,
    public: Annotated[bool, typer.Option("--public", help="Ports 25, 587, 465, 110 and 995 on all addresses.")] = False,
    acme: Annotated[
        bool | None,
        typer.Option(
            "--acme/--no-acme",
            help="Certificate from Let's Encrypt, by port 80. Says that you agree to its terms of service.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a settings file, a data folder and a certificate; print the DNS records to publish.

    On a terminal it asks for what the options do not say. Nothing is overwritten.
    """
    house = Desk.of(context).house
    with telling_troubles():
        hostname = read_domain(hostname or _ask("Full name of this machine", _default_hostname()))
        domain = domain or (_ask("First domain whose mail is ours (empty for none)", "") if not user else "")
        address = read_address(user) if user else None
        name = read_domain(domain) if domain else address.domain if address is not None else ""
        password = obtain_password(from_stdin=password_stdin) if address is not None else ""
        acme = _wants_acme(public=public) if acme is None else acme
        laid = lay_out(folder, hostname, house.now(), public=public, acme=acme)
        settings = load(laid.settings)
        if name:
            _fill(house, settings, name, address, password)
    _report(laid, name, address, _records(house, settings, name))


def _fill(house: House, settings: Settings, domain: str, address: Address | None, password: str) -> None:
    """The first domain, its keys and the first account."""

    async def job(store: OpenStore, settings: Settings) -> None:
        await add_domain(store.directory, domain, house.now())
        await make_first(store.dkim, Sealer(), settings.dkim, domain, house.now())
        if address is not None:
            await fill_account(store, settings, address)

    async def fill_account(store: OpenStore, settings: Settings, address: Address) -> None:
        if address.domain != domain:
            await add_domain(store.directory, address.domain, house.now())
        quota = settings.delivery.default_quota
        await add_account(store.directory, str(address), password, quota, house.now(), make=house.new_password)
        postmaster = f"postmaster@{domain}"
        if address.key != postmaster:  # RFC 5321 §4.5.1: every domain has one
            await put_alias(store.directory, postmaster, [str(address)])

    Desk(house).work_in(settings, job)


def _ask(question: str, default: str) -> str:
    """The answer on a terminal, the default elsewhere."""
    if not sys.stdin.isatty():
        return default
    return str(typer.prompt(question, default=default, show_default=bool(default)))


def _wants_acme(*, public: bool) -> bool:
    """Whether to get the certificate from Let's Encrypt: asked where that can work and someone can answer."""
    if not public or not sys.stdin.isatty():
        return False
    say("Let's Encrypt can give the certificate, if it reaches port 80 of this machine.")
    return typer.confirm("Do that, and agree to its terms (https://letsencrypt.org/repository/)?", default=False)


def _default_hostname() -> str:
    name = socket.getfqdn()
    return name if "." in name else "localhost.localdomain"


def _records(house: House, settings: Settings, domain: str) -> list[str]:
    """What the domain should publish, and the host where there is none yet."""
    if domain:
        return zone_file(published_for(house, settings, domain)).splitlines()
    return [zone_line(each.record) for each in host_records(gather(settings, house.local_addresses))]


def _report(laid: Laid, domain: str, address: Address | None, records: Sequence[str]) -> None:
    option = f" -c {laid.settings}"
    say(f"settings     {laid.settings}")
    say(f"data         {laid.data}")
    if laid.certificate is None:
        say("certificate  from Let's Encrypt, ordered by the server when it starts")
    else:
        say(f"certificate  {laid.certificate} (self-signed)")
    if domain:
        say(f"domain       {domain}")
    if address is not None:
        say(f"account      {address}")
    say("")
    say("Publish in the DNS:")
    for line in records:
        say(f"  {line}")
    say("")
    say("Next:")
    if not domain:
        say(f"  postroom domain add example.org{option}")
    if address is None:
        say(f"  postroom user add NAME@{domain or 'example.org'}{option}")
    say(f"  postroom check{option}")
    say(f"  postroom serve{option}")
