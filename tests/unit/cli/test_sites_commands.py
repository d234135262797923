"""``postroom sites``: what is known of sites, beside a server and without one."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.memory_house import NOW, MemoryHouse
from tests.unit.cli.conftest import Run

from postroom.queue.sites import SiteRecord, SiteStanding, WarmupCount

LEARNED = SiteStanding(
    "mx.example.org", "out-a", "default", ("20 connections",), 3, 48.4, 61.5, 4, "421 4.7.28 too fast", NOW - 5,
    minute=48, hour=1000, day=20_000, delivered=30_000, deferred=12, failed=3,
    causes=(("mailbox_full", 3), ("rate_limit", 12)), last_reply="250 2.0.0 queued", since=NOW - 86400, seen_at=NOW - 1,
)  # fmt: skip
BLOCKED = SiteStanding(
    "gmail-smtp-in.l.google.com", "", "google", blocked_until=NOW + 600, blocked_for="421 4.7.0 blocked", minute=9,
    hour=9, since=NOW - 10, seen_at=NOW - 120,
)  # fmt: skip
SETTINGS = """
[[source]]
name = "out-a"
ipv4 = "192.0.2.1"
warmup = "slow"
since = 2027-01-14

[[warmup]]
name = "slow"
daily = [100, 500, 2000]
"""


@pytest.fixture
def known(house: MemoryHouse) -> MemoryHouse:
    count = WarmupCount("out-a", "mx.example.org", int(NOW // 86400), 123)
    asyncio.run(house.store.sites.save(SiteRecord((LEARNED, BLOCKED), (count,))))
    return house


def test_sites_are_listed_with_what_limits_them_and_why(known: MemoryHouse, run: Run) -> None:
    ended = run("sites")
    assert ended.code == 0
    blocked, learned = (line for line in ended.out.splitlines() if ".org" in line or ".com" in line)
    assert "48 / 1000 / 20000" in learned
    assert "limited: 421 4.7.28 too fast" in learned
    assert "blocked until 2027-01-15T08:10:00.000Z: 421 4.7.0 blocked" in blocked


def test_a_pattern_chooses_by_name_or_rule(known: MemoryHouse, run: Run) -> None:
    assert [view["site"] for view in run("sites", "EXAMPLE", "--json").json] == ["mx.example.org"]
    (google,) = run("sites", "list", "google", "--json").json
    # Nothing was seen for two minutes: what was sent in the last one is nothing.
    assert (google["minute"], google["hour"], google["rate"], google["why"]) == (0, 9, None, "")
    assert google["blocked_until"] == "2027-01-15T08:10:00.000Z"
    assert run("sites", "nowhere", "--json").json == []


def test_a_block_that_is_over_is_not_shown(known: MemoryHouse, run: Run) -> None:
    known.time = NOW + 601
    (google,) = run("sites", "google", "--json").json
    assert google["blocked_until"] is None
    assert google["blocked_for"] == ""


def test_one_site_is_shown_with_its_warmup(known: MemoryHouse, run: Run, config: Path) -> None:
    config.write_text(config.read_text() + SETTINGS)
    asyncio.run(known.store.sites.save(SiteRecord((replace(LEARNED, source="out-b"),))))
    first, second = run("sites", "show", "mx.example.org", "--json").json
    assert (first["source"], first["warmup_day"], first["warmup_limit"], first["warmup_used"]) == ("out-a", 2, 500, 123)
    assert (second["source"], second["warmup_day"]) == ("out-b", None)
    assert first["causes"] == {"mailbox_full": 3, "rate_limit": 12}
    shown = run("sites", "show", "mx.example.org").out
    assert "day 2: 123 of 500 messages" in shown
    assert "421 4.7.28 too fast" in shown
    assert "48, as learned" in shown


def test_an_unknown_site_is_refused_with_what_to_do(known: MemoryHouse, run: Run) -> None:
    ended = run("sites", "show", "nowhere.example")
    assert ended.code == 1
    assert "nothing was sent" in ended.err
    ambiguous = run("sites", "show", "m")
    assert ambiguous.code == 1
    assert "mx.example.org" in ambiguous.err
    assert run("sites", "show", "gmail").code == 0  # enough of the name
