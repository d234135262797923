"""What guards the door, put together: rate limits, lockout, their keeper, and the notices to people."""

from collections.abc import Awaitable, Callable

from postroom.admin.notices import Door, NoticeRooms, Notices
from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.mail.message import QueueId
from postroom.mail.trouble import StoreUnavailable
from postroom.policy.keeping import GuardKeeper
from postroom.policy.limiting import Limiter
from postroom.policy.lockout import Lockout
from postroom.policy.store import GuardStore
from postroom.report.events import StoreTrouble
from postroom.report.reporter import Reporter


class Guardroom:
    """One for each node. ``start`` it before the first session, ``tick`` it twice a second, ``close`` it at the end."""

    def __init__(self, settings: Settings, store: GuardStore, clock: Clock, reporter: Reporter) -> None:
        self._settings = settings
        self._clock = clock
        self._reporter = reporter
        self.limiter = Limiter(settings.limits, clock, reporter)
        self.lockout = Lockout(settings.lockout, clock, reporter)
        self._keeper = GuardKeeper(store, self.limiter, self.lockout, clock)
        self.start = self._keeper.start
        self.tick = self._keeper.tick

    def notices(
        self, door: Door, is_local: Callable[[str], Awaitable[bool]], next_id: Callable[[], QueueId]
    ) -> Notices:
        """Who writes to people about what is told from now on."""
        rooms = NoticeRooms(
            hostname=self._settings.hostname,
            postmaster=self._settings.delivery.postmaster,
            settings=self._settings.limits,
            is_local=is_local,
            door=door,
            next_id=next_id,
            clock=self._clock,
        )
        notices = Notices(rooms)
        self._reporter.listen(notices.choose)
        return notices

    async def close(self) -> None:
        """Write what has not been written."""
        try:
            await self._keeper.flush()
        except StoreUnavailable as error:
            self._reporter.tell(StoreTrouble(f"limits and bans: {error}"))
