"""Beside the running server: the queue's days to come, and a server that says that it is there again."""

from tests.system.fixtures import MakeProgram
from tests.system.program import wait_until
from tests.system.setups import by_smarthost, content
from tests.system.sink import Sink

ALICE = "alice@example.org"
REMOTE = "someone@remote.example"


def test_simulate_and_etrn(make_program: MakeProgram, down_sink: Sink) -> None:
    settings = by_smarthost(down_sink, first_retry="2h", retry_factor=2.0)
    settings["smtp"] = {"trusted_networks": ["127.0.0.0/8"]}
    program = make_program(settings).add(ALICE).start()
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, [REMOTE, "other@remote.example"], content("waits"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: all(one["attempts"] == 1 for one in program.queue()[0]["recipients"]), "it was tried once")

    (view,) = program.listing("simulate")
    assert (view["recipients"], view["complete"]) == (2, True)
    assert (view["totals"]["expired"], view["totals"]["waiting"]) == (2, 0)
    (view,) = program.listing("simulate", "--site", "*=accept", "--days", "1")
    assert view["totals"]["delivered"] == 2
    assert view["timeline"][0]["delivered"] == 2
    assert len(program.queue()) == 1  # nothing was done to it

    down_sink.up()
    with program.smtp() as node:
        node.ehlo("node.example")
        assert node.has_extn("etrn")
        code, text = node.docmd("ETRN", "remote.example")
        assert (code, text.partition(b" ")[0]) == (253, b"2.0.0")
    wait_until(lambda: not program.queue(), "it has left long before its next attempt")
    assert len(down_sink.arrived) == 1
    program.wait_told("queue_acted", action="retry", recipients=2)
