"""The port to what guards the door and must outlive the process: standing of limits, failures, bans, acquaintances.

A server counts in memory and writes behind, about once a second and at its end; commands change what operators decide.
Only the latter raises the generation. Times are seconds since the Unix epoch.
"""

from collections.abc import Sequence
from typing import Protocol

from postroom.config.section import Rate
from postroom.mail.value import value

REMEMBERED = 86400.0
"""Seconds for which a ban that is over is kept: the next one of the same subject is longer."""

ACQUAINTED = 90 * 86400.0
"""Seconds for which an account keeps knowing an address that it was not used from again."""


@value(frozen=True, slots=True)
class Standing:
    """What a subject has used up of one rate. ``tat`` is when it will be nothing (see ``net/gcra.py``)."""

    scope: str
    subject: str
    rate: str
    tat: float


@value(frozen=True, slots=True)
class Failures:
    """Points of one subject: in the window that began at ``began``, in the one before, and when both have faded."""

    scope: str
    subject: str
    began: float
    now: int
    before: int
    ends: float


@value(frozen=True, slots=True)
class Ban:
    """``subject`` is an address, a network (``scope`` address) or an account's key (``scope`` account).

    ``failures`` are what it was banned for, ``repeats`` the bans before it within a day; ``author`` is who banned,
    ``""`` for the server itself; ``lifted_by`` who ended it before its time, ``""`` for nobody.
    """

    scope: str
    subject: str
    since: float
    until: float
    reason: str
    failures: int = 0
    repeats: int = 0
    author: str = ""
    lifted_by: str = ""

    def holds(self, now: float) -> bool:
        """Whether the subject is shut out at ``now``."""
        return self.until > now and not self.lifted_by


@value(frozen=True, slots=True)
class Acquaintance:
    """The account (its key) was logged in to from the network."""

    account: str
    network: str
    seen_at: float


@value(frozen=True, slots=True)
class AccountLimits:
    """Limits of one account (its key) instead of those of the settings; None: those of the settings, empty: none."""

    account: str
    messages: tuple[Rate, ...] | None = None
    recipients: tuple[Rate, ...] | None = None


@value(frozen=True, slots=True)
class GuardRecord:
    """What a server counted: all of it as read at the start, or what has changed since it was last written."""

    standings: tuple[Standing, ...] = ()
    failures: tuple[Failures, ...] = ()
    bans: tuple[Ban, ...] = ()
    acquaintances: tuple[Acquaintance, ...] = ()

    def __len__(self) -> int:
        return len(self.standings) + len(self.failures) + len(self.bans) + len(self.acquaintances)


class GuardStore(Protocol):
    """Any method may raise ``StoreUnavailable``."""

    async def generation(self) -> int:
        """A counter that every change by an operator raises, whichever process made it."""
        ...

    # What a server counts.

    async def load(self, now: float) -> GuardRecord:
        """All that still counts at ``now``, bans that have been over for less than a day included."""
        ...

    async def save(self, record: GuardRecord) -> None:
        """Put what changed, all of it or nothing; what is there of the same subject is replaced."""
        ...

    async def forget(self, now: float) -> int:
        """Remove what does not count any more; returns how many rows."""
        ...

    # What operators see and change.

    async def standings(self, subject: str) -> Sequence[Standing]:
        """What one account (its key) has used up, by scope and rate, as last written."""
        ...

    async def bans(self, now: float) -> Sequence[Ban]:
        """The bans, also those that were lifted or have been over for less than a day; by scope and subject."""
        ...

    async def ban(self, bans: Sequence[Ban]) -> None:
        """Begin bans, instead of those of the same subjects."""
        ...

    async def lift(self, subjects: Sequence[tuple[str, str]], by: str, now: float) -> Sequence[bool]:
        """End the bans of these (scope, subject), with their failures; whether there was one that held, in order."""
        ...

    async def account_limits(self) -> Sequence[AccountLimits]:
        """The limits of single accounts, by account."""
        ...

    async def limit(self, limits: Sequence[AccountLimits]) -> None:
        """Set limits of single accounts instead of what they had; None for both: as in the settings again."""
        ...
