"""What was acknowledged is there after the process was killed at any moment."""

import asyncio
import random
import sys
from pathlib import Path

import pytest
from tests.contract.implementations import Implementation
from tests.fakes.letters import NOON, queue_id

from postroom.queue.model import Lease, LeaseQuestion, QueueFilter

# Intakes, attempts and settlements side by side; a line for each intake that was acknowledged, one before each
# settlement is asked for ("may be gone") and one after it was acknowledged ("is gone").
_PROGRAM = """
import asyncio, sys
from pathlib import Path
from tests.contract.implementations import IMPLEMENTATIONS
from tests.fakes.letters import NOON, an_intake, relayed, settled
from postroom.queue.model import Lease

async def carry(store, first):
    number = first
    while True:
        intake = an_intake(number, lease=Lease("node-1", NOON + 900), content=b"x" * (number % 50000))
        await store.queue.take_in([intake])
        print("kept", number, flush=True)
        if number % 3 == 0:
            print("leaving", number, flush=True)
            await store.queue.settle([settled(number, "node-1", relayed(intake.queued[0]))])
            print("gone", number, flush=True)
        number += 10

async def main():
    store = await IMPLEMENTATIONS[sys.argv[1]](Path(sys.argv[2])).open()
    await asyncio.gather(*[carry(store, first) for first in range(10)])

asyncio.run(main())
"""


@pytest.mark.parametrize("seed", range(3))
async def test_killed(implementation: Implementation, tmp_path: Path, seed: int) -> None:
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROGRAM,
        implementation.name,
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        cwd=root,
        env={"PYTHONPATH": f"{root / 'src'}:{root}"},
    )
    assert process.stdout is not None
    wanted = random.Random(seed).randrange(50, 1000)
    lines: list[bytes] = []
    while len(lines) < wanted:
        line = await process.stdout.readline()
        assert line, "the program ended by itself"
        lines.append(line)
    process.kill()
    lines += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    told: dict[str, set[int]] = {"kept": set(), "leaving": set(), "gone": set()}
    for line in lines:
        if line.endswith(b"\n"):  # the last may have been cut off by the kill
            what, number = line.split()
            told[what.decode()].add(int(number))

    store = await implementation.open()
    try:
        found = {entry.message.queue_id: entry for entry in await store.queue.entries(QueueFilter(), limit=100_000)}
        numbers = {known - queue_id(0) for known in found}
        assert told["kept"] - told["leaving"] <= numbers
        assert not told["gone"] & numbers
        for known, entry in found.items():
            content = b"".join([piece async for piece in store.queue.read_content(known)])
            assert content == b"x" * entry.message.content_size
        # All of it was under way, and is under way again after the start.
        assert await store.queue.recover("node-1", NOON + 1) == len(found)
        answer = await store.queue.lease(LeaseQuestion(NOON + 1, Lease("node-1", NOON + 999), 10**6, 10**6))
        assert len(answer.messages) == len(found)
        assert all(message.lost_leases == frozenset([0]) for message in answer.messages)
    finally:
        await store.close()
