"""The port to the reports that others sent us: kept, listed, and summed up by who sends as us."""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from postroom.mail.value import value
from postroom.mailauth.reports.model import Report, ReportKind


class Kept(Enum):
    """What became of a report that was to be kept."""

    NEW = "new"
    KNOWN = "known"
    """It was here already: reporters send some twice."""
    TOO_MANY = "too many"
    """So many came in on that day that this one is not kept."""


@value(frozen=True, slots=True)
class NewReport:
    """A report to keep. ``came_to`` is the domain of the address that it came to, ``""`` where it was imported.

    ``author`` is the domain that its mail passed DMARC for, as we checked: ``""`` for none, None where that is not
    known. ``most`` is how many of its kind may be kept that came to this domain since ``day``, 0 for any number.
    """

    report: Report
    received_at: float
    came_to: str = ""
    queue_id: int = 0
    author: str | None = None
    most: int = 0
    day: float = 0.0


@value(frozen=True, slots=True)
class KeptReport:
    """A report as listed. ``number`` is what commands call it; ``passed`` and ``failed`` are messages or sessions.

    ``begin`` and ``end`` are its period; where it tells none, when it was received.
    """

    number: int
    kind: ReportKind
    domain: str
    reporter: str
    report_id: str
    begin: float
    end: float
    passed: int
    failed: int
    received_at: float
    came_to: str = ""
    queue_id: int = 0
    author: str | None = None
    report: Report | None = None
    """All of it, where one is asked for by number, and for the kinds that are about one message."""


@value(frozen=True, slots=True)
class ReportFilter:
    """Which reports; every given condition must hold. ``since`` is about the end of their period.

    ``verified``: only those whose mail passed DMARC.
    """

    kind: ReportKind | None = None
    domain: str = ""
    reporter: str = ""
    since: float = 0.0
    verified: bool = False


@value(frozen=True, slots=True)
class DomainTotal:
    """All reports of one kind about one domain, summed up."""

    kind: ReportKind
    domain: str
    reports: int
    passed: int
    failed: int
    begin: float
    end: float


@value(frozen=True, slots=True)
class PartTotal:
    """The same of one reporter or of one day (``name``: its name, or ``2026-11-26``)."""

    name: str
    reports: int
    passed: int
    failed: int


@value(frozen=True, slots=True)
class Flow:
    """Messages in DMARC reports that are alike but for who reported them and when. See ``model.Record``.

    ``results`` are method, domain, result, selector and scope of each; ``overrides`` the kinds.
    """

    source: str
    header_from: str
    envelope_from: str
    disposition: str
    dkim: str
    spf: str
    results: tuple[tuple[str, str, str, str, str], ...]
    overrides: tuple[str, ...]
    count: int
    reporters: int


@value(frozen=True, slots=True)
class FlowAnswer:
    """The largest flows, how many messages the rows that were asked for have, and how many stand in no row at all.

    ``unlisted_passed`` and ``unlisted_failed`` are of rows that were summed up when the report was read.
    """

    flows: tuple[Flow, ...]
    passed: int
    failed: int
    unlisted_passed: int = 0
    unlisted_failed: int = 0


@value(frozen=True, slots=True)
class TlsFlow:
    """Sessions in TLS reports that went alike: ``result`` is ``""`` for those that succeeded."""

    domain: str
    policy: str
    result: str
    receiving_host: str
    sending_ip: str
    code: str
    count: int
    reporters: int


class ReportStore(Protocol):
    """The reports that are kept. Any method may raise ``StoreUnavailable``."""

    async def keep(self, reports: Sequence[NewReport]) -> Sequence[Kept]:
        """Keep reports, all in one transaction; what became of each, in order.

        One that is known is not kept again: the same kind, domain, reporter and report id. But one whose mail passed
        DMARC takes the place of one whose did not, so that nobody can forestall a reporter.
        """
        ...

    async def listing(self, which: ReportFilter, *, limit: int, before: int = 0) -> Sequence[KeptReport]:
        """Reports, the last received first; those with numbers below ``before``, if given."""
        ...

    async def find(self, number: int) -> KeptReport | None:
        """One report with all that is kept of it."""
        ...

    async def totals(self, which: ReportFilter) -> Sequence[DomainTotal]:
        """Sums by kind and domain, in this order."""
        ...

    async def by_reporter(self, which: ReportFilter, limit: int) -> Sequence[PartTotal]:
        """Sums by reporter, the largest first."""
        ...

    async def by_day(self, which: ReportFilter, limit: int) -> Sequence[PartTotal]:
        """Sums by the day (in UTC) on which the period begins, the last first."""
        ...

    async def flows(self, which: ReportFilter, limit: int) -> FlowAnswer:
        """What DMARC reports tell of messages, the largest flows first."""
        ...

    async def tls_flows(self, which: ReportFilter, limit: int) -> Sequence[TlsFlow]:
        """What TLS reports tell of sessions, the largest flows first."""
        ...

    async def expire(self, before: float) -> int:
        """Forget what was received before then; returns how many reports."""
        ...
