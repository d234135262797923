"""One transaction: turns well-formed questions into replies by asking policy, directory and intake (RFC 5321 §3.3)."""

from collections.abc import Callable
from typing import Protocol, assert_never

from postroom.clock import Clock
from postroom.config.model import SmtpSettings
from postroom.directory.model import Resolution
from postroom.inbound.content import ContentSpool
from postroom.inbound.trace import Tracer
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.headers import glance
from postroom.mail.message import Message, QueueId, show_queue_id
from postroom.mail.reply import Reply
from postroom.mail.session import Client
from postroom.mail.value import value
from postroom.policy.chain import Chain
from postroom.policy.stage import AtMail, AtMessage, AtRcpt
from postroom.policy.verdict import Accept, Defer, Refuse, Verdict
from postroom.protocol.smtp.events import Mail
from postroom.queue.model import Draft
from postroom.queue.store import QueueStore
from postroom.report.events import MessageRefused, RecipientRefused, SenderRefused
from postroom.report.reporter import Reporter

_LOOP = Refuse(
    Reply.of(554, "5.4.6", "The message goes in circles: too many Received fields"), "more hops than smtp.max_hops"
)


class Resolver(Protocol):
    """Knows who receives for an address: the directory."""

    async def resolve(self, address: Address) -> Resolution:
        """What the address leads to."""
        ...


class Door(Protocol):
    """Where messages come in: the intake."""

    async def accept(self, draft: Draft) -> Message:
        """On return the message is safe. Raises StoreUnavailable."""
        ...


@value(frozen=True, slots=True, kw_only=True)
class Rooms:
    """Whom the transactions of one role ask. ``completes`` says that a missing Date or Message-ID is added."""

    chain: Chain
    resolver: Resolver
    door: Door
    store: QueueStore
    next_id: Callable[[], QueueId]
    tracer: Tracer
    clock: Clock
    reporter: Reporter
    settings: SmtpSettings
    completes: bool


class Transaction:
    """From MAIL to the end of content. Any method may raise StoreUnavailable; the session answers that."""

    __slots__ = ("_client", "_mail", "_recipients", "_resolutions", "_rooms", "_spool")

    def __init__(self, rooms: Rooms, client: Client, mail: Mail) -> None:
        self._rooms = rooms
        self._client = client
        self._mail = mail
        self._recipients: list[Recipient] = []
        self._resolutions: list[Resolution] = []
        self._spool: ContentSpool | None = None

    async def open(self) -> Reply | None:
        """Whether the sender may begin; None for yes."""
        mail = self._mail
        verdict = await self._rooms.chain.on_mail(AtMail(self._client, mail.reverse_path, mail.size))
        if isinstance(verdict, Accept):
            return None
        self._rooms.reporter.tell(SenderRefused(self._client, self._sender, verdict.reply, verdict.reason))
        return verdict.reply

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
        rooms.reporter.tell(
            RecipientRefused(self._client, self._sender, str(recipient.address), verdict.reply, verdict.reason)
        )
        return verdict.reply

    def begin_content(self) -> None:
        """DATA or BDAT was accepted."""
        self._spool = ContentSpool(self._rooms.store, self._rooms.next_id)

    async def take(self, piece: bytes) -> None:
        """A piece of content; waits while the store is behind."""
        if self._spool is not None:
            await self._spool.add(piece)

    async def finish(self) -> Reply | Message:
        """The content is complete: the message, safe, or the reply that refuses it."""
        rooms, mail, spool = self._rooms, self._mail, self._spool
        assert spool is not None  # noqa: S101 - the engine asks in order
        now = rooms.clock.now()
        content = await spool.finish()
        seen = glance(spool.start)
        envelope = Envelope(mail.reverse_path, tuple(self._recipients), mail.body, mail.smtputf8, mail.ret, mail.envid)
        verdict: Verdict
        if seen.received > rooms.settings.max_hops:
            verdict = _LOOP  # RFC 5321 §6.3
        else:
            verdict = await rooms.chain.on_message(AtMessage(self._client, envelope, spool.size, spool.start, seen))
        match verdict:
            case Accept():
                pass
            case Refuse(reply, reason) | Defer(reply, reason):
                self.report_refusal(reply, reason)
                await self.abandon()
                return reply
            case _:
                assert_never(verdict)
        queue_id, message_id = spool.queue_id, seen.message_id
        prefix = rooms.tracer.received(self._client, queue_id, envelope, now)
        if rooms.completes:
            fields, message_id = rooms.tracer.completed(seen, spool.start, queue_id, now)
            prefix += fields
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
            )
        )
        self._spool = None  # its chunks are the message's now
        rooms.chain.on_end(self._client, accepted=True)
        return message

    def report_refusal(self, reply: Reply, reason: str) -> None:
        """Tell that the content was refused."""
        size = 0 if self._spool is None else self._spool.size
        self._rooms.reporter.tell(
            MessageRefused(self._client, self._sender, len(self._recipients), size, reply, reason)
        )

    async def abandon(self) -> None:
        """No message comes of it: what was stored of its content goes."""
        self._rooms.chain.on_end(self._client, accepted=False)
        if self._spool is not None:
            spool, self._spool = self._spool, None
            await spool.drop()

    @property
    def _sender(self) -> str:
        path = self._mail.reverse_path
        return "" if path is None else str(path)


def accepted(message: Message) -> Reply:
    """The reply that makes the message ours."""
    return Reply.of(250, "2.0.0", f"queued as {show_queue_id(message.queue_id)}")
