"""Whether the settings of the road make sense: rules, and the smarthosts, Maildirs and commands that they name."""

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from postroom.config.finding import Finding
from postroom.config.lines import KeyPath
from postroom.config.model import Settings
from postroom.config.road import CommandSettings, MaildirSettings, RouteSettings, ScheduleSettings, SmarthostSettings
from postroom.mail.address import Address
from postroom.mail.domain import normalise_domain
from postroom.mail.tags import is_tag

_BUILT_IN = ("mx", "mailbox", "discard", "hold")
_MECHANISMS = (
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-1",
    "OAUTHBEARER",
    "XOAUTH2",
    "EXTERNAL",
    "PLAIN",
    "LOGIN",
)
_TOKENS = ("OAUTHBEARER", "XOAUTH2")
_NAME = re.compile(r"[^\s|/]+(?: [^\s|/]+)*")
_FIELD = re.compile(r"[!-9;-~]+")  # RFC 5322 §3.6.8
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_OF_PATHS = ("local", "domain", "address", "tag")
_OF_COMMANDS = ("sender", "recipient", "local", "domain", "tag", "queue_id")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def check_road(settings: Settings) -> Iterator[Finding]:
    """Where a rule would lead nowhere, or mail could not go on from there."""
    yield from _check_names(settings)
    for number, smarthost in enumerate(settings.smarthost):
        yield from _check_smarthost(smarthost, ("smarthost", number))
    for number, maildir in enumerate(settings.maildir):
        yield from _check_maildir(maildir, ("maildir", number))
    for number, command in enumerate(settings.command):
        yield from _check_command(command, ("command", number))
    for number, schedule in enumerate(settings.schedule):
        yield from _check_schedule(schedule, settings, ("schedule", number))
    for number, route in enumerate(settings.route):
        yield from _check_route(route, settings, ("route", number))


# Names.


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def _check_names(settings: Settings) -> Iterator[Finding]:
    """What rules name must be one thing alone."""
    seen: dict[str, str] = dict.fromkeys(_BUILT_IN, "has a meaning of its own in routes")
    for kind, entries in (
        ("smarthost", settings.smarthost),
        ("maildir", settings.maildir),
        ("command", settings.command),
    ):
        yield from _check_unique(kind, entries, seen)
    yield from _check_unique("schedule", settings.schedule, {})
    yield from _check_unique("route", [route for route in settings.route if route.name], {}, settings.route)


def _check_unique(
    kind: str, entries: Sequence[_Named], seen: dict[str, str], among: Sequence[_Named] | None = None
) -> Iterator[Finding]:
    for entry in entries:
        path: KeyPath = (kind, _place(among or entries, entry), "name")
        if entry.name in seen:
            yield Finding(path, f"{entry.name!r} {seen[entry.name]}", "choose another name")
        elif _NAME.fullmatch(entry.name) is None:
            yield Finding(path, f"{entry.name!r} is no name", "use words of letters and digits, without / and |")
        seen[entry.name] = f"is the name of a {kind} already"


def _place(entries: Sequence[_Named], entry: _Named) -> int:
    return next(place for place, other in enumerate(entries) if other is entry)


# Rules.


def _check_route(route: RouteSettings, settings: Settings, path: KeyPath) -> Iterator[Finding]:
    yield from _check_via(route, settings, path)
    if not route.domains:
        yield Finding((*path, "domains"), "no domains: the route never matches", 'name domains, or "*" for all')
    for key, patterns, check, remedy in (
        ("domains", route.domains, _is_domain_pattern, 'write "example.org", ".example.org" or "*"'),
        ("recipients", route.recipients, _is_address, "write whole addresses, such as bob@example.org"),
        (
            "senders",
            route.senders,
            _is_sender_pattern,
            'write "ann@example.org", "@example.org", "@.example.org", "<>"',
        ),
        ("accounts", route.accounts, _is_account_pattern, 'write "ann@example.org", "@example.org" or "*"'),
        ("tags", route.tags, is_tag, "use up to 64 letters, digits, dots, hyphens and underscores"),
        ("headers", route.headers, lambda name: _FIELD.fullmatch(name) is not None, "write a name such as List-Id"),
    ):
        yield from _check_patterns((*path, key), patterns, check, remedy)
    pools = {*(pool.name for pool in settings.pool), *(source.name for source in settings.source)}
    if route.pool and route.pool not in pools:
        yield Finding((*path, "pool"), f"there is no pool {route.pool!r}", _of_these("[[pool]] or [[source]]", pools))
    schedules = {schedule.name for schedule in settings.schedule}
    if route.schedule and route.schedule not in schedules:
        what = f"there is no schedule {route.schedule!r}"
        yield Finding((*path, "schedule"), what, _of_these("[[schedule]]", schedules))


def _check_via(route: RouteSettings, settings: Settings, path: KeyPath) -> Iterator[Finding]:
    via = (*path, "via")
    protocols = {smarthost.name: smarthost.protocol for smarthost in settings.smarthost}
    others = [*(maildir.name for maildir in settings.maildir), *(command.name for command in settings.command)]
    known = [*_BUILT_IN, *protocols, *others]
    if not route.via:
        yield Finding(via, "via nothing", f"name one of {', '.join(known)}")
    for name in route.via:
        if name not in known:
            remedy = f"add a [[smarthost]] of that name, or use one of {', '.join(known)}"
            yield Finding(via, f"there is no smarthost {name!r}, nor a maildir or command", remedy)
    if len(route.via) > 1:
        yield from _check_several(route, protocols, known, via)
    if route.weights and len(route.weights) != len(route.via):
        what = f"{len(route.weights)} weights for {len(route.via)} ways"
        yield Finding((*path, "weights"), what, "give one for each of via, or none")
    elif route.weights and (min(route.weights) < 0 or not sum(route.weights)):
        yield Finding((*path, "weights"), "weights are shares", "write numbers from 0 on, at least one above it")
    explicit = route.recipients or any(domain != "*" for domain in route.domains)
    if route.via == ("mailbox",) and not explicit:
        what = "a rule for mail that leaves the house has no mailbox: it never takes our own domains"
        yield Finding(via, what, "name domains or recipients of ours")


def _check_several(
    route: RouteSettings, protocols: Mapping[str, str], known: Sequence[str], via: KeyPath
) -> Iterator[Finding]:
    odd = [name for name in route.via if name in known and name not in protocols]
    if odd:
        what = f"{odd[0]} among several: only smarthosts stand in for each other"
        yield Finding(via, what, "name smarthosts alone, or one way alone")
    elif len({protocols[name] for name in route.via if name in protocols}) > 1:
        yield Finding(via, "smtp and lmtp do not stand in for each other", "name smarthosts of one protocol")
    if len(set(route.via)) < len(route.via):
        yield Finding(via, "one of them stands there twice", "name each once")


def _check_patterns(
    path: KeyPath, patterns: Iterable[str], is_good: Callable[[str], bool], remedy: str
) -> Iterator[Finding]:
    for pattern in patterns:
        if not is_good(pattern):
            yield Finding(path, f"{pattern!r} means nothing here", remedy)


def _is_address(text: str) -> bool:
    try:
        return bool(Address.parse(text).domain)
    except ValueError:
        return False


def _is_domain(text: str) -> bool:
    try:
        return bool(normalise_domain(text))
    except ValueError:
        return False


def _is_domain_pattern(text: str) -> bool:
    return text == "*" or _is_domain(text.removeprefix("."))


def _is_sender_pattern(text: str) -> bool:
    if text.startswith("@"):
        return _is_domain(text[1:].removeprefix("."))
    return text == "<>" or _is_address(text)


def _is_account_pattern(text: str) -> bool:
    return text == "*" or (text != "<>" and _is_sender_pattern(text))


def _of_these(kind: str, names: Iterable[str]) -> str:
    known = ", ".join(sorted(names))
    return f"add a {kind} of that name, or use one of {known}" if known else f"add a {kind} of that name"


# Smarthosts.


def _check_smarthost(smarthost: SmarthostSettings, path: KeyPath) -> Iterator[Finding]:
    is_socket = smarthost.host.startswith("/")
    if is_socket and smarthost.protocol != "lmtp":
        yield Finding((*path, "host"), "the path of a socket, for smtp", 'set protocol = "lmtp", or name a host')
    has_password = bool(smarthost.password.get_secret_value())
    if has_password and smarthost.password_file is not None:
        yield Finding((*path, "password"), "both password and password_file", "keep password_file")
    can_prove = has_password or smarthost.password_file is not None or smarthost.token_url
    if smarthost.user and not can_prove:
        yield Finding((*path, "user"), "user without a password", "add password_file (or password), or token_url")
    if smarthost.user and not is_socket and smarthost.tls in ("none", "opportunistic"):
        what = f"a password would go to {smarthost.host} without verified TLS"
        yield Finding((*path, "tls"), what, 'set tls = "required" or "implicit"')
    if smarthost.key is not None and smarthost.certificate is None:
        yield Finding((*path, "key"), "key without certificate", "add certificate, or remove key")
    if smarthost.certificate is not None and smarthost.key is None:
        yield Finding((*path, "certificate"), "certificate without key", "add key, or remove certificate")
    if smarthost.certificate is not None and smarthost.tls in ("none", "opportunistic"):
        what = "a certificate is shown only where TLS is required"
        yield Finding((*path, "certificate"), what, 'set tls = "required" or "implicit"')
    yield from _check_mechanisms(smarthost, path)
    yield from _check_tokens(smarthost, path)


def _check_mechanisms(smarthost: SmarthostSettings, path: KeyPath) -> Iterator[Finding]:
    for number, name in enumerate(smarthost.mechanisms):
        place = (*path, "mechanisms", number)
        if name.upper() not in _MECHANISMS:
            yield Finding(place, f"{name!r} is no mechanism that we have", f"one of {', '.join(_MECHANISMS)}")
        elif name.upper() in _TOKENS and not smarthost.token_url:
            yield Finding(place, f"{name} without a token", "set token_url, or remove the mechanism")
        elif name.upper() == "EXTERNAL" and smarthost.certificate is None:
            yield Finding(place, "EXTERNAL without a certificate", "set certificate and key, or remove the mechanism")


def _check_tokens(smarthost: SmarthostSettings, path: KeyPath) -> Iterator[Finding]:
    if not smarthost.token_url:
        for key in ("client_id", "client_secret_file", "refresh_token_file", "scope", "token_ca_file"):
            if getattr(smarthost, key):
                yield Finding((*path, key), f"{key} without token_url", "set token_url")
        return
    url = urlsplit(smarthost.token_url)
    if url.scheme != "https" or not url.hostname:
        yield Finding((*path, "token_url"), f"{smarthost.token_url!r} is no https URL", "write https://host/path")
    if not smarthost.user:
        yield Finding((*path, "token_url"), "whose mailbox the tokens are for is not said", "set user")
    if not smarthost.client_id:
        yield Finding((*path, "token_url"), "token_url without client_id", "set client_id")
    if smarthost.refresh_token_file is None and smarthost.client_secret_file is None:
        what = "neither refresh_token_file nor client_secret_file: there is nothing to get a token with"
        yield Finding((*path, "token_url"), what, "set refresh_token_file, or client_secret_file")


# Maildirs, commands, schedules.


def _check_maildir(maildir: MaildirSettings, path: KeyPath) -> Iterator[Finding]:
    place = (*path, "path")
    if not Path(maildir.path).is_absolute():
        yield Finding(place, f"{maildir.path!r} does not begin with /", "write the whole path")
    yield from _check_template(place, maildir.path, _OF_PATHS)
    filled = set(_PLACEHOLDER.findall(maildir.path))
    if not filled & {"local", "address"}:
        what = "everybody's mail would go into one Maildir"
        yield Finding(place, what, "put {local} and {domain}, or {address}, into it", is_error=False)


def _check_command(command: CommandSettings, path: KeyPath) -> Iterator[Finding]:
    place = (*path, "command")
    for argument in command.command:
        yield from _check_template(place, argument, _OF_COMMANDS)
    program = command.command[0]
    if _PLACEHOLDER.search(program):
        yield Finding(place, "the program would be named by whoever sends", "name the program itself")
    elif not program.startswith("/") and shutil.which(program, path=_PATH) is None:
        yield Finding(place, f"there is no program {program!r}", "write its whole path", is_error=False)
    elif program.startswith("/") and not os.path.isfile(program):
        yield Finding(place, f"{program} does not exist", "correct the path, or install it", is_error=False)
    elif program.startswith("/") and not os.access(program, os.X_OK):
        yield Finding(place, f"{program} is not executable", f"chmod +x {program}", is_error=False)


def _check_template(place: KeyPath, text: str, known: Sequence[str]) -> Iterator[Finding]:
    for name in _PLACEHOLDER.findall(text):
        if name not in known:
            shown = ", ".join([f"{{{word}}}" for word in known])
            yield Finding(place, f"{{{name}}} stands for nothing", f"one of {shown}")


def _check_schedule(schedule: ScheduleSettings, settings: Settings, path: KeyPath) -> Iterator[Finding]:
    queue = settings.queue
    first = queue.first_retry if schedule.first_retry is None else schedule.first_retry
    longest = queue.longest_retry if schedule.longest_retry is None else schedule.longest_retry
    lifetime = queue.lifetime if schedule.lifetime is None else schedule.lifetime
    if longest < first:
        what = "longest_retry is shorter than first_retry"
        yield Finding((*path, "longest_retry"), what, "make it at least as long as first_retry")
    if first >= lifetime:
        what = "a message would expire before its first retry"
        yield Finding((*path, "lifetime"), what, "make lifetime longer than first_retry")
