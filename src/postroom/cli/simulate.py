"""``postroom simulate``: the next days of the queue, in a second."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from postroom.admin.queue import make_filter
from postroom.admin.refusal import Refused
from postroom.cli.desk import ConfigOption, Desk, JsonOption, telling_troubles
from postroom.cli.house import OpenStore
from postroom.cli.output import print_facts, print_json, print_table, say
from postroom.config.load import load
from postroom.config.model import Settings
from postroom.config.section import Duration

if TYPE_CHECKING:
    from postroom.admin.simulation.sample import Sample
    from postroom.admin.simulation.scripts import SiteScript
    from postroom.admin.simulation.views import DestinationView, Simulation, SpanView
    from postroom.admin.simulation.world import ByRules
    from postroom.clock import Clock
    from postroom.queue.carrier import Shaper
    from postroom.report.reporter import Reporter

_COLUMNS = ("attempts", "delivered", "deferred", "warned", "failed", "expired", "dsns", "waiting")
_COMPARED = ("delivered", "deferred", "warned", "expired", "waiting")
_MOST_DAYS = 60


SiteOption = Annotated[
    list[str] | None,
    typer.Option(
        "--site",
        metavar="PATTERN=BEHAVIOUR",
        help='How sites are to behave, such as "*.example=down:2h..5h": accept, down[:FROM..TO], slow[:TIME], '
        "rate:50/1m, greylist[:TIME], defer, refuse. The first that matches; may be repeated.",
    ),
]
OtherOption = Annotated[
    Path | None, typer.Option("--settings", metavar="FILE", help="Other settings, shown side by side.")
]
SampleOption = Annotated[
    int,
    typer.Option("--sample", min=1, max=100_000, help="Recipients at most; in a longer queue each stands for several."),
]


def simulate(
    context: typer.Context,
    *,
    config: ConfigOption = None,
    days: Annotated[float, typer.Option("--days", min=0.01, max=_MOST_DAYS, help="How far ahead.")] = 5,
    other: OtherOption = None,
    site: SiteOption = None,
    all_down: Annotated[bool, typer.Option("--all-down", help="No other site answers.")] = False,
    domain: Annotated[str, typer.Option("--domain", metavar="DOMAIN", help="Recipients in this domain only.")] = "",
    every: Annotated[str, typer.Option("--every", metavar="DURATION", help="Length of a line of the table.")] = "6h",
    sample: SampleOption = 300,
    top: Annotated[int, typer.Option("--top", min=0, help="Destinations shown, the fullest first.")] = 10,
    json: JsonOption = False,
) -> None:
    """Show what becomes of the queue in the days to come, under these settings or others. Nothing is sent or changed.

    Without --site each destination goes on as it does now: what was deferred last time is deferred again in the same
    way, and what has not been tried yet is delivered.
    """
    from postroom.admin.simulation.run import simulate as run  # the rooms of the queue: no other command needs them
    from postroom.admin.simulation.sample import take_sample
    from postroom.admin.simulation.scripts import read_script

    desk = Desk.of(context)
    with telling_troubles():
        scripts = [read_script(text) for text in site or ()]
        if all_down:
            scripts.append(read_script("*=down"))
        length = _read_duration(every)
        which = make_filter(domain=domain)
        settings, path = desk.settings(config)
        others = [] if other is None else [(load(other), str(other))]
    now = desk.house.now()

    async def job(store: OpenStore, _: Settings) -> "Sample":
        return await take_sample(store.queue, which, sample, now)

    taken = desk.work(config, job)
    views = [
        run(
            taken,
            each,
            scripts,
            now=now,
            seconds=days * 86400,
            every=length,
            settings_file=name,
            make_shaper=_shaper_of,
            by_rules=_rules_of(each),
        )
        for each, name in [(settings, str(path)), *others]
    ]
    if json:
        print_json(views)
    elif not taken.recipients:
        say("the queue is empty" if not taken.held else f"all {taken.held} recipients are held")
    elif len(views) == 1:
        _show(views[0], scripts, top)
    else:
        _compare(views[0], views[1], scripts)


def _shaper_of(settings: Settings, clock: "Clock", reporter: "Reporter") -> "Shaper":
    """What shapes the traffic under the settings, with nothing learned and no warm-up used."""
    from postroom.outbound.shaping.traffic import Traffic

    return Traffic(
        settings.outbound,
        clock,
        reporter,
        shaping=settings.shaping,
        sources=settings.source,
        pools=settings.pool,
        warmups=settings.warmup,
        commands=settings.command,
    ).shaper


def _rules_of(settings: Settings) -> "ByRules":
    """Where mail goes under the settings: what waits goes by the rules as they are then. ValueError as ``Rules``."""
    from postroom.outbound.rules import Rules

    rules = Rules(settings.route)
    return lambda message, recipient: rules.destination(message, recipient.address)


def _show(view: "Simulation", scripts: "list[SiteScript]", top: int) -> None:
    _introduce(view, scripts)
    lines = [(_short(span.at), *_numbers(span)) for span in view.timeline]
    print_table(("from (UTC)", *_COLUMNS), lines[: _until_quiet(view)])
    if not view.timeline[-1].waiting:
        say("then nothing waits any more")
    print_table(
        ("destination", "recipients", "assumed", "attempts", "first", "last", "delivered", "warned", "from", "expired",
         "from", "to", "waiting"),
        [_line(each) for each in view.destinations[:top]],
    )  # fmt: skip
    if len(view.destinations) > top:
        say(f"there are {len(view.destinations)} destinations: --top shows more")
    say("made so by:")
    print_facts(view.settings)


def _introduce(view: "Simulation", scripts: "list[SiteScript]") -> None:
    say(f"{view.recipients} recipients, from {view.since} to {view.until}")
    if view.simulated < view.recipients:
        say(f"{view.simulated} of them were simulated, each standing for several: numbers are close, not exact")
    if view.held:
        say(f"{view.held} more are held and left out")
    if not view.complete:
        say("it ended early: these settings make too many attempts to show them all")
    for script in scripts:
        say(f"assumed: {script.pattern} {script.text}")
    say("assumed of all others: they go on as now, what was deferred is deferred again, what is new is delivered")


def _compare(one: "Simulation", two: "Simulation", scripts: "list[SiteScript]") -> None:
    _introduce(one, scripts)
    say(f"A: {one.settings_file}")
    say(f"B: {two.settings_file}")
    differing = [
        (name, one.settings.get(name, ""), two.settings.get(name, ""))
        for name in dict.fromkeys([*one.settings, *two.settings])
        if one.settings.get(name) != two.settings.get(name)
    ]
    if differing:
        print_table(("setting", "A", "B"), differing)
    else:
        say("no setting of the queue differs")
    print_table(("in all", "A", "B"), [(name, one.totals[name], two.totals[name]) for name in _COLUMNS])
    names = [f"{name} {letter}" for name in _COMPARED for letter in "AB"]
    rows = [
        (_short(first.at), *(getattr(span, name) for name in _COMPARED for span in (first, second)))
        for first, second in zip(one.timeline, two.timeline, strict=False)
    ]
    print_table(("from (UTC)", *names), rows[: max(_until_quiet(one), _until_quiet(two))])


def _until_quiet(view: "Simulation") -> int:
    """How many spans there are until the last in which anything happened or waited."""
    return max((number for number, span in enumerate(view.timeline, 1) if any(_numbers(span))), default=1)


def _numbers(span: "SpanView") -> tuple[int, ...]:
    return tuple(getattr(span, name) for name in _COLUMNS)


def _line(each: "DestinationView") -> tuple[object, ...]:
    return (
        each.destination,
        each.recipients,
        each.assumed,
        each.attempts,
        _short(each.first_attempt),
        _short(each.last_attempt),
        each.delivered,
        each.warned,
        _short(each.first_warning),
        each.expired,
        _short(each.first_expiry),
        _short(each.last_expiry),
        each.waiting,
    )


def _short(moment: str | None) -> str:
    return "" if moment is None else moment[:16].replace("T", " ")


def _read_duration(text: str) -> float:
    try:
        seconds: float = TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise Refused(f"{text!r} is not a duration", 'write it as in "15m", "6h", "1d"') from error
    if seconds < 60:
        raise Refused(f"{text!r} is too short", "a line of the table is a minute at least")
    return seconds
