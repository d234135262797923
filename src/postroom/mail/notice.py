"""What a delivery status notification tells, as values: of each recipient, and of the message as a whole."""

import re
from enum import Enum

from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.mail.delivery import NO_PEER, Peer
from postroom.mail.envelope import Recipient
from postroom.mail.message import Message, QueueId
from postroom.mail.reply import Reply
from postroom.mail.value import value

_MAX_REPLY_LINES = 20
_MAX_TEXT = 900  # octets of foreign text on one line; leaves room for a field's name
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class Action(Enum):
    """What became of a recipient (RFC 3464 §2.3.3), the gravest first."""

    FAILED = "failed"
    DELAYED = "delayed"
    EXPANDED = "expanded"
    RELAYED = "relayed"
    DELIVERED = "delivered"


@value(frozen=True, slots=True)
class RecipientReport:
    """What a DSN says of one recipient. Times are seconds since the Unix epoch; ``retry_until`` only where delayed.

    ``by_peer`` says that ``reply`` is what ``peer`` said and not our own finding. ``expired``: given up for its age.
    ``cause`` is why it did not succeed, OTHER where that is not known.
    """

    recipient: Recipient
    action: Action
    reply: Reply
    peer: Peer = NO_PEER
    by_peer: bool = False
    expired: bool = False
    last_attempt: float | None = None
    retry_until: float | None = None
    cause: Cause = Cause.OTHER


@value(frozen=True, slots=True)
class Notice:
    """Everything that one DSN tells. ``returned`` is the first part of prefix and content of ``message``, as much as is
    at hand; ``whole`` says that it is all. ``hostname`` reports, ``now`` is when (seconds since the Unix epoch).
    ``postmaster`` is told where the message has the null sender. ``language`` is the tag of the language of those whose
    messages say nothing of it.
    """

    queue_id: QueueId
    hostname: str
    now: float
    message: Message
    reports: tuple[RecipientReport, ...]
    returned: bytes = b""
    whole: bool = False
    postmaster: Address | None = None
    language: str = "en"


def gravest(reports: tuple[RecipientReport, ...]) -> Action:
    """The action that the subject speaks of."""
    present = {report.action for report in reports}
    return next(action for action in Action if action in present)


def reply_lines(reply: Reply) -> list[str]:
    """The reply as it stands on the wire, each line cleaned and cut, at most a screenful."""
    last = len(reply.lines) - 1
    status = f"{reply.status} " if reply.status else ""
    lines = [
        f"{reply.code}{' ' if index == last else '-'}{status}{clean(line)}".rstrip()
        for index, line in enumerate(reply.lines[:_MAX_REPLY_LINES])
    ]
    if last >= _MAX_REPLY_LINES:
        lines.append(f"{reply.code} {status}({last + 1 - _MAX_REPLY_LINES} more lines)")
    return lines


def clean(text: str) -> str:
    """Foreign text on one line: control characters and line ends are blanks, what is too long is cut."""
    text = _CONTROL.sub(" ", text)
    if len(text) * 4 <= _MAX_TEXT:
        return text
    octets = text.encode()
    return text if len(octets) <= _MAX_TEXT else octets[:_MAX_TEXT].decode("utf-8", "ignore") + " ..."
