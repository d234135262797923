"""A message of 100 MB is never whole in memory: not on its way in, not on its way on, not when it is collected."""

from collections.abc import Callable

from bench.generators import send_big
from bench.processes import peak_of, reset_peak
from tests.system.fixtures import MakeProgram
from tests.system.program import Program, wait_until
from tests.system.setups import by_smarthost, in_processes
from tests.system.sink import Sink

BOB = "bob@example.org"
SIZE = 100_000_000
MOST = 10 << 20
"""Octets over idle. The bench holds the server to 8 MiB (DESIGN §8) on a quiet machine."""


def extra_memory(program: Program, work: Callable[[], None]) -> int:
    """Of all processes: the peaks need not fall together, so that this is the most that it can have been."""
    pids = [program.pid, *program.children]
    idle = program.rss()
    for pid in pids:
        reset_peak(pid)
    work()
    return sum(map(peak_of, pids)) - idle


def test_a_huge_message_costs_little_memory(make_program: MakeProgram, sink: Sink) -> None:
    sink.keep_content = False
    more = {"smtp": {"max_size": "200MiB", "trusted_networks": ["127.0.0.0/8"]}}
    program = make_program(in_processes(by_smarthost(sink) | more, carriers=1)).add(BOB).start()
    with program.smtp() as client:
        client.sendmail("x@elsewhere.example", [BOB], b"Subject: first\r\n\r\n")
    assert len(program.inbox(BOB)) == 1

    def store() -> None:
        send_big(program.port("mx"), BOB, SIZE)

    def relay() -> None:
        send_big(program.port("mx"), "someone@remote.example", SIZE)
        wait_until(lambda: bool(sink.arrived), "it is at the far end")

    def collect() -> None:
        client = program.pop3(BOB)
        client._putcmd("RETR 2")  # type: ignore[attr-defined] # retr() would keep it all
        seen = 0
        while (line := client.file.readline()) != b".\r\n":
            seen += len(line)
        assert seen > SIZE * 0.99
        client.quit()

    stored = extra_memory(program, store)
    collected = extra_memory(program, collect)
    relayed = extra_memory(program, relay)
    print(f"\nextra memory: stored {stored >> 10} KiB, collected {collected >> 10} KiB, relayed {relayed >> 10} KiB")
    assert max(stored, collected, relayed) < MOST
