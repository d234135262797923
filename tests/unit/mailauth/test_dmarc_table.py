"""DMARC case by case, as the table beside this file has them (RFC 9989)."""

from pathlib import Path

import pytest

from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.headers import split_header
from postroom.mailauth.dmarc.evaluating import DmarcEvaluator
from postroom.mailauth.model import DkimCheck, DmarcCheck, Result, SpfCheck, SpfIdentity

TABLE = Path(__file__).with_name("dmarc_cases.txt")
RESULTS = {"": Result.PASS, "!": Result.FAIL, "?": Result.TEMPERROR, "~t": Result.PASS, "~l": Result.PASS}


def load() -> list[object]:
    cases: list[object] = []
    zone: list[str] = []
    failing: list[str] = []
    title = ""
    for number, line in enumerate(TABLE.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("== "):
            title, zone, failing = line[3:], [], []
        elif "|" in line and title:
            section, author, found, finds = [column.strip() for column in line.split("|")]
            cases.append(pytest.param(tuple(zone), tuple(failing), author, found, finds, id=f"{number}: {section}"))
        elif line.startswith("!"):
            failing.append(line[1:])
        elif title and line:
            zone.append(line)
    return cases


CASES = load()


def make_zone(lines: tuple[str, ...], failing: tuple[str, ...]) -> Zone:
    zone = Zone.parse("\n".join(lines))
    for line in failing:
        how, name = line.split()
        (zone.servfail if how == "servfail" else zone.silent).add(name)
    return zone


def read_found(found: str) -> tuple[SpfCheck | None, list[DkimCheck]]:
    spf: SpfCheck | None = None
    dkim = []
    for word in found.split() if found != "-" else ():
        method, _, domain = word.partition(":")
        name = method.rstrip("!?~tl")
        result = RESULTS[method.removeprefix(name)]
        if name == "dkim":
            dkim.append(
                DkimCheck(result, domain, "s1", "rsa-sha256", testing="~t" in method, covered="~l" not in method)
            )
        elif name == "spf":
            spf = SpfCheck(result, SpfIdentity.MAIL_FROM, domain)
        elif spf is None:
            spf = SpfCheck(result, SpfIdentity.HELO, domain)
    return spf, dkim


def in_words(check: DmarcCheck, finds: str) -> str:
    """What was found, as far as the table wants to know it, in the table's words."""
    words = [check.result.value]
    if check.result is Result.FAIL:
        words.append("" if check.policy is None else check.policy.value)
    words += [name for name, domain in (("spf", check.spf_aligned), ("dkim", check.dkim_aligned)) if domain]
    for word in finds.split():
        match word[0]:
            case "@":
                words.append("@" + (check.record.domain if check.record is not None else ""))
            case "^":
                words.append("^" + check.organization)
            case "=":
                words.append("=" + check.author)
    return " ".join(words)


def in_order(finds: str) -> str:
    return " ".join(
        [word for word in finds.split() if word[0] not in "@^="] + [word for word in finds.split() if word[0] in "@^="]
    )


@pytest.mark.parametrize(("zone", "failing", "author", "found", "finds"), CASES)
async def test_table(zone: tuple[str, ...], failing: tuple[str, ...], author: str, found: str, finds: str) -> None:
    spf, dkim = read_found(found)
    field = "" if author == "-" else f"From: {author}\r\n"
    block = ("Subject: x\r\n" + field.replace("⏎", "\r\n").replace("␀", "\0") + "\r\nbody\r\n").encode()
    evaluator = DmarcEvaluator(ZoneResolver(make_zone(zone, failing)))
    check = await evaluator.evaluate(split_header(block), spf, dkim, block)
    assert in_words(check, finds) == in_order(finds), check
    assert (check.policy is not None) == (check.result is Result.FAIL)


def test_the_table_is_long_enough() -> None:
    assert len(CASES) >= 150
