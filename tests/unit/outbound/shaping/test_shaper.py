"""What the shaper grants, what it makes wait and why, and what it tells."""

from datetime import date

from tests.unit.outbound.shaping.simulated import (
    BLOCKED,
    SITE,
    TAKEN,
    TOO_FAST,
    TOO_MANY,
    Backlog,
    FixedWindow,
    House,
    SlidingWindow,
    note_all,
)

from postroom.config.road import OutboundSettings
from postroom.config.sending import PoolSettings, ShapingSettings, SourceSettings, WarmupSettings
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, RouteKind, Site
from postroom.mail.reply import Reply
from postroom.outbound.shaping.shaper import MAX_PLACES
from postroom.queue.carrier import Grant, Wait
from postroom.report.road import SiteBlocked, SiteReopened, SiteShaped, WarmupFull

GOOGLE = Site("aspmx.l.google.com", RouteKind.MX, (("aspmx.l.google.com",),))
BROKEN = Deferred(Reply.of(451, "4.4.1", "timed out"), cause=Cause.CONNECTION)
MIDNIGHT = 1_800_057_600.0
A, B = SourceSettings(name="out-a", ipv4="192.0.2.1"), SourceSettings(name="out-b", ipv4="192.0.2.2")
POOL = PoolSettings(name="all", sources=("out-a", "out-b"), weights=(3, 1))
POOLED = Site("mx.example.net", RouteKind.MX, (("mx.example.net",),), pool="all")


def granted(house: House, site: Site = SITE) -> Grant:
    answer = house.shaper.ask(site, 1, house.clock.time)
    assert isinstance(answer, Grant), answer
    return answer


def waits(house: House, site: Site = SITE) -> Wait:
    answer = house.shaper.ask(site, 1, house.clock.time)
    assert isinstance(answer, Wait)
    return answer


def send(house: House, outcome: object = TAKEN, site: Site = SITE) -> str:
    """One message, its outcome at once. Returns the source."""
    grant = granted(house, site)
    note_all(house, [grant], outcome, site)  # type: ignore[arg-type] # any outcome
    return grant.source


# Limits of rules ------------------------------------------------------------------------


def test_the_rates_of_a_rule_hold_and_say_so() -> None:
    rule = ShapingSettings.model_validate(
        {"name": "partner", "mx": ["mx.example.net"], "message_rates": ["3/1m", "4/1h"]}
    )
    house = House(shaping=(rule,))
    for _ in range(3):
        send(house)
    wait = waits(house)
    assert 60 < wait.seconds <= 63
    assert wait.reason == "partner takes 3/1m messages, by the rule of that name"
    house.clock.advance(wait.seconds)
    send(house)
    house.clock.advance(120)
    assert "4/1h" in waits(house).reason
    send(house, site=GOOGLE)  # others are not concerned


def test_more_than_the_rule_allows_at_once_waits() -> None:
    house = House(outbound=OutboundSettings(concurrency_per_site=2))
    first = granted(house)
    granted(house)
    assert house.shaper.limit(SITE) == 2
    assert waits(house).reason == "default takes 2 connections at once"
    note_all(house, [first], TAKEN)
    granted(house)


def test_what_stays_in_the_house_is_not_shaped() -> None:
    house = House()
    here = Site("local:mailbox", RouteKind.MAILBOX)
    assert house.shaper.limit(here) == 500
    for _ in range(1000):
        note_all(house, [granted(house, here)], TOO_FAST, here)
    assert house.shaper.limit(here) == 500
    assert house.shaper.changed == []


# What is learned ------------------------------------------------------------------------


def test_a_learned_limit_names_the_reply_it_was_learned_from() -> None:
    house = House()
    Backlog(house, SlidingWindow(50)).run(90)
    house.clock.advance(3)
    found = [house.shaper.ask(SITE, 1, house.clock.time) for _ in range(2)]
    wait = next(answer for answer in found if isinstance(answer, Wait))
    why = "421 4.7.28 our system has detected an unusual rate of mail"
    assert wait.reason == f"learned limit of {round(house.rate() or 0)} messages a minute ({why})"
    told = [report for report in house.told if isinstance(report, SiteShaped)]
    assert [report.what for report in told] == ["rate"]  # told once, not for each of those that were under way
    assert told[0].after == house.rate()


def test_too_many_connections_narrow_to_those_that_are_left() -> None:
    house = House()
    grants = [granted(house) for _ in range(5)]
    note_all(house, grants[3:], TOO_MANY)
    assert house.shaper.limit(SITE) == 3
    assert "learned limit of 3 connections at once (421 4.7.0" in waits(house).reason
    note_all(house, grants[:3], TAKEN)
    assert house.shaper.limit(SITE) == 3


def test_a_site_that_does_not_answer_is_tried_by_fewer_until_it_does() -> None:
    house = House()
    note_all(house, [granted(house) for _ in range(5)], BROKEN)
    assert house.shaper.limit(SITE) == 1
    assert not [report for report in house.told if isinstance(report, SiteBlocked)]
    for _ in range(30):
        send(house)
    assert house.shaper.limit(SITE) == 20


# Blocks ---------------------------------------------------------------------------------


def test_a_site_that_blocks_us_is_left_alone_and_then_tried_with_one_message() -> None:
    house = House()
    send(house)
    send(house, BLOCKED)
    assert isinstance(house.shaper.ask(SITE, 1, house.clock.time), Grant)  # one may be about its message
    note_all(house, [house.shaper.lanes[SITE.key, ""].ticket], TAKEN)
    send(house, BLOCKED)
    send(house, BLOCKED)
    wait = waits(house)
    assert wait.seconds == 300
    assert wait.reason == "the site has blocked us (421 4.7.0 blocked for its reputation)"
    (told,) = [report for report in house.told if isinstance(report, SiteBlocked)]
    assert told.until == house.clock.time + 300
    assert house.shaper.limit(SITE) == 1
    house.clock.advance(300)
    trial = granted(house)
    assert "one message finds out" in waits(house).reason
    note_all(house, [trial], BLOCKED)
    assert waits(house).seconds == 600  # the pause doubles
    house.clock.advance(600)
    send(house)
    assert [type(report) for report in house.told if isinstance(report, SiteBlocked | SiteReopened)] == [
        SiteBlocked,
        SiteReopened,
    ]
    granted(house)


def test_pauses_have_an_end_and_are_forgiven() -> None:
    house = House()
    send(house, BLOCKED)
    send(house, BLOCKED)
    pauses = []
    for _ in range(8):
        pauses.append(waits(house).seconds)
        house.clock.advance(pauses[-1])
        send(house, BLOCKED)
    assert pauses == [300, 600, 1200, 2400, 4800, 7200, 7200, 7200]
    house.clock.advance(7200)
    for _ in range(150):
        send(house)
    send(house, BLOCKED)
    send(house, BLOCKED)
    assert waits(house).seconds == 300


def test_what_was_under_way_does_not_end_a_block() -> None:
    house = House()
    grants = [granted(house) for _ in range(5)]
    note_all(house, grants[:2], BLOCKED)
    note_all(house, grants[2:4], TAKEN)
    assert waits(house).seconds == 300
    note_all(house, grants[4:], BLOCKED)
    assert waits(house).seconds == 300


def test_a_site_that_never_takes_anything_is_blocked_as_a_whole() -> None:
    house = House()
    backlog = Backlog(house, SlidingWindow(0))
    backlog.run(3 * 3600)
    assert [type(report) for report in house.told if isinstance(report, SiteBlocked | SiteReopened)] == [SiteBlocked]
    assert len(backlog.log) < 30
    backlog.limit.limit = 1000
    backlog.run(3 * 3600)
    assert [report for report in house.told if isinstance(report, SiteReopened)]
    assert backlog.taken(3 * 3600, 6 * 3600) > 1000


def test_an_operator_can_have_a_blocked_site_tried_at_once() -> None:
    house = House()
    send(house, BLOCKED)
    send(house, BLOCKED)
    waits(house)
    house.shaper.flush()
    send(house)
    granted(house)


# Sources --------------------------------------------------------------------------------


def test_a_pool_spreads_mail_by_weight() -> None:
    house = House(sources=(A, B), pools=(POOL,))
    used = [send(house, site=POOLED) for _ in range(400)]
    assert used.count("out-a") == 300
    assert used[:4].count("out-b") == 1  # not in lumps
    assert send(house) == ""  # without a pool the system chooses
    assert send(house, site=Site("mx.example.net", RouteKind.MX, SITE.hosts, pool="out-b")) == "out-b"


def test_where_one_source_is_blocked_another_of_the_pool_is_used() -> None:
    house = House(sources=(A, B), pools=(POOL,))
    for _ in range(20):
        outcome = BLOCKED if (grant := granted(house, POOLED)).source == "out-a" else TAKEN
        note_all(house, [grant], outcome, POOLED)
    assert {send(house, site=POOLED) for _ in range(10)} == {"out-b"}
    assert send(house, site=GOOGLE) == ""
    while send(house, BLOCKED, POOLED) != "out-b" or isinstance(house.shaper.ask(POOLED, 1, house.clock.time), Grant):
        pass
    assert "blocked us" in waits(house, POOLED).reason


def test_each_source_has_limits_of_its_own() -> None:
    house = House(sources=(A, B), pools=(POOL,))
    backlog = Backlog(house, FixedWindow(1e9), site=POOLED)
    backlog.run(2)
    assert house.shaper.limit(POOLED) == 40
    assert backlog.most == 40


# Warm-up --------------------------------------------------------------------------------

COLD = SourceSettings(name="cold", ipv4="192.0.2.3", warmup="slow", since=date(2027, 1, 15))
PLAN = WarmupSettings(name="slow", daily=(2, 5))
WARMING = PoolSettings(name="all", sources=("out-a", "cold"))


def test_a_new_source_sends_what_its_plan_allows_and_the_rest_goes_by_warm_ones() -> None:
    house = House(sources=(A, COLD), pools=(WARMING,), plans=(PLAN,))
    used = [send(house, site=POOLED) for _ in range(20)]
    assert used.count("cold") == 2
    (told,) = [report for report in house.told if isinstance(report, WarmupFull)]
    assert (told.source, told.provider, told.limit, told.until) == ("cold", "mx.example.net", 2, MIDNIGHT)
    house.clock.time = MIDNIGHT + 1
    assert [send(house, site=POOLED) for _ in range(20)].count("cold") == 5
    house.clock.time = MIDNIGHT + 86401
    assert [send(house, site=POOLED) for _ in range(20)].count("cold") == 10  # it is warm


def test_without_a_warm_source_mail_waits_until_midnight() -> None:
    house = House(sources=(COLD,), plans=(PLAN,))
    alone = Site(GOOGLE.key, RouteKind.MX, GOOGLE.hosts, pool="cold")
    send(house, site=alone)
    send(house, BROKEN, alone)  # what was not taken does not count
    send(house, site=alone)
    wait = waits(house, alone)
    assert wait.seconds == MIDNIGHT - house.clock.time
    assert wait.reason == "day 1 of warm-up from cold: 2 messages to google are sent"
    other = Site("aspmx2.google.com", RouteKind.MX, (("aspmx2.google.com",),), pool="cold")
    assert "to google are sent" in waits(house, other).reason  # one provider, whichever of its sites


def test_before_its_first_day_a_source_sends_nothing() -> None:
    house = House(sources=(COLD.model_copy(update={"since": date(2027, 1, 16)}),), plans=(PLAN,))
    wait = waits(house, Site("x", RouteKind.MX, (("x",),), pool="cold"))
    assert wait.reason == "the warm-up of cold has not begun"


# Memory ---------------------------------------------------------------------------------


def test_sites_that_are_not_used_are_forgotten_and_their_number_is_bounded() -> None:
    house = House()
    for number in range(MAX_PLACES + 5):
        house.clock.advance(1)
        send(house, site=Site(f"mx{number}.example", RouteKind.MX, ((f"mx{number}.example",),)))
        for lane in house.shaper.changed:
            lane.dirty = False  # written
        house.shaper.changed.clear()
    assert len(house.shaper.places) < MAX_PLACES
    assert len(house.shaper.lanes) == len(house.shaper.places)
    busy = granted(house)
    house.shaper.forget(house.clock.time + 1)
    assert list(house.shaper.places) == [(SITE.key, "")]
    note_all(house, [busy], TAKEN)


def test_a_domain_that_has_a_rule_of_its_own_is_learned_of() -> None:
    rule = ShapingSettings.model_validate({"name": "corp", "domains": ["corp.example"], "concurrency": 1})
    house = House(shaping=(rule,))
    send(house)
    assert house.shaper.rule_of(SITE).name == "default"
    house.shaper.learn_domain("other.example", SITE)
    assert house.shaper.rule_of(SITE).name == "default"
    house.shaper.learn_domain("corp.example", SITE)
    assert house.shaper.rule_of(SITE).name == "corp"
    assert house.shaper.limit(SITE) == 1


def test_a_grant_from_elsewhere_is_nothing_to_learn_from() -> None:
    house = House()
    house.shaper.note(SITE, Grant(), [TOO_FAST], house.clock.time)
    assert house.shaper.lanes == {}
