"""How commands speak: tables and JSON on standard output, troubles on standard error, control characters escaped."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from postroom.report.log import escape

WIDE = 10_000  # columns where no terminal sets a limit: lines for grep are not folded


def say(text: str) -> None:
    """One line for the person, on standard output."""
    typer.echo(escape(text))


def complain(what: str, remedy: str = "") -> None:
    """A trouble and what to do about it, on standard error."""
    typer.echo(f"postroom: {escape(what)}", err=True)
    if remedy:
        typer.echo(f"    remedy: {escape(remedy)}", err=True)


def print_json(value: object) -> None:
    """Any view, list of views or mapping as JSON."""
    typer.echo(json.dumps(value, default=_plain, indent=2))


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; numbers stand to the right."""
    listed = [list(row) for row in rows]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(listed) and all(isinstance(row[index], int) for row in listed)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        table.add_row(*(Text(escape(str(cell))) for cell in row))
    # Console would take the width of its environment for that of a pipe
    width = None if sys.stdout.isatty() else WIDE
    Console(width=width, highlight=False, soft_wrap=False).print(table, crop=False)


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and values of one thing, one a line."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        say(f"{name:<{width}}  {value}")
