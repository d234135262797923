"""Values are equal by what they hold, can be keys, and cannot grow attributes; mypy sees to it that nobody assigns."""

from dataclasses import dataclass, fields, replace

import pytest

from postroom.mail.value import value


@value(frozen=True, slots=True)
class Pair:
    first: int
    second: str = "b"


@value(frozen=True, slots=True, eq=False)
class Thing:
    name: str


@dataclass(frozen=True, slots=True)
class Frozen:
    first: int
    second: str = "b"


def test_equality_and_hash_are_those_of_a_frozen_dataclass() -> None:
    assert Pair(1) == Pair(1, "b")
    assert Pair(1) != Pair(2)
    assert hash(Pair(1)) == hash(Frozen(1))
    assert {Pair(1): "x"}[Pair(1)] == "x"


def test_without_equality_each_is_itself() -> None:
    assert Thing("a") != Thing("a")
    assert len({Thing("a"), Thing("a")}) == 2


def test_it_is_a_dataclass_with_slots() -> None:
    assert [field.name for field in fields(Pair)] == ["first", "second"]
    assert replace(Pair(1), second="c") == Pair(1, "c")
    with pytest.raises(AttributeError):
        Pair(1).__setattr__("third", 3)
