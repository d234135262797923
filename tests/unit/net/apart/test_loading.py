"""What may come in a pickle: values of this package and errors, and nothing that does anything."""

import operator
import os
import pickle
from collections.abc import Callable
from enum import Enum

import pytest

from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.mail.envelope import Notify
from postroom.mail.trouble import StoreUnavailable
from postroom.net.apart.loading import load


class Does:
    """Pickles as a call."""

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self.call = (call, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


class Theirs(Enum):
    """An enumeration that is none of ours."""

    ONE = 1


@pytest.mark.parametrize(
    "value",
    [
        Address("bob", "far.example"),
        [Cause.LOCAL, Notify.SUCCESS | Notify.FAILURE],
        KeyError("gone"),
        {1: (b"x", "y", 2.5, None, True)},
        frozenset({1}),
    ],
)
def test_values(value: object) -> None:
    found = load(memoryview(pickle.dumps(value, 5)))
    assert repr(found) == repr(value)


def test_members_by_name_as_early_pythons_write_them() -> None:
    assert load(pickle.dumps(Does(getattr, Cause, "LOCAL"))) is Cause.LOCAL


def test_flags_joined_as_early_pythons_write_them() -> None:
    assert load(pickle.dumps(Does(operator.or_, Notify.SUCCESS, Notify.DELAY))) is Notify.SUCCESS | Notify.DELAY


def test_errors_keep_what_they_know() -> None:
    assert load(pickle.dumps(StoreUnavailable("no room", full=True), 5)).full


@pytest.mark.parametrize(
    "evil",
    [
        Does(os.getenv, "HOME"),
        Does(eval, "1"),
        Does(getattr, "", "join"),
        Does(getattr, Address, "parse"),
        Does(getattr, Cause, "mro"),
        Does(getattr, Cause, 1),
        Does(load, b""),
        Does(operator.or_, 1, 2),
        Does(operator.or_, Notify.SUCCESS, 2),
        Theirs.ONE,
    ],
)
def test_nothing_that_does_anything(evil: object) -> None:
    with pytest.raises((pickle.UnpicklingError, KeyError)):
        load(pickle.dumps(evil, 5))


def test_garbage() -> None:
    with pytest.raises((pickle.UnpicklingError, ValueError, EOFError)):
        load(b"nonsense")
