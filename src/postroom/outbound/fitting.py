"""Fits a message to what a host announced: who can go there, with which parameters, and in which form.

What a host lacks is made up for where nothing is lost by it; else the recipients fail with the status that says what is
missing, before anything is sent. A message that asks for nothing special costs a few comparisons.
"""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

from postroom.mail.delivery import Outcome, Peer, QueuedRecipient
from postroom.mail.downgrade.edits import Edit, HeaderNotAscii, Unconvertible
from postroom.mail.downgrade.survey import Survey
from postroom.mail.envelope import Body, ByMode, DeliverBy
from postroom.mail.trouble import StoreUnavailable
from postroom.mail.value import value
from postroom.outbound import trouble
from postroom.outbound.job import Job, check_size, pieces_of
from postroom.protocol.smtp.announced import Announced
from postroom.protocol.smtp.commands import SayMail
from postroom.protocol.smtp.content import is_strict

AT_ONCE = 64 * 1024
"""Octets of content that leave before it is known whether anybody is there to take them."""


@value(frozen=True, slots=True)
class Host:
    """The other side as far as a message has to fit: what it announced, and whether it delivers by LMTP.

    ``is_plain``: it sets no limits to recipients. ``knows_us``: we have logged in there.
    """

    peer: Peer
    announced: Announced
    is_lmtp: bool
    is_plain: bool
    knows_us: bool

    @classmethod
    def of(cls, peer: Peer, announced: Announced, *, is_lmtp: bool, knows_us: bool = False) -> "Host":
        """The host that announced this."""
        limited = announced.rcpt_max or announced.rcpt_domain_max
        return cls(peer, announced, is_lmtp, is_plain=not limited, knows_us=knows_us)


@value(frozen=True, slots=True)
class Fit:
    """How a message goes to a host; made for every message.

    ``edits`` change the content on the way, ``chunks`` says that it goes by BDAT, ``keeps_time`` that the host is told
    by when to deliver (RFC 2852 §4.1.4), ``note`` what was done that nobody asked for.
    """

    recipients: Sequence[QueuedRecipient]
    mail: SayMail
    edits: tuple[Edit, ...] = ()
    chunks: bool = False
    keeps_time: bool = False
    note: str = ""


@value(frozen=True, slots=True)
class _Form:
    """The form in which the content goes."""

    body: Body
    edits: tuple[Edit, ...] = ()
    note: str = ""


class _Unfit(Exception):
    """Nobody can go there; the outcome of all."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(outcome.reply))
        self.outcome = outcome


def fit_at_once(job: Job, host: Host) -> Fit | None:
    """How the message goes there in the usual case, in which there is nothing to look at; None in all others."""
    announced, message = host.announced, job.message
    if not host.is_plain or message.envelope.deliver_by is not None or 0 < announced.max_size < message.size:
        return None
    if not announced.smtputf8 and _needs_smtputf8(job):
        return None
    body = _as_it_is(job, announced)
    return None if body is None else _make(job, host, job.recipients, _Form(body), None)


def goes_at_once(job: Job, fitted: Fit) -> bool:
    """Whether content and commands may leave together: at hand, as it is, and no great loss if it is not taken.

    What DATA would refuse to send (RFC 5321 §2.3.8) is left to DATA.
    """
    content = job.content
    if content is None or len(content) > AT_ONCE or fitted.edits:
        return False
    return fitted.chunks or (is_strict(job.message.prefix) and is_strict(content))


async def fit(job: Job, host: Host, now: float, outcomes: dict[int, Outcome]) -> Fit | None:
    """How the message goes there at ``now``, None if it does not. Those who cannot go get their outcome."""
    outcome: Outcome
    try:
        return await _fit(job, host, now, outcomes)
    except _Unfit as unfit:
        outcome = unfit.outcome
    except StoreUnavailable as error:
        outcome = trouble.content_unreadable(error)
    except HeaderNotAscii as error:
        found = trouble.header_needs_smtputf8 if job.message.envelope.smtputf8 else trouble.not_convertible
        outcome = found(host.peer, str(error))
    except Unconvertible as error:
        outcome = trouble.not_convertible(host.peer, str(error))
    _settle(job.recipients, outcomes, outcome)
    return None


async def _fit(job: Job, host: Host, now: float, outcomes: dict[int, Outcome]) -> Fit | None:
    announced, message = host.announced, job.message
    if 0 < announced.max_size < message.size:  # RFC 1870 §6.1
        raise _Unfit(trouble.too_big(message.size, announced.max_size, host.peer))
    if message.envelope.deliver_by is not None:
        _check_time(job, message.envelope.deliver_by, host, now)
    recipients: Sequence[QueuedRecipient] = job.recipients
    if not announced.smtputf8:
        recipients = await _screen(job, host, outcomes)
    if announced.rcpt_max or announced.rcpt_domain_max:
        recipients = _first_of(recipients, host, outcomes)
    if not recipients:
        return None
    body = _as_it_is(job, announced)
    form = await _convert(job, host) if body is None else _Form(body)
    return _make_timed(job, host, recipients, form, now)


def _make(
    job: Job, host: Host, recipients: Sequence[QueuedRecipient], form: _Form, deliver_by: DeliverBy | None
) -> Fit:
    message = job.message
    envelope = message.envelope
    smtputf8 = envelope.smtputf8
    if host.announced.smtputf8 and not smtputf8:
        smtputf8 = any(recipient.recipient.address.needs_smtputf8 for recipient in recipients)
    mail = SayMail(
        job.reverse_path,
        None if form.edits else message.size,  # nobody knows the size before the conversion, and SIZE may be left out
        form.body,
        smtputf8,
        envelope.ret,
        envelope.envid,
        deliver_by,
        envelope.priority,
        job.secured,
        # RFC 4954 §5: a login here says nothing of who wrote the message, as far as others may rely on it
        no_submitter=host.knows_us,
    )
    note = f"{job.note}; {form.note}" if job.note and form.note else job.note or form.note
    return Fit(recipients, mail, form.edits, form.body is Body.BINARY, note=note)


def _make_timed(job: Job, host: Host, recipients: Sequence[QueuedRecipient], form: _Form, now: float) -> Fit:
    """The same with the time that is left."""
    message, announced = job.message, host.announced
    deliver_by = message.envelope.deliver_by
    if deliver_by is None:
        return _make(job, host, recipients, form, None)
    left = deliver_by.remaining(message.received_at, now)
    keeps_time = announced.min_deliver_by is not None
    if not keeps_time and left > 0 and announced.dsn:
        recipients = tuple(_notify_without_deadline(recipient) for recipient in recipients)
    fitted = _make(job, host, recipients, form, replace(deliver_by, seconds=left))
    return replace(fitted, keeps_time=keeps_time)


def _settle(recipients: Sequence[QueuedRecipient], outcomes: dict[int, Outcome], outcome: Outcome) -> None:
    for recipient in recipients:
        outcomes[recipient.number] = outcome


# The time by which a message must be delivered.


def _check_time(job: Job, deliver_by: DeliverBy, host: Host, now: float) -> None:
    """_Unfit if the message must be delivered in time and cannot be relayed there (RFC 2852 §4.1.4.1).

    LMTP is the delivery itself, not relaying.
    """
    if deliver_by.mode is not ByMode.RETURN:
        return
    left = deliver_by.remaining(job.message.received_at, now)
    if left <= 0:
        raise _Unfit(trouble.out_of_time(host.peer))
    least = host.announced.min_deliver_by
    if least is None and not host.is_lmtp:
        raise _Unfit(trouble.takes_no_deadline(host.peer))
    if least is not None and left < least:
        raise _Unfit(trouble.deadline_too_soon(left, least, host.peer))


def _notify_without_deadline(queued: QueuedRecipient) -> QueuedRecipient:
    """RFC 2852 §4.1.4.2: the host knows DSN and not DELIVERBY, so that at least a delay is told."""
    recipient = queued.recipient
    return replace(queued, recipient=replace(recipient, notify=recipient.notify_without_deadline))


# Limits.


def _first_of(
    recipients: Sequence[QueuedRecipient], host: Host, outcomes: dict[int, Outcome]
) -> Sequence[QueuedRecipient]:
    """As many as one transaction takes (RFC 9422 §4); the others are too many for now."""
    announced = host.announced
    most = announced.rcpt_max or len(recipients)
    most_domains = announced.rcpt_domain_max or len(recipients)
    taken: list[QueuedRecipient] = []
    domains: set[str] = set()
    for recipient in recipients:
        domain = recipient.recipient.address.domain
        if len(taken) < most and (domain in domains or len(domains) < most_domains):
            taken.append(recipient)
            domains.add(domain)
        else:
            outcomes[recipient.number] = trouble.beyond_limits(host.peer)
    return taken


# Internationalised mail.


def _needs_smtputf8(job: Job) -> bool:
    """Whether the message came with SMTPUTF8, or an address of it cannot be written in ASCII."""
    for recipient in job.recipients:
        if not recipient.recipient.address.local.isascii():
            return True
    reverse_path = job.reverse_path
    return job.message.envelope.smtputf8 or not (reverse_path is None or reverse_path.local.isascii())


async def _screen(job: Job, host: Host, outcomes: dict[int, Outcome]) -> Sequence[QueuedRecipient]:
    """Those whom a host without SMTPUTF8 can take (RFC 6531 §3.5).

    _Unfit if it cannot take the sender, HeaderNotAscii if it cannot take the header.
    """
    envelope = job.message.envelope
    reverse_path = job.reverse_path
    if reverse_path is not None and reverse_path.needs_smtputf8:
        raise _Unfit(trouble.address_needs_smtputf8(host.peer))
    if envelope.smtputf8:
        await _check_header(job)
    unfit = [recipient for recipient in job.recipients if recipient.recipient.address.needs_smtputf8]
    if not unfit:
        return job.recipients
    _settle(unfit, outcomes, trouble.address_needs_smtputf8(host.peer))
    return [recipient for recipient in job.recipients if not recipient.recipient.address.needs_smtputf8]


async def _check_header(job: Job) -> None:
    """HeaderNotAscii if the message, or a part of it, has a header in UTF-8 (RFC 6532 §3.2)."""
    if job.content is not None and job.content.isascii() and job.message.prefix.isascii():
        return
    try:
        await _survey(job, Body.EIGHT_BIT, ascii_header=True)
    except HeaderNotAscii:
        raise
    except Unconvertible:  # it need not be converted
        if not await _starts_ascii(job):
            raise HeaderNotAscii("a header field is not in ASCII") from None


async def _starts_ascii(job: Job) -> bool:
    """Whether the header of the message is in ASCII. A header beyond the first piece counts as far as it is there."""
    async with aclosing(pieces_of(job)) as pieces:
        start = await anext(pieces, b"")
    end = start.find(b"\r\n\r\n")
    return (start if end < 0 else start[:end]).isascii()


# The content.


def _as_it_is(job: Job, announced: Announced) -> Body | None:
    """What a content is declared as that need not be changed, None if it is to be looked at."""
    body = job.message.envelope.body
    if body is Body.BINARY:
        return body if announced.binary else None
    at_hand = job.content
    if announced.eight_bit:
        # RFC 6152 §3: also where the client did not say so
        return Body.EIGHT_BIT if at_hand is not None and not at_hand.isascii() else body
    if body is Body.SEVEN_BIT:
        # Whoever says that it is 7-bit is taken at the word; if it is not, it goes on as it came.
        return body
    return Body.SEVEN_BIT if at_hand is not None and at_hand.isascii() else None


async def _convert(job: Job, host: Host) -> _Form:
    """The content for a host that cannot take it as it is (RFC 6152 §3, RFC 3030 §3). Raises Unconvertible."""
    envelope, announced = job.message.envelope, host.announced
    target = Body.EIGHT_BIT if announced.eight_bit else Body.SEVEN_BIT
    ascii_header = target is Body.SEVEN_BIT or (envelope.smtputf8 and not announced.smtputf8)
    edits = await _survey(job, target, ascii_header=ascii_header)
    if not edits:
        return _Form(target)
    lacking = "BINARYMIME" if envelope.body is Body.BINARY else "8BITMIME"
    words = "8bit" if target is Body.EIGHT_BIT else "7bit"
    # RFC 6376 §5.3: a signature does not outlive that. It is told, not mended: docs/adr/0020
    broken = ", which breaks our signature" if b"DKIM-Signature:" in job.message.prefix else ""
    return _Form(target, edits, f"converted to {words}: the peer lacks {lacking}{broken}")


async def _survey(job: Job, target: Body, *, ascii_header: bool) -> tuple[Edit, ...]:
    if ascii_header and not job.message.prefix.isascii():
        raise HeaderNotAscii("a header field of ours is not in ASCII")
    survey = Survey(target, ascii_header=ascii_header)
    size = 0
    async with aclosing(pieces_of(job)) as pieces:
        async for piece in pieces:
            size += len(piece)
            survey.feed(piece)
    check_size(size, job.message)
    return survey.end()
