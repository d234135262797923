"""The process that has the queue: what goes through it, what is seen of it, and that it dies alone without a loss."""

import asyncio
import contextlib
import http.client
import json
import os
import random
import signal
import smtplib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from bench.processes import is_alive
from tests.system.fixtures import MakeProgram
from tests.system.load import LOCAL, Load
from tests.system.loop_thread import Nameserver
from tests.system.program import Program, to_toml, wait_until
from tests.system.setups import added_to, by_mx, by_smarthost, content, in_processes
from tests.system.sink import Sink
from tests.system.test_kill import SEED, inbox_counts, told_by_history, told_by_log

KILLS = min(int(os.environ.get("TEST_KILLS", "8")), 8)  # the waits between them grow
ALICE = "alice@example.org"
REMOTE = "someone@remote.example"
TRUSTED = {"smtp": {"trusted_networks": ["127.0.0.0/8"]}, "log": {"format": "json", "level": "info"}}


def send(program: Program, *message_ids: str, to: tuple[str, ...] = (REMOTE,)) -> None:
    with program.smtp() as client:
        for message_id in message_ids:
            client.sendmail("x@elsewhere.example", list(to), content(message_id))


def health(program: Program) -> contextlib.AbstractContextManager[http.client.HTTPResponse]:
    answer: http.client.HTTPResponse = urllib.request.urlopen(
        f"http://127.0.0.1:{program.port('web')}/healthz", timeout=30
    )
    return answer


@pytest.mark.parametrize("carriers", [0, 1])
def test_mail_arrives_byte_by_byte(
    make_program: MakeProgram, sink: Sink, nameserver: Nameserver, carriers: int
) -> None:
    program = make_program(in_processes(by_mx(nameserver, sink) | TRUSTED, carriers=carriers)).add(ALICE).start()
    assert len(program.children) == 1 + carriers
    send(program, "one", "two", to=(ALICE, REMOTE))
    wait_until(lambda: len(sink.arrived) == 2, "both are at the far end")
    for arrived in sink.arrived:
        added_to(arrived.content, content(arrived.message_id.partition("@")[0]))
    assert len(program.inbox(ALICE)) == 2
    told = program.wait_told("attempt_made", state="relayed")
    assert told["host"] == "mx.remote.example"
    assert told["queue_id"] in {line["queue_id"] for line in program.told("message_accepted")}


def test_as_many_processes_as_there_are_cores_for(make_program: MakeProgram, sink: Sink) -> None:
    settings = by_smarthost(sink) | TRUSTED | {"outbound": {"processes": "auto"}}
    settings["queue"]["apart"] = "auto"
    program = make_program(settings).start()
    assert len(program.children) == min(len(os.sched_getaffinity(0)) - 1, 2)
    send(program, "one")
    wait_until(lambda: bool(sink.arrived), "it is at the far end")


def test_what_both_have_counted_is_one_number(make_program: MakeProgram, sink: Sink) -> None:
    program = make_program(in_processes(by_smarthost(sink) | TRUSTED)).start()
    send(program, "one", "two")
    wait_until(lambda: len(sink.arrived) == 2, "both are at the far end")
    wait_until(lambda: len(program.told("attempt_made", state="relayed")) == 2, "both are told")

    def numbers() -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{program.port('web')}/metrics", timeout=30) as answer:
            lines = [line.rpartition(" ") for line in answer.read().decode().splitlines() if line[0] != "#"]
        return {name: float(number) for name, _, number in lines}

    before = numbers()
    accepted = [number for name, number in before.items() if name.startswith("postroom_messages_accepted_total{")]
    attempts = [number for name, number in before.items() if name.startswith("postroom_attempts_total{")]
    assert (sum(accepted), sum(attempts)) == (2, 2)
    os.kill(program.queue_process, signal.SIGKILL)
    program.wait_told("queue_back")
    after = numbers()
    assert sum(number for name, number in after.items() if name.startswith("postroom_attempts_total{")) == 2
    assert after["postroom_queue_ended_total"] == 1


def test_no_counter_goes_back_while_it_does_not_answer(make_program: MakeProgram, sink: Sink) -> None:
    program = make_program(in_processes(by_smarthost(sink) | TRUSTED)).start()
    send(program, "one")
    program.wait_told("attempt_made", state="relayed")

    def attempts() -> list[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{program.port('web')}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return [line for line in lines if line.startswith("postroom_attempts_total{")]

    before = attempts()
    assert before
    os.kill(program.queue_process, signal.SIGSTOP)
    try:
        assert attempts() == before
    finally:
        os.kill(program.queue_process, signal.SIGCONT)
    assert attempts() == before


def test_what_the_queue_tells_raises_alerts_too(make_program: MakeProgram, sink: Sink, tmp_path: Path) -> None:
    script, out = tmp_path / "alert", tmp_path / "out"
    script.write_text(f"#!/bin/sh\ncat > {out}.new && mv {out}.new {out}\n")
    script.chmod(0o755)
    settings = by_smarthost(sink) | TRUSTED | {"alert": [{"on": ["store_trouble"], "command": [str(script)]}]}
    program = make_program(in_processes(settings)).add(ALICE)
    program.settings["store"] = {"reserve": 1 << 60}  # no disk has so much room
    program.settings_file.write_text(to_toml(program.settings))
    program.start()
    with program.smtp() as client, pytest.raises(smtplib.SMTPResponseException) as caught:
        client.sendmail("bob@example.net", [ALICE], b"Subject: x\r\n\r\nx\r\n")
    assert (caught.value.smtp_code, caught.value.smtp_error[:5]) == (452, b"4.3.1")
    program.wait_told("alert_raised", on="store_trouble", target=str(script))
    assert json.loads(out.read_text())["what"] == "store_trouble"


def test_the_level_of_the_log_reaches_it(make_program: MakeProgram, sink: Sink) -> None:
    program = make_program(in_processes(by_smarthost(sink) | TRUSTED)).start()

    def reload(level: str) -> None:
        program.settings["log"]["level"] = level
        program.settings_file.write_text(to_toml(program.settings))
        program.signal(signal.SIGHUP)

    def arrives(name: str) -> int:
        """How many messages the node told of, when it is settled and all has been written."""
        send(program, name)
        wait_until(lambda: any(one.message_id.startswith(name) for one in sink.arrived), "it is at the far end")
        wait_until(lambda: not program.queue(), "it is settled")
        return len(program.told("message_accepted"))

    reload("error")
    told = arrives("quiet0")
    for number in range(1, 20):  # the node may have got the signal a moment late
        before, told = told, arrives(f"quiet{number}")
        if told == before:
            break
    reload("info")
    program.wait_told("settings_reloaded")
    send(program, "loud")
    wait_until(lambda: any(one.message_id.startswith("loud") for one in sink.arrived), "it is at the far end")
    assert program.stop() == 0
    assert program.told("attempt_made", state="relayed")
    quiet = {line["queue_id"] for line in program.told("attempt_made")} - {
        line["queue_id"] for line in program.told("message_accepted")
    }
    assert not quiet, "the queue told of what the node was silent about"


def test_one_that_hangs_is_not_well_and_goes_on_where_it_was(make_program: MakeProgram, sink: Sink) -> None:
    program = make_program(in_processes(by_smarthost(sink) | TRUSTED)).add(ALICE).start()
    pid = program.queue_process
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(urllib.error.HTTPError) as caught, health(program):
            pass
        assert caught.value.code == 503
        assert "no answer" in caught.value.read().decode()
    finally:
        os.kill(pid, signal.SIGCONT)
    send(program, "one", to=(ALICE, REMOTE))
    wait_until(lambda: bool(sink.arrived), "it is at the far end")
    with health(program) as answer:
        assert answer.status == 200


@pytest.mark.timeout(600)
async def test_killed_again_and_again_nothing_is_lost(
    make_program: MakeProgram, sink: Sink, record_property: Callable[[str, object], None]
) -> None:
    """``kill -9`` of this process alone, at random moments under load; the doors stay open and say 451 meanwhile."""
    program = make_program(in_processes(by_smarthost(sink) | TRUSTED)).add(*LOCAL).start()
    chance = random.Random(SEED)
    load = Load(lambda: program.port("mx"), seed=SEED)
    load.start()
    for number in range(KILLS):
        await asyncio.sleep(chance.uniform(0.02, 0.8))  # the random moment that this test is about
        os.kill(program.queue_process, signal.SIGKILL)
        back = number + 1
        await asyncio.to_thread(wait_until, lambda n=back: len(program.told("queue_back")) == n, "another one", 90)  # type: ignore[misc]
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
    unexplained -= await asyncio.to_thread(told_by_history, program, unexplained)
    told = (
        f"seed {SEED}: {KILLS} kills of the queue's process, {len(witness.acknowledged)} acknowledged, "
        f"{len(witness.refused)} refused, {len(twice_there)} twice ({len(unexplained)} unexplained), {len(lost)} lost"
    )
    record_property("told", told)
    print(told)
    assert not lost
    assert not twice_here
    assert not unexplained
    assert {code for code, *_ in witness.refused} <= {421, 451}
    assert len(witness.acknowledged) > KILLS * 5, "that was no load"
    assert len(program.told("queue_ended", status="signal 9")) == KILLS


@pytest.mark.parametrize("carriers", [0, 1])
def test_it_ends_with_its_node(make_program: MakeProgram, sink: Sink, carriers: int) -> None:
    program = make_program(in_processes(by_smarthost(sink) | TRUSTED, carriers=carriers)).start()
    send(program, "one")
    wait_until(lambda: bool(sink.arrived), "it is at the far end")
    children = program.children
    program.kill()
    wait_until(lambda: not any(map(is_alive, children)), "they have ended too")
    program.start()
    children = program.children
    assert len(children) == 1 + carriers
    assert program.stop() == 0
    assert not any(map(is_alive, children))
    assert not program.told("queue_ended")
    assert not program.told("carriers_ended")


def test_a_signal_to_all_of_them_drains_all_the_same(make_program: MakeProgram, sink: Sink) -> None:
    """As service managers send it: the queue leaves it to the node."""
    program = make_program(in_processes(by_smarthost(sink) | TRUSTED)).start()
    send(program, "one", "two")
    for pid in (*program.children, program.pid):
        os.kill(pid, signal.SIGTERM)
    assert program.wait() == 0
    assert not program.told("queue_ended")
    assert not program.told("attempt_made", state="deferred")


def test_secrets_stand_neither_in_arguments_nor_in_the_environment(
    make_program: MakeProgram, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = by_smarthost(sink) | TRUSTED
    settings["smarthost"][0] |= {"user": "u", "tls": "required"}
    monkeypatch.setenv("POSTROOM_SMARTHOST__0__PASSWORD", "hush")
    program = make_program(in_processes(settings)).start()
    for shown in ("cmdline", "environ"):
        assert b"hush" not in Path(f"/proc/{program.queue_process}/{shown}").read_bytes()


@pytest.fixture
def no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python does not start for the queue, as where the node has become a user who cannot read it."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, sys\nif 'postroom.app.queueprocess' in sys.orig_argv:\n    os._exit(13)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", "")))))


@pytest.mark.usefixtures("no_child")
def test_where_it_cannot_start_and_nobody_asked_the_node_does_without(make_program: MakeProgram, sink: Sink) -> None:
    settings = by_smarthost(sink) | TRUSTED
    settings["queue"]["apart"] = "auto"
    program = make_program(settings).start()
    send(program, "one")
    wait_until(lambda: bool(sink.arrived), "it is at the far end")
    assert not program.children
    if len(os.sched_getaffinity(0)) > 1:
        (line,) = program.told("queue_ended")
        assert "the node has the queue itself" in line["trouble"]


@pytest.mark.usefixtures("no_child")
def test_where_it_cannot_start_and_was_asked_for_the_server_says_so(make_program: MakeProgram, sink: Sink) -> None:
    program = make_program(in_processes(by_smarthost(sink) | TRUSTED))
    with pytest.raises(AssertionError, match="ended at start"):
        program.start()
    assert program.wait() == 1
    assert "postroom: the queue did not get ready" in program.log_text()
