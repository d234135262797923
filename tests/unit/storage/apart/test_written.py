"""Errors and values as they come back over the wire; what may not come."""

import os
import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from postroom.directory.model import DirectoryError
from postroom.mail.address import Address
from postroom.mail.trouble import StoreUnavailable
from postroom.net.apart.frames import WireError
from postroom.queue.model import QueueAction
from postroom.storage.apart.written import Answers, read_answers, read_asked, write_answers, write_asked
from postroom.storage.sqlite.migrate import StoreVersionError


def crossed(error: Exception) -> Exception:
    ((number, found),) = read_answers(write_answers(Answers((), [(7, error)]))).refused
    assert number == 7
    return found


class HardToMake(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Unpicklable(ValueError):
    def __reduce__(self) -> Any:
        raise TypeError("not me")


@dataclass
class Foreign:
    """A value of no package of ours."""

    number: int


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable("no room", full=True),
        StoreUnavailable("locked"),
        StoreVersionError("too new"),
        DirectoryError("there is no such account"),
        KeyError("an account is gone", 7),
        ValueError("the chunks have 2 octets"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"),
        OSError(28, "No space left on device"),
    ],
    ids=repr,
)
def test_errors_stay_what_they_are(error: Exception) -> None:
    found = crossed(error)
    assert (type(found), found.args, str(found)) == (type(error), error.args, str(error))
    assert getattr(found, "full", None) == getattr(error, "full", None)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (HardToMake(1, 2), "HardToMake: 1 and 2"),
        (Unpicklable("odd"), "Unpicklable: odd"),
        (ValueError("odd", lambda: None), "ValueError: "),
        (StopIteration("end"), "StopIteration: end"),
    ],
)
def test_an_error_that_cannot_cross_goes_as_text(error: Exception, text: str) -> None:
    found = crossed(error)
    assert type(found) is RuntimeError
    assert str(found).startswith(text)


def test_a_result_that_cannot_cross_is_refused_alone() -> None:
    answers = read_answers(
        write_answers(Answers([(1, "one"), (2, lambda: None), (3, "three")], [(4, KeyError("gone"))]))
    )
    assert answers.done == [(1, "one"), (3, "three")]
    assert [(number, type(error)) for number, error in answers.refused] == [(4, KeyError), (2, RuntimeError)]


def test_results_are_values() -> None:
    result = ((Address("ann", "ours.example"),), [True, None, 1.5, b"x"], {"a": {1}}, QueueAction.HOLD, frozenset({1}))
    assert read_answers(memoryview(write_answers(Answers([(1, result)], ())))).done == [(1, result)]


class _Evil:
    def __reduce__(self) -> Any:
        return os.getcwd, ()


@pytest.mark.parametrize(
    "content",
    [
        ([(1, _Evil())], []),
        ([(1, os.system)], []),
        ([(1, print)], []),
        ([(1, write_asked)], []),
        ([(1, Foreign(1))], []),
        ([], [(1, pickle.dumps(KeyboardInterrupt()))]),
        ([], [(1, pickle.dumps(StopIteration()))]),
        ([], [(1, pickle.dumps("no error"))]),
        ([], [(1, b"")]),
        [1],
        7,
    ],
)
def test_what_may_not_come_back(content: Any) -> None:
    with pytest.raises(WireError):
        read_answers(pickle.dumps(content))


@pytest.mark.parametrize("name", ["io.BytesIO", "pickle.Unpickler", "load"])
def test_names_do_not_lead_out_of_our_modules(name: str) -> None:
    module = b"postroom.net.apart.loading"
    body = b"\x80\x05\x8c" + bytes([len(module)]) + module + b"\x8c" + bytes([len(name)]) + name.encode() + b"\x93."
    with pytest.raises(WireError, match="may not come"):
        read_answers(body)


def test_writes_cross_whole() -> None:
    asked = [(1, "note", ("a", Address("ann", "ours.example")), 2, 3), (2, "other", None, 1, 0)]
    assert read_asked(memoryview(write_asked(asked))) == asked


@pytest.mark.parametrize("body", [b"", b"nonsense", pickle.dumps(7), pickle.dumps([(1, "note")])])
def test_what_are_no_writes(body: bytes) -> None:
    with pytest.raises(WireError):
        read_asked(body)
