"""What reports of others tell, as values. All is what a stranger claims: bounded, printable, and believed no more.

Texts have no control characters and are ``""`` where the report does not say. Domains are in lower case as the reporter
wrote them, times seconds since the Unix epoch, counts never negative.
"""

from enum import Enum

from postroom.mail.value import value

MOST_RECORDS = 5000
"""Rows of one report that are kept one by one; the rest is summed up."""

MOST_COUNT = 10**9
"""Messages or sessions that one row may claim."""

MOST_RESULTS = 20
"""Authentication results of one row that are kept: RFC 9990 lets a reporter write a hundred."""


class ReportKind(Enum):
    """What a report is about."""

    DMARC = "dmarc"
    TLS = "tls"
    FAILURE = "failure"
    COMPLAINT = "complaint"
    UNREADABLE = "unreadable"


@value(frozen=True, slots=True)
class AuthResult:
    """One result of SPF or DKIM (``method``), by itself: whether it is aligned stands elsewhere.

    ``domain`` is what was checked, ``selector`` DKIM's, ``scope`` SPF's (``mfrom`` or ``helo``), ``human`` the
    reporter's own words.
    """

    method: str
    domain: str
    result: str
    selector: str = ""
    scope: str = ""
    human: str = ""


@value(frozen=True, slots=True)
class Override:
    """Why the reporter did not do what the policy asks (``kind``: ``forwarded``, ``mailing_list`` and the like)."""

    kind: str
    comment: str = ""


@value(frozen=True, slots=True)
class Published:
    """The policy that the reporter found, in its own words. ``percent`` is RFC 7489's pct."""

    domain: str
    policy: str = ""
    subdomain_policy: str = ""
    nonexistent_policy: str = ""
    dkim_alignment: str = ""
    spf_alignment: str = ""
    failure_options: str = ""
    percent: str = ""
    testing: str = ""
    discovery: str = ""


@value(frozen=True, slots=True)
class Record:
    """Messages of one source that went alike. ``source`` is an IP address, ``""`` where what was written is none.

    ``disposition`` is none, quarantine, reject, or another word. ``dkim`` and ``spf`` are pass where that method passed
    and is aligned, else fail.
    """

    source: str
    count: int
    disposition: str = "none"
    dkim: str = "fail"
    spf: str = "fail"
    overrides: tuple[Override, ...] = ()
    header_from: str = ""
    envelope_from: str = ""
    envelope_to: str = ""
    results: tuple[AuthResult, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether DMARC passed: one aligned method is enough (RFC 9989 §5.3.5, RFC 7489 §4.2)."""
        return "pass" in (self.dkim, self.spf)


@value(frozen=True, slots=True)
class Rest:
    """Rows that were too many, summed up."""

    rows: int = 0
    passed: int = 0
    failed: int = 0


NO_REST = Rest()


@value(frozen=True, slots=True)
class AggregateReport:
    """A DMARC aggregate report (RFC 9990 §3.1, RFC 7489 appendix C)."""

    reporter: str
    contact: str
    report_id: str
    begin: float
    end: float
    published: Published
    records: tuple[Record, ...]
    rest: Rest = NO_REST
    extra_contact: str = ""
    errors: tuple[str, ...] = ()
    generator: str = ""

    @property
    def passed(self) -> int:
        """Messages that passed DMARC."""
        return sum(record.count for record in self.records if record.passed) + self.rest.passed

    @property
    def failed(self) -> int:
        """Messages that did not."""
        return sum(record.count for record in self.records if not record.passed) + self.rest.failed


@value(frozen=True, slots=True)
class TlsFailure:
    """Sessions that failed alike (RFC 8460 §4.4). ``result`` is one of §4.3, such as ``certificate-expired``."""

    result: str
    count: int
    sending_ip: str = ""
    receiving_host: str = ""
    receiving_helo: str = ""
    receiving_ip: str = ""
    code: str = ""
    information: str = ""


@value(frozen=True, slots=True)
class TlsPolicyResult:
    """How sessions under one policy went. ``kind``: ``sts``, ``tlsa``, ``no-policy-found``, or another."""

    kind: str
    domain: str
    successes: int
    failures: int
    hosts: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    details: tuple[TlsFailure, ...] = ()


@value(frozen=True, slots=True)
class TlsReport:
    """A TLSRPT report (RFC 8460 §4). ``rest``: failure details that were too many."""

    reporter: str
    contact: str
    report_id: str
    begin: float
    end: float
    policies: tuple[TlsPolicyResult, ...]
    rest: Rest = NO_REST

    @property
    def domain(self) -> str:
        """What it is about: that of its first policy that names one."""
        return next((policy.domain for policy in self.policies if policy.domain), "")

    @property
    def passed(self) -> int:
        """Sessions that succeeded."""
        return sum(policy.successes for policy in self.policies)

    @property
    def failed(self) -> int:
        """Sessions that did not."""
        return sum(policy.failures for policy in self.policies)


@value(frozen=True, slots=True)
class FailureReport:
    """A report about one message that failed (RFC 6591 §3), or some like it (``incidents``).

    ``failure`` is Auth-Failure (``dmarc``, ``spf``, ``signature``, ``bodyhash``, ``revoked``, ``adsp``), ``alignment``
    Identity-Alignment (RFC 7489 §7.3.1), ``results`` what the reporter's Authentication-Results says; ``header_from``
    is the author's domain. Neither subject nor content is kept.
    """

    reporter: str
    domain: str
    failure: str
    report_id: str = ""
    at: float = 0.0
    source: str = ""
    delivery: str = ""
    alignment: str = ""
    header_from: str = ""
    mail_from: str = ""
    recipient: str = ""
    message_id: str = ""
    dkim_domain: str = ""
    dkim_selector: str = ""
    spf_record: str = ""
    results: str = ""
    incidents: int = 1


@value(frozen=True, slots=True)
class ComplaintReport:
    """Somebody complained (RFC 5965); ``complaint`` is the Feedback-Type. Who, is often hidden.

    ``about`` is the queue id of our message as people see it, ``""`` where it was not found.
    """

    reporter: str
    domain: str
    complaint: str
    report_id: str = ""
    at: float = 0.0
    source: str = ""
    sender: str = ""
    recipient: str = ""
    message_id: str = ""
    about: str = ""


@value(frozen=True, slots=True)
class UnreadableReport:
    """Mail to a report address that could not be read as a report, and why. ``domain`` is that of the address."""

    domain: str
    reason: str
    reporter: str = ""
    report_id: str = ""
    at: float = 0.0


Report = AggregateReport | TlsReport | FailureReport | ComplaintReport | UnreadableReport


class Unreadable(Exception):
    """This is no report, or none that can be read; the text says why, without line ends."""
