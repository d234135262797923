"""Asks the carriers on behalf of the lines. A bug in a carrier is told, and loses no mail."""

import asyncio
import traceback
from collections.abc import Mapping

from postroom.mail.delivery import Deferred, DeliveryRequest, Outcome, QueuedRecipient, RouteKind
from postroom.mail.reply import Reply
from postroom.queue.carrier import Carrier, Promise
from postroom.report.events import InternalError
from postroom.report.reporter import Reporter

_OUR_FAULT = Reply.of(451, "4.3.0", "local trouble, tried again later")


class Carriage:
    """The carrier of each kind of route."""

    def __init__(self, carriers: Mapping[RouteKind, Carrier], reporter: Reporter) -> None:
        self._carriers = carriers
        self._reporter = reporter

    def deliver(self, request: DeliveryRequest) -> Promise:
        """One request under way. A carrier that works in this process has a task of its own for it."""
        try:
            work = self._carriers[request.site.kind].deliver(request)
        except Exception as error:  # noqa: BLE001 - ``outcomes`` tells it
            failed: Promise = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            return failed
        return work if isinstance(work, asyncio.Future) else asyncio.create_task(work)

    def outcomes(self, recipients: tuple[QueuedRecipient, ...], promise: Promise) -> Mapping[int, Outcome]:
        """An outcome for each recipient, now that the promise is kept, or broken."""
        error = promise.exception()
        outcomes: Mapping[int, Outcome] = promise.result() if error is None else {}
        for one in recipients:
            if one.number not in outcomes:
                return self._completed(recipients, outcomes, error)
        return outcomes

    def _completed(
        self, recipients: tuple[QueuedRecipient, ...], outcomes: Mapping[int, Outcome], error: BaseException | None
    ) -> Mapping[int, Outcome]:
        """Whom the carrier has forgotten is deferred."""
        trouble = "the carrier gave no outcome" if error is None else repr(error)
        if error is not None:
            self._complain(trouble, "".join(traceback.format_exception(error)))
        elif outcomes:
            self._complain(trouble, "")
        ours = Deferred(_OUR_FAULT, detail=trouble)
        return {one.number: outcomes.get(one.number, ours) for one in recipients}

    def _complain(self, error: str, trace: str) -> None:
        self._reporter.tell(InternalError("carrier", error, trace))
