"""``postroom queue``: what waits to be delivered, and what to do with it."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from postroom.admin import queue
from postroom.admin.moments import size
from postroom.admin.queue import QueueView, RecipientView
from postroom.admin.refusal import Refused
from postroom.cli import pauses, queuefate
from postroom.cli.desk import ConfigOption, Desk, JsonOption, done, telling_troubles
from postroom.cli.house import OpenStore
from postroom.cli.output import print_facts, print_json, print_table, say
from postroom.cli.queuefilter import AllOption, count_recipients, require_choice, takes_filter
from postroom.config.model import Settings
from postroom.mail.message import QueueId, read_queue_id
from postroom.queue.model import QueueAction, QueueFilter

_ACTIONS = (
    (
        QueueAction.RETRY,
        "due now",
        "Try again now what waits for a later attempt. What its sender holds back is let go early only if named by id.",
    ),
    (QueueAction.HOLD, "held", "Keep messages from being attempted until they are released."),
    (
        QueueAction.RELEASE,
        "released",
        "Let held messages go on. What its sender holds back is let go early only if named by id.",
    ),
    (QueueAction.REMOVE, "removed", "Remove recipients from the queue for good; nobody is told."),
)


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="The queue: list, show, retry, flush, hold, release, redirect, bounce, expire, remove, pause, resume.",
    )
    group.command("list")(takes_filter(list_all))
    group.command("show")(show)
    for action, word, text in _ACTIONS:
        group.command(action.value)(_command(action, word, text))
    group.command("flush")(takes_filter(flush))
    queuefate.add_to(group)
    pauses.add_to(group)
    return group


def list_all(
    context: typer.Context,
    *,
    which: QueueFilter,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Messages at most.")] = 100,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List what waits, oldest first: a line for each recipient with its last reply and the next time."""

    async def job(store: OpenStore, _: Settings) -> tuple[Sequence[QueueView], bool]:
        return await queue.list_queue(store.queue, which, limit)

    views, more = Desk.of(context).work(config, job)
    if json:
        print_json({"messages": list(views), "more": more})
        return
    rows = [
        (
            view.queue_id if number == 0 else "",
            f"<{view.sender}>" if number == 0 else "",
            one.address,
            one.state,
            one.attempts,
            _short(one.next_attempt),
            _told(one),
        )
        for view in views
        for number, one in enumerate(view.recipients)
    ]
    if not rows:
        say("nothing in the queue matches" if which != QueueFilter() else "the queue is empty")
        return
    print_table(("id", "sender", "recipient", "state", "tries", "next (UTC)", "last reply"), rows)
    if more:
        say(f"there are more than {limit}: --limit shows more")


def show(
    context: typer.Context,
    queue_id: Annotated[str, typer.Argument(metavar="ID", help="Queue id.", show_default=False)],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show one message in the queue."""
    with telling_troubles():
        read = _read_id(queue_id)

    async def job(store: OpenStore, _: Settings) -> QueueView:
        view = await queue.show_entry(store.queue, read)
        if view is None:
            raise Refused(f"{queue_id} is not in the queue", f"postroom why {queue_id} tells what became of it")
        return view

    view = Desk.of(context).work(config, job)
    if json:
        print_json(view)
        return
    print_facts(
        {
            "id": view.queue_id,
            "sender": f"<{view.sender}>",
            "size": size(view.size),
            "received": view.received_at,
            "message-id": view.message_id or "none",
            "submitted by": view.account or view.client or "this server",
            **_options(view),
        }
    )
    for one in view.recipients:
        say("")
        print_facts(
            {
                "recipient": one.address,
                **_way(one),
                "state": one.state if not one.paused else f"{one.state}; {one.paused} is paused",
                "attempts": one.attempts,
                "next attempt": one.next_attempt or "none",
                "last attempt": one.last_attempt or "none",
                "last reply": f"{one.host}: {one.last_reply}" if one.host else one.last_reply or "none",
            }
        )


def _options(view: QueueView) -> dict[str, str]:
    """What few messages ask for."""
    facts = {}
    if view.released_at is not None:
        facts["released at"] = view.released_at
    if view.deliver_by is not None:
        facts["deliver by"] = f"{view.deliver_by}, else {view.deliver_by_mode}"
    if view.priority:
        facts["priority"] = str(view.priority)
    if view.tags:
        facts["tags"] = ", ".join(view.tags)
    if view.require_tls:
        facts["requires"] = "TLS on the whole way"
    return facts


def _told(one: RecipientView) -> str:
    """Why it waits: what was said last, unless it is stopped here."""
    return f"{one.paused} is paused" if one.paused else one.last_reply


def _way(one: RecipientView) -> dict[str, str]:
    """How it goes where that is not the usual way."""
    facts = {}
    domain, _, rule = one.destination.partition(" ")
    if rule:
        facts["goes by"] = f"{rule}, to {domain}"
    if one.return_path:
        facts["return path"] = f"<{one.return_path}>"
    return facts


def flush(context: typer.Context, *, which: QueueFilter, config: ConfigOption = None) -> None:
    """Try now what waits: all of it, or what a filter names. Sites that did not work are tried again at once."""
    desk = Desk.of(context)

    async def job(store: OpenStore, _: Settings) -> int:
        return await queue.flush(store.queue, which, desk.house.now())

    done(f"{count_recipients(desk.work(config, job))} due now")


def _command(action: QueueAction, word: str, text: str) -> Callable[..., None]:
    """The command for an action; ``word`` says what became of those it met, ``text`` is its help."""

    def command(
        context: typer.Context, *, which: QueueFilter, everything: AllOption = False, config: ConfigOption = None
    ) -> None:
        require_choice(which, everything=everything)
        _act(context, config, action, which, word)

    command.__doc__ = text
    return takes_filter(command)


def _act(context: typer.Context, config: ConfigOption, action: QueueAction, which: QueueFilter, word: str) -> None:
    desk = Desk.of(context)

    async def job(store: OpenStore, _: Settings) -> int:
        return await queue.act(store.queue, action, which, desk.house.now())

    done(f"{count_recipients(desk.work(config, job))} {word}")


def _read_id(text: str) -> QueueId:
    try:
        return read_queue_id(text)
    except ValueError as error:
        raise Refused(str(error), "postroom queue list shows the ids") from error


def _short(moment: str | None) -> str:
    return "" if moment is None else moment[:19].replace("T", " ")
