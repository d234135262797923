"""``postroom suppression``: what it shows, changes, and carries from one server to another."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.memory_house import NOW, MemoryHouse
from tests.unit.cli.conftest import Run

from postroom.config.road import SuppressionSettings
from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.mail.message import QueueId, show_queue_id
from postroom.reputation.model import FOREVER, Origin
from postroom.reputation.noting import of_bounce, of_complaint

DAY = 86400.0
SETTINGS = SuppressionSettings()
QUEUE_ID = QueueId(1 << 50)
RITA = of_bounce(
    SETTINGS, "example.org", Address.parse("Rita@far.example"), Cause.MAILBOX_UNKNOWN, reason="550 5.1.1 nobody",
    now=NOW - DAY, queue_id=QUEUE_ID,
)  # fmt: skip
SAM = of_complaint(SETTINGS, "example.org", Address.parse("sam@isp.example"), "abuse", now=NOW, queue_id=0)
RITA_TOO = replace(RITA, sender_domain="public.example")
SHOWN = {
    "sender_domain": "example.org",
    "recipient": "Rita@far.example",
    "origin": "bounce",
    "cause": "mailbox_unknown",
    "since": "2027-01-14T08:00:00.000Z",
    "latest": "2027-01-14T08:00:00.000Z",
    "until": "2027-04-14T08:00:00.000Z",
    "count": 1,
    "stands": True,
    "reason": "550 5.1.1 nobody",
    "queue_id": show_queue_id(QUEUE_ID),
}


@pytest.fixture
def listed(house: MemoryHouse) -> MemoryHouse:
    house.store.suppression.listed = {one.key: one for one in (RITA, SAM, RITA_TOO)}
    return house


def names(house: MemoryHouse) -> list[str]:
    return sorted(" ".join(key) for key in house.store.suppression.listed)


def test_listed_with_everything_known(listed: MemoryHouse, run: Run) -> None:
    ended = run("suppression", "list")
    assert ended.code == 0
    for text in ("Rita@far.example", "mailbox_unknown", "550 5.1.1 nobody", "abuse", "public.example", "2027-04-14"):
        assert text in ended.out
    page = run("suppression", "list", "--json").json
    assert page["next"] == ""
    assert page["entries"][0] == SHOWN


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--domain", "EXAMPLE.org"], ["Rita@far.example", "sam@isp.example"]),
        (["--recipient", "rita@FAR.example"], ["Rita@far.example"] * 2),
        (["--recipient-domain", "isp.example"], ["sam@isp.example"]),
        (["--cause", "abuse"], ["sam@isp.example"]),
        (["--cause", "complaint"], ["sam@isp.example"]),
        (["--cause", "mailbox_unknown", "--domain", "public.example"], ["Rita@far.example"]),
        (["--cause", "manual"], []),
    ],
)
def test_listed_by_what_is_asked_for(listed: MemoryHouse, run: Run, words: list[str], expected: list[str]) -> None:
    entries = run("suppression", "list", "--json", *words).json["entries"]
    assert [entry["recipient"] for entry in entries] == expected


def test_page_after_page(listed: MemoryHouse, run: Run) -> None:
    first = run("suppression", "list", "--json", "--limit", "2").json
    assert len(first["entries"]) == 2
    second = run("suppression", "list", "--json", "--limit", "2", "--after", first["next"]).json
    assert [entry["sender_domain"] for entry in second["entries"]] == ["public.example"]
    assert second["next"] == ""
    assert "--after" in run("suppression", "list", "--limit", "2").out


def test_what_does_not_stand_is_shown_so(house: MemoryHouse, run: Run, config: Path) -> None:
    house.store.suppression.listed = {RITA.key: RITA}
    config.write_text(config.read_text() + "[suppression]\nbounces = 2\n")
    assert run("suppression", "list", "--json").json["entries"][0]["stands"] is False
    assert "does not stand" in run("suppression", "list").out


def test_added_by_hand_for_good_or_for_a_while(house: MemoryHouse, run: Run) -> None:
    ended = run("suppression", "add", "Rita@far.example", "--domain", "example.org", "--reason", "asked us to")
    assert ended.code == 0
    assert "Rita@far.example: not written to again by example.org" in ended.out
    (one,) = house.store.suppression.listed.values()
    assert (one.origin, one.until, one.reason, one.since) == (Origin.MANUAL, FOREVER, "asked us to", NOW)
    assert run("suppression", "add", "rita@far.example", "--domain", "example.org", "--for", "30d").code == 0
    (one,) = house.store.suppression.listed.values()
    assert one.until == NOW + 30 * DAY


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["add", "rita@far.example", "--domain", "other.example"], "not a domain of this server"),
        (["add", "rita", "--domain", "example.org"], "no address"),
        (["add", "postmaster", "--domain", "example.org"], "no domain"),
        (["add", "rita@far.example", "--domain", "ex_ample"], "no domain"),
        (["add", "rita@far.example", "--domain", "example.org", "--for", "soon"], "not a duration"),
        (["add", "rita@far.example", "--domain", "example.org", "--for", "0s"], "needs a length"),
        (["remove", "rita@far.example"], "not on the suppression list"),
        (["list", "--recipient", "rita"], "no address"),
    ],
)
def test_what_makes_no_sense_changes_nothing(house: MemoryHouse, run: Run, words: list[str], says: str) -> None:
    ended = run("suppression", *words)
    assert ended.code == 1
    assert says in ended.err
    assert house.store.suppression.listed == {}


def test_removed_from_one_list_or_from_all(listed: MemoryHouse, run: Run) -> None:
    assert run("suppression", "remove", "rita@far.example", "--domain", "public.example").code == 0
    assert names(listed) == ["example.org rita@far.example", "example.org sam@isp.example"]
    listed.store.suppression.listed[RITA_TOO.key] = RITA_TOO
    ended = run("suppression", "remove", "RITA@far.example")
    assert ended.out == "removed example.org: Rita@far.example\nremoved public.example: Rita@far.example\n"
    assert names(listed) == ["example.org sam@isp.example"]


def test_of_several_all_are_removed_or_none(listed: MemoryHouse, run: Run) -> None:
    assert run("suppression", "remove", "rita@far.example", "kim@far.example").code == 1
    assert len(names(listed)) == 3


def test_what_is_exported_can_be_imported(listed: MemoryHouse, run: Run, tmp_path: Path) -> None:
    exported = run("suppression", "export").out
    before = dict(listed.store.suppression.listed)
    listed.store.suppression.listed.clear()
    file = tmp_path / "list.jsonl"
    file.write_text(exported)
    assert run("suppression", "import", str(file)).out == "3 entries\n"
    assert listed.store.suppression.listed == before
    listed.store.suppression.listed.clear()
    assert run("suppression", "import", "-", stdin=exported).code == 0
    assert listed.store.suppression.listed == before


def test_exported_by_what_is_asked_for(listed: MemoryHouse, run: Run) -> None:
    (line,) = run("suppression", "export", "--domain", "public.example").out.splitlines()
    assert json.loads(line)["sender_domain"] == "public.example"


def test_plain_addresses_are_imported_for_a_domain(house: MemoryHouse, run: Run) -> None:
    text = "# from the old system\nrita@far.example\n\nsam@isp.example\n"
    assert run("suppression", "import", "-", "--domain", "example.org", stdin=text).out == "2 entries\n"
    assert names(house) == ["example.org rita@far.example", "example.org sam@isp.example"]


@pytest.mark.parametrize(
    "line",
    [
        "rita",
        "{}",
        '{"recipient": "rita@far.example", "sender_domain": "example.org", "since": "yesterday"}',
        '{"recipient": "rita@far.example", "sender_domain": "example.org", "origin": "rumour"}',
        '{"recipient": "rita@far.example", "sender_domain": "example.org", "count": []}',
        '{"recipient": "rita@far.example", "sender_domain": "example.org", "queue_id": "x"}',
        '{"recipient": "rita@far.example"',
        "x" * 5000,
    ],
)
def test_a_line_that_is_wrong_is_named_and_nothing_is_imported(house: MemoryHouse, run: Run, line: str) -> None:
    ended = run("suppression", "import", "-", "--domain", "example.org", stdin=f"kim@far.example\n{line}\n")
    assert ended.code == 1
    assert "line 2:" in ended.err
    assert house.store.suppression.listed == {}
