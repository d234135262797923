"""One transaction: turns well-formed questions into replies by asking policy, directory and intake (RFC 5321 §3.3)."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, assert_never

from postroom.clock import Clock
from postroom.config.model import SmtpSettings
from postroom.directory.model import Resolution, Resolved
from postroom.inbound import replies
from postroom.inbound.content import ContentSpool
from postroom.inbound.fitting import FittingSpool, stored
from postroom.inbound.heading import TOO_LONG, Edit, HeaderSpool, Spool, is_nobody, unchanged
from postroom.inbound.originator import Originator
from postroom.inbound.submitted import SubmittedSpool
from postroom.inbound.trace import Tracer
from postroom.mail.address import Address
from postroom.mail.envelope import Body, ByMode, DeliverBy, Envelope, Recipient
from postroom.mail.headers import Glance, glance
from postroom.mail.message import Message, QueueId, show_queue_id
from postroom.mail.reply import Reply
from postroom.mail.session import Client
from postroom.mail.tags import UNTAGGED, Tagger
from postroom.mail.value import value
from postroom.mailauth.content import Content
from postroom.policy.chain import Chain
from postroom.policy.stage import AtMail, AtMessage, AtRcpt
from postroom.policy.verdict import ACCEPT, Accept, Defer, Refuse, Verdict
from postroom.protocol.smtp.events import Mail
from postroom.queue.model import Draft
from postroom.queue.store import QueueStore
from postroom.report.events import MessageRefused, RecipientRefused, Report, SenderRefused
from postroom.report.reporter import Reporter

_LOOP = Refuse(
    Reply.of(554, "5.4.6", "The message goes in circles: too many Received fields"), "more hops than smtp.max_hops"
)
_LATE = Refuse(
    Reply.of(554, "5.4.7", "The time for delivery ran out while the message came in"), "BY was over before the content"
)


class Resolver(Protocol):
    """Knows who receives for an address: the directory."""

    def resolve(self, address: Address) -> Awaitable[Resolution]:
        """What the address leads to."""
        ...


class Door(Protocol):
    """Where messages come in: the intake."""

    async def accept(self, draft: Draft) -> Message:
        """On return the message is safe. Raises StoreUnavailable."""
        ...


@value(frozen=True, slots=True, kw_only=True)
class Rooms:
    """Whom the transactions of one role ask.

    ``originator`` is there for submission, where what a message lacks is added (RFC 6409 §8). ``may_hurry`` says
    whether a client's address may ask for a higher priority without a login (RFC 6710 §4.1), and whether tags of its
    messages count. ``tagger`` knows what rules of routing ask of a header. ``is_checked`` says whether a client's mail
    is checked, so that its header is kept as it came; ``without_forged`` takes out of that, and of submitted mail, what
    only we may say.
    """

    chain: Chain
    resolver: Resolver
    door: Door
    store: QueueStore
    next_id: Callable[[], QueueId]
    tracer: Tracer
    clock: Clock
    reporter: Reporter
    settings: SmtpSettings
    originator: Originator | None
    may_hurry: Callable[[str], bool]
    tagger: Tagger = UNTAGGED
    is_checked: Callable[[Client], bool] = is_nobody
    without_forged: Edit = unchanged


class Transaction:
    """From MAIL to the end of content. Any method may raise StoreUnavailable; the session answers that.

    ``tell`` gets the reports of what is refused.
    """

    __slots__ = (
        "_asked_at",
        "_client",
        "_fitting",
        "_heading",
        "_is_open",
        "_mail",
        "_priority",
        "_recipients",
        "_resolutions",
        "_rooms",
        "_spool",
        "_submitted",
        "_tell",
    )

    def __init__(self, rooms: Rooms, client: Client, mail: Mail, tell: Callable[[Report], None] | None = None) -> None:
        self._rooms = rooms
        self._tell = tell or rooms.reporter.tell
        self._client = client
        self._mail = mail
        self._recipients: list[Recipient] = []
        self._resolutions: list[Resolution] = []
        self._spool: Spool | None = None
        self._heading: HeaderSpool | None = None  # the same, where the header is looked at
        self._submitted: SubmittedSpool | None = None  # the same, where a message is submitted
        self._fitting: FittingSpool | None = None  # what stands in front of the store, where content is binary
        self._priority = mail.priority
        self._asked_at = 0.0  # when MAIL came, where it asks for something by time
        self._is_open = False  # until policy has been told of the end

    async def open(self) -> Reply:
        """Whether the sender may begin."""
        rooms, mail, client = self._rooms, self._mail, self._client
        verdict = await rooms.chain.on_mail(AtMail(client, mail.reverse_path, mail.size))
        if not isinstance(verdict, Accept):
            self._tell(SenderRefused(client, self._sender, verdict.reply, verdict.reason))
            return verdict.reply
        self._is_open = True
        if mail.deliver_by is not None or mail.hold_for is not None:
            self._asked_at = rooms.clock.now()
        if mail.priority > 0 and not client.account and not rooms.may_hurry(client.address):
            self._priority = 0  # RFC 6710 §4.1: whoever is not trusted may only go back
            return replies.PRIORITY_LOWERED
        return replies.SENDER_OK

    async def add(self, recipient: Recipient) -> Reply | None:
        """Whether the recipient is taken; None for yes. It is resolved once, and the answer kept for the intake."""
        rooms, mail = self._rooms, self._mail
        resolution = await rooms.resolver.resolve(recipient.address)
        moment = AtRcpt(self._client, mail.reverse_path, mail.size, recipient, resolution)
        verdict = await rooms.chain.on_rcpt(moment)
        if isinstance(verdict, Accept):
            self._recipients.append(recipient)
            self._resolutions.append(resolution)
            return None
        self._tell(RecipientRefused(self._client, self._sender, str(recipient.address), verdict.reply, verdict.reason))
        return verdict.reply

    def begin_content(self) -> None:
        """DATA or BDAT was accepted."""
        rooms = self._rooms
        if self._mail.body is Body.BINARY and _has_mailbox(self._resolutions):
            self._spool = self._fitting = FittingSpool(rooms.store, self._new_spool)
        else:
            self._spool = self._new_spool()
        if rooms.originator is not None:
            self._spool = self._heading = self._submitted = SubmittedSpool(self._spool, rooms.without_forged)
        elif rooms.is_checked(self._client):
            self._spool = self._heading = HeaderSpool(self._spool, rooms.without_forged)

    def _new_spool(self) -> ContentSpool:
        return ContentSpool(self._rooms.store, self._rooms.next_id)

    async def take(self, piece: bytes) -> None:
        """A piece of content; waits while the store is behind."""
        if self._spool is not None:
            await self._spool.add(piece)

    async def finish(self) -> Reply | Message:
        """The content is complete: the message, safe, or the reply that refuses it."""
        rooms, spool = self._rooms, self._spool
        assert spool is not None  # noqa: S101 - the engine asks in order
        now = rooms.clock.now()
        content = await spool.finish()
        seen = glance(spool.start)
        envelope = self._envelope(now)
        verdict, fields = await self._judge(envelope, spool, seen, content)
        match verdict:
            case Accept():
                pass
            case Refuse(reply, reason) | Defer(reply, reason):
                self.report_refusal(reply, reason)
                await self.abandon()
                return reply
            case _:
                assert_never(verdict)
        if self._fitting is not None:
            await self._fitting.release()
        queue_id, message_id = spool.queue_id, seen.message_id
        tags = self._tags(spool.start, seen)
        # RFC 8601 §4.1, appendix B.3: what was found out about the message stands above the Received of its host
        prefix = verdict.fields + rooms.tracer.received(self._client, queue_id, envelope, now)
        if rooms.originator is not None:
            added, message_id = rooms.tracer.completed(seen, spool.start, queue_id, now)
            prefix += added + fields
        message = await rooms.door.accept(
            Draft(
                queue_id,
                now,
                envelope,
                content,
                spool.size,
                b"" if content is not None else spool.start,
                prefix,
                tuple(self._resolutions),
                self._client.account,
                self._client,
                message_id,
                (*tags, *verdict.tags),
                verdict.hold,
                verdict.facts,
            )
        )
        self._spool = None  # its chunks are the message's now
        self._end(accepted=True)
        return message

    def _tags(self, start: bytes, seen: Glance) -> tuple[str, ...]:
        """What rules of routing are to know of the header."""
        rooms, client = self._rooms, self._client
        trusted = bool(client.account) or rooms.may_hurry(client.address)
        return rooms.tagger.tags_of(start, seen, trusted=trusted, require_tls=self._mail.require_tls)

    async def _judge(
        self, envelope: Envelope, spool: Spool, seen: Glance, content: bytes | None
    ) -> tuple[Verdict, bytes]:
        """Whether the message is taken, and the fields that its submission adds."""
        rooms, fields = self._rooms, b""
        if seen.received > rooms.settings.max_hops:
            return _LOOP, b""  # RFC 5321 §6.3
        by = envelope.deliver_by
        if by is not None and by.mode is ByMode.RETURN and by.seconds <= 0:
            return _LATE, b""
        if self._fitting is not None and self._fitting.trouble:
            return _unfit(self._fitting.trouble), b""
        if self._submitted is not None and rooms.originator is not None:
            settled = await rooms.originator.settle(self._submitted, self._client.account, envelope)
            if isinstance(settled, Refuse):
                return settled, b""
            fields = settled
        heading = self._heading
        if heading is not None and heading.is_too_long:
            return TOO_LONG, b""
        if not rooms.chain.reads_messages_of(self._client):
            return ACCEPT, fields
        moment = AtMessage(
            self._client,
            envelope,
            spool.size,
            spool.start,
            seen,
            spool.queue_id,
            b"" if heading is None else heading.original,
            self._as_it_came(spool, content),
        )
        return await rooms.chain.on_message(moment), fields

    def _as_it_came(self, spool: Spool, content: bytes | None) -> Content:
        """The content before anything was converted or taken out."""
        fitting, heading = self._fitting, self._heading
        if fitting is not None and fitting.received is not None:
            found = fitting.received
        else:
            found = stored(self._rooms.store, spool.queue_id, content)
        return found if heading is None else heading.as_it_came(found)

    def _envelope(self, now: float) -> Envelope:
        mail, by, hold_until = self._mail, self._mail.deliver_by, self._mail.hold_until
        if by is not None:  # RFC 2852 §4 counts from MAIL, an envelope from when the message is complete
            by = DeliverBy(by.remaining(self._asked_at, now), by.mode, by.trace)
        if mail.hold_for is not None:
            hold_until = self._asked_at + mail.hold_for
        return Envelope(
            mail.reverse_path,
            tuple(self._recipients),
            # RFC 3030 §3: what a mailbox is given has been made text of eight bits
            mail.body if self._fitting is None else Body.EIGHT_BIT,
            mail.smtputf8,
            mail.ret,
            mail.envid,
            by,
            hold_until,
            self._priority,
            mail.require_tls,
            "" if mail.hold_for is None else f"for;{mail.hold_for}",  # RFC 4865 §5.1.2
        )

    def report_refusal(self, reply: Reply, reason: str) -> None:
        """Tell that the content was refused."""
        size = 0 if self._spool is None else self._spool.size
        self._tell(MessageRefused(self._client, self._sender, len(self._recipients), size, reply, reason))

    async def abandon(self) -> None:
        """No message comes of it: what was stored of its content goes."""
        self._end(accepted=False)
        if self._spool is not None:
            spool, self._spool = self._spool, None
            await spool.drop()

    def _end(self, *, accepted: bool) -> None:
        """Tell policy, once."""
        if self._is_open:
            self._is_open = False
            self._rooms.chain.on_end(self._client, accepted=accepted)

    @property
    def _sender(self) -> str:
        path = self._mail.reverse_path
        return "" if path is None else str(path)


def _has_mailbox(resolutions: Iterable[Resolution]) -> bool:
    return any(isinstance(one, Resolved) and one.accounts for one in resolutions)


def _unfit(trouble: str) -> Refuse:
    # X.6.3, RFC 3463 §3.7: a conversion is needed and cannot be made
    return Refuse(Reply.of(554, "5.6.3", "The content is binary in a way that a mailbox cannot take"), trouble)


def accepted(message: Message) -> Reply:
    """The reply that makes the message ours."""
    return Reply.of(250, "2.0.0", f"queued as {show_queue_id(message.queue_id)}")
