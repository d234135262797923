"""Enhanced status codes (RFC 3463): the words we use, and what they mean."""

import re
from collections.abc import Mapping
from types import MappingProxyType

# The subject and detail of a status; class 2, 4 or 5 stands before it: f"5.{BAD_MAILBOX}" is "5.1.1".
OTHER = "0.0"
OTHER_ADDRESS = "1.0"
BAD_MAILBOX = "1.1"
BAD_SYSTEM = "1.2"
BAD_ADDRESS_SYNTAX = "1.3"
VALID = "1.5"
MAILBOX_MOVED = "1.6"
BAD_SENDER_SYNTAX = "1.7"
BAD_SENDER_SYSTEM = "1.8"
NULL_MX = "1.10"  # RFC 7505 §4.2
OTHER_MAILBOX = "2.0"
MAILBOX_DISABLED = "2.1"
MAILBOX_FULL = "2.2"
MESSAGE_TOO_LONG_FOR_MAILBOX = "2.3"
LIST_TROUBLE = "2.4"
OTHER_SYSTEM = "3.0"
SYSTEM_FULL = "3.1"
NOT_ACCEPTING = "3.2"
NOT_CAPABLE = "3.3"
MESSAGE_TOO_BIG = "3.4"
PRIORITY_CHANGED = "3.6"  # RFC 6710 §4.1
OTHER_NETWORK = "4.0"
NO_ANSWER = "4.1"
BAD_CONNECTION = "4.2"
DIRECTORY_FAILURE = "4.3"
NO_ROUTE = "4.4"
CONGESTION = "4.5"
LOOP = "4.6"
EXPIRED = "4.7"
OTHER_PROTOCOL = "5.0"
BAD_COMMAND = "5.1"
BAD_SYNTAX = "5.2"
TOO_MANY_RECIPIENTS = "5.3"
BAD_ARGUMENTS = "5.4"
OTHER_CONTENT = "6.0"
CONVERSION_NEEDED = "6.3"
UTF8_NOT_SUPPORTED = "6.7"  # RFC 6531 §3.5
OTHER_POLICY = "7.0"
NOT_AUTHORISED = "7.1"
SECURITY_FEATURES_MISSING = "7.4"
CRYPTOGRAPHIC_FAILURE = "7.5"
BAD_CREDENTIALS = "7.8"  # RFC 4954 §6
ENCRYPTION_REQUIRED = "7.10"  # RFC 8689 §4.2.1
PRIORITY_TOO_LOW = "7.15"  # RFC 6710 §4.1
RELEASE_QUOTA = "7.16"  # RFC 4865 §6
REVERSE_DNS_FAILED = "7.25"  # RFC 7372 §3.3
REQUIRETLS_MISSING = "7.30"  # RFC 8689 §4.2.1

_TEXTS = {
    OTHER: "no further explanation was given",
    OTHER_ADDRESS: "there is a problem with the address",
    BAD_MAILBOX: "there is no such mailbox",
    BAD_SYSTEM: "there is no such destination",
    BAD_ADDRESS_SYNTAX: "the address is malformed",
    VALID: "the address is valid",
    MAILBOX_MOVED: "the mailbox has moved, and no new address is known",
    BAD_SENDER_SYNTAX: "the sender's address is malformed",
    BAD_SENDER_SYSTEM: "the sender's domain does not exist or does not take mail",
    NULL_MX: "the domain takes no mail at all",
    OTHER_MAILBOX: "there is a problem with the mailbox",
    MAILBOX_DISABLED: "the mailbox takes no mail at present",
    MAILBOX_FULL: "the mailbox is full",
    MESSAGE_TOO_LONG_FOR_MAILBOX: "the message is larger than the mailbox takes",
    LIST_TROUBLE: "the list or alias could not be expanded",
    OTHER_SYSTEM: "there is a problem with the mail system",
    SYSTEM_FULL: "the mail system has no space left",
    NOT_ACCEPTING: "the mail system accepts no mail at present",
    NOT_CAPABLE: "the mail system lacks a feature that the message needs",
    MESSAGE_TOO_BIG: "the message is too big",
    PRIORITY_CHANGED: "the priority of the message was changed",
    OTHER_NETWORK: "there is a problem with the network",
    NO_ANSWER: "the destination does not answer",
    BAD_CONNECTION: "the connection broke",
    DIRECTORY_FAILURE: "a lookup that delivery needs failed",
    NO_ROUTE: "there is no way to the destination",
    CONGESTION: "the mail system is overloaded",
    LOOP: "the message goes in circles",
    EXPIRED: "the time for delivery has run out",
    OTHER_PROTOCOL: "the mail systems did not understand each other",
    BAD_COMMAND: "a command was not understood",
    BAD_SYNTAX: "a command was malformed",
    TOO_MANY_RECIPIENTS: "the message has too many recipients",
    BAD_ARGUMENTS: "a command had a wrong argument",
    OTHER_CONTENT: "there is a problem with the content of the message",
    CONVERSION_NEEDED: "the content needs a conversion that cannot be made",
    UTF8_NOT_SUPPORTED: "the destination does not take international addresses",
    OTHER_POLICY: "the mail was refused by policy",
    NOT_AUTHORISED: "the sender may not send there",
    SECURITY_FEATURES_MISSING: "a security feature that is required is missing",
    CRYPTOGRAPHIC_FAILURE: "an encryption or signature check failed",
    BAD_CREDENTIALS: "the credentials were not accepted",
    ENCRYPTION_REQUIRED: "encryption is required",
    PRIORITY_TOO_LOW: "the priority of the message is too low at present",
    RELEASE_QUOTA: "too many messages wait for their release already",
    REVERSE_DNS_FAILED: "the reverse DNS check failed",
    REQUIRETLS_MISSING: "the way to the recipient is not secured as the sender requires",
}

TEXTS_OF_STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "0": _TEXTS[OTHER],
        "1": _TEXTS[OTHER_ADDRESS],
        "2": _TEXTS[OTHER_MAILBOX],
        "3": _TEXTS[OTHER_SYSTEM],
        "4": _TEXTS[OTHER_NETWORK],
        "5": _TEXTS[OTHER_PROTOCOL],
        "6": _TEXTS[OTHER_CONTENT],
        "7": _TEXTS[OTHER_POLICY],
        **_TEXTS,
    }
)
"""By subject and detail, and by subject alone for details that have no text of their own."""

_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}", re.ASCII)  # RFC 3463 §2


def is_status(text: str) -> bool:
    """Whether ``text`` is an enhanced status code."""
    return _STATUS.fullmatch(text) is not None


def explain(status: str) -> str:
    """What the status says, as half a sentence for people; works for any status, also an unknown one."""
    return by_status(TEXTS_OF_STATUSES, status)


def by_status(texts: Mapping[str, str], status: str) -> str:
    """The text for a status: for its subject and detail, else for its subject, else for ``0``."""
    detail = status[2:]
    return texts.get(detail) or texts.get(detail.partition(".")[0]) or texts["0"]


def status_or(status: str, code: int) -> str:
    """The status if it is one, else ``X.0.0`` of the reply code's class (RFC 3461 §6.3 g)."""
    if is_status(status):
        return status
    kind = code // 100
    return f"{kind if kind in (2, 4, 5) else 5}.{OTHER}"
