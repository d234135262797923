"""One connection to one host, client side: carries one message after the other (RFC 5321 §3.3, §4.5.3.2).

Two round trips a message where the host announces PIPELINING (RFC 2920): MAIL, RCPT and DATA in one write, content and
final dot in one write where the content is small. One, where it announces CHUNKING too and has refused nobody the time
before: the content leaves with the commands (RFC 3030 §4.2). Binary content goes in chunks (RFC 3030 §2).
"""

from collections.abc import Sequence

from postroom.clock import Clock
from postroom.config.road import OutboundSettings
from postroom.mail.delivery import Outcome, Peer, QueuedRecipient
from postroom.mail.downgrade.splice import Splicer
from postroom.mail.reply import Reply
from postroom.mail.trouble import StoreUnavailable
from postroom.mail.value import value
from postroom.net.stream import Stream
from postroom.outbound import trouble
from postroom.outbound.fitting import Fit, Host, fit, fit_at_once, goes_at_once
from postroom.outbound.job import ONE_WRITE, Job, check_size, pieces_of
from postroom.outbound.trouble import AttemptEnded, Scope, Step, Trouble
from postroom.protocol.errors import LocalProtocolError, RemoteProtocolError
from postroom.protocol.smtp.announced import NOTHING_ANNOUNCED, Announced, read_announced
from postroom.protocol.smtp.client import SmtpClient
from postroom.protocol.smtp.commands import Command, SayData, SayQuit, SayRcpt, SayReset
from postroom.protocol.smtp.events import NEED_DATA, Replied

QUIT_TIMEOUT = 5.0  # seconds that the reply to QUIT is waited for: nothing depends on it

CLOSE_TIMEOUT = 1.0
"""Seconds that a host has to close the connection then: until it does it counts it, and may turn the next away."""

_DATA = SayData()
_RESET = SayReset()
_QUIT = SayQuit()


@value(frozen=True, slots=True)
class _Answers:
    """The replies before the content; ``rcpts`` may be short and ``data`` None where they do not matter any more.

    ``data`` is None also where the content goes in chunks, which need no go-ahead.
    """

    mail: Reply
    rcpts: Sequence[Reply]
    data: Reply | None


class Session:
    """A connection and its engine. ``key`` names the site in whose pool it belongs.

    ``usable`` says that another message may follow. One task uses a session at a time.
    """

    __slots__ = (
        "_chunks_ahead",
        "_clock",
        "_dirty",
        "_host",
        "_most",
        "_settings",
        "_smooth",
        "_stream",
        "engine",
        "is_lmtp",
        "key",
        "messages",
        "peer",
        "single",
        "usable",
    )

    def __init__(
        self, key: str, stream: Stream, peer: Peer, settings: OutboundSettings, clock: Clock, *, lmtp: bool = False
    ) -> None:
        self.key = key
        self.peer = peer
        self.engine = SmtpClient(lmtp=lmtp)
        self.messages = 0
        self._most = settings.messages_per_connection
        self.usable = True
        self.single = False  # its certificate is good for the message it was opened for, and nobody else's
        self._stream = stream
        self._settings = settings
        self._clock = clock
        self.is_lmtp = lmtp
        self._dirty = False  # a transaction is open that will not be finished
        self._chunks_ahead = False  # the host takes content together with MAIL and RCPT
        self._smooth = False  # and took all that the last transaction brought
        self._host = Host.of(peer, NOTHING_ANNOUNCED, is_lmtp=lmtp)

    def opened(self, *, knows_us: bool) -> None:
        """Greeting, EHLO, TLS and AUTH are done: note what the host can, and whether there was an AUTH."""
        announced = read_announced(self.engine.capabilities)
        self._host = Host.of(self.peer, announced, is_lmtp=self.is_lmtp, knows_us=knows_us)
        if announced.mail_max:
            self._most = min(self._most, announced.mail_max)
        self._chunks_ahead = self.engine.can_pipeline and announced.chunking and not self.is_lmtp

    @property
    def is_stale(self) -> bool:
        """While nobody used it, the host has closed it, or said that it will."""
        return self._stream.has_ended or self._stream.held > 0

    @property
    def announced(self) -> Announced:
        """What the host can do."""
        return self._host.announced

    @property
    def is_spent(self) -> bool:
        """As many messages as the settings or the host (MAILMAX, RFC 9422 §4) allow have been sent."""
        return self.single or self.messages >= self._most

    # One command at a time.

    async def ask(self, command: Command, step: Step, seconds: float) -> Reply:
        """Send one command and wait for its reply. AttemptEnded if the connection breaks, or on 421."""
        self._stream.send(self.engine.send(command))
        return await self.reply(step, seconds)

    async def reply(self, step: Step, seconds: float) -> Reply:
        """The next reply. AttemptEnded if the connection breaks, or on a 421 before the end of content."""
        return (self._heard(step) or await self._next(step, seconds)).reply

    async def _next(self, step: Step, seconds: float) -> Replied:
        event = self._heard(step)
        if event is None:
            self._stream.set_timeout(seconds)
        while event is None:
            try:
                self.engine.receive_data(await self._stream.receive())
            except OSError as error:
                raise self._lost(step, error) from error
            event = self._heard(step)
        return event

    def _heard(self, step: Step) -> Replied | None:
        """The next reply if it has come: those to a group come together, and none but the first is waited for."""
        try:
            event = self.engine.next_event()
            if event is NEED_DATA:
                return None
            if not isinstance(event, Replied):
                raise ConnectionResetError("the server closed the connection")
        except (ConnectionResetError, RemoteProtocolError) as error:
            raise self._lost(step, error) from error
        if event.reply.code == 421:
            self.usable = False  # RFC 5321 §3.8
            if step is not Step.END:
                raise AttemptEnded(trouble.from_reply(step, event.reply, self.peer))
        return event

    def _lost(self, step: Step, error: OSError | RemoteProtocolError) -> AttemptEnded:
        self.usable = False
        return AttemptEnded(trouble.from_exception(step, error, self.peer))

    # One message.

    async def transact(self, job: Job) -> dict[int, Outcome]:
        """Carry one message: an outcome for each recipient.

        AttemptEnded where the connection failed before the final dot, so that another one may be tried.
        """
        self.messages += 1
        outcomes: dict[int, Outcome] = {}
        fitted = fit_at_once(job, self._host)
        if fitted is None:
            fitted = await fit(job, self._host, self._clock.now(), outcomes)
            if fitted is None:
                return outcomes
        if self._smooth and goes_at_once(job, fitted):
            await self._transact_at_once(job, fitted, outcomes)
            return outcomes
        if self.engine.can_pipeline:
            answers = await self._ask_at_once(fitted)
        else:
            answers = await self._ask_in_turn(fitted)
        accepted = self._judge(answers, fitted.recipients, outcomes)
        opened = bool(accepted) if fitted.chunks else answers.data is not None and answers.data.code == 354
        if not opened:
            self._dirty = True
        elif not accepted:
            await self._end_nothing()
        else:
            await self._carry_content(job, fitted, accepted, outcomes)
            self._smooth = self._chunks_ahead and len(accepted) == len(fitted.recipients)
        return outcomes

    async def _transact_at_once(self, job: Job, fitted: Fit, outcomes: dict[int, Outcome]) -> None:
        """MAIL, RCPT and the content in one write (RFC 3030 §4.2): one round trip for a message.

        Once all of it has left, whatever breaks before a reply that refuses leaves open whether the host has it.
        """
        self._smooth = False  # until it has gone well again
        group = self._group(fitted)
        assert job.content is not None  # noqa: S101 - goes_at_once has looked
        group.append(self.engine.whole(job.message.prefix + job.content))
        self._stream.send(b"".join(group))
        try:
            answers = await self._read_group(fitted)
            accepted = self._judge(answers, fitted.recipients, outcomes)
            final = await self.reply(Step.END, self._settings.final_timeout)
        except AttemptEnded as ended:
            found = trouble.left_open(ended)
            if trouble.leads_on(found) and not outcomes:
                raise
            self.usable = False
            for recipient in fitted.recipients:
                outcomes.setdefault(recipient.number, found.outcome)
            return
        self._dirty = not accepted  # nobody was there to take it: the host may think that the transaction is open
        if accepted:
            outcome = self._final(final, fitted)
            for recipient in accepted:
                outcomes[recipient.number] = outcome
            self._smooth = len(accepted) == len(fitted.recipients) and final.is_positive

    def _group(self, fitted: Fit) -> list[bytes]:
        """MAIL and all RCPT, after the RSET that an earlier transaction left over."""
        send = self.engine.send
        group = [send(_RESET)] if self._dirty else []
        group.append(send(fitted.mail))
        group += [send(SayRcpt(recipient.recipient)) for recipient in fitted.recipients]
        return group

    async def _read_group(self, fitted: Fit) -> _Answers:
        """The replies to them."""
        seconds = self._settings.command_timeout
        if self._dirty:
            await self.reply(Step.MAIL, seconds)
            self._dirty = False
        mail = await self.reply(Step.MAIL, seconds)
        return _Answers(mail, [await self.reply(Step.RCPT, seconds) for _ in fitted.recipients], None)

    async def _ask_at_once(self, fitted: Fit) -> _Answers:
        """MAIL, RCPT and DATA in one write (RFC 2920 §3.1), with the RSET that an earlier transaction left over."""
        recipients = fitted.recipients
        group = self._group(fitted)
        if not fitted.chunks:
            group.append(self.engine.send(_DATA))
        self._stream.send(b"".join(group))
        seconds = self._settings.command_timeout
        if self._dirty:
            await self.reply(Step.MAIL, seconds)
            self._dirty = False
        heard, wait = self._heard, self._next
        mail_reply = (await wait(Step.MAIL, seconds)).reply
        rcpts: list[Reply] = []
        try:
            for _ in recipients:
                rcpts.append((heard(Step.RCPT) or await wait(Step.RCPT, seconds)).reply)  # noqa: PERF401 - what came is kept
            data = None
            if not fitted.chunks:
                longer = max(seconds, self._settings.data_timeout)
                data = (heard(Step.DATA) or await wait(Step.DATA, longer)).reply
        except AttemptEnded:
            hopeless = len(rcpts) == len(recipients) and not any(_is_accepted(reply) for reply in rcpts)
            if _is_accepted(mail_reply) and not hopeless:
                raise
            data = None  # what was said before the connection broke stands: no other would say otherwise
        return _Answers(mail_reply, rcpts, data)

    async def _ask_in_turn(self, fitted: Fit) -> _Answers:
        """MAIL, RCPT and DATA one after the other, DATA only if there is somebody to take the content."""
        seconds = self._settings.command_timeout
        if self._dirty:
            await self.ask(_RESET, Step.MAIL, seconds)
            self._dirty = False
        mail_reply = await self.ask(fitted.mail, Step.MAIL, seconds)
        if not _is_accepted(mail_reply):
            return _Answers(mail_reply, (), None)
        rcpts = [await self.ask(SayRcpt(recipient.recipient), Step.RCPT, seconds) for recipient in fitted.recipients]
        if fitted.chunks or not any(_is_accepted(reply) for reply in rcpts):
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
        fitted: Fit,
        accepted: Sequence[QueuedRecipient],
        outcomes: dict[int, Outcome],
    ) -> None:
        """Send the content and wait for what the host makes of it."""
        try:
            await self._send_content(job, fitted)
            if not self.is_lmtp:
                outcome = self._final((await self._next(Step.END, self._settings.final_timeout)).reply, fitted)
                for recipient in accepted:
                    outcomes[recipient.number] = outcome
                return
            for _ in accepted:  # RFC 2033 §4.2: one reply for each
                replied = await self._next(Step.END, self._settings.final_timeout)
                number = fitted.recipients[replied.recipient or 0].number
                outcomes[number] = self._final(replied.reply, fitted)
        except AttemptEnded as ended:
            if trouble.leads_on(ended.trouble):
                raise
            for recipient in accepted:  # RFC 2033 §5: the replies that came stand
                outcomes.setdefault(recipient.number, ended.trouble.outcome)

    def _final(self, reply: Reply, fitted: Fit) -> Outcome:
        # Where the host announced DSN the engine passed NOTIFY on (RFC 3461 §5.2.1).
        notifies = self._host.announced.dsn
        return trouble.final_outcome(
            reply, self.peer, notifies=notifies, keeps_time=fitted.keeps_time, note=fitted.note
        )

    async def _send_content(self, job: Job, fitted: Fit) -> None:
        """Prefix, content and its end. The end leaves only if all of the content has."""
        engine = self.engine
        try:
            if fitted.chunks:
                await self._send_chunks(job)
            elif job.content is not None and len(job.content) <= ONE_WRITE and not fitted.edits:
                self._stream.send(engine.content(job.message.prefix + job.content) + engine.end_content())
            else:
                await self._send_pieces(job, fitted)
        except LocalProtocolError as error:
            self.abort()  # the host waits for content, and an end would make it take half of it
            outcome = trouble.content_malformed(self.peer, error)
            raise AttemptEnded(Trouble(Scope.MESSAGE, outcome, Step.CONTENT)) from error
        except StoreUnavailable as error:
            self.abort()
            raise AttemptEnded(Trouble(Scope.MESSAGE, trouble.content_unreadable(error), Step.CONTENT)) from error
        except OSError as error:
            raise AttemptEnded(await self._early_refusal(error)) from error

    async def _send_pieces(self, job: Job, fitted: Fit) -> None:
        """The content piece by piece, changed on the way where it must be; never whole in memory."""
        engine, splicer = self.engine, Splicer(fitted.edits)
        self._stream.send(engine.content(job.message.prefix))
        size = 0
        async for piece in pieces_of(job):
            size += len(piece)
            self._stream.set_timeout(self._settings.block_timeout)
            self._stream.send(engine.content(splicer.write(piece) if fitted.edits else piece))
            await self._stream.drain()
        check_size(size, job.message)
        self._stream.send(engine.content(splicer.end()) + engine.end_content())

    async def _send_chunks(self, job: Job) -> None:
        """The content by BDAT, each chunk answered before the next one leaves (RFC 3030 §2)."""
        waiting = job.message.prefix
        size = 0
        async for piece in pieces_of(job):
            size += len(piece)
            if len(waiting) + len(piece) > ONE_WRITE:
                await self._send_chunk(waiting)
                waiting = piece
            else:
                waiting += piece
        check_size(size, job.message)
        self._stream.send(self.engine.chunk(waiting, last=True))

    async def _send_chunk(self, data: bytes) -> None:
        self._stream.set_timeout(self._settings.block_timeout)
        self._stream.send(self.engine.chunk(data, last=False))
        await self._stream.drain()
        reply = await self.reply(Step.CONTENT, self._settings.final_timeout)
        if not _is_accepted(reply):
            self._dirty = True  # RFC 3030 §2: no chunk follows, and RSET comes first
            raise AttemptEnded(self._message_trouble(Step.CONTENT, reply))

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
        """Say QUIT, let the host close (RFC 5321 §4.1.1.10), and close too; at once where it does not answer.

        Nothing is raised.
        """
        try:
            await self.ask(_QUIT, Step.CONNECT, QUIT_TIMEOUT)
            self._stream.set_timeout(CLOSE_TIMEOUT)
            while not self._stream.has_ended:
                await self._stream.receive()  # whatever it has left to say
        except (AttemptEnded, LocalProtocolError):
            self.abort()
        except OSError:
            pass  # it leaves the closing to us
        finally:
            self._stream.close()

    def abort(self) -> None:
        """Close at once."""
        self.usable = False
        self._stream.abort()


def _is_accepted(reply: Reply) -> bool:
    return 200 <= reply.code < 300
