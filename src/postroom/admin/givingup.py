"""Gives up mail by an operator's wish: it has failed, or its time is up, and its sender is told as ever.

The command takes the recipients as a node of its own and settles them by the one door out, whether a server runs or
not.
"""

from dataclasses import dataclass

from postroom.clock import Clock
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Failed, Outcome, QueuedRecipient, RecipientState
from postroom.mail.reply import Reply
from postroom.queue.model import Lease, LeasedMessage, QueueFilter
from postroom.queue.settle import Attempt, Settler
from postroom.queue.store import QueueStore

_AT_ONCE = 200  # recipients that are taken from the queue at once
_LEASE = 300.0  # seconds; if the command is ended in between, the queue has them again then

BOUNCED = "given up by the administrator of this server"
"""What senders read where an operator gives no text of his own."""

_NEVER_TRIED = Reply.of(451, "4.4.7", "it was never tried")


@dataclass(frozen=True, slots=True)
class GivenUp:
    """How many recipients were given up, and how many were left because a server has them in hand just now."""

    count: int
    left: int


class GivingUp:
    """``settler`` must settle as ``node``."""

    def __init__(self, store: QueueStore, settler: Settler, node: str, clock: Clock, author: str) -> None:
        self._store = store
        self._settler = settler
        self._node = node
        self._clock = clock
        self._author = author

    async def bounce(self, which: QueueFilter, text: str = "") -> GivenUp:
        """They have failed; ``text`` is what their senders are told."""
        reply = Reply.of(550, "5.7.1", " ".join(text.split()) or BOUNCED)
        outcome = Failed(reply, cause=Cause.LOCAL, detail=f"bounced by {self._author}")
        return await self._give_up(which, outcome)

    async def expire(self, which: QueueFilter) -> GivenUp:
        """Their time is up."""
        return await self._give_up(which, None)

    async def _give_up(self, which: QueueFilter, outcome: Outcome | None) -> GivenUp:
        count = 0
        while claimed := await self._store.claim(which, Lease(self._node, self._clock.now() + _LEASE), _AT_ONCE):
            for leased in claimed:
                self._settle(leased, outcome)
                count += len(leased.recipients)
            await self._settler.finish()
        return GivenUp(count, await self._left(which))

    def _settle(self, leased: LeasedMessage, outcome: Outcome | None) -> None:
        outcomes = {one.number: outcome or self._expired(one) for one in leased.recipients}
        self._settler.record(
            Attempt(
                leased.message,
                leased.recipients,
                outcomes,
                None,
                0.0,
                _no_more,
                destination=leased.recipients[0].waits_under,
                gives_up=True,
            )
        )

    def _expired(self, one: QueuedRecipient) -> Deferred:
        return Deferred(
            one.last_reply or _NEVER_TRIED,
            one.last_peer,
            detail=f"expired by {self._author}",
            cause=Cause.EXPIRED,
            retry_at=self._clock.now(),
        )

    async def _left(self, which: QueueFilter) -> int:
        """Recipients that match and are leased, up to a page of them."""
        entries = await self._store.entries(which, limit=_AT_ONCE)
        leased = [one for entry in entries for one in entry.recipients if one.state is RecipientState.LEASED]
        return len(leased)


def _no_more(_due: float | None) -> None:
    """Nothing follows from it here."""
