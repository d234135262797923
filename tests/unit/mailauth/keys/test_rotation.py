"""The whole life of keys in virtual time, with a zone that lags: nothing is signed with a key that is not visible yet.

At each instant the zone is asked, server by server, for the record of every key that would sign at that instant.
"""

from itertools import pairwise

import pytest
from tests.unit.mailauth.keys.house import DAY, DOMAIN, HOUR, KeyHouse

from postroom.mailauth.keys.lifecycle import LOOK_ACTIVE, REPUBLISH
from postroom.mailauth.keys.model import ED25519, RSA, KeyState, LifeRules
from postroom.report.keys import DkimKeyChanged, DkimKeyWaits, DkimTrouble

YEAR = 365 * DAY
CHANGING = (KeyState.MADE, KeyState.PUBLISHED, KeyState.SEEN)


async def live(house: KeyHouse, seconds: float, restart_every: float = 0.0, quiet: float = DAY / 4) -> None:
    """Live on, by minutes while keys change and by quarters of a day otherwise; at every step nothing unseen signs."""
    end = house.clock.now() + seconds
    restarted = house.clock.now()
    while house.clock.now() < end:
        changing = house.keys(*CHANGING) if house.publishes else house.keys(KeyState.SEEN)
        house.clock.advance(60.0 if changing else quiet)
        assert house.unseen_signers() == [], "before the round"
        if restart_every and house.clock.now() - restarted >= restart_every:
            restarted = house.clock.now()
            house.restart()
        await house.tick()
        assert house.unseen_signers() == [], "after the round"


@pytest.mark.parametrize(
    ("lags", "restart_every"),
    [((0.0,), 0.0), ((0.0, 900.0, 5 * HOUR), 0.0), ((0.0, 26 * HOUR), 0.0), ((0.0, 900.0, 5 * HOUR), 17 * 60.0)],
    ids=["one server", "secondaries hours behind", "a secondary a day behind", "restarts in the middle"],
)
async def test_two_years_of_rotation(lags: tuple[float, ...], restart_every: float) -> None:
    house = KeyHouse(lags=lags)
    await live(house, 2 * YEAR, restart_every)
    assert len(house.signing()) == 2
    for algorithm in (RSA, ED25519):
        line = house.keys(algorithm=algorithm)
        assert [key.state for key in line[:-2]] == [KeyState.WITHDRAWN] * (len(line) - 2)
        assert len(line) >= 4
        used = [key for key in line if key.active_at is not None]
        for before, after in pairwise(used):
            assert before.retired_at == after.active_at, "there is no moment without a key"
    selectors = [selector for _, selector in house.store.pairs]
    assert len(set(selectors)) == len(selectors)
    # what is withdrawn has left the zone, and its private half the store
    for key in house.keys(KeyState.WITHDRAWN):
        assert house.zone.at(0, key.name) == ()
        assert (key.domain, key.selector) not in house.store.kept
    if max(lags) < DAY:
        assert not [report for report in house.told if isinstance(report, DkimKeyWaits | DkimTrouble)]


async def test_the_lines_never_change_together() -> None:
    house = KeyHouse(lags=(0.0, 5 * HOUR))
    end = house.clock.now() + 2 * YEAR
    first_set_up = True
    while house.clock.now() < end:
        await house.run(2 * HOUR, step=2 * HOUR)
        changing = {key.algorithm for key in house.keys(*CHANGING)}
        first_set_up = first_set_up and not house.keys(KeyState.ACTIVE)
        assert first_set_up or len(changing) < 2
        if not first_set_up:
            assert house.signing(), "one of the two signs at every moment"


async def test_a_key_waits_until_the_slowest_server_has_it_and_then_for_the_time_of_the_settings() -> None:
    house = KeyHouse(lags=(0.0, 5 * HOUR))
    await house.tick()
    made = house.clock.now()
    while not house.signing():
        await house.run(60)
        assert house.unseen_signers() == []
        assert house.clock.now() - made < DAY
    waited = house.clock.now() - made
    assert 6 * HOUR <= waited < 6 * HOUR + 1900  # looks are a quarter of an hour apart by then
    states = [r.state for r in house.told if isinstance(r, DkimKeyChanged) and r.algorithm == RSA]
    assert states == ["made", "published", "seen", "active"]


async def test_where_no_server_can_be_asked_the_wait_must_be_longer_than_the_lag() -> None:
    """Port 53 is closed: one resolver, which asks any server and remembers what it heard, is all there is."""
    house = KeyHouse(rules=LifeRules(wait=6 * HOUR, keep=7 * DAY, rotate=30 * DAY), lags=(0.0, 900.0, 5 * HOUR))
    house.zone.closed = True
    await live(house, 120 * DAY)
    assert len(house.keys(KeyState.WITHDRAWN)) >= 4
    assert len(house.signing()) == 2


async def test_a_record_that_goes_takes_its_key_out_of_use_and_comes_back() -> None:
    house = KeyHouse(lags=(0.0, 0.0))
    await house.run(DAY, step=HOUR / 4)
    rsa = house.keys(KeyState.ACTIVE, algorithm=RSA)[0]
    house.zone.hidden.add((1, rsa.name))
    await house.run(LOOK_ACTIVE + 60)
    assert house.unseen_signers() == []
    assert house.signing() == {house.keys(KeyState.ACTIVE, algorithm=ED25519)[0].selector}
    told = [report for report in house.told if isinstance(report, DkimKeyWaits)]
    assert [(each.what, each.record) for each in told] == [("mend", rsa.name)]
    assert "ns1.example.net does not have it" in told[0].detail
    house.zone.hidden.clear()
    await house.run(60)
    assert rsa.selector not in house.signing(), "one look is not enough"
    await house.run(120)
    assert rsa.selector in house.signing()
    await house.run(2 * DAY, step=600)
    assert len([report for report in house.told if isinstance(report, DkimKeyWaits)]) == 1


async def test_the_last_retired_key_takes_the_place_of_one_that_is_lost() -> None:
    house = KeyHouse(rules=LifeRules(algorithms=(RSA,), wait=HOUR, keep=7 * DAY, rotate=30 * DAY))
    await house.run(31 * DAY, step=HOUR)
    (retired,), (active,) = house.keys(KeyState.RETIRED), house.keys(KeyState.ACTIVE)
    house.zone.put(active.name, '"v=DKIM1; p="')
    await house.run(LOOK_ACTIVE + 60)
    assert house.signing() == {retired.selector}
    assert house.unseen_signers() == []
    house.zone.put(retired.name)  # the other goes too, before anybody looks again
    await house.run(HOUR + 60)
    assert house.signing() == set(), "unsigned is better than signed with what nobody finds"
    assert house.keeper.standing.unsigned == 1
    house.publish_all()
    await house.run(600)
    assert house.signing() == {active.selector}


async def test_a_record_that_we_put_there_and_is_gone_is_put_back() -> None:
    house = KeyHouse()
    await house.run(DAY, step=HOUR / 4)
    key = house.keys(KeyState.ACTIVE)[0]
    house.zone.put(key.name)
    await house.run(REPUBLISH + 600)
    assert house.zone.at(0, key.name) == (key.record.encode(),)
    assert key.selector in house.signing()


async def test_another_record_in_the_place_of_ours_is_left_alone() -> None:
    house = KeyHouse()
    await house.run(DAY, step=HOUR / 4)
    key = house.keys(KeyState.ACTIVE)[0]
    house.zone.put(key.name, '"v=DKIM1; k=rsa; p=AAAA"')
    await house.run(2 * REPUBLISH)
    assert house.zone.at(0, key.name) == (b"v=DKIM1; k=rsa; p=AAAA",)
    assert key.selector not in house.signing()


async def test_a_publisher_that_fails_for_a_day() -> None:
    house = KeyHouse(rules=LifeRules(wait=HOUR, keep=7 * DAY, rotate=30 * DAY), lags=(0.0, HOUR))
    await live(house, 10 * DAY)
    before = house.signing()
    house.zone.failing = "the server refuses: NOTAUTH"
    end = house.clock.now() + 22 * DAY
    while house.clock.now() < end:  # both lines come of age meanwhile, and none of them can go on
        await live(house, 6 * HOUR)
        assert house.signing() == before
    troubles = [report for report in house.told if isinstance(report, DkimTrouble)]
    assert {each.domain for each in troubles} == {DOMAIN}
    assert "NOTAUTH" in troubles[0].reason
    assert 1 <= len(troubles) <= 23, "once a day for each key, not every minute"
    house.zone.failing = ""
    await live(house, 2 * DAY)
    assert house.signing() != before
    assert len(house.signing()) == 2


async def test_the_store_that_fails_in_between_leaves_all_as_it_was() -> None:
    house = KeyHouse(rules=LifeRules(wait=HOUR, keep=DAY, rotate=4 * DAY), lags=(0.0, HOUR))
    for round_ in range(400):
        house.clock.advance(900)
        house.store.unavailable = round_ % 7 in (2, 3)
        if house.store.unavailable:
            with pytest.raises(Exception, match="the store is down"):
                await house.tick()
        else:
            await house.tick()
        assert house.unseen_signers() == []
    house.store.unavailable = False
    assert house.signing()


async def test_by_hand_the_operator_is_asked_and_nothing_signs_before() -> None:
    house = KeyHouse(rules=LifeRules(wait=HOUR, keep=7 * DAY, rotate=60 * DAY), publishes=False)
    await live(house, 3 * DAY)
    assert house.signing() == set()
    asked = [report for report in house.told if isinstance(report, DkimKeyWaits)]
    assert {each.what for each in asked} == {"publish"}
    assert len(asked) == 2 * 3, "at once, and once a day"
    house.publish_all()
    await live(house, 2 * HOUR, quiet=300)
    first = house.signing()
    assert len(first) == 2
    await live(house, 70 * DAY)  # the successors wait for the operator; the old ones go on
    assert house.signing() == first
    assert len(house.keys(KeyState.PUBLISHED)) == 1
    house.publish_all()
    await live(house, DAY, quiet=900)
    house.publish_all()
    await live(house, 10 * DAY, quiet=HOUR)
    assert house.signing().isdisjoint(first) or len(house.signing() - first) >= 1
    removable = house.keys(KeyState.REMOVABLE)
    assert removable
    assert {each.what for each in house.told if isinstance(each, DkimKeyWaits)} >= {"remove"}
    for key in removable:
        house.zone.put(key.name)
    await live(house, DAY)
    assert all(house.store.pairs[key.domain, key.selector].state is KeyState.WITHDRAWN for key in removable)


async def test_with_rotation_off_a_key_signs_for_ever() -> None:
    house = KeyHouse(rules=LifeRules(wait=HOUR, rotate=0))
    await house.run(5 * YEAR, step=5 * DAY)
    assert len(house.keys()) == 2


async def test_nothing_is_written_while_nothing_changes() -> None:
    house = KeyHouse()
    await house.run(DAY, step=HOUR / 4)
    saves = house.store.saves
    await house.run(30 * DAY, step=HOUR)
    assert house.store.saves == saves


async def test_a_silent_server_does_not_hold_a_key_back() -> None:
    house = KeyHouse(lags=(0.0, 0.0, 0.0))
    house.zone.silent.add(2)
    await house.run(DAY, step=HOUR / 4)
    assert len(house.signing()) == 2


async def test_when_nobody_answers_nothing_changes() -> None:
    house = KeyHouse()
    await house.run(DAY, step=HOUR / 4)
    before = house.keys()
    house.zone.silent.add(0)
    house.zone.resolver_down = True
    await house.run(5 * DAY, step=HOUR)
    assert house.keys() == before
    assert len(house.signing()) == 2


async def test_what_the_dns_cannot_know_is_left_alone() -> None:
    house = KeyHouse(is_watched=lambda domain: domain != DOMAIN)
    await house.run(2 * DAY, step=HOUR)
    assert house.keys() == []
    assert house.told == []


async def test_a_domain_that_is_not_ours_any_more_gets_no_new_keys() -> None:
    house = KeyHouse(rules=LifeRules(wait=HOUR, keep=7 * DAY, rotate=30 * DAY))
    await house.run(DAY, step=HOUR / 4)
    house.domains.clear()
    await house.run(60 * DAY, step=HOUR)
    assert len(house.keys()) == 2


async def test_an_algorithm_that_the_settings_name_no_more_retires() -> None:
    house = KeyHouse()
    await house.run(DAY, step=HOUR / 4)
    house.rules = LifeRules(algorithms=(RSA,))
    house.restart()
    await house.run(8 * DAY, step=HOUR)
    assert [key.state for key in house.keys(algorithm=ED25519)] == [KeyState.WITHDRAWN]
    assert len(house.signing()) == 1
