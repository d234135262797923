"""Guessing is slowed down and stopped, wherever it comes from; owners get in; bans end, and grow for repeaters."""

from ipaddress import IPv4Network

import pytest
from tests.fakes.hand_clock import HandClock

from postroom.config.guard import LockoutSettings
from postroom.policy.acquaintance import MOST_OF_ONE, Acquaintances
from postroom.policy.bans import BanTable, subject_of
from postroom.policy.failures import FailureCounts
from postroom.policy.lockout import Lockout, account_key
from postroom.policy.store import ACQUAINTED, Acquaintance, Ban, GuardRecord
from postroom.report.events import LockedOut, LockoutLifted, Report
from postroom.report.reporter import Reporter

NOW = 1_800_000_000.0
ALICE = "alice@example.org"
HOME = "192.0.2.7"
EVIL = "198.51.100.66"


class Guarded:
    """A lockout, its clock, and what it told."""

    def __init__(self, **settings: object) -> None:
        self.clock = HandClock(NOW)
        self.reports: list[Report] = []
        self.lockout = Lockout(LockoutSettings.model_validate(settings), self.clock, Reporter([self.reports.append]))

    def fail(self, times: int, address: str = EVIL, name: str = ALICE) -> list[float]:
        """Failed logins; the delays."""
        return [self.lockout.failed(address, name).delay for _ in range(times)]

    def is_locked(self, address: str, name: str = ALICE) -> bool:
        return bool(self.lockout.standing(address, name).locked)


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


def test_delays_double_up_to_the_longest() -> None:
    guarded = Guarded(delay=0.5, longest_delay=10, address_failures=0, account_failures=0)
    assert guarded.fail(8) == [0, 0.5, 1, 2, 4, 8, 10, 10]
    assert guarded.fail(60)[-1] == 10
    assert guarded.reports == []


def test_an_address_is_banned_and_the_ban_ends_by_itself(guarded: Guarded) -> None:
    guarded.fail(9)
    assert guarded.lockout.banned(EVIL) is None
    guarded.fail(1, name="bob@example.org")
    assert guarded.lockout.banned(EVIL) == NOW + 900
    assert guarded.lockout.banned(HOME) is None
    assert guarded.is_locked(EVIL, "bob@example.org")
    assert guarded.reports == [LockedOut("address", EVIL, EVIL, "10 failed logins", NOW + 900)]
    assert guarded.lockout.holding() == 1
    guarded.clock.advance(900)
    assert guarded.lockout.banned(EVIL) is None
    assert guarded.lockout.holding() == 0


def test_one_customer_has_a_slash_64(guarded: Guarded) -> None:
    for number in range(10):
        guarded.fail(1, address=f"2001:db8:1:2::{number}", name=f"user{number}@example.org")
    assert guarded.lockout.banned("2001:db8:1:2:ffff::1") is not None
    assert guarded.lockout.banned("2001:db8:1:3::1") is None


def test_bans_double_for_repeaters_within_a_day(guarded: Guarded) -> None:
    lengths = []
    for number in range(9):
        guarded.fail(10, name=f"user{number}@example.org")
        until = guarded.lockout.banned(EVIL)
        assert until is not None
        lengths.append(until - guarded.clock.now())
        guarded.clock.advance(until - guarded.clock.now() + 1)
    assert lengths == [900, 1800, 3600, 7200, 14400, 28800, 57600, 86400, 86400]
    guarded.clock.advance(86401)
    guarded.fail(10)
    assert guarded.lockout.banned(EVIL) == guarded.clock.now() + 900


def test_after_a_ban_as_many_failures_are_needed_again(guarded: Guarded) -> None:
    guarded.fail(10)
    guarded.clock.advance(901)
    guarded.fail(9)
    assert guarded.lockout.banned(EVIL) is None


def test_guessing_from_200_addresses_is_stopped_and_the_owner_gets_in(guarded: Guarded) -> None:
    guarded.lockout.succeeded(HOME, ALICE)
    tried = 0
    for number in range(200):
        address = f"198.51.100.{number}"
        if not guarded.is_locked(address):
            guarded.fail(1, address)
            tried += 1
    assert tried == 20
    assert guarded.reports == [LockedOut("account", ALICE, "198.51.100.19", "20 failed logins", NOW + 900)]
    assert not guarded.is_locked(HOME, "Alice@Example.ORG")
    assert guarded.is_locked("203.0.113.5")
    assert not guarded.is_locked("203.0.113.5", "bob@example.org")
    # The address of none of the 200 is banned: each failed once.
    assert guarded.lockout.banned("198.51.100.3") is None


def test_the_owner_is_neither_slowed_down_nor_locked_out_by_others(guarded: Guarded) -> None:
    guarded.lockout.succeeded(HOME, ALICE)
    for number in range(15):
        guarded.fail(1, f"198.51.100.{number}")
    assert guarded.lockout.failed(HOME, ALICE).delay == 0
    assert guarded.lockout.failed("203.0.113.5", ALICE).delay == 10


def test_a_success_forgives_nothing(guarded: Guarded) -> None:
    """Whoever has one account could else guess the passwords of others for ever."""
    guarded.fail(9)
    guarded.lockout.succeeded(EVIL, "mallory@example.org")
    guarded.fail(1)
    assert guarded.lockout.banned(EVIL) is not None


def test_failures_fade(guarded: Guarded) -> None:
    guarded.fail(9)
    guarded.clock.advance(1801)
    guarded.fail(9, name="bob@example.org")
    assert guarded.lockout.banned(EVIL) is None


@pytest.mark.parametrize("offset", [0, 100, 449, 880, 899.5])
def test_ten_failures_within_the_window_are_ten_wherever_it_begins(offset: float) -> None:
    guarded = Guarded(account_failures=0)
    guarded.clock.advance(offset)
    guarded.fail(9)
    guarded.clock.advance(1)
    guarded.fail(1)
    assert guarded.lockout.banned(EVIL) is not None


def test_exempt_networks_are_neither_banned_nor_delayed() -> None:
    guarded = Guarded(exempt_networks=(IPv4Network("198.51.100.0/24"),))
    assert set(guarded.fail(30)) == {0.0}
    guarded.lockout.abuse(EVIL, 1000, "garbage")
    assert guarded.lockout.banned(EVIL) is None
    assert not guarded.is_locked(EVIL)
    assert guarded.is_locked(HOME)  # the account's failures count all the same


def test_zero_means_never() -> None:
    guarded = Guarded(address_failures=0, account_failures=0, abuse=0)
    guarded.fail(200)
    guarded.lockout.abuse(EVIL, 1000, "garbage")
    assert guarded.reports == []
    assert not guarded.is_locked(EVIL)


def test_abuse_is_counted_in_points(guarded: Guarded) -> None:
    for _ in range(4):
        guarded.lockout.abuse(EVIL, 10, "a pregreet")
    for _ in range(9):
        guarded.lockout.abuse(EVIL, 1, "an unknown recipient")
    assert guarded.lockout.banned(EVIL) is None
    guarded.lockout.abuse(EVIL, 1, "an unknown recipient")
    assert guarded.lockout.banned(EVIL) == NOW + 900
    (told,) = guarded.reports
    assert isinstance(told, LockedOut)
    assert told.reason == "50 points of abuse, at last an unknown recipient"


def test_a_login_without_a_name_counts_for_its_address_only(guarded: Guarded) -> None:
    failure = guarded.lockout.failed(EVIL, "")
    assert (failure.from_address, failure.for_account) == (1, 0)
    guarded.lockout.succeeded(EVIL, "")
    assert not guarded.is_locked(EVIL, "")


def test_a_restart_forgets_nothing(guarded: Guarded) -> None:
    guarded.lockout.succeeded(HOME, ALICE)
    guarded.fail(10)
    guarded.fail(9, "198.51.100.1")
    for number in range(5):
        guarded.fail(1, f"203.0.113.{number}")
    record = guarded.lockout.changed()
    assert len(guarded.lockout.changed()) == 0
    guarded.lockout.save_again(record)
    assert len(guarded.lockout.changed()) == len(record)

    again = Guarded()
    again.lockout.restore(record)
    assert again.reports == []
    assert again.lockout.banned(EVIL) == NOW + 900
    assert again.is_locked("203.0.113.77")
    assert not again.is_locked(HOME)
    again.fail(1, "198.51.100.1", "bob@example.org")
    assert again.lockout.banned("198.51.100.1") is not None


def test_an_operator_bans_and_lifts(guarded: Guarded) -> None:
    guarded.fail(10)
    (ban,) = guarded.lockout.changed().bans
    wide = Ban("address", "203.0.113.0/24", NOW, NOW + 60, "spam", author="root")
    wide6 = Ban("address", "2001:db8::/32", NOW, NOW + 60, "spam", author="root")
    guarded.lockout.take_over([ban, wide, wide6])
    assert guarded.lockout.banned("203.0.113.200") == NOW + 60
    assert guarded.lockout.banned("2001:db8:77::1") == NOW + 60
    assert guarded.lockout.banned("2001:db9::1") is None
    assert guarded.reports[1:] == [
        LockedOut("address", "203.0.113.0/24", "203.0.113.0/24", "spam", NOW + 60),
        LockedOut("address", "2001:db8::/32", "2001:db8::/32", "spam", NOW + 60),
    ]
    guarded.clock.advance(1)
    lifted = Ban("address", EVIL, NOW, NOW + 1, ban.reason, 10, 0, "", "root")
    guarded.lockout.take_over([lifted, wide, wide6])
    assert guarded.lockout.banned(EVIL) is None
    assert guarded.reports[3:] == [LockoutLifted("address", EVIL, "root")]
    # It was forgiven: the next ban is a first one.
    guarded.fail(10, name="bob@example.org")
    assert guarded.lockout.banned(EVIL) == NOW + 1 + 900


def test_a_ban_that_ends_by_itself_is_not_told_as_lifted(guarded: Guarded) -> None:
    guarded.fail(10)
    record = guarded.lockout.changed()
    guarded.clock.advance(901)
    guarded.lockout.take_over(record.bans)
    assert len(guarded.reports) == 1


def test_a_ban_that_was_not_written_yet_survives_what_the_store_says(guarded: Guarded) -> None:
    guarded.fail(10)
    guarded.lockout.take_over([])
    assert guarded.lockout.banned(EVIL) is not None
    assert guarded.lockout.changed().bans != ()


def test_millions_of_addresses_do_not_push_out_the_dangerous_ones() -> None:
    counts = FailureCounts("login_address", 900, limit=100)
    for _ in range(9):
        counts.add(EVIL, NOW)
    for number in range(5000):
        counts.add(f"address {number}", NOW)
    assert len(counts) <= 200
    assert counts.add(EVIL, NOW) == 10
    assert counts.count("address 1", NOW) == 0
    assert len(counts.changed()) <= 200


def test_a_count_that_was_dropped_is_dropped_in_the_store_too() -> None:
    counts = FailureCounts("abuse", 900)
    counts.add(EVIL, NOW, 10)
    counts.changed()
    counts.drop(EVIL)
    counts.drop("nobody")
    (row,) = counts.changed()
    assert (row.subject, row.now, row.ends <= NOW) == (EVIL, 0, True)
    counts.restore((row,), NOW)
    assert counts.count(EVIL, NOW) == 0


def test_the_ban_table_is_bounded_and_loses_what_ends_soonest() -> None:
    table = BanTable(limit=20)
    for number in range(100):
        table.put(Ban("address", f"192.0.2.{number}", NOW, NOW + 10 + number, "x"), NOW)
    assert len(table) <= 20
    assert table.get("address", "192.0.2.99", NOW) is not None
    assert table.get("address", "192.0.2.0", NOW) is None


def test_an_account_knows_a_bounded_number_of_networks_for_a_bounded_time() -> None:
    known = Acquaintances()
    for number in range(MOST_OF_ONE + 1):
        known.meet(ALICE, f"192.0.2.{number}", NOW + number)
    assert not known.knows(ALICE, "192.0.2.0", NOW + 100)
    assert known.knows(ALICE, "192.0.2.32", NOW + 100)
    assert not known.knows(ALICE, "192.0.2.32", NOW + 100 + ACQUAINTED)
    assert not known.knows("bob@example.org", "192.0.2.32", NOW)
    assert len(known.changed()) == MOST_OF_ONE
    # Seen again within a day: nothing to write.
    known.meet(ALICE, "192.0.2.32", NOW + 3600)
    assert known.changed() == ()
    known.meet(ALICE, "192.0.2.32", NOW + 90000)
    assert known.changed() == (Acquaintance(ALICE, "192.0.2.32", NOW + 90000),)


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1/32", "192.0.2.1"),
        ("192.0.2.77/24", "192.0.2.0/24"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::/48", "2001:db8::/48"),
    ],
)
def test_how_subjects_are_written(text: str, subject: str) -> None:
    assert subject_of(text) == subject


def test_what_is_no_address_is_no_subject() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        subject_of("example.org")


def test_a_tried_name_is_bounded() -> None:
    assert account_key("ALICE@Example.Org") == ALICE
    assert len(account_key("x" * 100_000)) == 254
    assert account_key("Alice") == "alice"
    assert account_key("a\udc80") == "a?"


def test_clients_that_are_no_internet_address_are_let_be(guarded: Guarded) -> None:
    guarded.lockout.take_over([Ban("address", "203.0.113.0/24", NOW, NOW + 60, "spam")])
    assert guarded.lockout.banned("unix") is None
    assert len(GuardRecord()) == 0
