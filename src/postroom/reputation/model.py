"""The values of the suppression list: who is better not written to again by which domain, since when, and why."""

from enum import Enum

from postroom.mail.address import Address
from postroom.mail.value import value

LONGEST_REASON = 400
"""Characters that are kept of what a peer or an operator says."""

FOREVER = 253_402_300_799.0
"""The last second of the year 9999: an operator's entry without an end."""


class Origin(Enum):
    """Where an entry comes from; the later ones weigh more and are not replaced by the earlier."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    MANUAL = "manual"


@value(frozen=True, slots=True)
class Suppression:
    """One address on the list of one sending domain. Its key is the two of them (``Address.key``).

    ``cause`` is a ``mail.cause.Cause`` for a bounce, the Feedback-Type for a complaint (RFC 5965 §3.1), ``manual``
    else. ``since`` is when the first of ``count`` events was, ``latest`` the last, ``until`` when it ends, in seconds
    since the Unix epoch. ``reason`` is what was said, ``queue_id`` the message that it was about (0: none).
    """

    sender_domain: str
    recipient: Address
    origin: Origin
    cause: str
    since: float
    latest: float
    until: float
    count: int = 1
    reason: str = ""
    queue_id: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """What it is found by."""
        return self.sender_domain, self.recipient.key

    def stands(self, bounces: int, now: float) -> bool:
        """Whether mail is refused for it at ``now``, where so many hard bounces are asked for."""
        return self.until > now and (self.origin is not Origin.BOUNCE or self.count >= bounces)


@value(frozen=True, slots=True)
class SuppressionFilter:
    """Which entries; every given condition must hold. ``recipient`` is an address's key, ``holds_at`` leaves out what
    has ended by then.
    """

    sender_domain: str = ""
    recipient: str = ""
    recipient_domain: str = ""
    cause: str = ""
    origin: Origin | None = None
    holds_at: float | None = None


def joined(old: Suppression | None, new: Suppression) -> Suppression:
    """What stands after ``new`` happened where ``old`` stood: an old one that has ended counts no more."""
    if old is None or old.until <= new.latest:
        return new
    lasting = old if _WEIGHT[old.origin] > _WEIGHT[new.origin] else new
    return Suppression(
        new.sender_domain,
        new.recipient,
        lasting.origin,
        lasting.cause,
        old.since,
        new.latest,
        max(old.until, new.until),
        old.count + new.count,
        lasting.reason,
        lasting.queue_id,
    )


_WEIGHT = {origin: weight for weight, origin in enumerate(Origin)}
