"""``postroom dkim``: the keys that our mail is signed with, and what is done about them by hand."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from postroom.admin import dkim
from postroom.admin.dkim import KeyView, LookView, RecordView
from postroom.admin.domains import read_domain
from postroom.admin.keyfile import prepare_key_file
from postroom.admin.refusal import Refused
from postroom.cli.desk import ConfigOption, Desk, JsonOption, done, telling_troubles
from postroom.cli.house import OpenStore
from postroom.cli.output import print_json, print_table, say
from postroom.config.model import Settings
from postroom.mailauth.keys.model import ED25519, LIVING, RSA, KeyPair, KeyState
from postroom.mailauth.keys.sealing import Sealer, open_sealer
from postroom.mailauth.keys.watching import DnsWatcher

Result = TypeVar("Result")

RECORD_TTL = 3600

DomainArgument = Annotated[
    str, typer.Argument(metavar="DOMAIN", help="Domain that signs, as in example.org.", show_default=False)
]
MaybeDomainArgument = Annotated[str, typer.Argument(metavar="[DOMAIN]", help="One domain; else all.")]
SelectorArgument = Annotated[
    str, typer.Argument(metavar="SELECTOR", help="The key, as postroom dkim list shows it.", show_default=False)
]
AlgorithmOption = Annotated[
    list[str] | None,
    typer.Option("--algorithm", metavar="NAME", help="rsa-sha256 or ed25519-sha256; else those of the settings."),
]


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Keys that our mail is signed with: list, show, check, make, rotate, activate, retire, remove, import, "
        "encrypt.",
    )
    group.command("list")(list_all)
    group.command("show")(show)
    group.command("check")(check)
    group.command("make")(make)
    group.command("add", hidden=True)(make)
    group.command("rotate")(rotate)
    group.command("activate")(activate)
    group.command("retire")(retire)
    group.command("remove")(remove)
    group.command("import")(bring)
    group.command("encrypt")(encrypt)
    return group


def list_all(
    context: typer.Context,
    domain: MaybeDomainArgument = "",
    *,
    withdrawn: Annotated[bool, typer.Option("--withdrawn", help="Also those of which only the name is left.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the keys, where each is in its life, and what comes next."""
    desk = Desk.of(context)

    async def job(store: OpenStore, settings: Settings) -> Sequence[KeyView]:
        name = read_domain(domain) if domain else ""
        return await dkim.list_keys(store.dkim, name, dkim.rules_of(settings.dkim), desk.house.now(), gone=withdrawn)

    views = desk.work(config, job)
    if json:
        print_json(list(views))
        return
    rows = [
        (
            v.domain,
            v.selector,
            v.algorithm,
            v.state,
            "yes" if v.signs else "no",
            "; ".join(filter(None, (v.trouble, v.comes))),
        )
        for v in views
    ]
    print_table(("domain", "selector", "algorithm", "state", "signs", "next"), rows)


def show(context: typer.Context, domain: DomainArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Print the records that should be in the DNS, as a zone file has them."""

    async def job(store: OpenStore, _: Settings) -> Sequence[RecordView]:
        name = read_domain(domain)
        records = await dkim.records_to_publish(store.dkim, name)
        if not records:
            raise Refused(f"{name} has no keys", f"postroom dkim make {name}")
        return records

    records = Desk.of(context).work(config, job)
    if json:
        print_json(list(records))
    else:
        print_records(records)


def print_records(records: Sequence[RecordView]) -> None:
    """Lines of a zone file, with the state of each key behind."""
    for record in records:
        say(f"{record.name}. {RECORD_TTL} IN {record.kind} {record.data} ; {record.state}")


def check(
    context: typer.Context, domain: MaybeDomainArgument = "", config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Look now, at every server of the zones, for the records that should be there. Exit code 1 if one is not."""
    desk = Desk.of(context)

    async def job(store: OpenStore, settings: Settings) -> Sequence[LookView]:
        return await dkim.look_all(store.dkim, _watcher(desk, settings), read_domain(domain) if domain else "")

    views = desk.work(config, job)
    if json:
        print_json(list(views))
    else:
        print_table(("record", "in the DNS", "what was found"), [(v.record, v.sight, v.detail) for v in views])
    if any(view.sight != "visible" for view in views):
        raise typer.Exit(1)


def make(
    context: typer.Context, domain: DomainArgument, algorithm: AlgorithmOption = None, config: ConfigOption = None
) -> None:
    """Make the keys that a domain lacks, and print the records to publish. They sign once they are seen in the DNS."""

    async def job(store: OpenStore, settings: Settings, sealer: Sealer) -> Sequence[RecordView]:
        name = read_domain(domain)
        await dkim.must_be_ours(store.directory, name, settings.hostname)
        living = {key.algorithm for key in await store.dkim.keys(name) if key.state in LIVING}
        lacking = [each for each in _algorithms(algorithm, settings) if each not in living]
        if not lacking:
            raise Refused(f"{name} has its keys already", f"postroom dkim rotate {name} makes the next ones")
        return dkim.records_of(await dkim.make_next(store.dkim, sealer, name, lacking, desk.house.now()))

    desk = Desk.of(context)
    print_records(_work(desk, config, job))


def rotate(
    context: typer.Context, domain: DomainArgument, algorithm: AlgorithmOption = None, config: ConfigOption = None
) -> None:
    """Make the next keys of a domain now. They take over once they are seen in the DNS; then the old ones retire."""

    async def job(store: OpenStore, settings: Settings, sealer: Sealer) -> Sequence[RecordView]:
        name = read_domain(domain)
        await dkim.must_be_ours(store.directory, name, settings.hostname)
        wanted = _algorithms(algorithm, settings)
        begun = await dkim.make_next(store.dkim, sealer, name, wanted, desk.house.now())
        if not begun:
            raise Refused(f"the next keys of {name} wait already", f"postroom dkim show {name} prints their records")
        return dkim.records_of(begun)

    desk = Desk.of(context)
    print_records(_work(desk, config, job))


def activate(
    context: typer.Context,
    domain: DomainArgument,
    selector: SelectorArgument,
    *,
    force: Annotated[
        bool,
        typer.Option("--force", help="Although this machine cannot see its record (split DNS). Others must see it!"),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Let a key sign at once, if its record can be seen, instead of waiting longer."""
    desk = Desk.of(context)

    async def job(store: OpenStore, settings: Settings) -> KeyPair:
        key = await dkim.find_key(store.dkim, read_domain(domain), selector)
        return await dkim.activate(store.dkim, _watcher(desk, settings), key, desk.house.now(), force=force)

    key = desk.work(config, job)
    done(f"{key.domain} is signed with {key.selector} ({key.algorithm})")


def retire(
    context: typer.Context, domain: DomainArgument, selector: SelectorArgument, config: ConfigOption = None
) -> None:
    """Let a key sign no more. Its record stays for mail under way; the server makes the next key."""
    desk = Desk.of(context)

    async def job(store: OpenStore, _: Settings) -> KeyPair:
        key = await dkim.find_key(store.dkim, read_domain(domain), selector)
        return await dkim.retire(store.dkim, key, desk.house.now())

    key = desk.work(config, job)
    done(f"{key.selector} of {key.domain} signs no more")


def remove(
    context: typer.Context, domain: DomainArgument, selector: SelectorArgument, config: ConfigOption = None
) -> None:
    """Throw a private key away at once, as when it leaked. What it signed does not verify once the record is gone."""

    async def job(store: OpenStore, _: Settings) -> KeyPair:
        return await dkim.remove(store.dkim, await dkim.find_key(store.dkim, read_domain(domain), selector))

    key = Desk.of(context).work(config, job)
    done(f"{key.selector} of {key.domain} has no private key any more")
    if key.state is KeyState.REMOVABLE:
        say(f"now remove from the DNS (the server does, where it may): {key.name}")


def bring(
    context: typer.Context,
    domain: DomainArgument,
    selector: SelectorArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Private key in PEM form.", show_default=False)],
    config: ConfigOption = None,
) -> None:
    """Take over a private key from opendkim or another program. It signs once its record is seen in the DNS."""
    desk = Desk.of(context)
    with telling_troubles():
        pem = file.read_bytes()

    async def job(store: OpenStore, settings: Settings, sealer: Sealer) -> KeyPair:
        name = read_domain(domain)
        await dkim.must_be_ours(store.directory, name, settings.hostname)
        return await dkim.bring(store.dkim, sealer, (name, selector), pem, desk.house.now())

    key = _work(desk, config, job)
    done(f"{key.domain} has the key {key.selector} ({key.algorithm})")
    print_records(dkim.records_of([key]))


def encrypt(
    context: typer.Context,
    old: Annotated[
        Path | None, typer.Option("--old", metavar="FILE", help="The key file that they are encrypted with now.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Encrypt all private keys with the key file of the settings, which is made where it is missing.

    Restart the server afterwards, if the file is new to it.
    """
    desk = Desk.of(context)
    with telling_troubles():
        settings, _ = desk.settings(config)
        key_file = settings.dkim.key_file
        if key_file is None:
            raise Refused("the settings name no key file", "add key_file to [dkim], at a path where there is none yet")
        before = open_sealer(old)
        prepared = prepare_key_file(key_file, settings.data)

        async def job(store: OpenStore, _: Settings) -> int:
            return await dkim.reseal(store.dkim, prepared.opening(before), prepared.sealer)

        with prepared:
            count = desk.work_in(settings, job)
    done(f"{count} private keys are encrypted with {key_file}")
    if prepared.is_new:
        say("keep a copy of that file apart from the backups of the store: without it the keys are lost")


def _watcher(desk: Desk, settings: Settings) -> DnsWatcher:
    return DnsWatcher(desk.house.resolver(settings.dns), desk.house.authorities(settings.dns))


def _algorithms(named: Sequence[str] | None, settings: Settings) -> Sequence[str]:
    known = {RSA, ED25519}
    for name in named or ():
        if name not in known:
            raise Refused(f"{name!r} is no algorithm that we sign by", f"it is one of {', '.join(sorted(known))}")
    return list(dict.fromkeys(named)) if named else settings.dkim.algorithms


def _work(desk: Desk, config: Path | None, job: Callable[[OpenStore, Settings, Sealer], Awaitable[Result]]) -> Result:
    """Work that seals private keys. The key file is read first: the store's owner may not be able to."""
    with telling_troubles():
        settings, _ = desk.settings(config)
        sealer = open_sealer(settings.dkim.key_file)

        async def sealing(store: OpenStore, settings: Settings) -> Result:
            return await job(store, settings, sealer)

        return desk.work_in(settings, sealing)
