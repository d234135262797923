"""Writes docs/standards.md: each clause of a standard that the code cites, where, and the tests that cite it too.

``python -m tests.standards`` prints it. A citation is ``RFC 5321 §4.5.2``, in a comment, a docstring or a transcript;
every further ``§4.5.3`` in the same line is of the same RFC, and ``§4 to §6`` are three. A test proves a clause if it
cites it, or a clause below it.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.announced import announced

ROOT = Path(__file__).parents[1]
CODE, TESTS = ROOT / "src" / "postroom", ROOT / "tests"
_DOCUMENT = re.compile(r"\b(RFC \d+|DESIGN)\b")
_CLAUSE = re.compile(r"§ ?([0-9A-Z]+(?:\.[0-9]+)*)(?: to § ?([0-9]+(?:\.[0-9]+)*))?")
_TITLES = {
    821: "Simple Mail Transfer Protocol (1982)", 1034: "DNS, concepts", 1035: "DNS, implementation",
    1047: "Duplicate messages", 1122: "Internet hosts", 1870: "SIZE", 1939: "POP3", 1985: "ETRN", 2033: "LMTP",
    2034: "ENHANCEDSTATUSCODES", 2045: "MIME, part one", 2046: "MIME, part two", 2047: "MIME, part three",
    2104: "HMAC", 2308: "DNS, negative caching", 2449: "POP3 extensions (CAPA)", 2554: "AUTH (1999)",
    2595: "TLS for POP3 (STLS)", 2606: "Reserved names", 2852: "DELIVERBY", 2920: "PIPELINING",
    3030: "CHUNKING and BINARYMIME", 3206: "POP3 response codes SYS and AUTH", 3207: "STARTTLS",
    3282: "Content-Language and Accept-Language",
    3339: "Date and time", 3454: "Stringprep", 3461: "DSN", 3462: "multipart/report", 3463: "Enhanced status codes",
    3464: "Format of DSNs", 3596: "DNS for IPv6", 3834: "Automatic responses", 3848: "Transmission types",
    4013: "SASLprep", 4035: "DNSSEC", 4422: "SASL", 4511: "LDAP", 4513: "LDAP, authentication",
    4514: "LDAP, distinguished names", 4515: "LDAP, filters", 4616: "PLAIN",
    4647: "Matching of language tags", 4648: "Base64", 4865: "FUTURERELEASE",
    4954: "AUTH", 5034: "AUTH for POP3", 5056: "Channel bindings", 5246: "TLS 1.2", 5280: "Certificates",
    5321: "Simple Mail Transfer Protocol", 5322: "Internet Message Format", 5646: "Language tags",
    5737: "Addresses for documentation", 5802: "SCRAM", 5891: "IDNA", 5895: "IDNA, mapping",
    5929: "Channel bindings for TLS", 5965: "ARF", 6008: "Telling DKIM signatures apart",
    6125: "Names in certificates",
    6152: "8BITMIME", 6376: "DKIM", 6409: "Message submission",
    6522: "multipart/report", 6531: "SMTPUTF8", 6532: "Internationalised headers", 6533: "Internationalised DSNs",
    6591: "ARF, authentication failures",
    6698: "TLSA", 6710: "MT-PRIORITY", 6729: "SMTP delivery by trace", 6749: "OAuth 2.0", 6750: "Bearer tokens",
    6761: "Special-use names", 6762: "Multicast DNS", 6840: "DNSSEC, clarifications", 6854: "Group syntax in From",
    6856: "POP3 with UTF-8", 6858: "Simplified downgrading", 6891: "EDNS(0)", 7208: "SPF",
    7372: "Status codes of authentication", 7504: "521 and 556", 7505: "Null MX", 7515: "JWS", 7517: "JWK",
    7519: "JWT", 7628: "OAUTHBEARER", 7662: "Introspection", 7671: "DANE, operation",
    7672: "DANE for SMTP", 7677: "SCRAM-SHA-256", 7766: "DNS over TCP",
    7817: "Server identity for mail", 8020: "NXDOMAIN", 8032: "EdDSA", 8058: "One-click unsubscription", 8098: "MDN",
    8265: "PRECIS for names and passwords", 8301: "DKIM, algorithms and key sizes",
    8314: "Cleartext considered obsolete", 8446: "TLS 1.3", 8460: "TLSRPT", 8461: "MTA-STS", 8463: "DKIM with Ed25519",
    8601: "Authentication-Results", 8616: "Authentication of internationalised mail", 8617: "ARC",
    8555: "ACME", 8689: "REQUIRETLS",
    8693: "Token exchange", 8725: "JWT, best practice", 8737: "ACME, TLS-ALPN-01", 8767: "DNS, stale answers",
    9068: "JWT access tokens", 9106: "Argon2", 9110: "HTTP", 9112: "HTTP/1.1", 9260: "SCTP (CRC32c)",
    9266: "Channel binding tls-exporter", 9325: "TLS, best practice", 9422: "LIMITS", 9520: "DNS, failures",
    9773: "ACME renewal information", 9864: "JOSE algorithms",
}  # fmt: skip

Clause = tuple[int, str]
"""Number of the RFC, and the section, ``""`` for the whole."""


@dataclass(slots=True)
class Places:
    """Who cites a clause: places in the code, and tests."""

    code: set[str] = field(default_factory=set)
    tests: set[str] = field(default_factory=set)


def standards() -> str:
    """The whole page in Markdown."""
    found = collect()
    parts = [_HEAD, announced()]
    for rfc in sorted({rfc for (rfc, _), places in found.items() if places.code}):
        parts.append(f"## RFC {rfc}{': ' + _TITLES[rfc] if rfc in _TITLES else ''}\n")
        parts.append("| clause | obeyed in | proved by |\n|---|---|---|")
        clauses = [clause for (number, clause), places in found.items() if number == rfc and places.code]
        for clause in sorted(clauses, key=_order):
            name = f"§{clause}" if clause else "as a whole"
            parts.append(f"| {name} | {_list(found[rfc, clause].code)} | {_list(proofs(found, rfc, clause))} |")
        parts.append("")
    return "\n".join(parts)


def collect() -> dict[Clause, Places]:
    """Every clause that is cited, and by whom."""
    found: dict[Clause, Places] = defaultdict(Places)
    for path in sorted(CODE.rglob("*.py")):
        for clause, place in _cited(path, CODE):
            found[clause].code.add(place)
    for path in sorted([*TESTS.rglob("test_*.py"), *TESTS.joinpath("dialogue").rglob("*.txt")]):
        if path.name != "test_standards.py":
            for clause, place in _cited(path, TESTS):
                found[clause].tests.add(place)
    return found


def proofs(found: dict[Clause, Places], rfc: int, clause: str) -> set[str]:
    """Tests that cite the clause itself or one below it; for the whole of an RFC, any that cites it."""
    return {
        test
        for (number, cited), places in found.items()
        if number == rfc and (not clause or cited == clause or cited.startswith(f"{clause}."))
        for test in places.tests
    }


def _cited(path: Path, root: Path) -> Iterator[tuple[Clause, str]]:
    """Each citation with its file and, in Python, the function or class in which it stands."""
    text, file = path.read_text(encoding="utf-8"), str(path.relative_to(root))
    scopes = list(_scopes(ast.parse(text))) if path.suffix == ".py" else []
    for number, line in enumerate(text.splitlines(), 1):
        for clause in clauses_in(line):
            names = [name for first, last, name in scopes if first <= number <= last]
            yield clause, f"{file}:{names[-1]}" if names else file


def _scopes(tree: ast.AST, within: str = "") -> Iterator[tuple[int, int, str]]:
    """First and last line, and name, of each function and class, outer ones before inner ones."""
    for node in ast.iter_child_nodes(tree):
        name = within
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{within}.{node.name}".lstrip(".")
            first = min([node.lineno, *[decorator.lineno for decorator in node.decorator_list]])
            yield first, node.end_lineno or node.lineno, name
        yield from _scopes(node, name)


def clauses_in(line: str) -> Iterator[Clause]:
    """The clauses that a line cites. ValueError if it does not say of which standard."""
    before, *parts = _DOCUMENT.split(line)
    if "§" in before:
        raise ValueError(f"{line.strip()!r}: of which standard?")
    for document, text in zip(parts[::2], parts[1::2], strict=True):
        if document.startswith("RFC"):
            cited = [clause for match in _CLAUSE.findall(text) for clause in _range(*match)]
            yield from ((int(document[4:]), clause) for clause in cited or [""])


def _range(first: str, last: str) -> Iterator[str]:
    """``4.2`` to ``4.4``; ``4.2`` alone if there is no last. Only what stands side by side can be a range."""
    if not last:
        yield first
        return
    above, _, begin = first.rpartition(".")
    same, _, end = last.rpartition(".")
    if above != same or int(begin) >= int(end):
        raise ValueError(f"§{first} to §{last} is no range")
    yield from (f"{above}.{number}".lstrip(".") for number in range(int(begin), int(end) + 1))


def _order(clause: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (1000, part) for part in clause.split(".")] if clause else []


def _list(names: set[str]) -> str:
    return "<br>".join(f"`{name}`" for name in sorted(names)) or "—"


_HEAD = """# Standards

Which clause of which standard is obeyed where, and which tests prove it. This page is made from the code, and from the
citations in code, tests and transcripts, by `make standards`; a test keeps it up to date. A clause without a test of
its own is proved, if at all, by tests that do not name it.
"""


if __name__ == "__main__":
    sys.stdout.write(standards())
