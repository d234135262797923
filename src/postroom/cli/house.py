"""What the commands need of the house: the port to the composition root; tests bring a house of their own."""

import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from postroom.admin.dnscheck import Inspector
from postroom.admin.dnsrecords.applying import ZoneEditor
from postroom.admin.dnsrecords.model import DkimRecords
from postroom.config.model import DnsSettings, Settings
from postroom.directory.model import Logins, NewPassword
from postroom.directory.store import DirectoryStore
from postroom.dns.authorities import Authorities
from postroom.dns.resolver import InspectingResolver
from postroom.mail.address import Address
from postroom.mailauth.keys.store import DkimKeyStore
from postroom.mailauth.reports.store import ReportStore
from postroom.mailbox.store import MailboxStore
from postroom.policy.store import GuardStore
from postroom.queue.sites import SiteStore
from postroom.queue.store import QueueStore
from postroom.report.history import HistoryStore
from postroom.reputation.store import SuppressionStore


class StoreLook(Protocol):
    """What a look through the store found; ``problems`` is empty for a sound one."""

    @property
    def problems(self) -> tuple[str, ...]: ...  # noqa: D102


class OpenStore(Protocol):
    """The store while it is open. ``check`` looks through all of it."""

    @property
    def queue(self) -> QueueStore: ...  # noqa: D102 - the name says it
    @property
    def mailbox(self) -> MailboxStore: ...  # noqa: D102
    @property
    def directory(self) -> DirectoryStore: ...  # noqa: D102
    @property
    def history(self) -> HistoryStore: ...  # noqa: D102
    @property
    def guard(self) -> GuardStore: ...  # noqa: D102
    @property
    def suppression(self) -> SuppressionStore: ...  # noqa: D102
    @property
    def sites(self) -> SiteStore: ...  # noqa: D102
    @property
    def dkim(self) -> DkimKeyStore: ...  # noqa: D102
    @property
    def reports(self) -> ReportStore: ...  # noqa: D102
    async def check(self) -> StoreLook: ...  # noqa: D102


class House(Protocol):
    """The rooms below, as commands use them."""

    def serve(self, settings: Settings, config_path: Path) -> int:
        """Run the server until it is told to stop; the exit code."""
        ...

    def open_store(self, settings: Settings) -> AbstractAsyncContextManager[OpenStore]:
        """The store, also while a server runs. Raises StoreUnavailable."""
        ...

    def resolver(self, settings: DnsSettings) -> InspectingResolver:
        """Who asks the DNS."""
        ...

    def authorities(self, settings: DnsSettings) -> Authorities:
        """Who asks the servers of a zone themselves."""
        ...

    def resolver_addresses(self, settings: DnsSettings) -> Sequence[str]:
        """The addresses of the servers that it asks."""
        ...

    def local_addresses(self) -> Sequence[str]:
        """The addresses of this machine."""
        ...

    def dkim_records(self, store: OpenStore) -> DkimRecords:
        """Who knows the records of the keys that we sign with."""
        ...

    def inspector(self, settings: Settings, dkim: DkimRecords) -> Inspector:
        """Who compares the DNS with what it should say."""
        ...

    def zone_editor(self, settings: Settings) -> ZoneEditor:
        """Who changes the zones of the settings."""
        ...

    def new_password(self, password: str, address: Address, secret: bytes, logins: Logins) -> NewPassword:
        """What the directory keeps of a password. ValueError if it cannot be one."""
        ...

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        ...


class RealHouse:
    """This house. Rooms are opened when a command needs them: ``--help`` should not wait for a database driver."""

    def serve(self, settings: Settings, config_path: Path) -> int:
        """Run the server."""
        from postroom.app.serving import serve

        return serve(settings, config_path)

    def open_store(self, settings: Settings) -> AbstractAsyncContextManager[OpenStore]:
        """The store of the settings."""
        from postroom.app.opening import open_store

        return open_store(settings)

    def resolver(self, settings: DnsSettings) -> InspectingResolver:
        """The name servers of the settings."""
        from postroom.dns.dnspython import DnspythonResolver

        return DnspythonResolver(settings)

    def authorities(self, settings: DnsSettings) -> Authorities:
        """By way of the name servers of the settings."""
        from postroom.dns.zoneservers import DnspythonAuthorities

        return DnspythonAuthorities(settings)

    def resolver_addresses(self, settings: DnsSettings) -> Sequence[str]:
        """Those of the settings, or of the system."""
        from postroom.dns.dnspython import server_addresses

        return server_addresses(settings)

    def local_addresses(self) -> Sequence[str]:
        """Those by which it would reach the world."""
        from postroom.admin.dnsrecords.facts import local_addresses

        return local_addresses()

    def dkim_records(self, store: OpenStore) -> DkimRecords:
        """Those of the store."""
        from postroom.admin.dkim import StoredRecords

        return StoredRecords(store.dkim)

    def inspector(self, settings: Settings, dkim: DkimRecords) -> Inspector:
        """By the name servers of the settings."""
        from postroom.app.inspecting import Inspection
        from postroom.clock import SystemClock

        return Inspection(settings, dkim, SystemClock())

    def zone_editor(self, settings: Settings) -> ZoneEditor:
        """Signed updates."""
        from postroom.dns.update import ZoneUpdater

        return ZoneUpdater(settings.zone, self.resolver(settings.dns))

    def new_password(self, password: str, address: Address, secret: bytes, logins: Logins) -> NewPassword:
        """An argon2 hash, and keys for SCRAM."""
        from postroom.directory.passwords import new_password

        return new_password(password, address, secret, logins)

    def now(self) -> float:
        """The machine's clock."""
        return time.time()
