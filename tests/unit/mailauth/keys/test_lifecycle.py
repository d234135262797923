"""Single steps of a key's life."""

from dataclasses import replace

import pytest
from tests.fakes.letters import NOON

from postroom.mailauth.keys.lifecycle import (
    REMIND,
    due,
    is_ready,
    look_every,
    looked,
    rotates_at,
    signers,
    wants_attention,
)
from postroom.mailauth.keys.model import ED25519, RSA, By, KeyPair, KeyState, LifeRules, Look, Order, Sight

RULES = LifeRules(wait=100, keep=1000, rotate=10_000)
PAIR = KeyPair("example.org", "r1", RSA, "v=DKIM1; p=A", NOON, KeyState.PUBLISHED, NOON, by=By.HAND)
ACTIVE = replace(PAIR, state=KeyState.ACTIVE, sights=2, seen_since=NOON, active_at=NOON + 100)
VISIBLE, ABSENT, WRONG = Look(Sight.VISIBLE), Look(Sight.ABSENT, "ns1 does not have it"), Look(Sight.WRONG, "another")


def test_two_sights_and_the_wait_make_a_key_ready() -> None:
    key = looked(PAIR, VISIBLE, NOON)
    assert key.state is KeyState.SEEN
    assert not is_ready(key, NOON + 1000, RULES), "seen once only"
    key = looked(key, VISIBLE, NOON + 50)
    assert not is_ready(key, NOON + 99, RULES)
    assert is_ready(key, NOON + 100, RULES)
    assert looked(key, VISIBLE, NOON + 60) == key, "nothing more to remember"


@pytest.mark.parametrize("look", [ABSENT, WRONG])
def test_a_look_that_does_not_find_it_begins_the_wait_anew(look: Look) -> None:
    key = looked(looked(PAIR, VISIBLE, NOON), look, NOON + 50)
    assert key.state is KeyState.PUBLISHED
    assert (key.sights, key.seen_since, key.trouble) == (0, None, look.detail)
    key = looked(looked(key, VISIBLE, NOON + 60), VISIBLE, NOON + 120)
    assert key.trouble == ""
    assert not is_ready(key, NOON + 159, RULES)
    assert is_ready(key, NOON + 160, RULES)


def test_no_answer_neither_counts_nor_begins_anew() -> None:
    key = looked(PAIR, VISIBLE, NOON)
    assert looked(key, Look(Sight.UNKNOWN), NOON + 50) == key
    assert looked(ACTIVE, Look(Sight.UNKNOWN), NOON + 5000) == ACTIVE


def test_a_note_about_a_visible_record_is_kept() -> None:
    key = looked(ACTIVE, Look(Sight.VISIBLE, "it says t=y"), NOON + 500)
    assert key.trouble == "it says t=y"
    assert key.may_sign


def test_a_key_that_nobody_was_asked_to_publish_has_no_trouble() -> None:
    made = replace(PAIR, state=KeyState.MADE, published_at=None)
    assert looked(made, ABSENT, NOON) == made
    assert looked(made, VISIBLE, NOON).state is KeyState.SEEN, "somebody was quick"


def test_a_wait_of_nothing_still_takes_two_looks() -> None:
    rules = LifeRules(wait=0)
    key = looked(PAIR, VISIBLE, NOON)
    assert not is_ready(key, NOON, rules)
    assert is_ready(looked(key, VISIBLE, NOON), NOON, rules)


def test_the_switch_is_one_step_and_the_newest_wins() -> None:
    ready = [
        replace(PAIR, selector=f"r{n}", made_at=NOON + n, state=KeyState.SEEN, sights=2, seen_since=NOON)
        for n in (2, 3)
    ]
    steps = due([ACTIVE, *ready], NOON + 500, RULES, wanted=True)
    assert steps.activate == (ready[1],)
    assert set(steps.retire) == {ACTIVE, ready[0]}


def test_of_two_active_keys_the_older_retires() -> None:
    newer = replace(ACTIVE, selector="r2", active_at=NOON + 200)
    assert due([newer, ACTIVE], NOON + 500, RULES, wanted=True).retire == (ACTIVE,)


def test_a_forced_key_needs_no_sight_and_is_not_taken_away() -> None:
    forced = replace(PAIR, order=Order.SIGN)
    assert is_ready(forced, NOON, RULES)
    active = replace(ACTIVE, sights=0, seen_since=None, order=Order.SIGN)
    assert signers([active]) == (active,)
    assert not wants_attention(active, NOON + 10 * REMIND)


def test_a_key_retired_by_hand_never_signs_again() -> None:
    barred = replace(ACTIVE, state=KeyState.RETIRED, retired_at=NOON, order=Order.NEVER)
    lost = replace(ACTIVE, selector="r2", sights=0, seen_since=None)
    assert signers([barred, lost]) == ()
    assert signers([replace(barred, order=Order.NONE), lost]) != ()
    waiting = replace(PAIR, state=KeyState.SEEN, sights=2, seen_since=NOON, order=Order.NEVER)
    assert not is_ready(waiting, NOON + 1e6, RULES)


def test_a_key_that_never_signed_takes_nobodys_place() -> None:
    superseded = replace(ACTIVE, state=KeyState.RETIRED, active_at=None, retired_at=NOON)
    assert signers([superseded]) == ()


def test_one_of_each_algorithm_signs() -> None:
    other = replace(ACTIVE, selector="e1", algorithm=ED25519)
    assert signers([other, ACTIVE]) == (ACTIVE, other)


def test_nothing_gone_signs() -> None:
    for state in (KeyState.REMOVABLE, KeyState.WITHDRAWN):
        assert signers([replace(ACTIVE, state=state, order=Order.SIGN)]) == ()


def test_the_first_key_of_the_second_algorithm_lives_half_as_long() -> None:
    second = replace(ACTIVE, algorithm=ED25519)
    assert rotates_at(ACTIVE, [ACTIVE], RULES) == NOON + 10_100
    assert rotates_at(second, [second], RULES) == NOON + 5_100
    predecessor = replace(second, selector="e0", state=KeyState.WITHDRAWN, active_at=NOON - 5000)
    assert rotates_at(second, [predecessor, second], RULES) == NOON + 10_100
    assert rotates_at(ACTIVE, [ACTIVE], LifeRules(rotate=0)) == float("inf")


def test_a_record_may_go_after_the_time_of_the_settings() -> None:
    key = replace(ACTIVE, state=KeyState.RETIRED, retired_at=NOON)
    assert due([key], NOON + 999, RULES, wanted=False).give_up == ()
    assert due([key], NOON + 1000, RULES, wanted=False).give_up == (key,)


def test_an_operator_is_asked_once_a_day() -> None:
    assert wants_attention(PAIR, NOON)
    asked = replace(PAIR, told_at=NOON)
    assert not wants_attention(asked, NOON + REMIND - 1)
    assert wants_attention(asked, NOON + REMIND)
    assert not wants_attention(replace(PAIR, by=By.UPDATE), NOON + 3600), "it is on its way"


def test_looks_are_frequent_where_something_is_awaited() -> None:
    assert look_every(PAIR, NOON) == 60
    assert look_every(PAIR, NOON + 3000) == 300
    assert look_every(PAIR, NOON + 1e6) == 900
    assert look_every(replace(ACTIVE, sights=0), NOON) == 60
    assert look_every(replace(ACTIVE, state=KeyState.WITHDRAWN), NOON) == float("inf")
