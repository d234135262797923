"""What becomes an entry of the suppression list: hard failures for the address's own sake, and complaints. Pure."""

from postroom.config.road import SuppressionSettings
from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.mail.message import Message
from postroom.reputation.model import LONGEST_REASON, Origin, Suppression


def after_failure(
    settings: SuppressionSettings, message: Message, recipient: Address, cause: Cause, *, reason: str, now: float
) -> Suppression | None:
    """The event that a failure for good makes; None where it says nothing of the address, or nobody here sent it.

    Only what an account submitted counts: not what is forwarded, nor DSNs. A block of our own address, and whatever
    else is about us or about the message, suppresses nothing (``Cause.suppresses``).
    """
    sender = message.envelope.reverse_path
    if not settings.enabled or not message.account or sender is None or not cause.suppresses:
        return None
    return of_bounce(settings, sender.domain, recipient, cause, reason=reason, now=now, queue_id=message.queue_id)


def of_bounce(
    settings: SuppressionSettings,
    sender_domain: str,
    recipient: Address,
    cause: Cause,
    *,
    reason: str,
    now: float,
    queue_id: int,
) -> Suppression:
    """A hard bounce."""
    until = now + settings.bounce_expiry
    return Suppression(
        sender_domain, recipient, Origin.BOUNCE, cause.value, now, now, until, 1, reason[:LONGEST_REASON], queue_id
    )


def of_complaint(
    settings: SuppressionSettings, sender_domain: str, recipient: Address, kind: str, *, now: float, queue_id: int
) -> Suppression:
    """A complaint by a feedback loop."""
    until = now + settings.complaint_expiry
    reason = "the recipient complained"
    return Suppression(sender_domain, recipient, Origin.COMPLAINT, kind, now, now, until, 1, reason, queue_id)
