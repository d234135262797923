"""What the tree walk asks, and how little (RFC 9989 §4.10)."""

import pytest

from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.headers import split_header
from postroom.mail.trouble import ResolverUnavailable
from postroom.mailauth.dmarc.evaluating import DmarcEvaluator
from postroom.mailauth.dmarc.walk import MAX_QUERIES, TreeWalk, targets
from postroom.mailauth.model import DkimCheck, DmarcCheck, Result, SpfCheck, SpfIdentity


def house(*lines: str) -> tuple[Zone, DmarcEvaluator]:
    zone = Zone.parse("\n".join(lines))
    return zone, DmarcEvaluator(ZoneResolver(zone))


async def evaluate(evaluator: DmarcEvaluator, author: str, spf: str = "", *dkim: str) -> DmarcCheck:
    block = f"From: {author}\r\n\r\n".encode()
    return await evaluator.evaluate(
        split_header(block),
        SpfCheck(Result.PASS, SpfIdentity.MAIL_FROM, spf) if spf else None,
        [DkimCheck(Result.PASS, domain, "s", "rsa-sha256") for domain in dkim],
        block,
    )


def names(zone: Zone) -> list[str]:
    return [name for _, name in zone.asked]


def test_the_standards_own_example_of_eight_questions() -> None:
    assert [f"_dmarc.{name}" for name in targets("a.b.c.d.e.f.g.h.i.j.mail.example.com")] == [
        "_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "_dmarc.g.h.i.j.mail.example.com",
        "_dmarc.h.i.j.mail.example.com",
        "_dmarc.i.j.mail.example.com",
        "_dmarc.j.mail.example.com",
        "_dmarc.mail.example.com",
        "_dmarc.example.com",
        "_dmarc.com",
    ]


@pytest.mark.parametrize(
    ("domain", "count", "second"),
    [
        ("com", 1, ""),
        ("example.com", 2, "com"),
        ("1.2.3.4.5.example.com", 7, "2.3.4.5.example.com"),
        ("1.2.3.4.5.6.example.com", 8, "2.3.4.5.6.example.com"),
        ("1.2.3.4.5.6.7.example.com", 8, "3.4.5.6.7.example.com"),
        (".".join(["x"] * 120) + ".example.com", 8, "x.x.x.x.x.example.com"),
    ],
)
def test_targets(domain: str, count: int, second: str) -> None:
    found = targets(domain)
    assert len(found) == count <= MAX_QUERIES
    assert found[0] == domain
    assert found[1:2] == ([second] if second else [])


@pytest.mark.parametrize(
    ("lines", "domain", "organization"),
    [
        (("_dmarc.mail.example.com TXT v=DMARC1;", "_dmarc.example.com TXT v=DMARC1;"), "a.mail.example.com",
         "example.com"),
        (('_dmarc.mail.example.com TXT "v=DMARC1; psd=n"',), "a.mail.example.com", "mail.example.com"),
        (('_dmarc.com TXT "v=DMARC1; psd=y"',), "a.mail.example.com", "example.com"),
        (('_dmarc.example.com TXT "v=DMARC1; psd=y"',), "mail.example.com", "mail.example.com"),
        (('_dmarc.example.com TXT "v=DMARC1; psd=y"', "_dmarc.com TXT v=DMARC1;"), "example.com", "example.com"),
        ((), "a.mail.example.com", "a.mail.example.com"),
    ],
)  # fmt: skip
async def test_the_examples_of_4_10_2(lines: tuple[str, ...], domain: str, organization: str) -> None:
    _, evaluator = house(*lines)
    assert await evaluator.organization(domain) == organization


async def test_organization_tells_that_the_dns_has_no_answer() -> None:
    zone, evaluator = house()
    zone.servfail.add("_dmarc.com")
    with pytest.raises(ResolverUnavailable):
        await evaluator.organization("example.com")


async def test_the_walk_ends_where_a_record_says_so() -> None:
    zone, evaluator = house('_dmarc.b.example.com TXT "v=DMARC1; p=none; psd=n"')
    assert await evaluator.organization("a.b.example.com") == "b.example.com"
    assert names(zone) == ["_dmarc.a.b.example.com", "_dmarc.b.example.com"]


async def test_where_nothing_is_published_only_the_walk_is_asked() -> None:
    zone, evaluator = house()
    check = await evaluate(evaluator, "a@example.com", "mail.example.com", "x.example.com", "other.example")
    assert check.result is Result.NONE
    assert names(zone) == ["_dmarc.example.com", "_dmarc.com"]


async def test_one_question_where_all_is_the_authors_domain() -> None:
    zone, evaluator = house('_dmarc.example.com TXT "v=DMARC1; p=reject"')
    check = await evaluate(evaluator, "a@example.com", "example.com", "example.com")
    assert (check.result, check.organization) == (Result.PASS, "example.com")
    assert (check.spf_aligned, check.dkim_aligned) == ("example.com", "example.com")
    assert names(zone) == ["_dmarc.example.com"]


async def test_foreign_signers_cost_nothing_more() -> None:
    zone, evaluator = house('_dmarc.example.com TXT "v=DMARC1; p=reject"')
    check = await evaluate(evaluator, "a@example.com", "bounce.esp.example", "esp.example", "example.com")
    assert check.result is Result.PASS
    assert names(zone) == ["_dmarc.example.com", "_dmarc.com"]


async def test_existence_is_asked_only_where_it_matters() -> None:
    zone, evaluator = house('_dmarc.example.com TXT "v=DMARC1; p=reject; np=reject"')
    await evaluate(evaluator, "a@missing.example.com")
    assert ("A", "missing.example.com") not in zone.asked
    zone, evaluator = house('_dmarc.example.com TXT "v=DMARC1; p=none; np=reject"')
    await evaluate(evaluator, "a@missing.example.com", "missing.example.com")
    assert ("A", "missing.example.com") not in zone.asked
    await evaluate(evaluator, "a@missing.example.com")
    assert ("A", "missing.example.com") in zone.asked


async def test_questions_are_bounded_whatever_signs() -> None:
    zone, evaluator = house('_dmarc.example.com TXT "v=DMARC1; p=reject"', '_dmarc.z.example.com TXT "v=DMARC1; psd=n"')
    signers = [f"{n}.b.c.d.e.f.{n}.z.example.com" for n in range(100)]
    check = await evaluate(evaluator, "a@b.c.d.e.f.g.h.i.j.k.example.com", "", *signers)
    assert check.result is Result.FAIL
    assert len(zone.asked) <= 60


async def test_questions_are_bounded_whoever_writes() -> None:
    zone, evaluator = house()
    authors = ", ".join(f"a@{n}." + "x." * 50 + f"{n}.example" for n in range(50))
    check = await evaluate(evaluator, authors)
    assert check.result is Result.PERMERROR
    assert len(zone.asked) <= 4 * MAX_QUERIES


async def test_a_walk_asks_no_name_twice() -> None:
    zone = Zone()
    walk = TreeWalk(ZoneResolver(zone))
    await walk.organization("a.example.com")
    await walk.organization("b.example.com")
    await walk.organization("a.example.com")
    assert names(zone) == ["_dmarc.a.example.com", "_dmarc.example.com", "_dmarc.com", "_dmarc.b.example.com"]


async def test_a_wildcard_with_many_records_is_no_record() -> None:
    lines = [f'_dmarc.example.com TXT "record {n}"' for n in range(500)]
    _, evaluator = house(*lines, '_dmarc.example.com TXT "v=DMARC1; p=reject"')
    assert (await evaluate(evaluator, "a@example.com")).result is Result.NONE
