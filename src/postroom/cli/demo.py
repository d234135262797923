"""``postroom demo``: a server with everything in it, to try things out on this machine."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from postroom.admin.accounts import add_account
from postroom.admin.aliases import put_alias
from postroom.admin.certificate import write_new
from postroom.admin.domains import add_domain
from postroom.admin.refusal import Refused
from postroom.admin.setup import lay_out
from postroom.cli.desk import Desk, telling_troubles
from postroom.cli.house import House, OpenStore
from postroom.cli.output import say
from postroom.cli.passwords import invent_password
from postroom.config.load import FILE_NAME, load
from postroom.config.model import Settings
from postroom.config.sense import listeners_of
from postroom.mail.session import Role

HOSTNAME = "mail.demo.example"
DOMAINS = ("demo.example", "second.example")  # RFC 2606 §2: names that nobody owns
ADDRESSES = ("alice@demo.example", "bob@demo.example", "carol@second.example")
ACCOUNTS_FILE = "accounts.txt"


@dataclass(frozen=True, slots=True)
class Login:
    """An account of the demo."""

    address: str
    password: str


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder of the demo.")] = Path("demo"),
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Start the server once all is there.")] = True,
) -> None:
    """Set up a demo server with two domains and three accounts, say what to try, and run it.

    A folder that is there already is used again, with its accounts and its mail.
    """
    house = Desk.of(context).house
    with telling_troubles():
        path = folder / FILE_NAME
        if not path.exists():
            _make(house, folder)
        settings = load(path)
        logins = read_logins(folder / ACCOUNTS_FILE)
        _show(settings, path, logins)
        if not serve:
            return
        code = house.serve(settings, path)
    raise typer.Exit(code)


def read_logins(path: Path) -> list[Login]:
    """The accounts of the demo from its file. Refused if the file is not the demo's."""
    if not path.exists():
        raise Refused(f"{path} is missing: this folder is no demo", "choose another folder")
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        address, _, password = line.partition(" ")
        if address and password and not line.startswith("#"):
            found.append(Login(address, password.strip()))
    if len(found) < len(ADDRESSES):
        raise Refused(f"{path} does not have the demo's accounts", "choose another folder, or remove this one")
    return found


def _make(house: House, folder: Path) -> None:
    laid = lay_out(folder, HOSTNAME, house.now(), public=False)
    logins = [Login(address, invent_password()) for address in ADDRESSES]
    text = "# The accounts of this demo.\n" + "".join(f"{login.address} {login.password}\n" for login in logins)

    async def job(store: OpenStore, settings: Settings) -> None:
        for domain in DOMAINS:
            await add_domain(store.directory, domain, house.now())
        for login in logins:
            quota = settings.delivery.default_quota
            await add_account(
                store.directory, login.address, login.password, quota, house.now(), make=house.new_password
            )
        await put_alias(store.directory, "postmaster@demo.example", [ADDRESSES[0]])
        await put_alias(store.directory, "postmaster@second.example", [ADDRESSES[2]])
        await put_alias(store.directory, "team@demo.example", ADDRESSES)

    Desk(house).work_in(load(laid.settings), job)
    write_new(folder / ACCOUNTS_FILE, text.encode(), 0o600)


def _show(settings: Settings, path: Path, logins: list[Login]) -> None:
    ports = {listener.role: (listener.addresses[0], listener.port) for listener in listeners_of(settings)}
    say("Postroom demo")
    say("")
    say("Ports")
    for role, (address, port) in ports.items():
        say(f"  {role.value:<12} {address}:{port}")
    if settings.web.enabled:
        say(f"  {'web':<12} http://{settings.web.address}:{settings.web.port}/healthz and /metrics")
    say("")
    say(f"Accounts (also in {path.parent / ACCOUNTS_FILE})")
    for login in logins:
        say(f"  {login.address:<22} {login.password}")
    say("")
    say("Try, in another terminal")
    for line in next_steps(settings, path, logins, _program()):
        say(f"  {line}")
    say("")


def _program() -> str:
    """How to call this program from the same folder."""
    if shutil.which("postroom") is not None:
        return "postroom"
    beside = Path(sys.executable).with_name("postroom")
    return str(beside) if beside.exists() else f"{sys.executable} -m postroom"


def next_steps(settings: Settings, path: Path, logins: list[Login], program: str) -> list[str]:
    """Commands that work as they stand, for whoever copies them."""
    ports = {listener.role: listener.port for listener in listeners_of(settings)}
    alice, carol = logins[0], logins[2]
    lines = []
    if Role.SUBMISSION in ports:
        to_submission = f"--server 127.0.0.1 --port {ports[Role.SUBMISSION]} --tls starttls --insecure"
        lines += [
            f"echo '{alice.password}' | {program} send {to_submission} --user {alice.address} --password-stdin"
            f" --from {alice.address} --to {carol.address} --subject Hello --body 'It works.'",
            f"swaks --server 127.0.0.1:{ports[Role.SUBMISSION]} --tls --auth PLAIN --auth-user {alice.address}"
            f" --auth-password '{alice.password}' --from {alice.address} --to {carol.address}",
        ]
    if Role.POP3S in ports:
        lines.append(f"curl -k --user '{carol.address}:{carol.password}' pop3s://127.0.0.1:{ports[Role.POP3S]}/1")
    lines += [
        f"{program} why {carol.address} -c {path}",
        f"{program} queue list -c {path}",
        f"{program} user list -c {path}",
    ]
    if settings.web.enabled:
        lines.append(f"curl http://{settings.web.address}:{settings.web.port}/healthz")
    return lines
