"""``postroom bans`` and ``postroom limits``: what they show and change, beside a server and without one."""

import asyncio
from pathlib import Path

import pytest
from tests.fakes.memory_house import NOW, MemoryHouse
from tests.unit.cli.conftest import Run

from postroom.config.section import read_rate
from postroom.policy.store import AccountLimits, Ban, GuardRecord, Standing

BAN = Ban("address", "198.51.100.66", NOW - 60, NOW + 840, "10 failed logins", 10, 1)
LOCK = Ban("account", "alice@example.org", NOW - 30, NOW + 870, "20 failed logins", 20)
OVER = Ban("address", "198.51.100.67", NOW - 900, NOW - 1, "10 failed logins", 10)


@pytest.fixture
def banned(house: MemoryHouse) -> MemoryHouse:
    asyncio.run(house.store.guard.save(GuardRecord(bans=(BAN, LOCK, OVER))))
    return house


def bans_of(house: MemoryHouse) -> dict[str, Ban]:
    return {ban.subject: ban for ban in asyncio.run(house.store.guard.bans(NOW)) if ban.holds(NOW)}


def limits_of(house: MemoryHouse) -> list[AccountLimits]:
    return list(asyncio.run(house.store.guard.account_limits()))


def test_bans_are_listed_with_their_reason(banned: MemoryHouse, run: Run) -> None:
    ended = run("bans", "list")
    assert ended.code == 0
    assert "198.51.100.66" in ended.out
    assert "10 failed logins" in ended.out
    assert "14 min" in ended.out
    assert "198.51.100.67" not in ended.out
    lock, ban = run("bans", "list", "--json").json
    assert (lock["scope"], lock["subject"], lock["failures"]) == ("account", "alice@example.org", 20)
    assert ban == {
        "scope": "address",
        "subject": "198.51.100.66",
        "reason": "10 failed logins",
        "since": "2027-01-15T07:59:00.000Z",
        "until": "2027-01-15T08:14:00.000Z",
        "seconds_left": 840,
        "failures": 10,
        "repeats": 1,
        "by": "",
    }


def test_bans_are_lifted_and_it_is_kept_by_whom(banned: MemoryHouse, run: Run) -> None:
    assert run("bans", "lift", "198.51.100.66", "ALICE@example.org").code == 0
    assert bans_of(banned) == {}
    (lifted,) = [ban for ban in asyncio.run(banned.store.guard.bans(NOW)) if ban.scope == "account"]
    assert lifted.lifted_by


def test_all_are_lifted_only_when_asked_for(banned: MemoryHouse, run: Run) -> None:
    assert run("bans", "lift").code == 2
    assert run("bans", "lift", "--all").out == "lifted alice@example.org, 198.51.100.66\n"
    assert run("bans", "lift", "--all").out == "nobody was banned\n"


def test_lifting_what_is_not_banned_lifts_nothing(banned: MemoryHouse, run: Run) -> None:
    ended = run("bans", "lift", "198.51.100.66", "192.0.2.1")
    assert ended.code == 1
    assert "192.0.2.1 is not banned" in ended.err
    assert "198.51.100.66" in bans_of(banned)


@pytest.mark.parametrize(
    ("written", "subject", "scope"),
    [
        ("192.0.2.9", "192.0.2.9", "address"),
        ("192.0.2.9/24", "192.0.2.0/24", "address"),
        ("2001:db8::9", "2001:db8::/64", "address"),
        ("Bob@example.org", "bob@example.org", "account"),
    ],
)
def test_bans_by_hand(house: MemoryHouse, run: Run, written: str, subject: str, scope: str) -> None:
    assert run("bans", "add", written, "--for", "2h", "--reason", "spam").code == 0
    ban = bans_of(house)[subject]
    assert (ban.scope, ban.until - ban.since, ban.reason) == (scope, 7200, "spam")
    assert ban.author


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("example.org",), "neither an address"),
        (("0.0.0.0/0",), "everybody"),
        (("192.0.2.1", "--for", "soon"), "not a duration"),
        (("192.0.2.1", "--for", "0"), "needs a length"),
    ],
)
def test_bans_that_make_no_sense_are_refused(house: MemoryHouse, run: Run, words: tuple[str, ...], says: str) -> None:
    ended = run("bans", "add", *words)
    assert ended.code == 1
    assert says in ended.err
    assert bans_of(house) == {}


def test_who_is_exempt_is_never_banned(house: MemoryHouse, run: Run, config: Path) -> None:
    config.write_text(config.read_text() + '[lockout]\nexempt_networks = ["192.0.2.0/24"]\n')
    ended = run("bans", "add", "192.0.2.7")
    assert ended.code == 1
    assert "lockout.exempt_networks" in ended.err
    assert run("bans", "add", "198.51.100.0/24").code == 0


def test_limits_are_set_shown_and_cleared(house: MemoryHouse, run: Run) -> None:
    assert run("limits", "set", "Alice@example.org", "--messages", "200/1h,2000/1d").code == 0
    assert limits_of(house) == [AccountLimits("alice@example.org", (read_rate("200/1h"), read_rate("2000/1d")))]
    assert run("limits", "set", "alice@example.org", "--recipients", "none").code == 0
    assert run("limits", "list", "--json").json == [
        {"account": "alice@example.org", "messages": "200/1h,2000/1d", "recipients": "none"}
    ]
    rows = (Standing("account_messages", "alice@example.org", "200/1h", NOW + 900),)
    asyncio.run(house.store.guard.save(GuardRecord(rows)))
    ended = run("limits", "show", "alice@example.org")
    assert "200 messages per hour" in ended.out
    assert "50 of 200" in ended.out
    assert "no limit" in ended.out
    messages, recipients = run("limits", "show", "alice@example.org", "--json").json["limits"]
    assert messages["own"] is True
    assert [(one["rate"], one["used"]) for one in messages["rates"]] == [("200/1h", 50), ("2000/1d", 0)]
    assert messages["rates"][0]["free_at"] == "2027-01-15T08:15:00.000Z"
    assert recipients == {"scope": "account_recipients", "own": True, "rates": []}
    assert run("limits", "clear", "alice@example.org").code == 0
    assert limits_of(house) == []
    messages, _ = run("limits", "show", "alice@example.org", "--json").json["limits"]
    assert messages["own"] is False
    assert [one["rate"] for one in messages["rates"]] == ["60/1m", "1000/1h", "5000/1d"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("set", "alice@example.org"), "nothing to set"),
        (("set", "alice@example.org", "--messages", "many"), "no limit"),
        (("set", "alice@example.org", "--messages", ",".join(["1/1h"] * 11)), "more than 10"),
        (("set", "nobody@example.org", "--messages", "1/1h"), "there is no account"),
        (("clear", "alice@example.org"), "no limits of its own"),
        (("show", "info@example.org"), "is an alias"),
    ],
)
def test_limits_that_make_no_sense_are_refused(house: MemoryHouse, run: Run, words: tuple[str, ...], says: str) -> None:
    ended = run("limits", *words)
    assert ended.code == 1
    assert says in ended.err
    assert limits_of(house) == []


def test_lists_without_rows(run: Run) -> None:
    assert run("limits", "list").code == 0
    assert run("bans", "list", "--json").json == []
