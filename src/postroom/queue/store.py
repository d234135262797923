"""The port to the stored queue.

Every write takes a batch; batches of all callers are committed together (DESIGN §5).
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from postroom.mail.message import QueueId
from postroom.queue.model import (
    ContentChunk,
    Intake,
    Lease,
    LeaseAnswer,
    LeaseQuestion,
    QueueAction,
    QueueCounts,
    QueueEntry,
    QueueFilter,
    Settlement,
)


class QueueStore(Protocol):
    """Every method may raise ``StoreUnavailable`` (mail.trouble); a write then changed nothing."""

    async def take_in(self, intakes: Sequence[Intake]) -> None:
        """On return each message is on disk, fsynced."""
        ...

    async def write_chunks(self, chunks: Sequence[ContentChunk]) -> None:
        """Store pieces of content before their intake."""
        ...

    def read_chunks(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        """The chunks that were written for an intake that has not come yet, in order; nothing where there are none."""
        ...

    async def drop_chunks(self, queue_ids: Sequence[QueueId]) -> None:
        """The intake will not come."""
        ...

    def read_content(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        """The content (without prefix) in pieces of bounded size. KeyError if it is gone."""
        ...

    async def lease(self, question: LeaseQuestion) -> LeaseAnswer:
        """Lease what is due: in the order of ``urgency.rank``, oldest first at each priority."""
        ...

    async def renew(self, queue_ids: Sequence[QueueId], lease: Lease) -> None:
        """Prolong the leases that the node holds on these messages."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Record what became of attempts."""
        ...

    async def recover(self, node: str, now: float) -> int:
        """At start: what this node had leased when it died is due again, marked as a lost lease.

        Chunks without intake are swept. Returns how many recipients were recovered.
        """
        ...

    async def entries(self, which: QueueFilter, *, limit: int, after: QueueId | None = None) -> Sequence[QueueEntry]:
        """Messages in order of queue id that have a recipient that matches, with all of their recipients."""
        ...

    async def act(self, action: QueueAction, which: QueueFilter, now: float) -> int:
        """Apply the action; returns how many recipients it met.

        RETRY and RELEASE let what its sender holds back go before its time only where the message is named by its
        queue id. Leased ones are not touched by RETRY; HOLD and REMOVE win over a running attempt's later Deferred, but
        not over its Delivered.
        """
        ...

    async def counts(self) -> QueueCounts:
        """How full the queue is."""
        ...
