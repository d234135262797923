"""What operators do to the queue beside a running server: pause, resume, flush, bounce, redirect."""

import json

from tests.system.fixtures import MakeProgram
from tests.system.loop_thread import Nameserver
from tests.system.program import wait_until
from tests.system.setups import by_mx, by_smarthost, content
from tests.system.sink import Sink

ALICE = "alice@example.org"
REMOTE = "someone@remote.example"


def test_paused_mail_waits_and_goes_on(make_program: MakeProgram, nameserver: Nameserver, sink: Sink) -> None:
    program = make_program(by_mx(nameserver, sink, poll=60)).add(ALICE).start()
    program.command("queue", "pause", "--domain", "remote.example", "--reason", "they asked")
    program.wait_told("queue_paused", kind="domain")
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], content("paused"))
    wait_until(lambda: "is paused" in program.command("why", REMOTE), "it is put off")
    assert not sink.counts()
    program.command("queue", "resume", "--domain", "remote.example")
    wait_until(lambda: bool(sink.counts()), "it goes on, long before the next look at the store")
    wait_until(lambda: not program.queue(), "the queue is empty")


def test_a_pause_outlives_a_restart_and_bounces_are_told_while_the_server_is_down(
    make_program: MakeProgram, sink: Sink
) -> None:
    program = make_program(by_smarthost(sink)).add(ALICE).start()
    program.command("queue", "pause", "--sender", ALICE)
    program.wait_told("queue_paused", kind="sender")
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], content("stopped"))
    program.stop()
    program.start()
    assert not sink.counts()
    program.stop()
    assert "1 recipient failed" in program.command("queue", "bounce", "--sender", ALICE, "--text", "not today")
    program.start()
    (dsn,) = program.inbox(ALICE)
    assert b"550 5.7.1 not today" in dsn
    assert not program.queue()


def test_flush_and_redirect(make_program: MakeProgram, nameserver: Nameserver, down_sink: Sink) -> None:
    program = make_program(by_mx(nameserver, down_sink, first_retry=3600)).add(ALICE).start()
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], content("one"))
        client.sendmail(ALICE, ["other@remote.example"], content("two"))
    wait_until(
        lambda: [r["state"] for m in program.queue() for r in m["recipients"]] == ["deferred"] * 2, "both are deferred"
    )
    program.command("queue", "redirect", "--recipient", REMOTE, "--to", ALICE)
    wait_until(lambda: bool(program.inbox(ALICE)), "the message is redirected")
    down_sink.up()
    program.command("queue", "flush")
    wait_until(lambda: bool(down_sink.counts()), "the other one is tried at once")
    wait_until(lambda: not program.queue(), "the queue is empty")
    assert json.loads(program.command("queue", "pauses", "--json")) == []
