"""A disk that fills up under load: 4xx, no crash, no loss, and all is well again when there is space."""

import asyncio
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.fixtures import MakeProgram
from tests.system.load import LOCAL, Load
from tests.system.program import Program, wait_until
from tests.system.setups import by_smarthost, in_processes
from tests.system.sink import Sink
from tests.system.test_kill import inbox_counts


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("reserve", [0, 4 << 20], ids=["to the last octet", "with a reserve"])
async def test_a_full_disk_loses_nothing(make_program: MakeProgram, sink: Sink, small_disk: Path, reserve: int) -> None:
    settings = by_smarthost(sink) | {
        "data": str(small_disk / "data"),
        "store": {"reserve": reserve},
        "smtp": {"trusted_networks": ["127.0.0.0/8"]},
        "log": {"level": "info"},
    }
    program = make_program(in_processes(settings)).add(*LOCAL).start()
    load = Load(lambda: program.port("mx"), seed=7, pause=0.05)
    witness = load.witness
    load.start()

    async def until(count: int, what: list[object]) -> None:
        goal = len(what) + count
        async with asyncio.timeout(60):
            while len(what) < goal:
                assert program.is_running
                await asyncio.sleep(0.02)

    acknowledged: list[object] = witness.acknowledged  # type: ignore[assignment] # only counted
    refused: list[object] = witness.refused  # type: ignore[assignment] # only counted
    await until(50, acknowledged)
    ballast = small_disk / "ballast"
    fill(ballast)
    await until(100, refused)
    if reserve:
        assert await asyncio.to_thread(health, program) == 503
    ballast.unlink()
    await until(50, acknowledged)
    assert await asyncio.to_thread(health, program) == 200
    await load.stop()

    assert {code for code, _ in witness.refused} <= {451, 452}
    assert any(text.startswith("4.3.1") for code, text in witness.refused if code == 452)
    assert not witness.unknown, "a session was lost"
    program.wait_told("store_trouble")
    await asyncio.to_thread(wait_until, lambda: not program.queue(), "the queue is empty", 60)
    inboxes = {account: await asyncio.to_thread(inbox_counts, program, account) for account in LOCAL}
    arrived = sink.counts()
    for sent in witness.acknowledged:
        assert [inboxes[account][sent.message_id] for account in sent.local] == [1] * len(sent.local)
        assert arrived[sent.message_id] == len(sent.remote)
    known = {sent.message_id for sent in witness.acknowledged}
    assert set(arrived) <= known, "what was refused was sent on nevertheless"
    assert set().union(*inboxes.values()) <= known, "what was refused is in an inbox nevertheless"


def health(program: Program) -> int:
    """The code of /healthz."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{program.port('web')}/healthz", timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def fill(ballast: Path) -> None:
    """Take all the space that is left."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"b" * size)
            except OSError:
                continue
