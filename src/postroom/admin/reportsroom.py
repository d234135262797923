"""Reports of others, put together: the addresses that they come to, and who reads them."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.directory.model import Resolution
from postroom.mail.address import Address
from postroom.mailauth.reports.store import ReportStore
from postroom.mailauth.reports.unpack import read_message
from postroom.queue.carrier import ContentSource
from postroom.queue.reported import ReportDesk
from postroom.queue.reporting import ReportAddresses
from postroom.queue.reportmodel import ReportedStore
from postroom.report.reporter import Reporter


class ReportsStore(Protocol):
    """The store as far as it is asked here."""

    @property
    def queue(self) -> ContentSource: ...  # noqa: D102 - the name says it
    @property
    def reports(self) -> ReportStore: ...  # noqa: D102
    @property
    def reported(self) -> ReportedStore: ...  # noqa: D102


def report_addresses(
    settings: Settings,
    resolve: Callable[[Address], Awaitable[Resolution]],
    is_local: Callable[[str], Awaitable[bool]],
) -> ReportAddresses:
    """The addresses of the settings, before a directory."""
    return ReportAddresses(
        settings.reports,
        hostname=settings.hostname,
        separator=settings.delivery.plus_separator,
        resolve=resolve,
        is_local=is_local,
        feedback=settings.returns.complaints,
    )


class ReportsRoom:
    """One for each node. Let it ``work`` every second, ``expire`` it every hour.

    ``addresses`` stand before the directory: the door and whoever resolves addresses ask them. ValueError where
    ``[reports]`` has something that is no address.
    """

    def __init__(
        self,
        settings: Settings,
        store: ReportsStore,
        *,
        resolve: Callable[[Address], Awaitable[Resolution]],
        is_local: Callable[[str], Awaitable[bool]],
        clock: Clock,
        reporter: Reporter,
    ) -> None:
        self._store = store
        self._clock = clock
        self._keep = settings.reports.keep
        self.addresses = report_addresses(settings, resolve, is_local)
        desk = ReportDesk(
            store=store.reported,
            contents=store.queue,
            read=read_message,
            settings=settings.reports,
            clock=clock,
            reporter=reporter,
        )
        self.work = desk.work

    async def expire(self) -> None:
        """Forget reports that are kept no longer."""
        await self._store.reports.expire(self._clock.now() - self._keep)
