"""Sites as the real program shapes and shows them: source addresses, and blocks that outlive a restart."""

from typing import Any

from tests.system.fixtures import MakeProgram
from tests.system.loop_thread import Nameserver
from tests.system.program import Program, wait_until
from tests.system.setups import by_mx, content
from tests.system.sink import Sink

ALICE = "alice@example.org"
REMOTE = "someone@remote.example"
BLOCKED = "451 4.7.1 your address is on a blocklist"


def send(program: Program, *names: str) -> None:
    with program.submission(ALICE) as client:
        for name in names:
            client.sendmail(ALICE, [REMOTE], content(name), mail_options=["BODY=8BITMIME"])


def site(program: Program) -> dict[str, Any]:
    """What is known of the one site; empty: nothing yet."""
    found = program.listing("sites")
    assert len(found) <= 1
    return dict(found[0]) if found else {}


def test_a_site_is_reached_from_its_source_and_its_block_outlives_the_server(
    make_program: MakeProgram, nameserver: Nameserver, sink: Sink
) -> None:
    settings = by_mx(nameserver, sink) | {
        "source": [{"name": "out-a", "ipv4": "127.0.0.2", "hostname": "out-a.example.org"}],
        "pool": [{"name": "all", "sources": ["out-a"]}],
        "route": [{"pool": "all"}],
    }
    program = make_program(settings).add(ALICE).start()
    send(program, "one", "two")
    wait_until(lambda: len(sink.arrived) == 2, "the far end has both")
    wait_until(lambda: site(program).get("delivered") == 2, "what was sent is shown within a second")
    assert site(program)["source"] == "out-a"

    sink.behaviour.content = BLOCKED
    send(program, "three", "four")
    program.wait_told("site_blocked", source="out-a")
    wait_until(lambda: site(program)["blocked_until"] is not None, "the block is shown")
    program.kill()
    shown = site(program)  # while it is down
    assert shown["blocked_for"] == BLOCKED
    assert shown["deferred"] >= 2
    assert BLOCKED in program.command("sites", "show", "remote")

    sink.behaviour.content = ""
    program.start()
    send(program, "five")
    wait_until(lambda: "not tried" in str(program.queue()), "it waits untried")
    assert len(sink.arrived) == 2
    program.command("queue", "flush")
    wait_until(lambda: len(sink.arrived) == 5, "an operator has the site tried again, and it takes all that waited")
    program.wait_told("site_reopened", source="out-a")
    wait_until(lambda: site(program)["blocked_until"] is None, "it is open again")
