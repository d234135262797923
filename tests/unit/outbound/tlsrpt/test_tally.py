"""Sessions are counted by day, domain, policy and result, and what is counted is bounded."""

import json
from dataclasses import replace

import pytest
from tests.fakes.hand_clock import HandClock

from postroom.mail.delivery import Peer
from postroom.outbound.daily.counts import DAY, TALLY_KEPT, CountLimits
from postroom.outbound.tlsmet import NO_POLICY, AppliedPolicy, TlsMet
from postroom.outbound.tlsrpt.tally import TlsTally
from postroom.outbound.tlsstore import Tally, TlsLevel

STS = AppliedPolicy("sts", ("version: STSv1", "mode: testing"), ("*.example.org",))
PEER = Peer("mx.example.org", "192.0.2.1", 25, "TLSv1.3 AES", "sts testing", "198.51.100.7")
GOOD = TlsMet("site", ("example.org",), STS, PEER, TlsLevel.VERIFIED, checked=True)
BAD = replace(GOOD, level=None, failure="certificate-expired", reason="it has expired")


@pytest.fixture
def clock() -> HandClock:
    return HandClock(10 * DAY + 100.0)


@pytest.fixture
def tally(clock: HandClock) -> TlsTally:
    return TlsTally(clock, enabled=True)


def counts(tally: TlsTally, day: int = 10, domain: str = "example.org") -> dict[str, int]:
    return {
        json.loads(one.failure)["result-type"] if one.failure else "": one.count for one in tally.of_domain(day, domain)
    }


def test_successes_and_failures(tally: TlsTally) -> None:
    for met in (GOOD, GOOD, BAD):
        tally.note(met)
    assert counts(tally) == {"": 2, "certificate-expired": 1}
    (failure,) = [json.loads(one.failure) for one in tally.of_domain(10, "example.org") if one.failure]
    assert failure == {
        "result-type": "certificate-expired",
        "sending-mta-ip": "198.51.100.7",
        "receiving-mx-hostname": "mx.example.org",
        "receiving-ip": "192.0.2.1",
        "failure-reason-code": "it has expired",
    }
    assert json.loads(tally.of_domain(10, "example.org")[0].policy) == {
        "policy-type": "sts",
        "policy-string": ["version: STSv1", "mode: testing"],
        "mx-host": ["*.example.org"],
    }


def test_days_and_domains_are_apart(tally: TlsTally, clock: HandClock) -> None:
    tally.note(replace(GOOD, domains=("example.org", "example.com")))
    clock.advance(DAY)
    tally.note(replace(GOOD, applied=NO_POLICY))
    assert tally.counts.days() == (10, 11)
    assert tally.counts.of_day(10) == ("example.org", "example.com")
    tally.counts.drop(10, "example.org")
    tally.counts.drop(10, "example.com")
    assert tally.counts.days() == (11,)
    assert counts(tally, 11) == {"": 1}


def test_what_does_not_count(tally: TlsTally, clock: HandClock) -> None:
    tally.note(replace(GOOD, domains=()))
    tally.note(replace(GOOD, domains=("[192.0.2.1]",)))
    off = TlsTally(clock, enabled=False)
    off.note(GOOD)
    off.note_sts_failure("example.org", STS, "sts-policy-invalid", "why")
    assert tally.counts.of_day(10) == ()
    assert off.counts.days() == ()
    assert off.changed() == ()


def test_what_changed_is_given_once_and_survives_a_restart(tally: TlsTally, clock: HandClock) -> None:
    tally.note(GOOD)
    tally.note(BAD)
    kept = tally.changed()
    assert len(kept) == 2
    assert tally.changed() == ()
    later = TlsTally(clock, enabled=True)
    later.load(kept)
    later.note(GOOD)
    assert later.changed() == (Tally(10, "example.org", STS.text, "", 2),)


def test_old_days_are_let_go_of(tally: TlsTally, clock: HandClock) -> None:
    tally.note(GOOD)
    clock.advance(TALLY_KEPT * DAY)
    tally.counts.forget(clock.now())
    assert tally.counts.days() == ()
    assert tally.changed() == ()


def test_a_policy_that_could_not_be_had(tally: TlsTally) -> None:
    tally.note_sts_failure("example.org", AppliedPolicy("sts"), "sts-webpki-invalid", "expired")
    assert counts(tally) == {"sts-webpki-invalid": 1}


def test_it_is_bounded(clock: HandClock) -> None:
    tally = TlsTally(clock, enabled=True, limits=CountLimits(domains=2, policies=2, details=3))
    for number in range(10):
        tally.note(replace(BAD, reason=f"reason {number}", domains=(f"d{number % 5}.example",)))
    assert tally.counts.of_day(10) == ("d0.example", "d1.example")
    for number in range(10):
        tally.note(replace(BAD, reason="x" * 10000 + str(number), domains=("d0.example",)))
        tally.note(replace(BAD, reason=f"reason {number}", domains=("d0.example",)))
    found = tally.of_domain(10, "d0.example")
    assert len(found) <= 4
    assert sum(one.count for one in found) == 22
    assert max(len(one.failure) for one in found) < 1000
    for number in range(5):
        tally.note(replace(GOOD, applied=AppliedPolicy("sts", (str(number),)), domains=("d0.example",)))
    assert len({one.policy for one in tally.of_domain(10, "d0.example")}) == 2


def test_octets_are_bounded_and_come_free_again(clock: HandClock) -> None:
    tally = TlsTally(clock, enabled=True, limits=CountLimits(octets=10_000))
    for _ in range(3):
        for number in range(100):
            tally.note(replace(GOOD, domains=(f"d{number}.example",)))
        day = int(clock.now() // DAY)
        kept = [domain for domain in tally.counts.of_day(day) if tally.of_domain(day, domain)]
        assert 10 < len(kept) < 40
        clock.advance(DAY * TALLY_KEPT)
        tally.counts.forget(clock.now())
