"""Both ends of admission over a wire: the door's, which asks, and the queue's, which commits and answers.

All that one turn of the loop brings crosses as one body, and so do the answers.
"""

import asyncio
import marshal
from collections.abc import Callable, Sequence
from functools import partial

from postroom.mail.trouble import StoreUnavailable
from postroom.net.apart.frames import WireError
from postroom.queue.admission import Admission
from postroom.queue.apart.plain import read_admissions, write_admissions
from postroom.queue.model import Intake

Send = Callable[[bytes], None]

BATCH_OCTETS = 1 << 20
"""Octets of content after which a body leaves."""

_VERSION = 4
_UNAVAILABLE, _FULL, _FAULT = 0, 1, 2


class AdmissionFault(Exception):
    """A message was not taken in for a reason that the store does not name; the text is the other process's."""


class RemoteAdmission:
    """The port ``queue.admission.Admission`` over a wire. Without a queue at its other end nobody is admitted."""

    def __init__(self) -> None:
        self._send: Send | None = None
        self._trouble = "the queue is not ready yet"
        self._last = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._fresh: list[tuple[int, Sequence[Intake]]] = []
        self._octets = 0

    def admit(self, intake: Intake, dsn: Intake | None = None) -> "asyncio.Future[None]":
        """Send it over; see the port."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if self._send is None:
            done.set_exception(StoreUnavailable(self._trouble))
            return done
        self._last = number = self._last + 1
        self._waiting[number] = done
        if not self._fresh:
            loop.call_soon(self._flush)
        self._fresh.append((number, (intake,) if dsn is None else (intake, dsn)))
        self._octets += len(intake.content or b"")
        if self._octets > BATCH_OCTETS:
            self._flush()
        return done

    def attach(self, send: Send) -> None:
        """The queue is there."""
        self._send = send

    def detach(self, trouble: str) -> int:
        """The queue is gone. What it has not answered may be on disk or not; returns how many messages those are."""
        self._send, self._trouble = None, trouble
        self._fresh.clear()
        self._octets = 0
        waiting, self._waiting = self._waiting, {}
        for done in waiting.values():
            if not done.done():
                done.set_exception(StoreUnavailable(trouble))
        return len(waiting)

    def answered(self, body: bytes | memoryview) -> None:
        """What the queue says of some of them. WireError where that is no answer."""
        try:
            taken, refused = marshal.loads(body)  # noqa: S302 - our own process wrote it
        except (ValueError, EOFError, TypeError) as error:
            raise WireError(f"no answer of the queue: {error!r}") from error
        for number in taken:
            done = self._waiting.pop(number, None)
            if done is not None and not done.done():
                done.set_result(None)
        for number, kind, text in refused:
            done = self._waiting.pop(number, None)
            if done is not None and not done.done():
                done.set_exception(
                    AdmissionFault(text) if kind == _FAULT else StoreUnavailable(text, full=kind == _FULL)
                )

    def _flush(self) -> None:
        if self._fresh and self._send is not None:
            fresh, self._fresh = self._fresh, []
            self._octets = 0
            self._send_all(fresh)

    def _send_all(self, group: Sequence[tuple[int, Sequence[Intake]]]) -> None:
        """One body for the group. If one of them cannot cross, each goes alone, and that one's future says why."""
        send = self._send
        if send is None:
            return
        try:
            body = write_admissions(group)
        except Exception as error:  # noqa: BLE001 - a bug costs the one message; who brought it hears of it
            if len(group) > 1:
                for one in group:
                    self._send_all([one])
                return
            done = self._waiting.pop(group[0][0], None)
            if done is not None and not done.done():
                done.set_exception(error)
            return
        send(body)


class AdmissionServer:
    """The queue's end: has ``admission`` do what is asked, and sends the answers."""

    def __init__(self, admission: Admission, send: Send) -> None:
        self._admission = admission
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._taken: list[int] = []
        self._refused: list[tuple[int, int, str]] = []

    def asked(self, body: bytes | memoryview) -> None:
        """Take in what stands in ``body``. WireError where that is nothing that a door sends."""
        for number, intakes in read_admissions(body):
            try:
                done = self._admission.admit(*intakes)
            except Exception as error:  # noqa: BLE001 - a bug costs the one message; who brought it hears of it
                self._refuse(number, error)
            else:
                done.add_done_callback(partial(self._ended, number))

    def _ended(self, number: int, done: "asyncio.Future[None]") -> None:
        error = done.exception()
        if error is not None:
            self._refuse(number, error)
            return
        self._answer_soon()
        self._taken.append(number)

    def _refuse(self, number: int, error: BaseException) -> None:
        self._answer_soon()
        if isinstance(error, StoreUnavailable):
            self._refused.append((number, _FULL if error.full else _UNAVAILABLE, str(error)))
        else:
            self._refused.append((number, _FAULT, repr(error)))

    def _answer_soon(self) -> None:
        if not self._taken and not self._refused:
            self._loop.call_soon(self._answer)

    def _answer(self) -> None:
        body = marshal.dumps((self._taken, self._refused), _VERSION)
        self._taken, self._refused = [], []
        self._send(body)
