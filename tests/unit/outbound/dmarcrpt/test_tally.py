"""Messages are counted by what was found out about them, and what is counted is bounded (RFC 9990 §3.1)."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.fakes.hand_clock import HandClock
from tests.unit.outbound.dmarcrpt.seen import DKIM, FAILED, LETTER, PASSED, REPORT, SPF, note, of_domain, with_record

from postroom.mailauth.model import Authentication, DkimCheck, DmarcCheck, Policy, Result
from postroom.mailauth.overrides import Override, OverrideKind
from postroom.outbound.daily.counts import DAY, TALLY_KEPT, CountLimits
from postroom.outbound.dmarcrpt.store import DmarcCount
from postroom.outbound.dmarcrpt.tally import LEFT_OUT, MAX_SIGNATURES, DmarcTally


@pytest.fixture
def clock() -> HandClock:
    return HandClock(10 * DAY + 100.0)


@pytest.fixture
def tally(clock: HandClock) -> DmarcTally:
    return DmarcTally(clock, enabled=True)


def rows(tally: DmarcTally, domain: str = "example.org") -> list[tuple[dict[str, Any], int]]:
    return [(json.loads(one.row), one.count) for one in tally.of_domain(10, domain)]


def row(tally: DmarcTally) -> dict[str, Any]:
    ((found, _),) = rows(tally)
    return found


def test_a_message_that_passed(tally: DmarcTally) -> None:
    note(tally)
    note(tally)
    ((found, count),) = rows(tally)
    assert count == 2
    assert found == {
        "ip": "192.0.2.1",
        "disposition": "pass",
        "dkim": "pass",
        "spf": "pass",
        "reasons": [],
        "from": "example.org",
        "envelope_from": "bounce.example.org",
        "envelope_to": "us.example",
        "dkim_results": [["example.org", "s1", "pass", ""]],
        "spf_result": ["bounce.example.org", "pass"],
        "report": False,
    }
    (kept,) = tally.of_domain(10, "example.org")
    assert json.loads(kept.policy) == {"p": "reject", "adkim": "r", "aspf": "r", "fo": "0", "testing": "n"}


@pytest.mark.parametrize(
    "authentication",
    [
        Authentication(),
        Authentication(dmarc=DmarcCheck(Result.NONE, "example.org")),
        Authentication(dmarc=DmarcCheck(Result.TEMPERROR, "example.org")),
        with_record(PASSED, aggregate=()),
    ],
)
def test_who_does_not_ask_is_not_counted(tally: DmarcTally, authentication: Authentication) -> None:
    # RFC 9989 §4.7
    note(tally, authentication)
    assert tally.counts.days() == ()


def test_switched_off(clock: HandClock) -> None:
    tally = DmarcTally(clock, enabled=False)
    note(tally)
    assert tally.changed() == ()


@pytest.mark.parametrize(
    ("changes", "author", "disposition"),
    [
        ({}, "example.org", "pass"),
        ({"policy": Policy.NONE}, "example.org", "none"),
        ({"policy": Policy.QUARANTINE}, "example.org", "pass"),
        ({"testing": True}, "example.org", "pass"),
        ({"policy": Policy.QUARANTINE, "testing": True}, "example.org", "none"),
        ({"subdomain_policy": Policy.NONE}, "sub.example.org", "none"),
        ({"policy": Policy.NONE, "subdomain_policy": Policy.REJECT}, "sub.example.org", "pass"),
    ],
)
def test_what_passes_says_whether_failing_would_have_mattered(
    tally: DmarcTally, changes: dict[str, Any], author: str, disposition: str
) -> None:
    # RFC 9990 §A: ActionDispositionType
    seen = with_record(PASSED, **changes)
    assert seen.dmarc is not None
    note(tally, replace(seen, dmarc=replace(seen.dmarc, author=author)))
    assert row(tally)["disposition"] == disposition


LOCAL, TEST = ["local_policy", ""], ["policy_test_mode", ""]
FORWARDER = Override(OverrideKind.TRUSTED_FORWARDER, "lists.example")


@pytest.mark.parametrize(
    ("changes", "asked", "done", "overrides", "reasons"),
    [
        ({}, Policy.REJECT, Policy.REJECT, (), []),
        ({}, Policy.REJECT, Policy.NONE, (), [LOCAL]),
        ({}, Policy.REJECT, Policy.QUARANTINE, (), [LOCAL]),
        ({}, Policy.REJECT, Policy.NONE, (FORWARDER,), [["trusted_forwarder", "lists.example"]]),
        ({"policy": Policy.NONE}, Policy.NONE, Policy.NONE, (), []),
        ({"policy": Policy.NONE}, Policy.NONE, Policy.REJECT, (), [LOCAL]),
        ({"testing": True}, Policy.QUARANTINE, Policy.QUARANTINE, (), [TEST]),
        ({"testing": True, "policy": Policy.NONE}, Policy.NONE, Policy.NONE, (), []),
    ],
)
def test_a_reason_stands_where_it_was_not_done_as_asked(
    tally: DmarcTally,
    changes: dict[str, Any],
    asked: Policy,
    done: Policy,
    overrides: tuple[Override, ...],
    reasons: list[list[str]],
) -> None:
    # RFC 9990 §3.1.1.9
    seen = with_record(FAILED, **changes)
    assert seen.dmarc is not None
    seen = replace(seen, dmarc=replace(seen.dmarc, policy=asked))
    note(tally, seen, disposition=done, overrides=overrides)
    assert row(tally)["reasons"] == reasons
    assert row(tally)["disposition"] == done.value
    assert (row(tally)["dkim"], row(tally)["spf"]) == ("fail", "fail")


def test_a_dns_without_an_answer_is_a_reason(tally: DmarcTally) -> None:
    assert FAILED.dmarc is not None
    note(tally, replace(FAILED, dmarc=replace(FAILED.dmarc, result=Result.TEMPERROR, policy=None)))
    assert row(tally)["reasons"] == [["other", "the DNS had no answer in time"]]


def test_signatures_in_order_of_what_they_are_worth(tally: DmarcTally) -> None:
    # RFC 9990 §3.1.3
    strict, relaxed = DKIM, replace(DKIM, domain="mail.example.org")
    other, broken = (
        replace(DKIM, domain="esp.example"),
        replace(DKIM, result=Result.FAIL, reason="the body was changed"),
    )
    nameless = DkimCheck(Result.NEUTRAL, "", "", "")
    note(tally, replace(PASSED, dkim=(broken, nameless, other, relaxed, strict)))
    assert row(tally)["dkim_results"] == [
        ["example.org", "s1", "pass", ""],
        ["mail.example.org", "s1", "pass", ""],
        ["esp.example", "s1", "pass", ""],
        ["example.org", "s1", "fail", "the body was changed"],
    ]


def test_many_signatures_are_cut(tally: DmarcTally) -> None:
    many = tuple(replace(DKIM, domain=f"d{number}.example") for number in range(200))
    note(tally, replace(PASSED, dkim=(*many, DKIM)))
    found = row(tally)["dkim_results"]
    assert len(found) == MAX_SIGNATURES
    assert found[0][0] == "example.org"


def test_nothing_that_tells_of_people_is_kept(tally: DmarcTally) -> None:
    # RFC 9990 §7.2
    leaky = replace(SPF, result=Result.FAIL, reason="ann.example.org is not allowed", mechanism="exists:ann.x.example")
    broken = replace(DKIM, result=Result.FAIL, reason="i=ann@example.org is not below d=")
    note(tally, replace(PASSED, spf=leaky, dkim=(broken,)))
    (kept,) = tally.of_domain(10, "example.org")
    assert "ann" not in kept.row


def test_several_recipient_domains_name_none(tally: DmarcTally) -> None:
    note(tally, envelope_to=("a.example", "b.example"))
    assert row(tally)["envelope_to"] == ""


def test_the_null_sender(tally: DmarcTally) -> None:
    note(tally, replace(PASSED, spf=None), envelope_from=None)
    assert (row(tally)["envelope_from"], row(tally)["spf_result"]) == ("", [])


@pytest.mark.parametrize(
    ("client", "shown"),
    [("::ffff:192.0.2.7", "192.0.2.7"), ("2001:DB8::0:1", "2001:db8::1"), ("fe80::1%eth0", "fe80::1"), ("?", "?")],
)
def test_addresses_have_one_spelling(tally: DmarcTally, client: str, shown: str) -> None:
    note(tally, client=client)
    assert row(tally)["ip"] == shown


def test_octets_that_cannot_be_told_are_left_out(tally: DmarcTally) -> None:
    evil = replace(DKIM, domain="a\x00\ud800\uffff\r\nb<&.example", selector="s" * 10_000)
    note(tally, replace(PASSED, dkim=(evil,)))
    assert row(tally)["dkim_results"] == [["ab<&.example", "s" * 255, "pass", ""]]


def test_reports_of_others_are_marked_where_they_are_genuine(tally: DmarcTally) -> None:
    note(tally, header=REPORT)
    assert row(tally)["report"] is True
    note(tally, FAILED, header=REPORT, disposition=Policy.REJECT)
    note(tally, header=LETTER)
    assert sorted(found["report"] for found, _ in rows(tally)) == [False, False, True]


def test_days_domains_and_policies_are_apart(tally: DmarcTally, clock: HandClock) -> None:
    note(tally)
    note(tally, with_record(PASSED, policy=Policy.NONE))
    note(tally, of_domain("other.example"))
    clock.advance(DAY)
    note(tally)
    assert tally.counts.days() == (10, 11)
    assert tally.counts.of_day(10) == ("example.org", "other.example")
    assert len({one.policy for one in tally.of_domain(10, "example.org")}) == 2


def test_what_changed_is_given_once_in_pieces_and_survives_a_restart(tally: DmarcTally, clock: HandClock) -> None:
    for number in range(5):
        note(tally, client=f"192.0.2.{number}")
    note(tally, client="192.0.2.0")
    pieces = [tally.changed(2), tally.changed(2), tally.changed(2), tally.changed(2)]
    assert [len(piece) for piece in pieces] == [2, 2, 1, 0]
    later = DmarcTally(clock, enabled=True)
    later.load(one for piece in pieces for one in piece)
    note(later, client="192.0.2.0")
    (changed,) = later.changed()
    assert changed.count == 3
    assert sum(one.count for one in later.of_domain(10, "example.org")) == 7


def test_a_flood_of_kinds_is_summed(clock: HandClock) -> None:
    tally = DmarcTally(clock, enabled=True, limits=CountLimits(domains=3, policies=2, details=10))
    for number in range(500):
        note(tally, client=f"10.0.{number // 250}.{number % 250}")
    found = tally.of_domain(10, "example.org")
    assert len(found) == 11
    assert sum(one.count for one in found) == 500
    assert DmarcCount(10, "example.org", found[0].policy, LEFT_OUT, 490) in found
    for number in range(10):
        note(tally, of_domain(f"d{number}.example"))
        note(tally, with_record(PASSED, failure_options=(str(number),)))
    assert len(tally.counts.of_day(10)) == 3
    assert len({one.policy for one in tally.of_domain(10, "example.org")}) == 2


def test_a_row_that_is_too_long_is_summed(tally: DmarcTally) -> None:
    long = tuple(replace(DKIM, domain="d" * 255 + str(n), selector="s" * 255) for n in range(10))
    note(tally, replace(PASSED, dkim=long))
    (kept,) = tally.of_domain(10, "example.org")
    assert kept.row == LEFT_OUT


def test_octets_are_bounded_and_come_free_again(clock: HandClock) -> None:
    tally = DmarcTally(clock, enabled=True, limits=CountLimits(octets=20_000, details=2000))
    for _ in range(3):
        for number in range(200):
            note(tally, of_domain(f"d{number % 20}.example"), client=f"192.0.2.{number}")
        day = int(clock.now() // DAY)
        held = [one for domain in tally.counts.of_day(day) for one in tally.of_domain(day, domain)]
        assert 10 < len(held) < 40
        assert sum(len(one.row) + len(one.policy) + len(one.domain) + 300 for one in held) <= 20_000
        clock.advance(DAY * TALLY_KEPT)
        tally.counts.forget(clock.now())
    assert tally.counts.days() == ()
