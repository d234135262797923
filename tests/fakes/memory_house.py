"""MemoryHouse: what the commands need of the house, in memory; its failures are fields."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.directory_store import MemoryDirectoryStore
from tests.fakes.dkim_store import MemoryDkimStore
from tests.fakes.dns_inspector import MemoryInspector, MemoryPolicies
from tests.fakes.guard_store import MemoryGuardStore
from tests.fakes.mailbox_store import MemoryMailboxStore
from tests.fakes.queue_store import MemoryQueueStore
from tests.fakes.report_store import MemoryReportStore
from tests.fakes.site_store import MemorySiteStore
from tests.fakes.suppression_store import MemorySuppressionStore
from tests.fakes.zone_editor import MemoryZones

from postroom.admin.dnsrecords.model import DkimRecord, DkimRecords
from postroom.cli.house import OpenStore
from postroom.config.model import DnsSettings, Settings
from postroom.directory.model import Logins, NewPassword
from postroom.dns.authorities import Authorities, ServerAnswer
from postroom.dns.resolver import InspectingResolver
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.address import Address
from postroom.mail.trouble import StoreUnavailable
from postroom.report.history import OUTCOMES, HistoryRow, OutcomeTally, Tally

NOW = 1_800_000_000.0


@dataclass
class MemoryHistory:
    """History rows as a list."""

    rows: list[HistoryRow] = field(default_factory=list)

    async def of_message(self, queue_id: int) -> Sequence[HistoryRow]:
        return sorted((row for row in self.rows if row.queue_id == queue_id), key=lambda row: row.at)

    async def find(self, text: str, limit: int) -> Sequence[int]:
        found = {row.queue_id for row in self.rows if text and text in (row.recipient, row.message_id)}
        return sorted(found, reverse=True)[:limit]

    async def tallies(self, since: float) -> Sequence[Tally]:
        counts: dict[tuple[str, str], int] = {}
        for row in self.rows:
            if row.at >= since:
                counts[row.kind, row.domain] = counts.get((row.kind, row.domain), 0) + 1
        return [Tally(kind, domain, count) for (kind, domain), count in counts.items()]

    async def outcomes(self, since: float) -> Sequence[OutcomeTally]:
        senders = {row.queue_id: row.domain for row in self.rows if row.kind == "accepted"}
        counts: dict[tuple[str, str, str, str], int] = {}
        for row in self.rows:
            if row.at >= since and row.kind in OUTCOMES:
                cause = str(json.loads(row.detail).get("cause", ""))
                key = (row.kind, cause, senders.get(row.queue_id, ""), row.domain)
                counts[key] = counts.get(key, 0) + 1
        return [OutcomeTally(*key, count) for key, count in sorted(counts.items())]

    async def expire(self, before: float) -> int:
        kept = [row for row in self.rows if row.at >= before]
        gone = len(self.rows) - len(kept)
        self.rows[:] = kept
        return gone


@dataclass
class Look:
    """What a look through the store found."""

    problems: tuple[str, ...] = ()


@dataclass
class MemoryStore:
    """The open store."""

    queue: MemoryQueueStore = field(default_factory=MemoryQueueStore)
    mailbox: MemoryMailboxStore = field(default_factory=MemoryMailboxStore)
    directory: MemoryDirectoryStore = field(default_factory=MemoryDirectoryStore)
    history: MemoryHistory = field(init=False)
    guard: MemoryGuardStore = field(default_factory=MemoryGuardStore)
    suppression: MemorySuppressionStore = field(default_factory=MemorySuppressionStore)
    sites: MemorySiteStore = field(default_factory=MemorySiteStore)
    dkim: MemoryDkimStore = field(default_factory=MemoryDkimStore)
    reports: MemoryReportStore = field(default_factory=MemoryReportStore)
    look: Look = field(default_factory=Look)

    def __post_init__(self) -> None:
        self.history = MemoryHistory(self.queue.history)

    async def check(self) -> Look:
        return self.look


@dataclass
class MemoryDkim:
    """Records of keys by domain."""

    records: dict[str, list[DkimRecord]] = field(default_factory=dict)

    async def to_publish(self, domain: str) -> Sequence[DkimRecord]:
        return self.records.get(domain, [])


class NoServers:
    """No server of a zone can be asked; its resolver knows all."""

    async def txt(self, name: str) -> Sequence[ServerAnswer]:
        return ()


@dataclass
class MemoryHouse:
    """``unavailable``: opening the store raises this. ``exit_code``: what ``serve`` ends with."""

    store: MemoryStore = field(default_factory=MemoryStore)
    zone: Zone = field(default_factory=Zone)
    unavailable: Exception | None = None
    exit_code: int = 0
    served: list[tuple[Settings, Path]] = field(default_factory=list)
    time: float = NOW
    addresses: Sequence[str] = ()
    dkim: MemoryDkim = field(default_factory=MemoryDkim)
    policies: MemoryPolicies = field(default_factory=MemoryPolicies)
    zones: MemoryZones = field(default_factory=MemoryZones)

    def local_addresses(self) -> Sequence[str]:
        return self.addresses

    def dkim_records(self, store: OpenStore) -> MemoryDkim:
        return self.dkim

    def inspector(self, settings: Settings, dkim: DkimRecords) -> MemoryInspector:
        return MemoryInspector(settings, ZoneResolver(self.zone), dkim, self.policies, self.local_addresses)

    def zone_editor(self, settings: Settings) -> MemoryZones:
        self.zones.names = tuple(zone.name for zone in settings.zone)
        return self.zones

    def serve(self, settings: Settings, config_path: Path) -> int:
        self.served.append((settings, config_path))
        return self.exit_code

    @asynccontextmanager
    async def open_store(self, settings: Settings) -> AsyncIterator[MemoryStore]:
        if self.unavailable is not None:
            raise self.unavailable
        settings.store.file.touch()  # check looks whether it is there
        yield self.store

    def resolver(self, settings: DnsSettings) -> InspectingResolver:
        return ZoneResolver(self.zone)

    def authorities(self, settings: DnsSettings) -> Authorities:
        return NoServers()

    def resolver_addresses(self, settings: DnsSettings) -> Sequence[str]:
        return settings.servers

    def new_password(self, password: str, address: Address, secret: bytes, logins: Logins) -> NewPassword:
        if "\t" in password:
            raise ValueError("the password has a control character")
        return NewPassword(f"hash of {password}")

    def now(self) -> float:
        return self.time


FULL = StoreUnavailable("disk full", full=True)
