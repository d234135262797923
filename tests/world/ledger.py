"""Two tables of outcomes, by domain: the one that the world expects, and the one that the server's log tells."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.world.model import End, Fate, World
from tests.world.people import FATES, kind_of
from tests.world.traffic import Letter

Table = Mapping[str, Counter[Fate]]
"""How many recipients of each domain had which fate."""

_ENDS = {"relayed": End.RELAYED, "delivered": End.RELAYED, "failed": End.FAILED, "expired": End.EXPIRED}


def expected(world: World, letters: Iterable[Letter]) -> Table:
    """What is to become of them."""
    domains = {domain.name: domain for domain in world.domains}
    table: defaultdict[str, Counter[Fate]] = defaultdict(Counter)
    for letter in letters:
        for recipient in letter.recipients:
            domain = domains[recipient.rpartition("@")[2]]
            fate = FATES[kind_of(recipient)] if domain.has_people else domain.fate
            table[domain.name][fate] += 1
    return table


@dataclass(slots=True)
class Ledger:
    """Reads a growing log; ``read`` takes in what was written since. ``ends`` are by queue id and recipient."""

    file: Path
    offset: int = 0
    message_ids: dict[str, str] = field(default_factory=dict)
    """By queue id."""
    ends: dict[tuple[str, str], Fate] = field(default_factory=dict)
    deferrals: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    ambiguous: set[tuple[str, str]] = field(default_factory=set)

    def read(self) -> int:
        """How many recipients elsewhere have ended by now."""
        with self.file.open("rb") as log:
            log.seek(self.offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break  # it is being written
                self.offset += len(line)
                if b'"event":"attempt_made"' in line:
                    self._attempt(json.loads(line))
                elif b'"event":"message_accepted"' in line:
                    accepted = json.loads(line)
                    self.message_ids[accepted["queue_id"]] = accepted.get("message_id", "").strip("<>")
        return len(self.ends)

    def _attempt(self, line: Mapping[str, Any]) -> None:
        key = (line["queue_id"], line["recipient"])
        if line.get("ambiguous"):
            self.ambiguous.add(key)
        end = _ENDS.get(line["state"])
        if end is None:
            self.deferrals[key].append(dict(line))
        elif line["outcome"] != "placed":
            self.ends[key] = Fate(end, "" if end is End.RELAYED else str(line.get("cause", "")))

    def table(self) -> Table:
        """What became of all that ended."""
        table: defaultdict[str, Counter[Fate]] = defaultdict(Counter)
        for (_, recipient), fate in self.ends.items():
            table[recipient.rpartition("@")[2]][fate] += 1
        return table


def without_causes(table: Table) -> Table:
    """The same, with the ends alone."""
    bare: defaultdict[str, Counter[Fate]] = defaultdict(Counter)
    for domain, counts in table.items():
        for fate, count in counts.items():
            bare[domain][Fate(fate.end)] += count
    return bare


def show(wanted: Table, found: Table) -> str:
    """Both as lines: domain, fate, how many were expected and how many found, the differences marked."""
    lines = [f"{'domain':28} {'end':9} {'cause':18} {'expected':>9} {'found':>9}"]
    for domain in sorted({*wanted, *found}):
        fates = {*wanted.get(domain, ()), *found.get(domain, ())}
        for fate in sorted(fates, key=lambda fate: (fate.end.value, fate.cause)):
            numbers = wanted.get(domain, Counter())[fate], found.get(domain, Counter())[fate]
            mark = "" if numbers[0] == numbers[1] else "  <--"
            lines.append(f"{domain:28} {fate.end.value:9} {fate.cause:18} {numbers[0]:9} {numbers[1]:9}{mark}")
    totals = [sum(sum(counts.values()) for counts in table.values()) for table in (wanted, found)]
    return "\n".join([*lines, f"{'all':28} {'':9} {'':18} {totals[0]:9} {totals[1]:9}"])


def by_cause(deferrals: Iterable[Sequence[Mapping[str, Any]]]) -> Counter[str]:
    """How often something was put off, by its cause (or by the status, where no cause is told)."""
    return Counter(str(line.get("cause") or line.get("reply", "")[:9]) for lines in deferrals for line in lines)
