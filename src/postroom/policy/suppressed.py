"""Refuses submitted mail to addresses on the suppression list, before the content is sent."""

from datetime import UTC, datetime

from postroom.clock import Clock
from postroom.directory.model import NotLocal
from postroom.mail.reply import Reply
from postroom.policy.stage import AtRcpt, Stage
from postroom.policy.verdict import ACCEPT, Refuse, Verdict
from postroom.reputation.listing import SuppressionList
from postroom.reputation.model import Origin, Suppression

_STATUS = {
    Origin.BOUNCE: "5.1.1",  # RFC 3463 §3.2: bad destination mailbox address
    Origin.COMPLAINT: "5.7.1",  # RFC 3463 §3.8: delivery not authorised
    Origin.MANUAL: "5.7.1",
}

_LONGEST_LINE = 498  # characters after code and status; a reply line has 512 octets (RFC 5321 §4.5.3.1.5)


def suppressed_stage(suppressions: SuppressionList, clock: Clock) -> Stage:
    """Refuses recipients elsewhere that stand on the list of the sender's domain, with cause, date and the remedy.

    Only what accounts submit: not what is forwarded, nor DSNs. While the list is empty it costs a look at a flag.
    """

    async def on_rcpt(moment: AtRcpt) -> Verdict:
        if suppressions.is_empty or moment.reverse_path is None or not moment.client.account:
            return ACCEPT
        if not isinstance(moment.resolution, NotLocal):
            return ACCEPT
        found = await suppressions.find(moment.reverse_path.domain, moment.recipient.address, clock.now())
        return ACCEPT if found is None else refusal_of(found)

    return Stage(name="suppressed", on_rcpt=on_rcpt)


def refusal_of(found: Suppression) -> Refuse:
    """What a submitter is told, on whatever way mail comes in."""
    # RFC 6531 §3.7.4.2: a reply may hold UTF-8 only where the client asked for it, so it names ASCII addresses
    address = str(found.recipient)
    named = address.isascii()
    since = _day(found.latest)
    what = {
        Origin.BOUNCE: f"bounced on {since} ({found.cause.replace('_', ' ')})",
        Origin.COMPLAINT: f"complained on {since} ({_plain(found.cause)})",
        Origin.MANUAL: f"was listed on {since}",
    }[found.origin]
    remedy = f"To lift that: postroom suppression remove --domain {found.sender_domain} {address if named else '...'}"
    lines = (
        f"{address if named else 'The address'} {what}",
        f"It stands on the suppression list of {found.sender_domain}",
        remedy if len(remedy) <= _LONGEST_LINE else "To lift that: postroom suppression remove",
    )
    reply = Reply(550, _STATUS[found.origin], lines)
    return Refuse(reply, f"{address} is suppressed for {found.sender_domain}: {found.cause}: {found.reason}")


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _plain(text: str) -> str:
    """What came from elsewhere, as far as it may stand in a reply."""
    return "".join(c for c in text if c.isascii() and c.isprintable())[:40]
