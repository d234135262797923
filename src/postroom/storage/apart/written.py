"""Writes and their outcomes as they cross the wire, in ``pickle``, all of one turn of the loop in one body.

Who has the store trusts who asks, and takes whatever it is asked. What comes back is taken from a process that reads
what strangers say: of that only values and errors are made, out of classes of this package and errors of Python's own.
"""

import pickle
from collections.abc import Sequence
from typing import Any

from postroom.mail.value import value
from postroom.net.apart.frames import WireError
from postroom.net.apart.loading import load

Asked = tuple[int, str, Any, int, int]
"""One write: its number, its kind's name, argument, weight, octets."""

_PROTOCOL = 5


@value(frozen=True, slots=True)
class Answers:
    """Outcomes, each under the number of its write."""

    done: Sequence[tuple[int, Any]]
    refused: Sequence[tuple[int, Exception]]


def write_asked(asked: Sequence[Asked]) -> bytes:
    """Some writes. Raises whatever their arguments raise when they are pickled."""
    return pickle.dumps(asked, _PROTOCOL)


def read_asked(body: bytes | memoryview) -> Sequence[Asked]:
    """The writes of one body. WireError where there are none."""
    try:
        asked: list[Asked] = [
            (number, name, argument, weight, octets)
            for number, name, argument, weight, octets in pickle.loads(body)  # noqa: S301 - our own node wrote it
        ]
    except Exception as error:  # unpickling raises anything
        raise WireError(f"writes that cannot be read: {error!r}") from error
    return asked


def write_answers(answers: Answers) -> bytes:
    """Some outcomes. A result that cannot cross is refused: that tells of a bug, and nobody waits in vain."""
    errors = [(number, _write_error(error)) for number, error in answers.refused]
    try:
        return pickle.dumps((answers.done, errors), _PROTOCOL)
    except Exception:  # noqa: BLE001 - pickling raises anything: the one that cannot cross is found below
        done = []
        for number, result in answers.done:
            try:
                pickle.dumps(result, _PROTOCOL)
                done.append((number, result))
            except Exception as error:  # noqa: BLE001 - it goes to the one who waits for the result
                errors.append((number, _write_error(RuntimeError(f"the result cannot cross the wire: {error!r}"))))
        return pickle.dumps((done, errors), _PROTOCOL)


def read_answers(body: bytes | memoryview) -> Answers:
    """The outcomes of one body. WireError where there are none, or values of other kinds than may come."""
    try:
        done, errors = load(body)
        return Answers([(number, result) for number, result in done], [(n, _read_error(text)) for n, text in errors])
    except Exception as error:  # unpickling raises anything
        raise WireError(f"outcomes that cannot be read: {error!r}") from error


def _write_error(error: Exception) -> bytes:
    """The error, if the other end can read it, else one that says the same."""
    try:
        written = pickle.dumps(error, _PROTOCOL)
        if type(_read_error(written)) is type(error):
            return written
    except Exception:  # noqa: BLE001, S110 - an exception may raise anything when it is pickled and made again
        pass  # it goes as text
    return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"), _PROTOCOL)


def _read_error(written: bytes) -> Exception:
    error = load(written)
    if not isinstance(error, Exception) or isinstance(error, StopIteration):  # no future takes a StopIteration
        raise TypeError(f"{type(error).__name__} where an error was to come")
    return error
