"""What a returned mail tells: a bounce with its recipients, or a complaint."""

from postroom.mail.cause import Cause
from postroom.mail.dsn import Action
from postroom.mail.reply import Reply
from postroom.mail.value import value

MAX_RECIPIENTS = 500
"""Recipients that one bounce may name; whoever sends more is not reporting."""


@value(frozen=True, slots=True)
class ReturnedRecipient:
    """What became of one recipient, by somebody else's account.

    ``address`` is the one that was written to, as far as the report knows (Original-Recipient, RFC 3464 §2.3.1);
    ``final`` the one it became (RFC 3464 §2.3.2), often the same. ``reply`` is code, status and text of what stood in
    the way, made up from the rest where the report gives only some of it. ``host`` is who said so, ``""`` where nobody
    knows.
    """

    address: str
    final: str
    action: Action
    reply: Reply
    cause: Cause
    host: str = ""
    hard: bool = False
    """Another message to the address will fail likewise, as far as the report knows: given up, and not for something
    that passes (a status 4.yyy.zzz, or a rule that knows better)."""

    @property
    def permanent(self) -> bool:
        """The reporter has given up; else it is still trying, or has delivered."""
        return self.action is Action.FAILED


@value(frozen=True, slots=True)
class Bounce:
    """A report of what became of a message's recipients. Each text is ``""`` where the report does not say.

    ``message_id`` is that of the returned message, with angle brackets; ``envelope_id`` the ENVID that it was sent with
    (RFC 3461 §4.4); ``reporter`` the name of the reporting server. ``standard``: it had the form of RFC 3464, whose
    fields are not guesses.
    """

    recipients: tuple[ReturnedRecipient, ...]
    message_id: str = ""
    envelope_id: str = ""
    reporter: str = ""
    standard: bool = False


@value(frozen=True, slots=True)
class Complaint:
    """A feedback report (RFC 5965). ``kind`` is its Feedback-Type in small letters: ``abuse``, ``fraud``, ``virus``,
    ``not-spam``, ``opt-out``, ``auth-failure`` (RFC 6591), or another.

    ``recipients``: who complained, as far as it is told; many reports hide it. ``sender`` is the envelope sender,
    ``domains`` the reported domains, ``source`` the address that the message came from, ``message_id`` and
    ``envelope_id`` are the message's; each ``""`` where the report does not say.
    """

    kind: str
    recipients: tuple[str, ...] = ()
    sender: str = ""
    domains: tuple[str, ...] = ()
    source: str = ""
    message_id: str = ""
    envelope_id: str = ""

    @property
    def is_unwelcome(self) -> bool:
        """Somebody does not want such mail: the address is better not written to again.

        Not so where a machine reports that authentication failed (RFC 6591), or somebody that it was no spam.
        """
        return self.kind not in {"not-spam", "auth-failure", "dmarc", "virus"}
