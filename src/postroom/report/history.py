"""History rows: the life of a message as the store keeps it, and the port to them."""

from collections.abc import Sequence
from typing import Protocol

from postroom.mail.value import value


@value(frozen=True, slots=True)
class HistoryRow:
    """One thing that happened to one message.

    Of what comes back, ``bounced``, ``delayed`` and ``complained`` are on the message that it is about.

    ``kind`` is one of accepted, placed, relayed, deferred, failed, expired, removed, held, released, retried,
    redirected, put_off (not tried, for a shaper or a pause: the first time of a run), recovered, dsn; ``recipient`` the
    address it concerns or ``""``; ``domain`` the recipient's (or for accepted the sender's) domain; ``message_id``
    stands on accepted rows; ``detail`` is a JSON object with the further facts of that kind.
    """

    queue_id: int
    at: float
    kind: str
    recipient: str = ""
    domain: str = ""
    message_id: str = ""
    detail: str = "{}"


@value(frozen=True, slots=True)
class Tally:
    """How often a kind of thing happened for a domain since some time."""

    kind: str
    domain: str
    count: int


@value(frozen=True, slots=True)
class OutcomeTally:
    """How often attempts and what came back ended so, by who sent and who was to receive.

    ``cause`` is a ``mail.cause.Cause`` or ``""``; ``sender_domain`` ``""`` for the null sender, or where the history
    does not reach back to the intake.
    """

    kind: str
    cause: str
    sender_domain: str
    recipient_domain: str
    count: int


OUTCOMES = ("relayed", "deferred", "failed", "expired", "bounced", "delayed", "complained")
"""The kinds that outcome tallies count."""


class HistoryStore(Protocol):
    """Reading history; rows are written with the intake, the settlement or the action that they tell of."""

    async def of_message(self, queue_id: int) -> Sequence[HistoryRow]:
        """The rows of one message, oldest first."""
        ...

    async def find(self, text: str, limit: int) -> Sequence[int]:
        """Queue ids of messages whose Message-ID or one of whose recipients is ``text``, newest first."""
        ...

    async def tallies(self, since: float) -> Sequence[Tally]:
        """Counts by kind and domain since ``since`` (seconds since the Unix epoch)."""
        ...

    async def outcomes(self, since: float) -> Sequence[OutcomeTally]:
        """Counts of ``OUTCOMES`` since ``since`` (seconds since the Unix epoch), by cause and both domains."""
        ...

    async def expire(self, before: float) -> int:
        """Forget rows older than ``before``; returns how many."""
        ...
