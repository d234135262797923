"""Zones that may be changed, in memory; ``failure``: changes raise this, ``unreadable``: reading does."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from postroom.dns.record import PublishFailed, ZoneRecord


@dataclass
class MemoryZones:
    """``names`` are the zones; ``records`` what stands in them; ``changes`` what was done."""

    names: tuple[str, ...] = ()
    records: list[ZoneRecord] = field(default_factory=list)
    changes: list[tuple[tuple[ZoneRecord, ...], tuple[ZoneRecord, ...]]] = field(default_factory=list)
    failure: str = ""
    unreadable: str = ""

    def covers(self, name: str) -> bool:
        return bool(self.zone_of(name))

    def zone_of(self, name: str) -> str:
        fits = [zone for zone in self.names if name == zone or name.endswith(f".{zone}")]
        return max(fits, key=len, default="")

    async def current(self, name: str, kind: str) -> Sequence[ZoneRecord]:
        if self.unreadable:
            raise PublishFailed(self.unreadable)
        return [each for each in self.records if each.name == name and each.kind in (kind, "CNAME")]

    async def change(self, add: Sequence[ZoneRecord], remove: Sequence[ZoneRecord] = ()) -> None:
        if self.failure:
            raise PublishFailed(self.failure)
        gone = {(each.name, each.kind, each.data) for each in remove}
        self.records = [each for each in self.records if (each.name, each.kind, each.data) not in gone]
        self.records += [each for each in add if each not in self.records]
        self.changes.append((tuple(add), tuple(remove)))
