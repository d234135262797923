"""The stores under contract; PostgreSQL joins here."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.fakes.far_store import open_far_store

from postroom.admin.dnswatch.model import DnsWatchStore
from postroom.directory.store import DirectoryStore
from postroom.mailauth.keys.store import DkimKeyStore
from postroom.mailauth.reports.store import ReportStore
from postroom.mailbox.store import MailboxStore
from postroom.outbound.dmarcrpt.store import DmarcStore
from postroom.outbound.tlsstore import TlsStore
from postroom.policy.store import GuardStore
from postroom.queue.reportmodel import ReportedStore
from postroom.queue.returnmodel import ReturnedStore
from postroom.queue.sites import SiteStore
from postroom.queue.store import QueueStore
from postroom.report.history import HistoryStore
from postroom.reputation.store import SuppressionStore
from postroom.storage.sqlite.store import SqliteStore


class Store(Protocol):
    """What every implementation offers."""

    @property
    def queue(self) -> QueueStore: ...
    @property
    def mailbox(self) -> MailboxStore: ...
    @property
    def directory(self) -> DirectoryStore: ...
    @property
    def history(self) -> HistoryStore: ...
    @property
    def guard(self) -> GuardStore: ...
    @property
    def tls(self) -> TlsStore: ...
    @property
    def dmarc_tally(self) -> DmarcStore: ...
    @property
    def suppression(self) -> SuppressionStore: ...
    @property
    def returned(self) -> ReturnedStore: ...
    @property
    def sites(self) -> SiteStore: ...
    @property
    def dkim(self) -> DkimKeyStore: ...
    @property
    def dns_watch(self) -> DnsWatchStore: ...
    @property
    def reports(self) -> ReportStore: ...
    @property
    def reported(self) -> ReportedStore: ...
    async def close(self) -> None: ...


OpenStore = Callable[[], Awaitable[Store]]


@dataclass
class Implementation:
    """One way to keep mail. ``open`` opens the same data again, as a second process or a restart would."""

    name: str
    open: OpenStore


def _sqlite(folder: Path) -> Implementation:
    async def open_it() -> Store:
        return await SqliteStore.open(folder / "postroom.db", freshness=0)

    return Implementation("sqlite", open_it)


def _far(folder: Path) -> Implementation:
    return Implementation("far", lambda: open_far_store(folder / "postroom.db"))


IMPLEMENTATIONS = {"sqlite": _sqlite, "far": _far}
