"""What a sender asks of the queue, through the real program: a release time, a deadline (RFC 4865, RFC 2852)."""

import json
import time

from tests.system.fixtures import MakeProgram
from tests.system.loop_thread import Nameserver
from tests.system.program import wait_until
from tests.system.setups import by_mx, content
from tests.system.sink import Sink

ALICE, BOB = "alice@example.org", "bob@example.net"
REMOTE = "someone@remote.example"


def test_held_back_until_its_time(make_program: MakeProgram) -> None:
    """RFC 4865 §4.2: for one who lives here too."""
    program = make_program().add(ALICE, BOB).start()
    began = time.time()
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [BOB], content("later"), mail_options=["BODY=8BITMIME", "HOLDFOR=10"])
    assert program.inbox(BOB) == []
    (listed,) = json.loads(program.command("queue", "list", "--json"))["messages"]
    assert listed["released_at"] is not None
    assert "held back by its sender" in program.command("why", BOB)
    wait_until(lambda: bool(program.inbox(BOB)), "the message is released")
    assert time.time() >= began + 10


def test_released_early_by_its_id_only(make_program: MakeProgram) -> None:
    program = make_program().add(ALICE, BOB).start()
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [BOB], content("later"), mail_options=["BODY=8BITMIME", "HOLDFOR=3600"])
    (listed,) = json.loads(program.command("queue", "list", "--json"))["messages"]
    program.command("queue", "retry", "--all")
    assert "held back by its sender" in program.command("why", BOB)
    program.command("queue", "release", listed["queue_id"])
    wait_until(lambda: bool(program.inbox(BOB)), "the message is released")


def test_returned_when_its_time_is_up(make_program: MakeProgram, nameserver: Nameserver, down_sink: Sink) -> None:
    """RFC 2852 §4.1.3."""
    program = make_program(by_mx(nameserver, down_sink)).add(ALICE).start()
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE], content("urgent"), mail_options=["BODY=8BITMIME", "BY=3;R"])
    wait_until(lambda: bool(program.inbox(ALICE)), "the message is returned")
    (dsn,) = program.inbox(ALICE)
    assert b"Status: 5.4.7" in dsn
    assert b"Deliver-By-Date: " in dsn
    wait_until(lambda: not program.queue(), "the queue is empty")
