"""Lays POSTROOM_* environment variables over what the settings file says."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from postroom.config.lines import KeyPath, show_path
from postroom.config.problems import ENVIRONMENT, Problem

PREFIX = "POSTROOM_"


@dataclass(frozen=True, slots=True)
class Overlay:
    """What the environment changed: which variable set which key, and which variables could not be used."""

    origin: Mapping[KeyPath, str]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def overlay(
    values: dict[str, Any],
    environment: Mapping[str, str],
    known: frozenset[str],
    is_list: Callable[[KeyPath], bool],
) -> Overlay:
    """Change ``values`` by the environment: ``POSTROOM_SMTP__MAX_SIZE=10MiB`` sets ``smtp.max_size``.

    ``__`` separates the parts of a key; a number names an entry of an array, counted from 0
    (``POSTROOM_SMARTHOST__0__PASSWORD``). A value that begins with ``[`` or ``{`` is read as TOML, other text
    where ``is_list`` as entries between commas. A variable whose first part is none of the ``known`` top-level keys
    is a warning only: orchestrators invent names that begin with a service's.
    """
    origin: dict[KeyPath, str] = {}
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for name in sorted(environment):
        if not name.startswith(PREFIX):
            continue
        path = _path(name)
        if path[0] not in known:
            warnings.append(_problem(name, "", "no setting has this name; the variable is ignored", _RENAME))
            continue
        try:
            _place(values, path, _value(environment[name], is_list(path)))
        except (ValueError, LookupError) as error:
            problems.append(_problem(name, show_path(path), str(error), _RENAME))
        else:
            origin[path] = name
    return Overlay(origin, tuple(problems), tuple(warnings))


_RENAME = "name it POSTROOM_<KEY> or POSTROOM_<SECTION>__<KEY>, or unset it"


def _problem(name: str, key: str, what: str, remedy: str) -> Problem:
    return Problem(ENVIRONMENT, 0, f"{name} ({key})" if key else name, what, remedy)


def _path(name: str) -> KeyPath:
    parts = name.removeprefix(PREFIX).lower().split("__")
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def _value(text: str, is_list: bool) -> Any:
    """Text for pydantic to read, or an array or table written as TOML."""
    if text[:1] not in ("[", "{"):
        return [entry.strip() for entry in text.split(",") if entry.strip()] if is_list else text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"not a TOML array or table: {error}") from error


def _place(values: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Set the key at ``path``, making tables on the way."""
    here: Any = values
    for depth, part in enumerate(path[:-1]):
        if isinstance(here, dict) and isinstance(part, str):
            here = here.setdefault(part, {})
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        else:
            raise LookupError(f"there is no {show_path(path[: depth + 1])} in the settings file")
    last = path[-1]
    if isinstance(here, list) and isinstance(last, int) and last < len(here):
        here[last] = value
        return
    if not (isinstance(here, dict) and isinstance(last, str)):
        raise LookupError(f"there is no {show_path(path)} in the settings file")
    here[last] = value
