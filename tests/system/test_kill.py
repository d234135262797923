"""`kill -9` at random moments under load: what got 250 is delivered exactly once, or its second copy is explained.

TEST_KILLS says how often (CI: 50), TEST_SEED what is random.
"""

import asyncio
import os
import random
import re
from collections import Counter
from collections.abc import Callable

import pytest
from tests.system.fixtures import MakeProgram
from tests.system.load import LOCAL, Load
from tests.system.program import Program, wait_until
from tests.system.setups import by_smarthost, in_processes
from tests.system.sink import Sink

KILLS = int(os.environ.get("TEST_KILLS", "8"))
SEED = int(os.environ.get("TEST_SEED", "2026"))
_ID = re.compile(rb"^Message-ID: <([^>]+)>", re.MULTILINE)


def inbox_counts(program: Program, account: str) -> Counter[str]:
    """How often each Message-ID stands in the inbox, by the header fields alone."""
    client = program.pop3(account)
    try:
        messages = client.stat()[0]
        heads = (b"\n".join(client.top(number, 0)[1]) for number in range(1, messages + 1))
        found = [_ID.search(head) for head in heads]
        return Counter(match[1].decode() for match in found if match)
    finally:
        client.quit()


def told_by_log(program: Program, sink: Sink) -> set[str]:
    """The Message-IDs of which the log tells an ambiguous end: a lost lease, or a connection lost after the dot."""
    ambiguous = {
        line["queue_id"].encode()
        for line in program.log()
        if line["event"] == "lease_lost" or (line["event"] == "attempt_made" and line.get("ambiguous"))
    }
    trace = re.compile(rb"\bid ([0-9a-z]{13})\b")
    return {
        message.message_id
        for message in sink.arrived
        if (found := trace.search(message.content)) and found[1] in ambiguous
    }


def told_by_history(program: Program, message_ids: set[str]) -> set[str]:
    """The same by `postroom why`: a kill takes the log's last tenth of a second with it, but never the history."""
    return {name for name in message_ids if "recovered" in program.command("why", name, "--json")}


@pytest.mark.timeout(600)
async def test_nothing_is_lost_and_nothing_is_twice(
    make_program: MakeProgram, sink: Sink, record_property: Callable[[str, object], None]
) -> None:
    settings = by_smarthost(sink) | {"smtp": {"trusted_networks": ["127.0.0.0/8"]}, "log": {"level": "info"}}
    program = make_program(in_processes(settings, carriers=1)).add(*LOCAL).start()
    chance = random.Random(SEED)
    load = Load(lambda: program.port("mx"), seed=SEED)
    load.start()
    for _ in range(KILLS):
        await asyncio.sleep(chance.uniform(0.02, 0.8))  # the random moment that this test is about
        program.kill()
        await asyncio.to_thread(program.start)
    await load.stop()
    witness = load.witness
    await asyncio.to_thread(wait_until, lambda: not program.queue(), "the queue is empty", 60)

    inboxes = {account: await asyncio.to_thread(inbox_counts, program, account) for account in LOCAL}
    arrived = sink.counts()
    lost = [sent for sent in witness.acknowledged if any(not inboxes[a][sent.message_id] for a in sent.local)]
    lost += [sent for sent in witness.acknowledged if sent.remote and not arrived[sent.message_id]]
    twice_here = [(a, name) for a, counts in inboxes.items() for name, count in counts.items() if count > 1]
    twice_there = {name for name, count in arrived.items() if count > 1}
    unexplained = twice_there - told_by_log(program, sink)
    by_history = await asyncio.to_thread(told_by_history, program, unexplained)
    unexplained -= by_history
    told = (
        f"seed {SEED}: {KILLS} kills, {len(witness.acknowledged)} messages acknowledged, "
        f"{len(witness.unknown)} without an answer, {sum(map(len, inboxes.values()))} in the inboxes, "
        f"{len(arrived)} at the far end, {len(twice_there)} of them twice "
        f"({len(by_history)} explained by the history alone, {len(unexplained)} unexplained), "
        f"{len(lost)} lost"
    )
    record_property("told", told)
    assert not lost
    assert not twice_here
    assert not unexplained
    assert not [refusal for refusal in witness.refused if refusal[0] != 421]
    assert len(witness.acknowledged) > KILLS * 5, "that was no load"
