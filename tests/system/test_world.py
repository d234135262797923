"""A world of sites with manners of their own, and much mail for all of them: every outcome is as expected."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.fixtures import MakeProgram
from tests.system.program import Program, wait_until
from tests.world.ground import Ground, standing, why_not
from tests.world.ledger import Ledger, by_cause, expected, show
from tests.world.record import measure
from tests.world.traffic import SENDERS, letters, send

MESSAGES = int(os.environ.get("WORLD_MESSAGES", "2000"))
LIFETIME = 20 + MESSAGES / 250
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
            "dsn_lifetime": LIFETIME,
            "delay_warning": 0,
            "poll": 0.2,
        },
        "smtp": {"trusted_networks": ["127.0.0.0/8"]},
        "log": {"format": "json", "level": "info"},
    }
    return make_program(settings).add(*SENDERS).start()


@pytest.mark.timeout(600)
async def test_mail_goes_round_the_world(make_program: MakeProgram, ground: Ground, record_property: object) -> None:
    program = start(make_program, ground)
    sent = letters(ground.world, MESSAGES, seed=4)
    wanted = expected(ground.world, sent)
    total = sum(len(letter.recipients) for letter in sent)
    await asyncio.wait_for(send(program.port("mx"), sent), 120)
    ledger = Ledger(program.log_file)
    try:
        wait_until(lambda: ledger.read() >= total, "every recipient has ended", LIFETIME + 60)
    finally:
        print(show(wanted, ledger.table()))
        print("put off:", dict(by_cause(ledger.deferrals.values())))
    record, policies = ground.end()
    print("policies fetched:", policies)
    measured = measure(record, ground.world.sites.values())
    for seen in measured:
        print(seen)
    breaks = [words for seen in measured for words in seen.breaks(ground.world.sites[seen.site])]
    print("\n".join(breaks))
    assert wanted == ledger.table()
