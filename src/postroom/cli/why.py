"""``postroom why``: the life of a message."""

from datetime import datetime
from typing import Annotated

import typer

from postroom.admin import history
from postroom.admin.history import Life
from postroom.admin.moments import local
from postroom.admin.refusal import Refused
from postroom.cli.desk import ConfigOption, Desk, JsonOption
from postroom.cli.house import OpenStore
from postroom.cli.output import print_json, say
from postroom.config.model import Settings
from postroom.mail.message import show_queue_id
from postroom.queue.schedules import Schedules

MOST = 1000  # messages looked up: more than anyone reads


def why(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="ID|MESSAGE-ID|RECIPIENT", help="What to explain.", show_default=False)
    ],
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST, help="Messages told, newest first.")] = 3,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Tell the life of a message: who sent it, each attempt and reply, what comes next and why."""
    desk = Desk.of(context)

    async def job(store: OpenStore, settings: Settings) -> tuple[list[Life], list[str]]:
        found = await history.find_messages(store.history, store.queue, what, MOST)
        if not found:
            raise Refused(
                f"nothing is known of {what!r}",
                "name a queue id, a Message-ID or a recipient; history is kept for queue.history (30 days by default)",
            )
        schedules = Schedules(settings.queue, settings.schedule, settings.route)
        lives = [
            await history.tell_life(store.history, store.queue, queue_id, now=desk.house.now(), schedules=schedules)
            for queue_id in found[:limit]
        ]
        return lives, [show_queue_id(queue_id) for queue_id in found[limit:]]

    lives, others = desk.work(config, job)
    if json:
        print_json({"messages": lives, "others": others})
        return
    for number, life in enumerate(lives):
        if number:
            say("")
        _tell(life)
    if others:
        shown = ", ".join(others[:10]) + (" …" if len(others) > 10 else "")
        say("")
        say(f"{len(others)} older: {shown}")


def _tell(life: Life) -> None:
    say(f"message {life.queue_id}")
    for moment in life.moments:
        at = local(datetime.fromisoformat(moment.at).timestamp())
        say(f"  {at}  {moment.text}")
    for standing in life.standing:
        say(f"  now: {standing.text}")
    if not life.standing:
        say("  now: it has left the queue")
