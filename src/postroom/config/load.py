"""Reads the settings: TOML file, POSTROOM_* environment, checks. All errors at once, each with its place and remedy."""

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from postroom.config.environment import overlay
from postroom.config.finding import Finding
from postroom.config.lines import KeyPath, find_lines, nearest_line, show_path
from postroom.config.model import Settings
from postroom.config.problems import ENVIRONMENT, Problem, SettingsError
from postroom.config.road import SmarthostSettings
from postroom.config.sense import check_sense, listeners_of

FILE_NAME = "postroom.toml"
SEARCH = (Path(FILE_NAME), Path("/etc/postroom") / FILE_NAME)
"""Where settings are looked for without ``-c`` (DESIGN §6)."""

MAX_FILE = 4 << 20  # octets; a settings file of this size is a mistake


@dataclass(frozen=True, slots=True)
class Examination:
    """All that can be said about a settings file. ``settings`` is None where there are ``problems``."""

    settings: Settings | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def find(explicit: Path | None = None) -> Path:
    """The settings file: ``explicit``, or the first of SEARCH that exists. SettingsError if there is none."""
    if explicit is not None:
        return explicit
    for candidate in SEARCH:
        if candidate.is_file():
            return candidate
    looked = " or ".join(str(candidate) for candidate in SEARCH)
    raise SettingsError(
        [
            Problem(
                SEARCH[0],
                0,
                "",
                f"no settings file: looked for {looked}",
                "run postroom init, or name one with -c FILE",
            )
        ]
    )


def load(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of ``path`` and the environment, relative paths made absolute. SettingsError with all problems."""
    examined = examine(path, environment)
    if examined.settings is None:
        raise SettingsError(examined.problems)
    return examined.settings


def examine(path: Path, environment: Mapping[str, str] | None = None) -> Examination:
    """Like ``load``, but problems and warnings are values."""
    try:
        text = _read(path)
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return _failed(_syntax_problem(path, error))
    except UnicodeDecodeError as error:
        return _failed(Problem(path, 0, "", f"not UTF-8 text: {error.reason}", "save the file as UTF-8"))
    except OSError as error:
        remedy = "run postroom init, or name another file with -c FILE"
        return _failed(Problem(path, 0, "", f"cannot be read: {error.strerror or error}", remedy))
    environment = os.environ if environment is None else environment
    laid = overlay(values, environment, frozenset(Settings.model_fields), _is_list)
    places = _Places(path, find_lines(text), laid.origin)
    problems = list(laid.problems)
    warnings = list(laid.warnings)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += _describe_all(error, places)
    else:
        for finding in check_sense(settings):
            (problems if finding.is_error else warnings).append(places.locate(finding))
        settings = _resolve(settings, path.absolute().parent)
        warnings += _look_at_modes(settings, path)
    problems.sort(key=lambda problem: (problem.file == ENVIRONMENT, problem.line))
    return Examination(None if problems else settings, tuple(problems), tuple(warnings))


@dataclass(frozen=True, slots=True)
class _Places:
    """Where each key was given: a line of the file, or a variable."""

    file: Path
    lines: Mapping[KeyPath, int]
    origin: Mapping[KeyPath, str]

    def problem(self, path: KeyPath, what: str, remedy: str) -> Problem:
        variable = next((name for key, name in self.origin.items() if path[: len(key)] == key), "")
        if variable:
            return Problem(ENVIRONMENT, 0, f"{variable} ({show_path(path)})", what, remedy)
        return Problem(self.file, nearest_line(self.lines, path), show_path(path), what, remedy)

    def locate(self, finding: Finding) -> Problem:
        return self.problem(finding.path, finding.what, finding.remedy)


def _failed(problem: Problem) -> Examination:
    return Examination(None, (problem,), ())


def _read(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(MAX_FILE + 1)
    if len(raw) > MAX_FILE:
        raise OSError(f"larger than {MAX_FILE} octets")
    return raw.decode().replace("\r\n", "\n")


_SYNTAX_PLACE = re.compile(r"\s*\(at line (\d+), column (\d+)\)")


def _syntax_problem(path: Path, error: tomllib.TOMLDecodeError) -> Problem:
    message = str(error)
    place = _SYNTAX_PLACE.search(message)
    line, column = (int(place[1]), int(place[2])) if place else (0, 0)
    what = f"not valid TOML: {_SYNTAX_PLACE.sub('', message)}"
    remedy = 'correct the syntax; text stands in "quotes", a section begins with [name], a listener with [[listener]]'
    return Problem(path, line, "", what, remedy, column)


def _describe_all(error: ValidationError, places: _Places) -> list[Problem]:
    """Each error once: pydantic names every member of a union that did not fit."""
    described: dict[KeyPath, Problem] = {}
    for details in error.errors(include_url=False):
        path = _key_path(details["loc"])
        if path not in described:
            what, remedy = _describe(details, path)
            described[path] = places.problem(path, what, remedy)
    return list(described.values())


def _key_path(loc: tuple[int | str, ...]) -> KeyPath:
    """The part of pydantic's location that stands in the file: names of union members do not."""
    path: KeyPath = ()
    model: type[BaseModel] | None = Settings
    for part in loc:
        if isinstance(part, str) and model is None:
            break
        path = (*path, part)
        if isinstance(part, str):
            model = _section_of(model, part)
    return path


def _section_of(model: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    """The section that stands under ``key``, or None where a plain value does."""
    field = model.model_fields.get(key) if model is not None else None
    annotation = field.annotation if field is not None else None
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _is_list(path: KeyPath) -> bool:
    model: type[BaseModel] | None = Settings
    for part in path[:-1]:
        if isinstance(part, str):
            model = _section_of(model, part)
    last = path[-1]
    field = model.model_fields.get(last) if model is not None and isinstance(last, str) else None
    return field is not None and get_origin(field.annotation) is tuple


def _describe(details: ErrorDetails, path: KeyPath) -> tuple[str, str]:
    """What is wrong, and what to do."""
    model: type[BaseModel] | None = Settings
    for part in path[:-1]:
        if isinstance(part, str):
            model = _section_of(model, part)
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    if details["type"] == "extra_forbidden" and model is not None:
        return "unknown key", _suggest(name, model)
    field = model.model_fields.get(name) if model is not None else None
    meaning = field.description or "" if field is not None else ""
    if details["type"] == "missing":
        return "this key is required", f"add {name} = ... ({meaning})"
    if details["type"] in ("ip_v4_network", "ip_v6_network"):
        return (
            f"{details['input']!r} is not a network",
            "write address/length without host bits: 192.0.2.0/24, 2001:db8::/32",
        )
    what = details["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")
    given = details["input"]
    if isinstance(given, str | int | float) and not _is_secret(name):
        what += f" (given: {str(given)[:80]!r})" if isinstance(given, str) else f" (given: {given})"
    return what[:1].lower() + what[1:], f"correct the value: {meaning}" if meaning else "correct the value"


def _is_secret(name: str) -> bool:
    return "password" in name or "secret" in name


def _suggest(name: str, model: type[BaseModel]) -> str:
    """The nearest known key, or the section that the key belongs to, or all that are known."""
    near = difflib.get_close_matches(name, model.model_fields, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    homes = [
        section
        for section in Settings.model_fields
        if (inner := _section_of(Settings, section)) is not None and name in inner.model_fields
    ]
    if name in Settings.model_fields:
        return f"{name} stands at the top of the file, before the first section"
    if homes:
        return f"{name} belongs in [{homes[0]}]"
    return f"remove it; known here: {', '.join(sorted(model.model_fields))}"


def _resolve(settings: Settings, folder: Path) -> Settings:
    """The same settings with every path absolute, and with the standard listeners where none is given."""
    data = folder / settings.data
    update = {
        "data": data,
        "store": settings.store.model_copy(update={"file": data / settings.store.file}),
        "listener": listeners_of(settings),
    }
    update |= {
        name: _under(folder, value)
        for name, value in settings
        if name not in update and isinstance(value, BaseModel | tuple)
    }
    return settings.model_copy(update=update)


def _under(folder: Path, value: Any) -> Any:
    """The value with the paths in it made absolute: itself, its fields or its entries."""
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, tuple):
        return tuple([_under(folder, entry) for entry in value])
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: _under(folder, field) for name, field in value})
    return value


def _look_at_modes(settings: Settings, path: Path) -> list[Problem]:
    """Warnings for files with secrets that every user of this machine may read."""
    secret: list[tuple[Path, str, str]] = []
    if settings.oauth.client_secret.get_secret_value():
        secret.append((path, "oauth.client_secret", "holds a secret"))
    if any(alert.secret.get_secret_value() for alert in settings.alert):
        secret.append((path, "alert.secret", "holds a secret"))
    for key, file in (
        ("auth.file", settings.auth.file),
        ("ldap.search_password_file", settings.ldap.search_password_file),
        ("oauth.client_secret_file", settings.oauth.client_secret_file),
        ("acme.eab_key_file", settings.acme.eab_key_file),
        ("web.token_file", settings.web.token_file),
        ("dkim.key_file", settings.dkim.key_file),
        *(("tls.more.key", more.key) for more in settings.tls.more),
        *(("zone.secret_file", zone.secret_file) for zone in settings.zone),
    ):
        if file is not None:
            secret.append((file, key, "holds a secret"))
    if any(smarthost.password.get_secret_value() for smarthost in settings.smarthost):
        secret.append((path, "smarthost.password", "holds a password"))
    if settings.tls.key is not None:
        secret.append((settings.tls.key, "tls.key", "is the private key"))
    secret += _secrets_of(settings.smarthost)
    found = []
    for file, key, why in secret:
        try:
            mode = file.stat().st_mode
        except OSError as error:  # the absence of the others is found by whoever needs them, at the start
            if key.startswith("smarthost."):
                what = f"{file} cannot be read: {error.strerror or error}"
                found.append(
                    Problem(path, 0, key, what, "put it there, or correct the path: no mail goes there without")
                )
            continue
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            found.append(Problem(file, 0, key, f"the file {why} and every user may read it", f"chmod 600 {file}"))
    return found


def _secrets_of(smarthosts: Iterable[SmarthostSettings]) -> Iterator[tuple[Path, str, str]]:
    for smarthost in smarthosts:
        for key, file in (
            ("password_file", smarthost.password_file),
            ("client_secret_file", smarthost.client_secret_file),
            ("refresh_token_file", smarthost.refresh_token_file),
            ("key", smarthost.key),
        ):
            if file is not None:
                yield file, f"smarthost.{key}", "holds a secret"
