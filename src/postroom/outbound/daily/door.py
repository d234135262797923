"""Hands a report's mail to the intake, the one door in; the queue does the rest."""

from collections.abc import Callable
from typing import Protocol

from postroom.clock import Clock
from postroom.mail.envelope import Envelope
from postroom.mail.message import Message, QueueId, show_queue_id
from postroom.queue.model import Draft


class Door(Protocol):
    """Where messages come in: the intake."""

    async def accept(self, draft: Draft) -> Message:
        """On return the message is safe. Raises StoreUnavailable."""
        ...


class ReportPost:
    """Where reports are posted. ``hostname`` stands in their Message-IDs."""

    def __init__(self, door: Door, next_id: Callable[[], QueueId], clock: Clock, hostname: str) -> None:
        self._door = door
        self._next_id = next_id
        self._clock = clock
        self._hostname = hostname

    async def send(
        self, envelope: Envelope, compose: Callable[[str, float], bytes], *, tags: tuple[str, ...] = ()
    ) -> QueueId:
        """Post what ``compose`` makes of a Message-ID and the time. Raises StoreUnavailable: then it is not sent."""
        queue_id, now = self._next_id(), self._clock.now()
        message_id = f"<{show_queue_id(queue_id)}@{self._hostname}>"
        content = compose(message_id, now)
        await self._door.accept(Draft(queue_id, now, envelope, content, len(content), message_id=message_id, tags=tags))
        return queue_id
