"""Who lives at the domains: the local part says what a host answers for an address, and so what becomes of it."""

from tests.world.model import RELAYED, End, Fate

CROWDED_FOR = 2.0
"""Seconds after the first attempt for which a crowded mailbox has no room."""

FATES = {
    "someone": RELAYED,
    "unknown": Fate(End.FAILED, "mailbox_unknown"),
    "full": Fate(End.FAILED, "mailbox_full"),
    "disabled": Fate(End.FAILED, "mailbox_disabled"),
    "censored": Fate(End.FAILED, "content"),
    "crowded": RELAYED,
}
"""By the kind of person; a local part is the kind, a dot and a number."""

SHARES = {"someone": 0.86, "unknown": 0.05, "full": 0.02, "disabled": 0.01, "censored": 0.02, "crowded": 0.04}

AT_RCPT = {
    "unknown": "550 5.1.1 <{address}>: there is nobody of that name here",
    "full": "552 5.2.2 <{address}>: the mailbox is full",
    "disabled": "550 5.2.1 <{address}>: this mailbox is disabled",
}
CROWDED = "452 4.2.2 <{address}>: over quota at the moment"
CENSORED = "554 5.6.0 message content rejected: it looks like spam"


def kind_of(address: str) -> str:
    """The kind of person."""
    return address.partition(".")[0]
