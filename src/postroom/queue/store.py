"""The port to the stored queue.

Every write takes a batch; batches of all callers are committed together (DESIGN §5).
"""

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Protocol

from postroom.mail.address import Address
from postroom.mail.message import QueueId
from postroom.queue.model import (
    ContentChunk,
    Intake,
    Lease,
    LeaseAnswer,
    LeasedMessage,
    LeaseQuestion,
    Orders,
    Pause,
    PauseKind,
    QueueAction,
    QueueCounts,
    QueueEntry,
    QueueFilter,
    Settlement,
)


class QueueStore(Protocol):
    """Every method may raise ``StoreUnavailable`` (mail.trouble); a write then changed nothing."""

    def take_in(self, intakes: Sequence[Intake]) -> Awaitable[None]:
        """Once it is done, each message is on disk, fsynced."""
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

    async def recover(self, node: str, now: float, began: float | None = None) -> int:
        """At start: what this node had leased when it died is due again, marked as a lost lease.

        Chunks without intake are swept, but not those of messages since ``began``, which may be under way.
        Returns how many recipients were recovered.
        """
        ...

    async def entries(self, which: QueueFilter, *, limit: int, after: QueueId | None = None) -> Sequence[QueueEntry]:
        """Messages in order of queue id that have a recipient that matches, with all of their recipients."""
        ...

    async def act(self, action: QueueAction, which: QueueFilter, now: float, to: Address | None = None) -> int:
        """Apply the action; returns how many recipients it met. ``to`` is the new address for REDIRECT.

        Whoever is redirected waits under the new address's domain, due at once, as if never attempted; the address
        that the sender gave is kept as ORCPT.

        RETRY and RELEASE let what its sender holds back go before its time only where the message is named by its
        queue id. Leased ones are not touched by RETRY, REDIRECT and RESUME; HOLD and REMOVE win over a running
        attempt's later Deferred, but not over its Delivered. What a server has in hand without attempting it yet is
        recalled (``orders``).
        """
        ...

    async def claim(self, which: QueueFilter, lease: Lease, limit: int) -> Sequence[LeasedMessage]:
        """Lease recipients that match, due or not, held or not, unless they are leased already."""
        ...

    async def orders(self, known: int) -> Orders | None:
        """What operators want of a running server; None where nothing has changed since generation ``known``."""
        ...

    async def pause(self, pause: Pause) -> None:
        """Stop mail; what was said of the same subject before is replaced."""
        ...

    async def resume(self, kind: PauseKind, subject: str) -> bool:
        """End a pause; False where there was none. Mail that it put off goes on with the action RESUME."""
        ...

    async def flush(self) -> None:
        """Tell running servers to forget what does not work and what is to rest."""
        ...

    async def counts(self) -> QueueCounts:
        """How full the queue is."""
        ...
