"""The node's end: a carrier that has its requests carried by the child (the port ``queue.carrier.Carrier``)."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, DeliveryRequest, Outcome, Site
from postroom.mail.reply import Reply
from postroom.net.apart.frames import WireError
from postroom.net.apart.link import Link
from postroom.outbound.apart.events import Answered, Faulted, Met, Ready, Said, read_events
from postroom.outbound.apart.kinds import Kind
from postroom.outbound.apart.requests import write_numbers, write_request, write_requests
from postroom.outbound.shaping.rules import Rule
from postroom.outbound.tlsmet import NoteTls
from postroom.queue.carrier import Promise
from postroom.report.road import CarriersEnded, CarriersReady

BATCH_OCTETS = 256 << 10
"""Octets of content after which a frame is full."""

_LOST = Reply.of(451, "4.3.0", "the carrier ended before it knew; it may have been delivered")
_NOBODY = Reply.of(451, "4.3.0", "there is no carrier at the moment")


class CarrierFault(Exception):
    """A bug in the child's carrier; the text is its trace."""


class _Asked(Promise):
    """A request, and the promise of its outcomes. ``sent``: the child has it. ``on_cancel`` hears of it once."""

    __slots__ = ("number", "on_cancel", "request", "sent")

    def __init__(self, number: int, request: DeliveryRequest, on_cancel: "Callable[[_Asked], None]") -> None:
        super().__init__()
        self.number = number
        self.request = request
        self.on_cancel = on_cancel
        self.sent = False

    def cancel(self, msg: Any = None) -> bool:
        """Nobody waits for it any more."""
        if not super().cancel(msg):
            return False
        self.on_cancel(self)
        return True


class RemoteCarrier:
    """Any number of requests at once. Without a link they wait for the next one, unless there is ``trouble``: then they
    are deferred, as a fault of this house.

    ``rule_of`` says by which rule of traffic a site goes, ``note_tls`` hears what was met of TLS.
    """

    def __init__(self, rule_of: Callable[[Site], Rule], note_tls: NoteTls) -> None:
        self._rule_of = rule_of
        self._note_tls = note_tls
        self._link: Link | None = None
        self._last = 0
        self._asked: dict[int, _Asked] = {}
        self._unsent: deque[int] = deque()
        self._cancelled: list[int] = []
        self._flushing = False
        self._trouble = ""
        self.on_ready: Callable[[str], None] = _nothing
        """Called with what keeps the child from work, ``""`` for nothing."""

    @property
    def under_way(self) -> int:
        """Requests without outcomes."""
        return len(self._asked)

    def deliver(self, request: DeliveryRequest) -> Promise:
        """One attempt; see the port. CarrierFault where the carrier has a bug."""
        self._last = number = self._last + 1
        asked = _Asked(number, request, self._forget)
        if self._trouble:
            asked.set_result(_for_all(request, Deferred(_NOBODY, detail=self._trouble, cause=Cause.LOCAL)))
            return asked
        self._asked[number] = asked
        self._unsent.append(number)
        if not self._flushing:
            self._flushing = True
            asked.get_loop().call_soon(self._flush)
        return asked

    def _forget(self, asked: _Asked) -> None:
        """It was cancelled: the child is told, if it has it."""
        if self._asked.pop(asked.number, None) is not None and asked.sent:
            self._cancelled.append(asked.number)
            self._flush()

    def attach(self, link: Link) -> None:
        """Have it carried by the child at the other end, which is ready."""
        self._link = link
        self._trouble = ""
        self._flush()

    def detach(self) -> int:
        """The child is gone. What it had is deferred, ambiguous; returns how many requests that were."""
        self._link = None
        self._cancelled.clear()
        lost = [number for number, asked in self._asked.items() if asked.sent]
        for number in lost:
            asked = self._asked.pop(number)
            asked.set_result(_for_all(asked.request, Deferred(_LOST, ambiguous=True, cause=Cause.LOCAL)))
        return len(lost)

    def give_up(self, trouble: str) -> None:
        """There will be no child for a while: what waits is deferred, and what comes too."""
        self._trouble = trouble
        self._unsent.clear()
        asked, self._asked = self._asked, {}
        for one in asked.values():
            one.set_result(_for_all(one.request, Deferred(_NOBODY, detail=trouble, cause=Cause.LOCAL)))

    def on_frame(self, kind: int, body: memoryview) -> None:
        """What the child says. WireError where that is nothing it could say."""
        if kind != Kind.EVENTS:
            raise WireError(f"the child sent a frame of kind {kind}")
        for event in read_events(body):
            match event:
                case Answered(number=number, outcomes=outcomes):
                    asked = self._asked.pop(number, None)  # None: cancelled meanwhile
                    if asked is not None:
                        asked.set_result(outcomes)
                case Met(met=met):
                    self._note_tls(met)
                case Faulted(number=number):
                    asked = self._asked.pop(number, None)
                    if asked is not None:
                        asked.set_exception(CarrierFault(f"{event.error}\n{event.trace}"))
                case Said():
                    logging.getLogger(event.library).log(event.level, "%s", event.text)
                case Ready(trouble=trouble):
                    self.on_ready(trouble)

    def on_room(self) -> None:
        """The link takes more."""
        self._flush()

    def say_close(self, link: Link) -> None:
        """The child is to part from its peers."""
        link.send(Kind.CLOSE, b"")

    def ended(self, status: str, under_way: int, wait: float, trouble: str) -> CarriersEnded:
        """What is told of a child that ended unasked."""
        return CarriersEnded(status, under_way, wait, trouble)

    def replaced(self, pid: int) -> CarriersReady:
        """What is told when another one takes its work."""
        return CarriersReady(pid)

    def _flush(self) -> None:
        """Send what waits, as far as the link takes it."""
        self._flushing = False
        link = self._link
        if link is None:
            return
        if self._cancelled:
            link.send(Kind.CANCELLED, write_numbers(self._cancelled))
            self._cancelled.clear()
        while self._unsent and not link.is_full:
            batch = []
            octets = 0
            while self._unsent and octets < BATCH_OCTETS:
                number = self._unsent.popleft()
                asked = self._asked.get(number)
                if asked is None:  # cancelled before it left
                    continue
                asked.sent = True
                request = asked.request
                batch.append(write_request(number, request, self._rule_of(request.site)))
                octets += len(request.content or b"")
            if batch:
                link.send(Kind.REQUESTS, write_requests(batch))


def _for_all(request: DeliveryRequest, outcome: Outcome) -> dict[int, Outcome]:
    return {recipient.number: outcome for recipient in request.recipients}


def _nothing(_: str) -> None:
    """Nobody waits for the child."""
