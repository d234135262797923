"""The mailbox's values."""

from postroom.mail.message import QueueId
from postroom.mail.value import value


@value(frozen=True, slots=True)
class NewEntry:
    """A message placed in an account's mailbox by an intake.

    ``prefix`` is the entry's own header (Return-Path, Delivered-To), whole CRLF lines that stand before the message's
    prefix.
    """

    account_id: int
    recipient: str
    prefix: bytes


@value(frozen=True, slots=True)
class MailboxEntry:
    """One stored message of one account. ``entry_id`` is unique for ever and never reused, so it is the UIDL.

    ``size`` is the octets of entry prefix, message prefix and content together, as they are handed out.
    """

    entry_id: int
    queue_id: QueueId
    size: int
    received_at: float
