"""A world of sites with manners of their own, and much mail for all of them: every outcome is as expected.

``WORLD_MESSAGES`` says how much mail.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.system.fixtures import MakeProgram
from tests.system.program import Program, wait_until
from tests.system.setups import in_processes
from tests.world import atlas
from tests.world.ground import Ground, standing, why_not
from tests.world.ledger import Ledger, by_cause, expected, show
from tests.world.model import RELAYED, End, World
from tests.world.record import Measured, Record, measure
from tests.world.traffic import SENDERS, Letter, letters, send

MESSAGES = int(os.environ.get("WORLD_MESSAGES", "2000"))
LIFETIME = 25 + MESSAGES / 300
"""Seconds until a message is given up: all that can be delivered must be delivered by then."""

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """The world."""
    with standing(tmp_path / "world", MESSAGES) as ground:
        yield ground


def start(make_program: MakeProgram, ground: Ground) -> Program:
    settings = ground.settings() | {
        "queue": {
            "first_retry": 1.0,
            "retry_factor": 1.5,
            "longest_retry": 5.0,
            "lifetime": LIFETIME,
            "delay_warning": 0,
            "poll": 0.2,
        },
        "smtp": {"trusted_networks": ["127.0.0.0/8"]},
        "log": {"format": "json", "level": "info"},
    }
    return make_program(in_processes(settings, carriers=1)).add(*SENDERS).start()


@pytest.mark.timeout(600)
async def test_mail_goes_round_the_world(
    make_program: MakeProgram, ground: Ground, record_property: Callable[[str, object], None]
) -> None:
    program = start(make_program, ground)
    world = ground.world
    sent = letters(world, MESSAGES, seed=4)
    wanted = expected(world, sent)
    total = sum(len(letter.recipients) for letter in sent)
    begun = time.monotonic()
    await asyncio.wait_for(send(program.port("mx"), sent), 200)
    seconds_in = time.monotonic() - begun
    ledger = Ledger(program.log_file)
    try:
        wait_until(lambda: ledger.read() >= total, "every recipient has ended", LIFETIME + 90)
    finally:
        table = show(wanted, ledger.table())
        print(table)
    seconds = time.monotonic() - begun
    record, _ = ground.end()
    measured = measure(record, world.sites.values())
    put_off = by_cause(ledger.deferrals.values())
    record_property(
        "told",
        f"{len(sent)} messages in {seconds_in:.0f} s, settled after {seconds:.0f} s\n{table}\n"
        + "\n".join(map(str, measured))
        + f"\nput off {sum(put_off.values())} times: {dict(put_off)}",
    )
    assert ledger.table() == wanted
    assert_arrived(ledger, record)
    assert_rules_kept(ground, measured)
    assert_senders_told(program, ledger, sent)
    assert_explained(program, world, ledger, record)


def assert_arrived(ledger: Ledger, record: Record) -> None:
    """What was relayed arrived once, or twice where the first reply was lost, which is noted; nothing else did."""
    arrived = record.arrived()
    lost = record.lost()
    names = ledger.message_ids
    wrong = []
    for (queue_id, recipient), fate in ledger.ends.items():
        key = (names[queue_id], recipient)
        twice = key in lost
        wanted = (2 if twice else 1) if fate == RELAYED else 0
        if arrived[key] != wanted or twice != ((queue_id, recipient) in ledger.ambiguous):
            wrong.append((key, fate, arrived[key]))
    assert wrong == []
    assert lost, "no reply was lost, so that nothing was shown"


def assert_rules_kept(ground: Ground, measured: Sequence[Measured]) -> None:
    """Rules that we know are kept; one that we do not know is found, and not tried again and again."""
    sites = ground.world.sites
    known = [one for one in measured if one.site in atlas.TOLD]
    assert {one.site for one in known} == set(atlas.TOLD)
    assert [words for one in known for words in one.breaks(sites[one.site])] == []
    assert [one for one in known if one.refusals] == []
    (moody,) = [one for one in measured if one.site == "moody"]
    assert moody.refusals <= 20 + moody.messages / 20


def assert_senders_told(program: Program, ledger: Ledger, sent: Sequence[Letter]) -> None:
    """Each message that did not arrive everywhere came back to its sender, and nothing else did."""
    senders = {letter.message_id: letter.sender for letter in sent}
    ended_badly = {queue_id for (queue_id, _), fate in ledger.ends.items() if fate.end is not End.RELAYED}
    told = Counter(line["about"] for line in program.told("dsn_made", kind="failed"))
    assert set(told) == ended_badly
    by_sender = Counter(senders[ledger.message_ids[queue_id]] for queue_id in told.elements())
    for sender in SENDERS:
        client = program.pop3(sender)
        try:
            assert client.stat()[0] == by_sender[sender]
        finally:
            client.quit()


def assert_explained(program: Program, world: World, ledger: Ledger, record: Record) -> None:
    """For each kind of delay at each site that had one, ``why`` says what stood in the way."""
    sites = {domain.name: domain.site.name for domain in world.domains if domain.site is not None}
    samples: dict[tuple[str, str], tuple[str, str]] = {}
    for (queue_id, recipient), lines in ledger.deferrals.items():
        for line in lines:
            site = sites.get(recipient.rpartition("@")[2], "")
            samples.setdefault((site, line["reply"][:9]), (queue_id, recipient))
    assert samples, "nothing was put off"
    for (_, words), (queue_id, recipient) in samples.items():
        (life,) = program.listing("why", queue_id)["messages"]
        moments = [m for m in life["moments"] if m["kind"] in ("deferred", "put_off") and m["recipient"] == recipient]
        assert len(moments) == len(ledger.deferrals[queue_id, recipient])
        assert any(moment["detail"]["reply"].startswith(words) for moment in moments)
        assert all(moment["text"] for moment in moments)
    message_id, recipient = min(record.lost())
    (life,) = program.listing("why", message_id)["messages"]
    assert any("the peer may have the message already" in moment["text"] for moment in life["moments"])
