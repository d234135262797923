"""What is remembered between looks, and the port that keeps it: a restart must not take a fault for an old one."""

from collections.abc import Sequence
from typing import Protocol

from postroom.mail.value import value

HOST = ""
"""The domain that stands for the host itself."""


@value(frozen=True, slots=True)
class KnownFault:
    """One fault. ``since`` is the first look that found it, in seconds since the Unix epoch.

    ``sights`` is how many looks in a row found it, counted up to two; ``missed`` how many since did not. ``told``: an
    alert went out for it; what was wrong when the domain was first looked at is not told.
    """

    fault: str
    subject: str
    level: str
    what: str
    since: float
    sights: int
    missed: int = 0
    told: bool = False


@value(frozen=True, slots=True)
class WatchedDomain:
    """What the last look found of a domain."""

    domain: str
    looked_at: float
    faults: tuple[KnownFault, ...] = ()


class DnsWatchStore(Protocol):
    """Every method may raise ``StoreUnavailable``; a write then changed nothing."""

    async def load(self) -> Sequence[WatchedDomain]:
        """All that is remembered, in order of domain."""
        ...

    async def save(self, domains: Sequence[WatchedDomain]) -> None:
        """Put these in the place of what was remembered of the same domains, all of them or none."""
        ...

    async def forget(self, domains: Sequence[str]) -> None:
        """Remove what is remembered of domains that are ours no more."""
        ...
