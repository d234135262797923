"""One connection to one host, client side: carries one message after the other (RFC 5321 §3.3, §4.5.3.2).

Two round trips a message where the host announces PIPELINING (RFC 2920): MAIL, RCPT and DATA in one write, content and
final dot in one write where the content is small. 8-bit content goes to a host without 8BITMIME as it is: hosts that
break it are gone, and a conversion would break signatures.
"""

from collections.abc import Sequence

from postroom.config.model import OutboundSettings
from postroom.mail.delivery import Failed, Outcome, Peer, QueuedRecipient
from postroom.mail.envelope import Body
from postroom.mail.reply import Reply
from postroom.mail.trouble import StoreUnavailable
from postroom.mail.value import value
from postroom.net.stream import Stream
from postroom.outbound import trouble
from postroom.outbound.job import ONE_WRITE, Job, check_size, has_ascii_header, pieces_of
from postroom.outbound.trouble import AttemptEnded, Scope, Step, Trouble
from postroom.protocol.errors import LocalProtocolError, RemoteProtocolError
from postroom.protocol.smtp.client import SmtpClient
from postroom.protocol.smtp.commands import Command, SayData, SayMail, SayQuit, SayRcpt, SayReset
from postroom.protocol.smtp.events import NEED_DATA, Replied

QUIT_TIMEOUT = 5.0  # seconds that the reply to QUIT is waited for: nothing depends on it

_DATA = SayData()
_RESET = SayReset()
_QUIT = SayQuit()


@value(frozen=True, slots=True)
class _Answers:
    """The replies before the content; ``rcpts`` may be short and ``data`` None where they do not matter any more."""

    mail: Reply
    rcpts: Sequence[Reply]
    data: Reply | None


class Session:
    """A connection and its engine. ``key`` names the site in whose pool it belongs.

    ``usable`` says that another message may follow. One task uses a session at a time.
    """

    __slots__ = (
        "_dirty",
        "_esmtp_size",
        "_notifies",
        "_settings",
        "_smtputf8",
        "_stream",
        "engine",
        "is_lmtp",
        "key",
        "messages",
        "peer",
        "usable",
    )

    def __init__(self, key: str, stream: Stream, peer: Peer, settings: OutboundSettings, *, lmtp: bool = False) -> None:
        self.key = key
        self.peer = peer
        self.engine = SmtpClient(lmtp=lmtp)
        self.messages = 0
        self.usable = True
        self._stream = stream
        self._settings = settings
        self.is_lmtp = lmtp
        self._dirty = False  # a transaction is open that will not be finished
        self._esmtp_size = 0
        self._smtputf8 = False
        self._notifies = False

    def opened(self) -> None:
        """Greeting, EHLO, TLS and AUTH are done: note what the host can."""
        capabilities = self.engine.capabilities
        size = capabilities.get("SIZE", "")
        self._esmtp_size = int(size) if size.isascii() and size.isdigit() else 0
        self._smtputf8 = "SMTPUTF8" in capabilities
        self._notifies = "DSN" in capabilities  # the engine then passes NOTIFY on (RFC 3461 §5.2.1)

    # One command at a time.

    async def ask(self, command: Command, step: Step, seconds: float) -> Reply:
        """Send one command and wait for its reply. AttemptEnded if the connection breaks, or on 421."""
        self._stream.send(self.engine.send(command))
        return await self.reply(step, seconds)

    async def reply(self, step: Step, seconds: float) -> Reply:
        """The next reply. AttemptEnded if the connection breaks, or on a 421 before the end of content."""
        return (await self._next(step, seconds)).reply

    async def _next(self, step: Step, seconds: float) -> Replied:
        engine = self.engine
        try:
            event = engine.next_event()
            if event is NEED_DATA:
                self._stream.set_timeout(seconds)
                while event is NEED_DATA:
                    engine.receive_data(await self._stream.receive())
                    event = engine.next_event()
            if not isinstance(event, Replied):
                raise ConnectionResetError("the server closed the connection")
        except (OSError, RemoteProtocolError) as error:
            self.usable = False
            raise AttemptEnded(trouble.from_exception(step, error, self.peer)) from error
        if event.reply.code == 421:
            self.usable = False  # RFC 5321 §3.8
            if step is not Step.END:
                raise AttemptEnded(trouble.from_reply(step, event.reply, self.peer))
        return event

    # One message.

    async def transact(self, job: Job) -> dict[int, Outcome]:
        """Carry one message: an outcome for each recipient.

        AttemptEnded where the connection failed before the final dot, so that another one may be tried.
        """
        self.messages += 1
        outcomes: dict[int, Outcome] = {}
        recipients = await self._screen(job, outcomes)
        if not recipients:
            return outcomes
        mail = self._mail_command(job, recipients)
        if self.engine.can_pipeline:
            answers = await self._ask_at_once(mail, recipients)
        else:
            answers = await self._ask_in_turn(mail, recipients)
        accepted = self._judge(answers, recipients, outcomes)
        if answers.data is None or answers.data.code != 354:
            self._dirty = True
        elif not accepted:
            await self._end_nothing()
        else:
            await self._carry_content(job, recipients, accepted, outcomes)
        return outcomes

    async def _screen(self, job: Job, outcomes: dict[int, Outcome]) -> Sequence[QueuedRecipient]:
        """Those that the host can take by what it announced; the others get their outcome."""
        message = job.message
        if 0 < self._esmtp_size < message.size:  # RFC 1870 §6.1
            return self._refuse_all(job, outcomes, trouble.too_big(message.size, self._esmtp_size, self.peer))
        if self._smtputf8:
            return job.recipients
        envelope = message.envelope
        if envelope.reverse_path is not None and envelope.reverse_path.needs_smtputf8:  # RFC 6531 §3.5
            return self._refuse_all(job, outcomes, trouble.address_needs_smtputf8(self.peer))
        if envelope.smtputf8 and not await has_ascii_header(job):
            return self._refuse_all(job, outcomes, trouble.header_needs_smtputf8(self.peer))
        fit = [recipient for recipient in job.recipients if not recipient.recipient.address.needs_smtputf8]
        if len(fit) < len(job.recipients):
            for recipient in job.recipients:
                if recipient.recipient.address.needs_smtputf8:
                    outcomes[recipient.number] = trouble.address_needs_smtputf8(self.peer)
        return fit

    def _refuse_all(self, job: Job, outcomes: dict[int, Outcome], outcome: Failed) -> Sequence[QueuedRecipient]:
        for recipient in job.recipients:
            outcomes[recipient.number] = outcome
        return ()

    def _mail_command(self, job: Job, recipients: Sequence[QueuedRecipient]) -> SayMail:
        message = job.message
        envelope = message.envelope
        body = envelope.body
        if job.content is not None and not job.content.isascii():
            body = Body.EIGHT_BIT  # RFC 6152 §3: also where the client did not say so
        smtputf8 = envelope.smtputf8
        if self._smtputf8 and not smtputf8:
            smtputf8 = any(recipient.recipient.address.needs_smtputf8 for recipient in recipients)
        return SayMail(envelope.reverse_path, message.size, body, smtputf8, envelope.ret, envelope.envid)

    async def _ask_at_once(self, mail: SayMail, recipients: Sequence[QueuedRecipient]) -> _Answers:
        """MAIL, RCPT and DATA in one write (RFC 2920 §3.1), with the RSET that an earlier transaction left over."""
        send = self.engine.send
        group = [send(_RESET)] if self._dirty else []
        group.append(send(mail))
        group += [send(SayRcpt(recipient.recipient)) for recipient in recipients]
        group.append(send(_DATA))
        self._stream.send(b"".join(group))
        seconds = self._settings.command_timeout
        if self._dirty:
            await self.reply(Step.MAIL, seconds)
            self._dirty = False
        mail_reply = await self.reply(Step.MAIL, seconds)
        rcpts: list[Reply] = []
        try:
            for _ in recipients:
                rcpts.append(await self.reply(Step.RCPT, seconds))  # noqa: PERF401 - those that came must be kept
            data = await self.reply(Step.DATA, max(seconds, self._settings.data_timeout))
        except AttemptEnded:
            hopeless = len(rcpts) == len(recipients) and not any(_is_accepted(reply) for reply in rcpts)
            if _is_accepted(mail_reply) and not hopeless:
                raise
            data = None  # what was said before the connection broke stands: no other would say otherwise
        return _Answers(mail_reply, rcpts, data)

    async def _ask_in_turn(self, mail: SayMail, recipients: Sequence[QueuedRecipient]) -> _Answers:
        """MAIL, RCPT and DATA one after the other, DATA only if there is somebody to take the content."""
        seconds = self._settings.command_timeout
        if self._dirty:
            await self.ask(_RESET, Step.MAIL, seconds)
            self._dirty = False
        mail_reply = await self.ask(mail, Step.MAIL, seconds)
        if not _is_accepted(mail_reply):
            return _Answers(mail_reply, (), None)
        rcpts = [await self.ask(SayRcpt(recipient.recipient), Step.RCPT, seconds) for recipient in recipients]
        if not any(_is_accepted(reply) for reply in rcpts):
            return _Answers(mail_reply, rcpts, None)
        return _Answers(mail_reply, rcpts, await self.ask(_DATA, Step.DATA, self._settings.data_timeout))

    def _judge(
        self, answers: _Answers, recipients: Sequence[QueuedRecipient], outcomes: dict[int, Outcome]
    ) -> list[QueuedRecipient]:
        """Outcomes for those whom the replies refuse; returns the others."""
        if not _is_accepted(answers.mail):
            found = self._message_trouble(Step.MAIL, answers.mail)
            for recipient in recipients:
                outcomes[recipient.number] = found.outcome
            return []
        accepted: list[QueuedRecipient] = []
        for recipient, reply in zip(recipients, answers.rcpts, strict=True):
            if _is_accepted(reply):
                accepted.append(recipient)
            else:
                outcomes[recipient.number] = trouble.recipient_outcome(reply, self.peer, others_accepted=bool(accepted))
        if accepted and answers.data is not None and answers.data.code != 354:
            found = self._message_trouble(Step.DATA, answers.data)
            for recipient in accepted:
                outcomes[recipient.number] = found.outcome
            return []
        return accepted

    def _message_trouble(self, step: Step, reply: Reply) -> Trouble:
        found = trouble.from_reply(step, reply, self.peer)
        if trouble.leads_on(found):  # a reply that makes no sense: who knows what the host thinks we said
            self.usable = False
            raise AttemptEnded(found)
        return found

    # The content.

    async def _end_nothing(self) -> None:
        """RFC 2920 §3.1: the host opened the content although nobody is left; a lone dot ends it."""
        self._stream.send(self.engine.end_content())
        if not self.engine.outstanding:  # LMTP: no recipients, no replies (RFC 2033 §4.2)
            return
        try:
            await self.reply(Step.END, self._settings.final_timeout)
        except AttemptEnded:
            self.usable = False  # all recipients have their outcome already; only the connection is gone

    async def _carry_content(
        self,
        job: Job,
        recipients: Sequence[QueuedRecipient],
        accepted: Sequence[QueuedRecipient],
        outcomes: dict[int, Outcome],
    ) -> None:
        """Send the content and wait for what the host makes of it."""
        try:
            await self._send_content(job)
            if not self.is_lmtp:
                reply = await self.reply(Step.END, self._settings.final_timeout)
                outcome = trouble.final_outcome(reply, self.peer, notifies=self._notifies)
                for recipient in accepted:
                    outcomes[recipient.number] = outcome
                return
            for _ in accepted:  # RFC 2033 §4.2: one reply for each
                replied = await self._next(Step.END, self._settings.final_timeout)
                number = recipients[replied.recipient or 0].number
                outcomes[number] = trouble.final_outcome(replied.reply, self.peer, notifies=self._notifies)
        except AttemptEnded as ended:
            if trouble.leads_on(ended.trouble):
                raise
            for recipient in accepted:
                outcomes.setdefault(recipient.number, ended.trouble.outcome)

    async def _send_content(self, job: Job) -> None:
        """Prefix, content and final dot. The final dot leaves only if all of the content has."""
        engine, message = self.engine, job.message
        try:
            if job.content is not None and len(job.content) <= ONE_WRITE:
                self._stream.send(engine.content(message.prefix + job.content) + engine.end_content())
                return
            self._stream.send(engine.content(message.prefix))
            size = 0
            async for piece in pieces_of(job):
                self._stream.set_timeout(self._settings.block_timeout)
                self._stream.send(engine.content(piece))
                size += len(piece)
                await self._stream.drain()
            check_size(size, message)
            self._stream.send(engine.end_content())
        except LocalProtocolError as error:
            self.abort()  # the host waits for content, and an end would make it take half of it
            outcome = trouble.content_malformed(self.peer, error)
            raise AttemptEnded(Trouble(Scope.MESSAGE, outcome, Step.CONTENT)) from error
        except StoreUnavailable as error:
            self.abort()
            raise AttemptEnded(Trouble(Scope.MESSAGE, trouble.content_unreadable(error), Step.CONTENT)) from error
        except OSError as error:
            raise AttemptEnded(await self._early_refusal(error)) from error

    async def _early_refusal(self, error: OSError) -> Trouble:
        """The connection broke in the midst of the content: perhaps the host said why before it left."""
        self.usable = False
        if not isinstance(error, TimeoutError):
            try:
                await self.reply(Step.CONTENT, QUIT_TIMEOUT)
            except AttemptEnded as ended:
                cause = ended.__cause__
                if cause is None:  # 421
                    return ended.trouble
                if isinstance(cause, RemoteProtocolError) and cause.hint is not None:
                    return trouble.from_reply(Step.CONTENT, cause.hint, self.peer)
        return trouble.from_exception(Step.CONTENT, error, self.peer)

    # The end.

    async def quit(self) -> None:
        """Say QUIT and close, at once where the host does not answer. Nothing is raised."""
        try:
            await self.ask(_QUIT, Step.CONNECT, QUIT_TIMEOUT)
        except (AttemptEnded, LocalProtocolError):
            self.abort()
        finally:
            self._stream.close()

    def abort(self) -> None:
        """Close at once."""
        self.usable = False
        self._stream.abort()


def _is_accepted(reply: Reply) -> bool:
    return 200 <= reply.code < 300
