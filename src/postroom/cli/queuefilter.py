"""Which mail a command of the queue means: the options that all of them share."""

import getpass
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from postroom.admin.queue import make_filter
from postroom.admin.refusal import Refused
from postroom.cli.desk import Desk, telling_troubles
from postroom.config.section import Duration
from postroom.queue.model import QueueFilter

IdsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="Queue ids, as listed.", show_default=False)
]

AllOption = Annotated[bool, typer.Option("--all", help="Everything in the queue.")]

_OPTIONS: dict[str, tuple[Any, object]] = {
    "ids": (IdsArgument, None),
    "domain": (Annotated[str, typer.Option("--domain", metavar="DOMAIN", help="Recipients in this domain.")], ""),
    "destination": (
        Annotated[
            str,
            typer.Option("--destination", metavar="NAME", help='Waiting under "far.example", "far.example RULE".'),
        ],
        "",
    ),
    "sender": (
        Annotated[
            str | None,
            typer.Option("--sender", metavar="ADDRESS", help='From this sender; "" is the null sender (bounces).'),
        ],
        None,
    ),
    "recipient": (Annotated[str, typer.Option("--recipient", metavar="ADDRESS", help="To this recipient.")], ""),
    "state": (
        Annotated[
            list[str] | None,
            typer.Option("--state", metavar="STATE", help="queued, leased, held or deferred; may be repeated."),
        ],
        None,
    ),
    "older": (
        Annotated[str, typer.Option("--older", metavar="TIME", help='Received longer ago than this, as in "4h".')],
        "",
    ),
    "reply": (
        Annotated[str, typer.Option("--reply", metavar="TEXT", help="With this in the last reply, in either case.")],
        "",
    ),
    "host": (Annotated[str, typer.Option("--host", metavar="HOST", help="Answered last by this host.")], ""),
    "account": (
        Annotated[str, typer.Option("--account", metavar="ADDRESS", help="Submitted by this account.")],
        "",
    ),
    "tag": (Annotated[str, typer.Option("--tag", metavar="TAG", help="With this tag.")], ""),
    "priority": (
        Annotated[int | None, typer.Option("--priority", min=-9, max=9, help="Of this priority.", show_default=False)],
        None,
    ),
}


def takes_filter(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of a filter; it is called with ``which: QueueFilter`` in their place."""
    own = inspect.signature(command)
    parameters = [each for each in own.parameters.values() if each.name != "which"]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _OPTIONS.items()
    ]

    def filled(context: typer.Context, **given: Any) -> None:
        asked = {name: given.pop(name) for name in _OPTIONS}
        with telling_troubles():
            which = _read(Desk.of(context), asked)
        command(context, which=which, **given)

    filled.__signature__ = own.replace(parameters=[parameters[0], *shared, *parameters[1:]])  # type: ignore[attr-defined]  # typer reads it
    filled.__annotations__ = {each.name: each.annotation for each in [*parameters, *shared]}
    filled.__name__, filled.__doc__ = command.__name__, command.__doc__
    return filled


def count_recipients(count: int) -> str:
    """So many recipients."""
    return f"{count} recipient{'' if count == 1 else 's'}"


def read_seconds(text: str) -> float:
    """A duration as people write it. Refused where it is none."""
    try:
        return TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise Refused(f"{text!r} is not a duration", 'write it as in "90s", "15m", "4h", "5d"') from error


def require_choice(which: QueueFilter, *, everything: bool) -> None:
    """Everything only if it was asked for in so many words."""
    if (which == QueueFilter()) is not everything:
        raise typer.BadParameter("name ids or a filter (--domain, --sender, --older, …), or --all by itself")


def operator() -> str:
    """The user of this machine, for the history and the log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return "operator"


def _read(desk: Desk, asked: dict[str, Any]) -> QueueFilter:
    older = asked.pop("older")
    return make_filter(
        asked.pop("ids") or (),
        states=asked.pop("state") or (),
        before=desk.house.now() - read_seconds(older) if older else None,
        **asked,
    )
