"""Reports of the road: what became of sites, source addresses, TLS policies, and of mail that came back.

As in ``events``: frozen, telling never decides; times are seconds since the Unix epoch.
"""

from postroom.mail.cause import Cause
from postroom.mail.message import QueueId
from postroom.mail.value import value


@value(frozen=True, slots=True)
class SiteBlocked:
    """A site backs off as a whole until ``until``; ``reason`` is what it said or did. ``source`` may be ``""``."""

    site: str
    source: str
    reason: str
    until: float


@value(frozen=True, slots=True)
class SiteReopened:
    """A site that was blocked takes mail again."""

    site: str
    source: str


@value(frozen=True, slots=True)
class SiteShaped:
    """A limit of a site follows its replies. ``what``: concurrency or rate (messages a minute)."""

    site: str
    source: str
    what: str
    before: float
    after: float
    reason: str


@value(frozen=True, slots=True)
class WarmupFull:
    """A source address has sent what its plan allows to one provider on this day."""

    source: str
    provider: str
    limit: int
    until: float


@value(frozen=True, slots=True)
class TlsDowngraded:
    """An MX host offers less than it did: ``before`` and ``now`` are none, encrypted or verified."""

    site: str
    host: str
    before: str
    now: str


@value(frozen=True, slots=True)
class StsPolicyFetched:
    """A domain's MTA-STS policy was fetched anew, or could not be (``trouble``)."""

    domain: str
    mode: str
    policy_id: str
    trouble: str = ""


@value(frozen=True, slots=True)
class TlsReportSent:
    """A TLSRPT report on one day left the house, or did not (``trouble``)."""

    domain: str
    target: str
    sessions: int
    failures: int
    trouble: str = ""


@value(frozen=True, slots=True)
class DmarcReportSent:
    """DMARC reports on one day of a domain left the house for ``target``, or did not (``trouble``).

    ``domain`` is ``""`` where it is not about one domain, ``target`` where it is not about one address; ``messages`` is
    how many the reports count.
    """

    domain: str
    target: str
    messages: int
    trouble: str = ""


@value(frozen=True, slots=True)
class BounceReturned:
    """A bounce came back for a message of ours. ``permanent``: for good. ``by``: verp, envid, queue_id, message_id."""

    queue_id: QueueId
    recipient: str
    cause: Cause
    permanent: bool
    by: str


@value(frozen=True, slots=True)
class ComplaintReturned:
    """A recipient complained by a feedback loop. ``kind`` is the Feedback-Type; ``queue_id`` 0 where unmatched."""

    queue_id: QueueId
    recipient: str
    kind: str


@value(frozen=True, slots=True)
class AddressSuppressed:
    """An address is not written to again by this domain until ``until``."""

    sender_domain: str
    recipient: str
    cause: str
    until: float


@value(frozen=True, slots=True)
class QueuePaused:
    """An operator stopped a site, a domain or a sender (``kind``), or let it go on (``resumed``)."""

    kind: str
    subject: str
    by: str
    resumed: bool = False


@value(frozen=True, slots=True)
class CarriersEnded:
    """A process that carries mail ended unasked; ``status`` says how, ``under_way`` how many requests it had.

    Another one is started in ``wait`` seconds. ``trouble`` is what it said before it was ready, or what it did wrong.
    """

    status: str
    under_way: int
    wait: float
    trouble: str = ""


@value(frozen=True, slots=True)
class CarriersReady:
    """A process that carries mail takes requests, after another one had ended; ``pid`` is its process id."""

    pid: int


@value(frozen=True, slots=True)
class QueueEnded:
    """The process that has the queue ended unasked; ``status`` says how, ``under_way`` how many requests it had.

    Another one is started in ``wait`` seconds, unless the node ends. ``trouble`` is what it said before it was ready,
    or what it did wrong.
    """

    status: str
    under_way: int
    wait: float
    trouble: str = ""


@value(frozen=True, slots=True)
class QueueBack:
    """The process that has the queue takes its work again, after another one had ended; ``pid`` is its process id."""

    pid: int


RoadReport = (
    SiteBlocked
    | SiteReopened
    | SiteShaped
    | WarmupFull
    | TlsDowngraded
    | StsPolicyFetched
    | TlsReportSent
    | DmarcReportSent
    | BounceReturned
    | ComplaintReturned
    | AddressSuppressed
    | QueuePaused
    | CarriersEnded
    | CarriersReady
    | QueueEnded
    | QueueBack
)
