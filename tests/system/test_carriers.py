"""The process that carries mail: it dies alone, it ends with its node, and nothing is lost by either."""

import asyncio
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from bench.processes import is_alive
from tests.system.fixtures import MakeProgram
from tests.system.load import LOCAL, Load
from tests.system.loop_thread import Nameserver
from tests.system.program import Program, wait_until
from tests.system.setups import added_to, by_mx, by_smarthost, content
from tests.system.sink import Sink
from tests.system.test_kill import SEED, told_by_log

KILLS = min(int(os.environ.get("TEST_KILLS", "8")), 8)  # the waits between them grow
REMOTE = "someone@remote.example"
TRUSTED = {"smtp": {"trusted_networks": ["127.0.0.0/8"]}, "log": {"level": "info"}}


def apart(settings: dict[str, object], processes: int = 1) -> dict[str, object]:
    """The settings, with so many processes that carry mail."""
    outbound = settings.get("outbound", {})
    assert isinstance(outbound, dict)
    return settings | TRUSTED | {"outbound": {**outbound, "processes": processes}}


def send(program: Program, *message_ids: str) -> None:
    with program.smtp() as client:
        for message_id in message_ids:
            client.sendmail("x@elsewhere.example", [REMOTE], content(message_id))


@pytest.mark.parametrize("processes", [0, 1, 3])
def test_mail_arrives_byte_by_byte(
    make_program: MakeProgram, sink: Sink, nameserver: Nameserver, processes: int
) -> None:
    program = make_program(apart(by_mx(nameserver, sink), processes)).start()
    assert len(program.carriers) == processes
    send(program, "one", "two")
    wait_until(lambda: len(sink.arrived) == 2, "both are at the far end")
    for arrived in sink.arrived:
        name = arrived.message_id.partition("@")[0]
        added_to(arrived.content, content(name))
    attempts = [program.wait_told("attempt_made", state="relayed")]
    assert attempts[0]["host"] == "mx.remote.example"


def test_a_large_message_is_read_by_the_carriers(make_program: MakeProgram, sink: Sink) -> None:
    program = make_program(apart(by_smarthost(sink))).start()
    large = content("large") + b"x" * 998 + b"\r\n" + (b"y" * 78 + b"\r\n") * 40_000
    with program.smtp() as client:
        client.sendmail("x@elsewhere.example", [REMOTE], large)
    wait_until(lambda: bool(sink.arrived), "it is at the far end")
    added_to(sink.arrived[0].content, large)


@pytest.mark.timeout(600)
async def test_killed_again_and_again_nothing_is_lost(
    make_program: MakeProgram, sink: Sink, record_property: Callable[[str, object], None]
) -> None:
    """``kill -9`` of the carriers alone, at random moments under load; the node goes on."""
    program = make_program(apart(by_smarthost(sink))).add(*LOCAL).start()
    chance = random.Random(SEED)
    load = Load(lambda: program.port("mx"), seed=SEED)
    load.start()
    for number in range(KILLS):
        await asyncio.sleep(chance.uniform(0.02, 0.8))  # the random moment that this test is about
        (carrier,) = program.carriers
        os.kill(carrier, signal.SIGKILL)
        ready = number + 1
        await asyncio.to_thread(wait_until, lambda n=ready: len(program.told("carriers_ready")) == n, "another one", 90)  # type: ignore[misc]
    await load.stop()
    witness = load.witness
    await asyncio.to_thread(wait_until, lambda: not program.queue(), "the queue is empty", 60)
    arrived = sink.counts()
    lost = [sent for sent in witness.acknowledged if sent.remote and not arrived[sent.message_id]]
    twice = {name for name, count in arrived.items() if count > 1}
    unexplained = twice - told_by_log(program, sink)
    under_way = sum([line["under_way"] for line in program.told("carriers_ended")])
    told = (
        f"seed {SEED}: {KILLS} kills of the carriers with {under_way} requests under way, "
        f"{len(witness.acknowledged)} acknowledged, {len(arrived)} at the far end, "
        f"{len(twice)} of them twice ({len(unexplained)} unexplained), {len(lost)} lost"
    )
    record_property("told", told)
    print(told)
    assert not lost
    assert not unexplained
    assert not witness.refused
    assert not witness.unknown, "the node was not to notice"
    assert len(program.told("carriers_ended", status="signal 9")) == KILLS


def test_it_ends_with_its_node(make_program: MakeProgram, sink: Sink) -> None:
    program = make_program(apart(by_smarthost(sink))).start()
    send(program, "one")
    wait_until(lambda: bool(sink.arrived), "it is at the far end")
    carriers = program.carriers
    program.kill()
    wait_until(lambda: not any(map(is_alive, carriers)), "the carriers have ended too")
    program.start()
    carriers = program.carriers
    assert program.stop() == 0
    assert not any(map(is_alive, carriers))
    assert not program.told("carriers_ended")


def test_a_signal_to_all_of_them_drains_all_the_same(make_program: MakeProgram, sink: Sink) -> None:
    """As service managers send it: the carriers leave it to the node."""
    program = make_program(apart(by_smarthost(sink))).start()
    send(program, "one", "two")
    for pid in (*program.carriers, program.pid):
        os.kill(pid, signal.SIGTERM)
    assert program.wait() == 0
    assert not program.told("carriers_ended")
    assert not program.told("attempt_made", state="deferred")


def test_secrets_stand_neither_in_arguments_nor_in_the_environment(
    make_program: MakeProgram, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = by_smarthost(sink)
    settings["smarthost"][0] |= {"user": "u", "tls": "required"}
    monkeypatch.setenv("POSTROOM_SMARTHOST__0__PASSWORD", "hush")
    program = make_program(apart(settings))
    program.start()
    (carrier,) = program.carriers
    for shown in ("cmdline", "environ"):
        assert b"hush" not in Path(f"/proc/{carrier}/{shown}").read_bytes()


def test_an_ambiguous_end_comes_back_as_one(make_program: MakeProgram, sink: Sink) -> None:
    sink.behaviour.drop_after_dot = 1
    program = make_program(apart(by_smarthost(sink))).start()
    send(program, "one")
    program.wait_told("attempt_made", ambiguous=True)
    wait_until(lambda: len(sink.arrived) == 2, "it is tried again")


@pytest.fixture
def no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python does not start for carriers, as where the node has become a user who cannot read it."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, sys\nif 'postroom.app.carriers' in sys.orig_argv:\n    os._exit(13)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", "")))))


@pytest.mark.usefixtures("no_child")
def test_where_it_cannot_start_and_nobody_asked_the_node_does_without(make_program: MakeProgram, sink: Sink) -> None:
    settings = by_smarthost(sink) | TRUSTED | {"outbound": {"processes": "auto"}}
    program = make_program(settings).start()
    send(program, "one")
    wait_until(lambda: bool(sink.arrived), "it is at the far end")
    assert not program.carriers
    if len(os.sched_getaffinity(0)) > 1:
        (line,) = program.told("carriers_ended")
        assert "the node carries mail itself" in line["trouble"]


@pytest.mark.usefixtures("no_child")
def test_where_it_cannot_start_and_was_asked_for_the_server_says_so(make_program: MakeProgram, sink: Sink) -> None:
    program = make_program(apart(by_smarthost(sink)))
    with pytest.raises(AssertionError, match="ended at start"):
        program.start()
    assert program.wait() == 1
    assert "postroom: the carriers did not get ready" in program.log_text()
