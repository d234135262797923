"""Counts messages by what was found out about them, for the domains that want to know (RFC 9989 §5.3.7).

Nothing in it grows without bound. What it keeps holds no addresses of people: domains, the client's IP address, results
(RFC 9990 §7.2).
"""

import re
from collections.abc import Collection, Iterable, Sequence
from ipaddress import ip_address
from typing import Any

import orjson

from postroom.clock import Clock
from postroom.mail.address import Address
from postroom.mail.headers import Header
from postroom.mailauth.model import Authentication, DkimCheck, DmarcCheck, DmarcRecord, Policy, Result
from postroom.mailauth.overrides import Override, OverrideKind
from postroom.outbound.daily.counts import DAY, CountLimits, DailyCounts
from postroom.outbound.dmarcrpt.store import DmarcCount

LIMITS = CountLimits(domains=20_000, policies=4, details=2000)
"""Domains and policies beyond are not reported on; rows beyond are summed, and the report says how many they were."""

LEFT_OUT = ""
"""The row of those that there was no room for."""

MAX_SIGNATURES = 10
"""Signatures that are told of for one message (RFC 9990 §3.1.3: no more than 100)."""

_LONGEST_ROW = 4096  # octets; honest ones have some 400
_LONGEST_TEXT = 255  # characters of a name
_LONGEST_REMARK = 120  # characters of a reason or a comment
_MOST_OVERRIDES = 5

# What XML 1.0, section 2.2, has no place for, and line ends; lone surrogates cannot be stored either.
_ILLEGAL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_REPORT_SUBJECT = re.compile(r"Report[ \t]+Domain:", re.IGNORECASE)
_MILDER = {Policy.REJECT: Policy.QUARANTINE, Policy.QUARANTINE: Policy.NONE, Policy.NONE: Policy.NONE}


class DmarcTally:
    """The counts, in memory. ``load`` brings those that were kept, ``changed`` gives those that are to be kept."""

    def __init__(self, clock: Clock, *, enabled: bool, limits: CountLimits = LIMITS) -> None:
        self._clock = clock
        self._enabled = enabled
        self.counts = DailyCounts(limits)

    def load(self, kept: Iterable[DmarcCount]) -> None:
        """What was counted by an earlier process."""
        self.counts.load([((one.day, one.domain, one.policy, one.row), one.count) for one in kept])

    def changed(self, most: int | None = None) -> tuple[DmarcCount, ...]:
        """What has changed since this gave it last, ``most`` at a time."""
        return tuple([DmarcCount(*key, count) for key, count in self.counts.changed(most)])

    def of_domain(self, day: int, domain: str) -> tuple[DmarcCount, ...]:
        """What was counted for a domain on a day."""
        return tuple([DmarcCount(*key, count) for key, count in self.counts.of_domain(day, domain)])

    def note(
        self,
        authentication: Authentication,
        *,
        header: Header,
        client: str,
        envelope_from: Address | None,
        envelope_to: Collection[str],
        disposition: Policy,
        overrides: Sequence[Override] = (),
    ) -> None:
        """One message that was checked and then taken, put aside or refused for good; not one that is to come again.

        ``client`` is its IP address, ``envelope_to`` the domains of its recipients; ``disposition`` is what was done
        with it, for whatever reason: NONE where it was taken as any other.
        """
        check = authentication.dmarc
        if not self._enabled or check is None or check.record is None or not check.record.aggregate:
            return  # RFC 9989 §4.7: without rua= nobody asks for reports
        row = {
            "ip": _show_ip(client),
            "disposition": _show_disposition(check, disposition),
            "dkim": "pass" if check.dkim_aligned else "fail",
            "spf": "pass" if check.spf_aligned else "fail",
            "reasons": [
                [one.kind.value, _plain(one.comment, _LONGEST_REMARK)]
                for one in _reasons(check, disposition, overrides)
            ],
            "from": _plain(check.author),
            "envelope_from": "" if envelope_from is None else _plain(envelope_from.domain),
            "envelope_to": _plain(next(iter(envelope_to))) if len(set(envelope_to)) == 1 else "",
            "dkim_results": _signatures(check, authentication.dkim),
            "spf_result": _show_spf(authentication),
            "report": _is_report(check, header),
        }
        text = orjson.dumps(row).decode()
        if len(text) > _LONGEST_ROW:
            text = LEFT_OUT
        record = check.record
        day = int(self._clock.now() // DAY)
        self.counts.add((day, _plain(record.domain), show_policy(record), text), LEFT_OUT)


def show_policy(record: DmarcRecord) -> str:
    """The policy as ``policy_published`` has it, as JSON (RFC 9990 §3.1.1.5): two that read alike are the same."""
    shown: dict[str, str] = {"p": record.policy.value}
    if record.subdomain_policy is not None:
        shown["sp"] = record.subdomain_policy.value
    if record.nonexistent_policy is not None:
        shown["np"] = record.nonexistent_policy.value
    shown["adkim"] = "s" if record.strict_dkim else "r"
    shown["aspf"] = "s" if record.strict_spf else "r"
    shown["fo"] = ":".join(record.failure_options)
    shown["testing"] = "y" if record.testing else "n"
    return orjson.dumps(shown).decode()


def _show_disposition(check: DmarcCheck, disposition: Policy) -> str:
    """RFC 9990 §A, ActionDispositionType: "pass" is what passed where failing would have had a consequence."""
    if check.result is not Result.PASS or disposition is not Policy.NONE or check.record is None:
        return disposition.value
    record = check.record
    asked = record.policy if check.author == record.domain else record.subdomain_policy or record.policy
    if record.testing:
        asked = _MILDER[asked]
    return "none" if asked is Policy.NONE else "pass"


def _reasons(check: DmarcCheck, disposition: Policy, overrides: Sequence[Override]) -> list[Override]:
    """Why it was not done as was asked; there is a reason wherever it was not (RFC 9990 §3.1.1.9)."""
    reasons = list(overrides[:_MOST_OVERRIDES])
    record = check.record
    if check.result is Result.PASS or record is None:
        return reasons
    if check.result is Result.TEMPERROR and not reasons:
        return [Override(OverrideKind.OTHER, "the DNS had no answer in time")]
    if check.policy is not None and disposition is check.policy:
        if record.testing and disposition not in _published(check, record):
            reasons.append(Override(OverrideKind.POLICY_TEST_MODE))
        return reasons
    return reasons or [Override(OverrideKind.LOCAL_POLICY)]


def _published(check: DmarcCheck, record: DmarcRecord) -> set[Policy]:
    """What the record asks for an author, but for t=: of a subdomain it is not known here whether it exists."""
    if check.author == record.domain:
        return {record.policy}
    existing = record.subdomain_policy or record.policy
    return {existing, record.nonexistent_policy or existing}


def _signatures(check: DmarcCheck, signatures: Sequence[DkimCheck]) -> list[list[str]]:
    """Those that matter most (RFC 9990 §3.1.3): d=, s=, the result, and why where it is no pass."""

    def rank(one: DkimCheck) -> int:
        if one.result is not Result.PASS:
            return 3
        if one.domain == check.author:
            return 0
        aligned = one.domain == check.dkim_aligned or one.domain.endswith(f".{check.organization}")
        return 1 if aligned or one.domain == check.organization else 2

    told = [one for one in signatures if one.domain and one.selector]
    return [
        [
            _plain(one.domain),
            _plain(one.selector),
            one.result.value,
            "" if one.result is Result.PASS or "@" in one.reason else _plain(one.reason, _LONGEST_REMARK),
        ]
        for one in sorted(told, key=rank)[:MAX_SIGNATURES]
    ]


def _show_spf(authentication: Authentication) -> list[str]:
    """The domain and the result of MAIL FROM, which alone is used (RFC 9990 §3.1.1.13); empty where not asked.

    Not why: with macros (RFC 7208 §7) a term may hold the sender's local part.
    """
    spf = authentication.spf
    return [] if spf is None or not spf.domain else [_plain(spf.domain), spf.result.value]


def _is_report(check: DmarcCheck, header: Header) -> bool:
    """Whether it is a report itself, of a domain that it really comes from.

    Such mail is told of where there is a report anyway, and is no reason for one: else two servers that have nothing
    to say to each other would write to each other every day about these reports.
    """
    if check.result is not Result.PASS:
        return False
    subject = header.first(b"subject")
    return subject is not None and _REPORT_SUBJECT.match(subject.text) is not None


def _show_ip(client: str) -> str:
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return _plain(client)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _plain(text: str, longest: int = _LONGEST_TEXT) -> str:
    return legal(text[:longest])


def legal(text: str) -> str:
    """What a stranger sent, as it may be stored and stand in XML."""
    return _ILLEGAL.sub("", text)


_Row = dict[str, Any]


def read_row(row: str) -> _Row:
    """What ``note`` wrote of one row."""
    read: _Row = orjson.loads(row)
    return read
