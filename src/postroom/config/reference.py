"""Writes the settings reference (docs/settings.md) from the descriptions in the settings model.

``python -m postroom.config.reference`` prints it.
"""

import sys
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from postroom.config.model import Settings
from postroom.config.section import Duration, Rate, Size

_HEAD = """# Settings

One file in TOML, `postroom.toml`. Commands look for `./postroom.toml`, then `/etc/postroom/postroom.toml`;
`-c FILE` names another. An unknown key is an error. Every key can be set from the environment: `POSTROOM_HOSTNAME`,
`POSTROOM_SMTP__MAX_SIZE`, `POSTROOM_SMARTHOST__0__PASSWORD` (entries of arrays count from 0; lists are written with
commas or as TOML).

Durations are seconds, or text such as `"90s"`, `"15m"`, `"4h"`, `"5d"`. Sizes are octets, or text such as `"64KiB"`,
`"50MiB"`. Rates are written `"100/1m"`: so many within such a time. The file says how this node runs; who lives here
(domains, accounts, aliases) is in the store: see `postroom domain`, `postroom user`, `postroom alias`.

This page is made from the descriptions in the code by `python -m postroom.config.reference`.
"""

_SIZE_STEPS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_TIME_STEPS = ((86400, "d"), (3600, "h"), (60, "m"))
_UNITLESS = {int: "integer", float: "number", bool: "true or false", Path: "path", SecretStr: "text, secret"}


def reference() -> str:
    """The whole page in Markdown."""
    parts = [_HEAD, "## Top of the file\n", _table(Settings, skip_sections=True)]
    for name, field in Settings.model_fields.items():
        section = _section(field.annotation)
        if section is None:
            continue
        header = f"[[{name}]]" if get_origin(field.annotation) is tuple else f"[{name}]"
        doc = (section.__doc__ or "").strip().splitlines()[0]
        parts += [f"## `{header}`\n", f"{_sentence(doc)}\n", _table(section, skip_sections=True)]
        for inner, nested in section.model_fields.items():
            entry = _section(nested.annotation)
            if entry is not None:
                doc = (entry.__doc__ or "").strip().splitlines()[0]
                parts += [f"## `[[{name}.{inner}]]`\n", f"{_sentence(doc)}\n", _table(entry, skip_sections=True)]
    return "\n".join(parts)


def _sentence(doc: str) -> str:
    """The docstring's own words, without the header it repeats."""
    text = doc.partition("``: ")[2] or doc
    return text[:1].upper() + text[1:]


def _table(model: type[BaseModel], *, skip_sections: bool) -> str:
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if skip_sections and _section(field.annotation) is not None:
            continue
        cells = (f"`{name}`", _kind(field), _default(field), field.description or "")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _section(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _kind(field: FieldInfo) -> str:
    if _is_measured(field, Duration):
        return "duration"
    if _is_measured(field, Size):
        return "size"
    return _kind_of(field.annotation)


def _kind_of(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is Annotated:
        return _kind_of(get_args(annotation)[0])
    if annotation is Rate:
        return "rate"
    if get_origin(annotation) is tuple:
        return f"list of {_kind_of(get_args(annotation)[0])}"
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(
            dict.fromkeys(_kind_of(member) for member in get_args(annotation) if member is not type(None))
        )
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{member.value}`" for member in annotation)
    if "Network" in str(annotation):
        return "network"
    return _UNITLESS.get(annotation, "text")


def _is_measured(field: FieldInfo, alias: Any) -> bool:
    """Whether the field's type was written as ``alias``, an Annotated type: its parts are in the field's metadata."""
    return any(part in field.metadata for part in alias.__metadata__ if not isinstance(part, FieldInfo))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if _is_measured(field, Size):
        return f"`{_stepped(value, _SIZE_STEPS)}`"
    if _is_measured(field, Duration):
        return f"`{_stepped(value, _TIME_STEPS)}`"
    return _show(value)


def _show(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case SecretStr():
            return "empty"
        case tuple():
            return ", ".join(_show(item) for item in value) or "empty"
        case Rate():
            return f'`"{value}"`'
        case "":
            return "empty"
        case _:
            return f"`{value}`"


def _stepped(value: float, steps: tuple[tuple[int, str], ...]) -> str:
    """The value in the largest unit that leaves no rest."""
    for size, unit in steps:
        if value and value % size == 0:
            return f'"{value // size:.0f}{unit}"'
    return f"{value:g}"


if __name__ == "__main__":
    sys.stdout.write(reference())
