"""Why a delivery did not succeed, in the words of people who send mail: the cause, and on whose side it lies."""

from enum import Enum


class Blame(Enum):
    """On whose side a cause lies."""

    RECIPIENT = "recipient"
    SENDER = "sender"
    """Whoever wrote the message."""
    US = "us"
    """This server: its settings, its addresses, its reputation."""
    THEM = "them"
    """The servers of the destination."""
    NETWORK = "network"


class Cause(Enum):
    """What stood in the way. Whether for good is the outcome's class: Deferred is soft, Failed is hard."""

    MAILBOX_UNKNOWN = "mailbox_unknown"
    DOMAIN_UNKNOWN = "domain_unknown"
    """There is no such domain, or it takes no mail."""
    MAILBOX_FULL = "mailbox_full"
    MAILBOX_DISABLED = "mailbox_disabled"
    """The mailbox exists, and takes nothing: suspended, inactive, moved."""
    POLICY = "policy"
    """A rule of theirs about who may send, such as relaying or a closed list."""
    REPUTATION = "reputation"
    """Our address or domain stands on a list, or has a bad name there."""
    AUTHENTICATION = "authentication"
    """SPF, DKIM, DMARC or reverse DNS are not as they want them; or our login failed."""
    RATE_LIMIT = "rate_limit"
    """Too much, too fast, or too many connections."""
    GREYLISTED = "greylisted"
    CONTENT = "content"
    """What the message says or carries: spam, a virus, a form that they do not take."""
    SIZE = "size"
    PROTOCOL = "protocol"
    """The servers did not understand each other, or lack an extension that the message needs."""
    TLS = "tls"
    DNS = "dns"
    CONNECTION = "connection"
    """Nobody answers, or the connection broke."""
    BUSY = "busy"
    """Their system is overloaded, full, or closing."""
    LOOP = "loop"
    LOCAL = "local"
    """A fault of this house."""
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    """Not tried: the address stands on the suppression list."""
    OTHER = "other"

    @property
    def blame(self) -> Blame:
        """On whose side it lies."""
        return _BLAME[self]

    @property
    def suppresses(self) -> bool:
        """Whether an address that failed for good for this cause is better not written to again.

        Never for what is about us or about the message: a block of ours says nothing about the address.
        """
        return self in _SUPPRESSING


_BLAME = {
    Cause.MAILBOX_UNKNOWN: Blame.RECIPIENT,
    Cause.DOMAIN_UNKNOWN: Blame.RECIPIENT,
    Cause.MAILBOX_FULL: Blame.RECIPIENT,
    Cause.MAILBOX_DISABLED: Blame.RECIPIENT,
    Cause.POLICY: Blame.SENDER,
    Cause.REPUTATION: Blame.US,
    Cause.AUTHENTICATION: Blame.US,
    Cause.RATE_LIMIT: Blame.US,
    Cause.GREYLISTED: Blame.THEM,
    Cause.CONTENT: Blame.SENDER,
    Cause.SIZE: Blame.SENDER,
    Cause.PROTOCOL: Blame.THEM,
    Cause.TLS: Blame.THEM,
    Cause.DNS: Blame.NETWORK,
    Cause.CONNECTION: Blame.NETWORK,
    Cause.BUSY: Blame.THEM,
    Cause.LOOP: Blame.THEM,
    Cause.LOCAL: Blame.US,
    Cause.EXPIRED: Blame.THEM,
    Cause.SUPPRESSED: Blame.RECIPIENT,
    Cause.OTHER: Blame.THEM,
}

_SUPPRESSING = frozenset({Cause.MAILBOX_UNKNOWN, Cause.DOMAIN_UNKNOWN, Cause.MAILBOX_DISABLED})
