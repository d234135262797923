"""Reads DMARC aggregate reports (RFC 9990 §3.1; RFC 7489 appendix C), as strictly as those allow who send them.

Without a namespace or with any, in any order, with fields missing and words that the standard does not know: only a
report that names no domain, or has no rows, is none.
"""

import hashlib
from collections.abc import Callable, Iterable

from postroom.mailauth.reports.model import (
    MOST_RECORDS,
    MOST_RESULTS,
    NO_REST,
    AggregateReport,
    AuthResult,
    Override,
    Published,
    Record,
    Rest,
    Unreadable,
)
from postroom.mailauth.reports.text import LONGEST_DOMAIN, LONGEST_WORD, address, clean, count, domain, moment, word
from postroom.mailauth.reports.xml import Path, PathReader

_MOST_ERRORS = 5
_MOST_OVERRIDES = 5
_LONGEST_NAME = 200
_ACTIONS = {"": "none", "pass": "none", "rejected": "reject", "quarantined": "quarantine"}
"""RFC 9990's pass (no action, for it passed) is none of RFC 7489."""

_ROW = ("feedback", "record", "row")
_EVALUATED = (*_ROW, "policy_evaluated")
_REASON = (*_EVALUATED, "reason")
_IDENTIFIERS = ("feedback", "record", "identifiers")
_IDENTITIES = ("feedback", "record", "identities")  # so in drafts, and some never changed it
_RESULTS = ("feedback", "record", "auth_results")
_METADATA = ("feedback", "report_metadata")
_PUBLISHED = ("feedback", "policy_published")

Fields = dict[str, str]


def read_aggregate(pieces: Iterable[bytes], breathe: Callable[[], None] = lambda: None) -> AggregateReport:
    """The report that the XML is. Raises Unreadable. ``breathe`` is called now and then: reading may take seconds."""
    reader = _Reader()
    PathReader(reader.on_end).read(pieces, breathe)
    return reader.report()


class _Reader:
    """Gathers the fields of one element and makes a value of them when it ends."""

    def __init__(self) -> None:
        self._is_feedback = False
        self._metadata: Fields = {}
        self._published: Fields = {}
        self._errors: list[str] = []
        self._records: list[Record] = []
        self._rest = [0, 0, 0]
        self._digest = hashlib.sha256()
        self._begin_record()

    def _begin_record(self) -> None:
        self._row: Fields = {}
        self._evaluated: Fields = {}
        self._identifiers: Fields = {}
        self._leaf: Fields = {}
        self._overrides: list[Override] = []
        self._results: list[AuthResult] = []

    def on_end(self, path: Path, text: str) -> None:
        """See PathReader. A field that stands twice counts once."""
        parent, name = path[:-1], path[-1]
        if parent == _ROW:
            self._row.setdefault(name, text)
        elif parent == _EVALUATED:
            if name == "reason":
                self._end_reason()
            else:
                self._evaluated.setdefault(name, text)
        elif parent in (_IDENTIFIERS, _IDENTITIES):
            self._identifiers.setdefault(name, text)
        elif parent == _RESULTS:
            self._end_result(name)
        elif parent == _REASON or parent[:-1] == _RESULTS:
            self._leaf.setdefault(name, text)
        elif path == ("feedback", "record"):
            self._end_record()
        else:
            self._on_head(path, text)

    def _on_head(self, path: Path, text: str) -> None:
        parent, name = path[:-1], path[-1]
        if parent == _METADATA and name == "error":
            if text.strip() and len(self._errors) < _MOST_ERRORS:
                self._errors.append(clean(text))
        elif parent in (_METADATA, (*_METADATA, "date_range")):
            self._metadata.setdefault(name, text)
        elif parent == _PUBLISHED:
            self._published.setdefault(name, text)
        elif not parent:
            self._is_feedback = name == "feedback"

    def _end_reason(self) -> None:
        leaf, self._leaf = self._leaf, {}
        if len(self._overrides) < _MOST_OVERRIDES:
            self._overrides.append(Override(word(leaf.get("type", "")) or "other", clean(leaf.get("comment", ""))))

    def _end_result(self, method: str) -> None:
        leaf, self._leaf = self._leaf, {}
        if method not in ("dkim", "spf") or len(self._results) >= MOST_RESULTS:
            return
        self._results.append(
            AuthResult(
                method,
                domain(leaf.get("domain", "")),
                word(leaf.get("result", "")) or "none",
                clean(leaf.get("selector", ""), LONGEST_DOMAIN) if method == "dkim" else "",
                word(leaf.get("scope", "")) if method == "spf" else "",
                clean(leaf.get("human_result", "")),
            )
        )

    def _end_record(self) -> None:
        row, evaluated, identifiers = self._row, self._evaluated, self._identifiers
        number = count(row.get("count", ""))
        methods = [word(evaluated.get(name, "")) for name in ("dkim", "spf")]
        dkim, spf = ["pass" if each == "pass" else "fail" for each in methods]
        if len(self._records) < MOST_RECORDS:
            action = word(evaluated.get("disposition", ""))
            self._records.append(
                Record(
                    address(row.get("source_ip", "")),
                    number,
                    _ACTIONS.get(action, action),
                    dkim,
                    spf,
                    tuple(self._overrides),
                    domain(identifiers.get("header_from", "")),
                    domain(identifiers.get("envelope_from", "")),
                    domain(identifiers.get("envelope_to", "")),
                    tuple(self._results),
                )
            )
        else:
            self._rest[0] += 1
            self._rest[1 if "pass" in (dkim, spf) else 2] += number
        self._digest.update(repr((row, evaluated, identifiers)).encode("utf-8", "replace"))
        self._begin_record()

    def report(self) -> AggregateReport:
        """All of it, once the document has ended."""
        if not self._is_feedback:
            raise Unreadable("the XML is no DMARC report")
        published, metadata = self._policy(), self._metadata
        if not published.domain:
            raise Unreadable("the report does not name the domain that it is about")
        if not self._records:
            raise Unreadable("the report has no rows")
        begin, end = moment(metadata.get("begin", "")), moment(metadata.get("end", ""))
        contact = clean(metadata.get("email", ""), LONGEST_DOMAIN + 65)
        # RFC 7489 has the id required; where it is missing the same report must still be known again
        report_id = clean(metadata.get("report_id", ""), LONGEST_DOMAIN) or self._digest.hexdigest()[:32]
        return AggregateReport(
            clean(metadata.get("org_name", ""), _LONGEST_NAME) or contact.rpartition("@")[2] or "?",
            contact,
            report_id,
            min(begin, end) if begin and end else begin or end,
            max(begin, end),
            published,
            tuple(self._records),
            Rest(*self._rest) if self._rest[0] else NO_REST,
            clean(metadata.get("extra_contact_info", "")),
            tuple(self._errors),
            clean(metadata.get("generator", ""), _LONGEST_NAME),
        )

    def _policy(self) -> Published:
        found = {name: clean(text, LONGEST_WORD).lower() for name, text in self._published.items()}
        return Published(
            domain(self._published.get("domain", "")),
            found.get("p", ""),
            found.get("sp", ""),
            found.get("np", ""),
            found.get("adkim", ""),
            found.get("aspf", ""),
            found.get("fo", ""),
            found.get("pct", ""),
            found.get("testing", ""),
            found.get("discovery_method", ""),
        )
