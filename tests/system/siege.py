"""A server under a flood: what it needs more than before, whether those who mean well are served, and what it tells."""

import math
import os
import poplib
import re
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.system.program import PASSWORD, PATIENCE, Program, wait_until
from tests.system.sideprogram import SideProgram

MEBIBYTE = 1 << 20
_TICK = os.sysconf("SC_CLK_TCK")
_ABOUT_MESSAGES = frozenset({"message_accepted", "attempt_made", "mailbox_closed", "login_succeeded"})


class Siege:
    """Use as a context: inside, a well-behaved client delivers one message after the other. Then ask what was seen.

    ``sources`` are the addresses of that client; with ``login`` it submits instead, as that account.
    """

    def __init__(
        self, program: Program, recipient: str, sources: tuple[str, ...] = ("127.0.0.2",), login: str = ""
    ) -> None:
        self.program = program
        self._recipient = recipient
        self._plans: list[dict[str, Any]] = [
            {"host": "127.0.0.1", "port": program.port("mx"), "sources": sources, "pause": 0.02}
        ]
        if login:
            submission = {"port": program.port("submission"), "login": (login, PASSWORD), "sources": ["127.0.0.1"]}
            trust = {"trust": str(program.folder / "authority.pem"), "pause": 0.05}
            self._plans.append(self._plans[0] | submission | trust)
        self._stack = ExitStack()
        self._couriers: list[SideProgram] = []
        self.deliveries: list[dict[str, Any]] = []
        self.memory_before = self.memory_peak = 0
        self.threads_before = self.threads_most = 0
        self.processor_seconds = 0.0
        self.log_lines: Counter[str] = Counter()

    def __enter__(self) -> "Siege":
        with ExitStack() as stack:
            plans = [plan | {"recipient": self._recipient} for plan in self._plans]
            self._couriers = [stack.enter_context(SideProgram("courier", plan)) for plan in plans]
            for courier in self._couriers:
                assert courier.hear() == {"warm": True}
            self._stack = stack.pop_all()
        program = self.program
        self._log_from = program.log_file.stat().st_size
        self.memory_before = program.rss()
        self.threads_before = self.threads_most = self._status("Threads")
        self.processor_seconds = -self._processor()
        Path(f"/proc/{program.pid}/clear_refs").write_text("5")  # proc(5): the peak is counted from now on
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stack:
            if kind is None:
                self.processor_seconds += self._processor()
                self.memory_peak = self._status("VmHWM") * 1024
                self.deliveries = [courier.finish() for courier in self._couriers]
                last = [delivery["sent"][-1] for delivery in self.deliveries]
                wait_until(lambda: all(name in self.program.log_text() for name in last), "the log tells of the last")
                lines = [line["event"] for line in self.program.log(self._log_from)]
                self.log_lines = Counter(event for event in lines if event not in _ABOUT_MESSAGES)

    def flood(self, kind: str, *, prefix: Sequence[str] = (), **plan: Any) -> SideProgram:
        """Let one loose; it is ended with the siege."""
        flooder = SideProgram("flooders", {"kind": kind, "port": self.program.port("mx"), **plan}, prefix)
        return self._stack.enter_context(flooder)

    def watch_threads(self) -> int:
        """Look how many there are now; the most that were seen."""
        self.threads_most = max(self.threads_most, self._status("Threads"))
        return self.threads_most

    # What the well-behaved client saw.

    def slow(self, share: float = 0.99) -> float:
        """The seconds within which that share of its deliveries was done, from connecting to the answer to QUIT."""
        worst = 0.0
        for delivery in self.deliveries:
            seconds = sorted(delivery["seconds"])
            assert len(seconds) >= 100, "too few deliveries to tell"
            worst = max(worst, seconds[math.ceil(share * len(seconds)) - 1])
        return worst

    def assert_served(self) -> None:
        """It was never refused, waited no second, and all that it sent is in the inbox, once."""
        assert [delivery["trouble"] for delivery in self.deliveries] == [[]] * len(self.deliveries)
        assert self.slow() < 1.0
        sent = [name for delivery in self.deliveries for name in delivery["sent"]]
        arrived = Counter(self._arrived())
        assert [name for name in sent if arrived[name] != 1] == []
        explained = self.program.command("why", f"<{sent[-1]}>")
        assert self._recipient in explained

    def _arrived(self) -> list[str]:
        client = self.program.pop3(self._recipient)
        try:
            count, _ = client.stat()
            heads = [b"\n".join(client.top(number, 0)[1]).decode() for number in range(1, count + 1)]
        except poplib.error_proto as error:
            raise AssertionError(str(error)) from error
        finally:
            client.quit()
        return [found[1] for head in heads if (found := re.search("^Message-ID: <(.+)>$", head, re.MULTILINE))]

    # What the server needed.

    @property
    def memory_grown(self) -> int:
        """Octets that it held more than before, at the worst moment."""
        return self.memory_peak - self.memory_before

    def told(self) -> str:
        """In one line."""
        count = sum(len(delivery["seconds"]) for delivery in self.deliveries)
        slowest = max(max(delivery["seconds"]) for delivery in self.deliveries)
        return (
            f"memory {self.memory_before / MEBIBYTE:.0f} + {self.memory_grown / MEBIBYTE:.0f} MiB, processor "
            f"{self.processor_seconds:.1f} s, {count} deliveries meanwhile: p50 {self.slow(0.5) * 1000:.0f} ms, p99 "
            f"{self.slow() * 1000:.0f} ms, slowest {slowest * 1000:.0f} ms; log {dict(self.log_lines)}"
        )

    def _processor(self) -> float:
        fields = Path(f"/proc/{self.program.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def _status(self, name: str) -> int:
        text = Path(f"/proc/{self.program.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)
        assert found is not None, f"the kernel tells no {name}"
        return int(found[1])

    # What it tells.

    def metric(self, name: str, **labels: str) -> float:
        """The sum of what /metrics says under this name, of all that have these labels."""
        return metric(self.program, name, **labels)

    def wait_metric(self, name: str, least: float, **labels: str) -> None:
        """Wait until it is so much."""
        wait_until(lambda: self.metric(name, **labels) >= least, f"{name} {labels} reaches {least}")

    def bans(self, count: int) -> Mapping[str, dict[str, Any]]:
        """What `postroom bans list` shows, by its subject, once there are so many."""
        listings: list[list[dict[str, Any]]] = []

        def are_there() -> bool:
            listings.append(self.program.listing("bans", "list"))
            return len(listings[-1]) >= count

        wait_until(are_there, f"{count} bans are in the store")
        return {ban["subject"]: ban for ban in listings[-1]}


def metric(program: Program, name: str, **labels: str) -> float:
    """See ``Siege.metric``."""
    with urllib.request.urlopen(f"http://127.0.0.1:{program.port('web')}/metrics", timeout=PATIENCE) as answer:
        text = answer.read().decode()
    total = 0.0
    for found in re.finditer(rf"^postroom_{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE):
        has = dict(re.findall(r'(\w+)="([^"]*)"', found[1] or ""))
        if labels.items() <= has.items():
            total += float(found[2])
    return total
