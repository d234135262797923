"""``postroom stats``: what went in and out."""

from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from postroom.admin import tallies
from postroom.admin.refusal import Refused
from postroom.admin.tallies import Stats
from postroom.cli.desk import ConfigOption, Desk, JsonOption, telling_troubles
from postroom.cli.house import OpenStore
from postroom.cli.output import print_json, print_table, say
from postroom.config.model import Settings
from postroom.config.section import Duration


def stats(
    context: typer.Context,
    since: Annotated[
        str, typer.Option("--since", metavar="DURATION", help='How far back, as in "12h" or "7d".')
    ] = "1d",
    top: Annotated[int, typer.Option("--top", min=1, help="Domains shown, the busiest first.")] = 20,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show what went in and out, by domain and by outcome; what stood in the way, and what came back.

    Counted by the sender's domain where mail was accepted, else by the recipient's.
    """
    desk = Desk.of(context)
    with telling_troubles():
        seconds = _read_duration(since)

    async def job(store: OpenStore, _: Settings) -> Stats:
        return await tallies.count(store.history, desk.house.now() - seconds)

    found = desk.work(config, job)
    if json:
        print_json(found)
        return
    kinds = tallies.shown_kinds(found)
    if not kinds:
        say(f"nothing happened since {found.since}")
        return
    rows: list[tuple[object, ...]] = [
        (tally.domain or "(null sender)", *(tally.counts.get(kind, 0) for kind in kinds))
        for tally in found.domains[:top]
    ]
    rows.append(("all", *(found.totals[kind] for kind in kinds)))
    say(f"since {found.since}")
    print_table(("domain", *kinds), rows)
    _print_causes(found)
    _print_senders(found, top)


def _print_causes(found: Stats) -> None:
    """What stood in the way, over all domains."""
    counted = tallies.by_cause(found.causes)
    if not counted:
        return
    kinds = [kind for kind in tallies.OBSTACLES if any(counts[kind] for counts in counted.values())]
    say("what stood in the way, and on whose side it lies")
    rows = [(cause, blame, *(counts[kind] for kind in kinds)) for (cause, blame), counts in counted.items()]
    print_table(("cause", "side", *kinds), rows)


def _print_senders(found: Stats, top: int) -> None:
    """What came back, by sending domain, where anything did."""
    if not any(tally.bounced or tally.complained for tally in found.senders):
        return
    say("what came back, by sending domain")
    rows = [
        (
            tally.sender_domain or "(null sender)",
            tally.relayed,
            tally.bounced,
            tally.complained,
            f"{tally.bounce_rate:.2%}",
            f"{tally.complaint_rate:.2%}",
        )
        for tally in found.senders[:top]
    ]
    print_table(("domain", "relayed", "bounced", "complained", "bounce rate", "complaint rate"), rows)


def _read_duration(text: str) -> float:
    try:
        return TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise Refused(f"{text!r} is not a duration", 'write it as in "90s", "15m", "12h", "7d"') from error
