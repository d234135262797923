"""``postroom reports``: what it tells, in tables and as JSON, and what it imports."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import reported_mail as samples
from tests.fakes.memory_house import NOW, MemoryHouse
from tests.unit.cli.conftest import Run

from postroom.mailauth.reports.model import Report, UnreadableReport
from postroom.mailauth.reports.store import NewReport
from postroom.mailauth.reports.unpack import read_file, read_message

REPORTS: tuple[Report, ...] = (
    *[read_file(text.encode())[0] for text in samples.AGGREGATES.values()],
    *read_message(samples.tls_mail()),
    *read_message(samples.FAILURE),
    *read_message(samples.COMPLAINT),
    UnreadableReport("example.org", "it is no report", "evil.example"),
)
AUTHORS = ("big.example", None, "", None, None, None, None, None)


@pytest.fixture
async def kept(house: MemoryHouse) -> MemoryHouse:
    pairs = zip(REPORTS, AUTHORS, strict=True)
    news = [NewReport(report, NOW, "example.org", number, author) for number, (report, author) in enumerate(pairs, 1)]
    await house.store.reports.keep(news)
    return house


def words(text: str) -> str:
    return " ".join(text.split())


def test_sums(kept: MemoryHouse, run: Run) -> None:
    assert "example.org dmarc 4 167 6 96.5 % 2027-01-14 2027-01-15" in words(run("reports").out)
    totals = run("reports", "--json").json
    assert [(one["kind"], one["passed"], one["failed"]) for one in totals] == [
        ("complaint", 0, 1), ("dmarc", 167, 6), ("failure", 0, 1), ("tls", 326, 3),
    ]  # fmt: skip
    kept.time += 366 * 86400
    assert run("reports").out == "no reports of that time\n"


def test_who_sends_as_us(kept: MemoryHouse, run: Run) -> None:
    out = run("reports", "dmarc", "example.org").out
    assert "example.org: 4 reports of 4 reporters since 2026-12-16" in out
    assert (
        "96.5 % of 173 messages passed; failing sources: 198.51.100.7 (3), 198.51.100.200 (2), 203.0.113.99 (1)" in out
    )
    assert "203.0.113.99" in out
    assert "SPF passed for bounce.example.net, which is not aligned with news.example.org; no DKIM signature" in out
    assert "rejected" in out


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("source", ["192.0.2.10", "2001:db8::25", "198.51.100.7", "198.51.100.200", "203.0.113.99"]),
        ("reporter", ["big.example", "new.example", "Enterprise Outlook", "Terse & Sons Mail"]),
        ("day", ["2027-01-14"]),
    ],
)
def test_by(kept: MemoryHouse, run: Run, by: str, names: list[str]) -> None:
    view = run("reports", "dmarc", "--by", by, "--json").json
    assert [part["name"] for part in view["parts"]] == names
    assert sum(part["passed"] + part["failed"] for part in view["parts"]) == 173
    assert view["unlisted"] == 0


def test_by_result_names_the_sources(kept: MemoryHouse, run: Run) -> None:
    view = run("reports", "dmarc", "example.org", "--by", "result", "--limit", "1", "--json").json
    (part,) = view["parts"]
    assert part["name"] == "SPF passed for example.org; DKIM passed for example.org (selector s2026a)"
    assert part["why"] == {"192.0.2.10": 120}
    assert view["unlisted"] == 53
    assert "53 more messages are not shown" in run("reports", "dmarc", "--by", "result", "--limit", "1").out


def test_only_what_is_known_to_come_from_whom_it_says(kept: MemoryHouse, run: Run) -> None:
    view = run("reports", "dmarc", "--authenticated", "--json").json
    assert (view["reports"], view["passed"], view["failed"]) == (1, 120, 3)


def test_names_and_own_addresses(kept: MemoryHouse, run: Run, config: Path) -> None:
    kept.zone.add("mx.example.org", "A", "198.51.100.200")
    kept.zone.add("10.2.0.192.in-addr.arpa", "PTR", "out.example.org")
    config.write_text(config.read_text() + '[[source]]\nname = "a"\nipv6 = "2001:db8::25"\n')
    parts = {part["name"]: part for part in run("reports", "dmarc", "--resolve", "--json").json["parts"]}
    assert parts["192.0.2.10"]["host"] == "out.example.org"
    assert [name for name, part in parts.items() if part["is_ours"]] == ["2001:db8::25", "198.51.100.200"]
    out = run("reports", "dmarc", "--resolve").out
    assert "192.0.2.10 out.example.org" in out
    assert "2001:db8::25 (ours)" in out


def test_tls(kept: MemoryHouse, run: Run) -> None:
    out = words(run("reports", "tls", "example.org").out)
    assert "example.org sts 326 succeeded" in out
    assert "the certificate has expired mail.example.org 203.0.113.5 X509_V_ERR_CERT_HAS_EXPIRED" in out
    assert run("reports", "tls", "--json").json[1]["sessions"] == 2


def test_failures_and_complaints(kept: MemoryHouse, run: Run) -> None:
    assert "signature 192.0.2.77 example.org somespammer@example.net isp.example" in words(
        run("reports", "failures").out
    )
    assert "abuse user@isp.example alice@example.org" in words(run("reports", "complaints", "example.org").out)
    assert run("reports", "complaints", "other.example", "--json").json == []
    (view,) = run("reports", "failures", "--json").json
    assert view["report"]["dkim_selector"] == "s2026a"


def test_listed_shown_and_paged(kept: MemoryHouse, run: Run) -> None:
    out = run("reports", "list").out
    assert "yes, big.example" in out
    assert "it is no report" in out
    assert "there may be more: --before 7" in run("reports", "list", "--limit", "2").out
    assert [one["number"] for one in run("reports", "list", "--limit", "2", "--before", "7", "--json").json] == [6, 5]
    assert len(run("reports", "list", "--kind", "dmarc", "--reporter", "new.example", "--json").json) == 1
    shown = run("reports", "show", "1").out
    for text in ("big.example", "192.0.2.10", "published.policy", "local_policy", "bounce.example.net"):
        assert text in shown
    assert "certificate-expired" in run("reports", "show", "5").out
    view: Any = run("reports", "show", "1", "--json").json
    assert [record["count"] for record in view["report"]["records"]] == [120, 3]
    assert (view["authenticated"], view["author"]) == ("yes", "big.example")


@pytest.mark.parametrize(
    "line",
    [
        ("show", "99"), ("dmarc", "--by", "colour"), ("dmarc", "no domain"), ("list", "--kind", "x"),
        ("dmarc", "--since", "soon"),
    ],
)  # fmt: skip
def test_wrong_questions(kept: MemoryHouse, run: Run, line: tuple[str, ...]) -> None:
    ended = run("reports", *line)
    assert ended.code == 1
    assert "remedy" in ended.err


def test_import(house: MemoryHouse, run: Run, tmp_path: Path) -> None:
    files = {
        "a.xml": samples.PLAIN_FORM.encode(),
        "b.zip": samples.zipped(samples.NEW_FORM.encode()),
        "c.json": json.dumps(samples.TLS_FORM).encode(),
        "d.eml": samples.FAILURE,
        "e.eml": samples.tls_mail(),
    }
    paths = []
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        paths.append(str(tmp_path / name))
    ended = run("reports", "import", *paths)
    assert ended.code == 0
    assert "a.xml: dmarc report of big.example about example.org" in ended.out
    assert "e.eml: tls report of Big Inc. about example.org (was here already)" in ended.out
    assert len(house.store.reports.kept) == 4

    (tmp_path / "bad.xml").write_text("<html/>")
    ended = run("reports", "import", str(tmp_path / "bad.xml"), paths[0], "--json")
    assert ended.code == 1
    assert [one["outcome"] for one in ended.json] == ["unreadable", "known"]
    assert run("reports", "import", str(tmp_path / "missing")).code == 1


def test_nothing_there(house: MemoryHouse, run: Run) -> None:
    assert run("reports", "dmarc").out == "no DMARC reports of that time\n"
    assert run("reports", "dmarc", "--json").json["parts"] == []
