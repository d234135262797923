"""Writes docs/standards.md: each clause of a standard that the code cites, where, and the tests that cite it too.

``python -m tests.standards`` prints it. A citation is ``RFC 5321 §4.5.2``, in a comment, a docstring or a transcript;
``, §4.5.3`` behind it continues it. A test proves a clause if it cites it, or a clause below it.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
_CITATION = re.compile(r"RFC (\d{3,5})((?:(?:,| to| and)? §§? ?[0-9A-Z]+(?:\.[0-9]+)*\.?)*)")
_CLAUSE = re.compile(r"§ ?([0-9A-Z]+(?:\.[0-9]+)*)")
_TITLES = {
    821: "Simple Mail Transfer Protocol (1982)", 1870: "SIZE", 1939: "POP3", 2033: "LMTP", 2034: "ENHANCEDSTATUSCODES",
    2045: "MIME, part one", 2046: "MIME, part two", 2047: "MIME, part three", 2449: "POP3 extensions (CAPA)",
    2595: "TLS for POP3 (STLS)", 2852: "DELIVERBY", 2920: "PIPELINING", 3030: "CHUNKING and BINARYMIME",
    3206: "POP3 response codes SYS and AUTH", 3207: "STARTTLS", 3339: "Date and time", 3461: "DSN",
    3462: "multipart/report", 3463: "Enhanced status codes", 3464: "Format of DSNs", 3834: "Automatic responses",
    3848: "Transmission types", 4422: "SASL", 4616: "PLAIN", 4648: "Base64", 4865: "FUTURERELEASE", 4954: "AUTH",
    5034: "AUTH for POP3", 5321: "Simple Mail Transfer Protocol", 5322: "Internet Message Format", 5802: "SCRAM",
    5929: "Channel bindings for TLS", 6152: "8BITMIME", 6376: "DKIM", 6409: "Message submission",
    6522: "multipart/report", 6531: "SMTPUTF8", 6532: "Internationalised headers", 6533: "Internationalised DSNs",
    6710: "MT-PRIORITY",
    6856: "POP3 with UTF-8", 6858: "Simplified downgrading", 7505: "Null MX", 7628: "OAUTHBEARER",
    7662: "Introspection", 7677: "SCRAM-SHA-256", 8098: "MDN", 8314: "Cleartext considered obsolete", 8555: "ACME",
    8689: "REQUIRETLS",
    9266: "Channel binding tls-exporter", 9422: "LIMITS",
}  # fmt: skip


@dataclass(slots=True)
class Places:
    """Who cites a clause: places in the code, and tests."""

    code: set[str] = field(default_factory=set)
    tests: set[str] = field(default_factory=set)


Clause = tuple[int, str]


def standards() -> str:
    """The whole page in Markdown."""
    found = collect()
    rfcs = sorted({rfc for rfc, _ in found})
    parts = [_HEAD]
    for rfc in rfcs:
        clauses = {clause: found[rfc, clause] for number, clause in found if number == rfc and found[rfc, clause].code}
        if not clauses:
            continue
        parts.append(f"## RFC {rfc}{': ' + _TITLES[rfc] if rfc in _TITLES else ''}\n")
        parts.append("| clause | obeyed in | proved by |\n|---|---|---|")
        for clause in sorted(clauses, key=_order):
            tests = _tests_of(found, rfc, clause)
            parts.append(
                f"| {'§' + clause if clause else 'as a whole'} | {_list(clauses[clause].code)} | {_list(tests)} |"
            )
        parts.append("")
    return "\n".join(parts)


def collect() -> dict[Clause, Places]:
    """Every clause that is cited, and by whom."""
    found: dict[Clause, Places] = defaultdict(Places)
    for path in sorted((ROOT / "src" / "postroom").rglob("*.py")):
        for clause, place in _cited(path):
            found[clause].code.add(place)
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path.name != "standards.py" and "fakes" not in path.parts:
            for clause, place in _cited(path):
                found[clause].tests.add(place)
    for path in sorted((ROOT / "tests" / "dialogue").rglob("*.txt")):
        for clause in _clauses(path.read_text(encoding="utf-8")):
            found[clause].tests.add(str(path.relative_to(ROOT / "tests")))
    return found


def _tests_of(found: dict[Clause, Places], rfc: int, clause: str) -> set[str]:
    """Tests that cite the clause itself or one below it; for the whole of an RFC, any that cites it."""
    below = f"{clause}."
    return {
        test
        for (number, cited), places in found.items()
        if number == rfc and (not clause or cited == clause or cited.startswith(below))
        for test in places.tests
    }


def _cited(path: Path) -> Iterator[tuple[Clause, str]]:
    """Each citation with its module and the function or class in which it stands."""
    text = path.read_text(encoding="utf-8")
    scopes = sorted(_scopes(ast.parse(text)), key=lambda scope: scope[1] - scope[0])
    parent = ROOT / "src" / "postroom" if path.is_relative_to(ROOT / "src") else ROOT / "tests"
    module = str(path.relative_to(parent))
    for number, line in enumerate(text.splitlines(), 1):
        for clause in _clauses(line):
            name = next((name for first, last, name in scopes if first <= number <= last), "")
            yield clause, f"{module}:{name}" if name else module


def _scopes(tree: ast.Module) -> Iterator[tuple[int, int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield first, node.end_lineno or node.lineno, node.name


def _clauses(text: str) -> Iterator[Clause]:
    for match in _CITATION.finditer(text):
        clauses = _CLAUSE.findall(match[2])
        for clause in clauses or [""]:
            yield int(match[1]), clause


def _order(clause: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (1000, part) for part in clause.split(".")] if clause else []


def _list(names: set[str]) -> str:
    return "<br>".join(f"`{name}`" for name in sorted(names)) or "—"


_HEAD = """# Standards

Which clause of which standard is obeyed where, and which tests prove it. This page is made from the citations in code,
tests and transcripts by `make standards`; a test keeps it up to date. A clause without a test of its own is proved, if
at all, by tests that do not name it.
"""


if __name__ == "__main__":
    sys.stdout.write(standards())
