"""One SMTP session: moves bytes between stream and engine, and is where an operational exception becomes a 4yz."""

import traceback
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from postroom.inbound import replies
from postroom.inbound.conduct import Conduct
from postroom.inbound.peer import Peer, TlsEnded
from postroom.inbound.setup import SessionSetup
from postroom.inbound.transaction import Transaction, accepted
from postroom.mail.message import Message
from postroom.mail.reply import Reply
from postroom.mail.session import Client
from postroom.mail.trouble import ResolverUnavailable, StoreUnavailable
from postroom.net.pause import Pause, give_way
from postroom.net.stream import Stream
from postroom.policy.limits import SessionLimits
from postroom.policy.verdict import Accept, Defer, Refuse
from postroom.protocol.smtp import events as ask
from postroom.protocol.smtp.server import SmtpServer
from postroom.report.events import CommandRefused, InternalError, Report, SessionClosed, SessionOpened

_FLUSH = 16 * 1024
"""Octets of replies to pipelined commands that are gathered for one write."""

_TOLD = 100
"""Refusals between two messages that are reported one by one; a peer does not choose how long the log gets."""

_LAST = (ask.Signal, ask.Closed)
"""What there is where the engine is over, or the client left."""

_TURN = 16
"""Events after which a session that has more at once lets the others have their turn."""


class SmtpSession:
    """One connection, from greeting to end."""

    __slots__ = (
        "_conduct",
        "_draining",
        "_engine",
        "_idle",
        "_in_content",
        "_limits",
        "_out",
        "_pause",
        "_peer",
        "_reason",
        "_setup",
        "_stream",
        "_told",
        "_transaction",
        "_why_dropped",
    )

    def __init__(self, setup: SessionSetup, stream: Stream, client: Client) -> None:
        settings = setup.rooms.settings
        self._setup = setup
        self._stream = stream
        self._engine = SmtpServer(
            setup.options,
            tls=client.tls is not None,
            xclient=setup.may_introduce(client.address),
            etrn=setup.starter is not None and (setup.desk is not None or setup.starter.may_ask(client)),
        )
        self._limits = SessionLimits(settings.max_errors, settings.max_transactions)
        self._transaction: Transaction | None = None
        self._pause = Pause(setup.rooms.clock, self._flush)
        self._conduct = Conduct(setup.manners, self._pause)
        self._peer = Peer(client, stream, setup.desk, self._pause, setup.rooms.reporter)
        self._out = b""  # replies that have not been sent
        self._in_content = False
        self._idle = False  # waiting for the client
        self._draining = False
        self._told = 0
        self._why_dropped = ""
        self._reason = "closed"
        if setup.desk is not None:
            self._engine.offer_mechanisms(self._peer.mechanisms)

    async def run(self) -> None:
        """Talk until either side ends it. Raises nothing but CancelledError."""
        rooms = self._setup.rooms
        rooms.reporter.tell(SessionOpened(self._peer.client))
        opened_at = rooms.clock.monotonic()
        try:
            await self._talk()
        except TimeoutError:
            self._end("timeout", replies.TOO_SLOW)
        except (OSError, TlsEnded):
            pass  # the connection is lost, as peers do it, and ``_reason`` says how
        except Exception as error:  # noqa: BLE001 - a bug must cost one session, not the server
            self._complain(error)
            self._end("failure", replies.FAILING)
        finally:
            self._stream.close(self._out)
            self._pause.end()  # it knows the session: what is over must not keep its buffers until a collection
            await self._abandon()
            duration = rooms.clock.monotonic() - opened_at
            rooms.reporter.tell(SessionClosed(self._peer.client, self._reason, duration, self._limits.messages))

    def drain(self) -> None:
        """End the session now if the client owes a command outside a transaction, else as soon as that is so."""
        self._draining = True
        self._pause.end()
        if self._idle and self._engine.between_transactions:
            self._end("drain", replies.DRAINING)
            self._stream.close()

    # Moving bytes.

    async def _talk(self) -> None:
        engine, stream, settings = self._engine, self._stream, self._setup.rooms.settings
        progress, turn = True, 0
        while True:
            event = engine.next_event()
            if event is ask.NEED_DATA:
                if self._draining and engine.between_transactions:
                    self._end("drain", replies.DRAINING)
                    return
                if progress:  # a command that dribbles in does not get its time anew with each octet
                    stream.set_timeout(settings.content_timeout if self._in_content else settings.command_timeout)
                    progress = False
                turn = 0
                self._flush()
                await stream.drain()
                self._idle = True
                data = await stream.receive()
                self._idle = False
                if self._in_content:
                    self._check_pace(len(data))
                engine.receive_data(data)
                continue
            progress = True
            if isinstance(event, _LAST):
                return
            try:
                reply = await _HANDLERS[type(event)](self, event)
            except Exception as error:  # noqa: BLE001 - whatever it is, the client gets its reply
                await self._fail(event, error)
            else:
                if reply is not None:
                    self._out += engine.answer(reply)
            turn += 1
            if turn >= _TURN:
                turn = 0
                await give_way()
            if len(self._out) > _FLUSH:
                self._flush()
                await stream.drain()

    def _flush(self) -> None:
        """What pipelined commands were answered leaves in one write (RFC 2920 §3.2)."""
        if self._out:
            self._stream.send(self._out)
            self._out = b""

    def _end(self, reason: str, reply: Reply) -> None:
        """The last words from our side."""
        self._reason = reason
        if not self._engine.is_over:
            self._out += self._engine.shut_down(reply)
        self._flush()

    # Questions and notices.

    async def _fail(self, event: ask.ServerEvent, error: Exception) -> None:
        """What a handler could not do. The one place where an operational exception becomes a reply."""
        if isinstance(error, TlsEnded):
            raise error
        if isinstance(error, StoreUnavailable):
            await self._refuse(event, replies.STORE_FULL if error.full else replies.TROUBLE, str(error))
        elif isinstance(error, ResolverUnavailable):
            await self._refuse(event, replies.NO_ANSWER, str(error))
        else:  # a bug of ours is never answered with 5yz
            self._complain(error)
            await self._refuse(event, replies.TROUBLE, "an internal error")

    async def _rset(self, _: ask.Reset) -> Reply:
        await self._abandon()
        return self._idles() or replies.OK

    async def _quit(self, _: ask.Quit) -> Reply:
        self._reason = "quit"
        return replies.BYE

    async def _connected(self, _: ask.Connected) -> Reply:
        if not self._draining:
            early = await self._conduct.greets_first(self._stream, self._peer.client)
            if early is not None:
                self._reason = "errors"
                return early
        return await self._welcome()

    async def _welcome(self) -> Reply:
        """The greeting, or why there is none for this client."""
        if self._draining:
            self._reason = "drain"
            return replies.DRAINING
        verdict = await self._setup.rooms.chain.on_connect(self._peer.client)
        return self._setup.greeting if isinstance(verdict, Accept) else self._object("CONNECT", verdict)

    async def _hello(self, event: ask.Hello) -> Reply:
        await self._abandon()  # RFC 5321 §4.1.4: as RSET does
        self._peer.say_hello(event)
        last_words = self._idles()
        if last_words is not None:
            return last_words
        verdict = await self._setup.rooms.chain.on_hello(self._peer.client)
        return self._setup.hello if isinstance(verdict, Accept) else self._object("EHLO", verdict)

    async def _mail(self, event: ask.Mail) -> Reply:
        last_words = replies.DRAINING if self._draining else self._limits.before_mail()
        if last_words is not None:
            self._reason = "drain" if self._draining else "errors"
            return last_words
        transaction = Transaction(self._setup.rooms, self._peer.client, event, self._tell)
        reply = await transaction.open()
        if not reply.is_positive:
            return await self._count_refusal(reply, "refusals")
        self._transaction = transaction
        return reply

    async def _rcpt(self, event: ask.Rcpt) -> Reply:
        refusal = await self._under_way().add(event.recipient)
        if refusal is None:
            return replies.RECIPIENT_OK
        return await self._count_refusal(refusal, "guessing")

    async def _data(self, _: ask.Data) -> Reply:
        self._under_way().begin_content()
        self._in_content = True
        self._conduct.content_begins()
        return replies.GO_AHEAD

    async def _content_end(self, _: ask.ContentEnd) -> Reply:
        self._in_content = False
        outcome = await self._under_way().finish()
        self._transaction = None
        if isinstance(outcome, Message):
            self._limits.count_message()
            self._conduct.delivered()
            self._told = 0
            return accepted(outcome)
        await self._conduct.refused()
        return outcome

    async def _content(self, event: ask.Content) -> None:
        if self._transaction is not None:  # None: refused in mid-stream, and the rest of it still comes
            await self._transaction.take(event.data)

    async def _verify(self, event: ask.Verify) -> Reply:
        last_words = self._idles()
        if last_words is not None:
            return last_words
        if event.command == "VRFY":
            return replies.CANNOT_VERIFY  # RFC 5321 §3.5.3
        self._tell_refused(event.command, event.argument, replies.NO_EXPANSION)
        return replies.NO_EXPANSION

    async def _etrn(self, event: ask.Etrn) -> Reply:
        starter = self._setup.starter
        assert starter is not None  # noqa: S101 - else the engine does not offer it
        return self._idles() or await starter.start(self._peer.client, event)

    async def _content_dropped(self, event: ask.ContentDropped) -> None:
        """Flawed, or refused by us before: then the reason is known."""
        self._in_content = False
        if event.flaw is not None:
            self._why_dropped = event.flaw.value

    async def _answered(self, event: ask.Answered) -> None:
        """The engine answered by itself."""
        reply = event.reply
        if reply.is_positive:
            self._out += event.data
            if event.command in ("NOOP", "HELP"):
                self._end_if(self._idles())
            return
        if self._engine.is_over:
            self._reason = "errors"
            self._conduct.ended_for_errors(self._peer.client, "garbage")
        elif event.counted:
            await self._conduct.refused()
        self._out += event.data
        if not event.counted:  # such as 452 4.5.3: recipients beyond the limit are due in the next transaction
            self._end_if(self._count_deferral())
        if self._why_dropped and self._transaction is not None:
            self._transaction.report_refusal(reply, self._why_dropped)
            await self._abandon()
        elif not self._why_dropped:
            self._tell_refused(event.command, event.line, reply)
        self._why_dropped = ""

    # TLS and AUTH.

    async def _start_tls(self, _: ask.StartTls) -> None:
        self._out += self._engine.answer(replies.READY_FOR_TLS)
        self._flush()
        self._stream.set_timeout(self._setup.tls_timeout)
        self._reason = "tls"
        await self._peer.secure()
        self._reason = "closed"
        self._engine.tls_established()
        self._engine.offer_mechanisms(self._peer.mechanisms)

    async def _auth(self, event: ask.Auth | ask.AuthResponse) -> Reply:
        reply = await self._peer.log_in(event)
        if reply.code == 235:
            self._engine.authenticated()
        if reply.is_positive:
            return reply
        return await self._count_failure(reply, "guessing")  # that it is locked is told to whoever guesses, too

    async def _introduce(self, event: ask.XClient) -> None:
        """The session begins anew, for the client behind the proxy."""
        self._peer.introduce(event)
        reply = await self._welcome()
        self._out += self._engine.answer(reply)
        if reply.is_positive and self._peer.client.account:
            self._engine.authenticated()

    # What goes wrong.

    def _under_way(self) -> Transaction:
        """The transaction: the engine asks in order, so there is one."""
        assert self._transaction is not None  # noqa: S101
        return self._transaction

    async def _count_refusal(self, refusal: Reply, kind: str) -> Reply:
        """The refusal of a sender or recipient, or the last words to a client that has had too many."""
        if refusal.is_permanent:
            return await self._count_failure(refusal, kind)
        return self._count_deferral() or refusal

    def _count_deferral(self) -> Reply | None:
        """A refusal that is no fault of the client; the last words if it is one too many."""
        last_words = self._limits.count_deferral()
        if last_words is not None:
            self._reason = "errors"
            self._conduct.ended_for_errors(self._peer.client, "refusals")
        return last_words

    async def _count_failure(self, refusal: Reply, kind: str) -> Reply:
        """The refusal, or the last words to a client that guesses."""
        last_words = self._limits.count_failure()
        if last_words is None:
            await self._conduct.refused()
            return refusal
        self._reason = "errors"
        self._conduct.ended_for_errors(self._peer.client, kind)
        return last_words

    def _idles(self) -> Reply | None:
        """A command brought no mail forward; the last words if that is too many, or the session is too long."""
        client = self._peer.client
        last_words = self._conduct.idles(client) or self._conduct.overstays(client)
        if last_words is not None:
            self._reason = "errors"
        return last_words

    def _check_pace(self, octets: int) -> None:
        self._end_if(self._conduct.keeps_pace(octets, self._peer.client))

    def _end_if(self, last_words: Reply | None) -> None:
        """End the session with these words, if there are any."""
        if last_words is not None:
            self._end("errors", last_words)

    def _object(self, command: str, objection: Refuse | Defer) -> Reply:
        """The reply to a command that policy objects to."""
        self._tell_refused(command, objection.reason, objection.reply)
        return objection.reply

    async def _refuse(self, event: ask.ServerEvent, reply: Reply, reason: str) -> None:
        """Answer what could not be done for a reason on our side, and report it."""
        transaction = self._transaction
        if type(event) is ask.Content:
            self._why_dropped = reason
            self._engine.refuse_content(reply)  # an Answered follows, and the report with it
            if transaction is not None:
                await self._drop(transaction)
            return
        if type(event) is ask.ContentEnd:
            if transaction is not None:
                transaction.report_refusal(reply, reason)
            await self._abandon()
        else:
            self._tell_refused(type(event).__name__.upper(), reason, reply)
        self._out += self._engine.answer(reply)

    async def _abandon(self) -> None:
        """There is no transaction any more."""
        if self._transaction is not None:
            transaction, self._transaction = self._transaction, None
            await self._drop(transaction)
        self._in_content = False

    async def _drop(self, transaction: Transaction) -> None:
        try:
            await transaction.abandon()
        except StoreUnavailable:
            pass  # what stays behind is swept at the next start
        except Exception as error:  # noqa: BLE001 - the session ends or goes on as if it had gone well
            self._complain(error)

    def _tell_refused(self, command: str, line: str, reply: Reply) -> None:
        self._tell(CommandRefused(self._peer.client, command, line, reply))

    def _tell(self, refusal: Report) -> None:
        """Report what was refused, unless there was much of it already."""
        self._told += 1
        if self._told <= _TOLD:
            self._setup.rooms.reporter.tell(refusal)

    def _complain(self, error: Exception) -> None:
        where = f"smtp session {self._peer.client.session_id} ({self._peer.client.role.value})"
        self._setup.rooms.reporter.tell(InternalError(where, repr(error), traceback.format_exc()))


_HANDLERS: Mapping[type[ask.ServerEvent], Callable[[SmtpSession, Any], Coroutine[Any, Any, Reply | None]]] = {
    # The reply to a question; None for a notice, and where the reply has been sent already. Closed ends the loop.
    ask.Connected: SmtpSession._connected,
    ask.Hello: SmtpSession._hello,
    ask.Mail: SmtpSession._mail,
    ask.Rcpt: SmtpSession._rcpt,
    ask.Data: SmtpSession._data,
    ask.Content: SmtpSession._content,
    ask.ContentEnd: SmtpSession._content_end,
    ask.ContentDropped: SmtpSession._content_dropped,
    ask.Reset: SmtpSession._rset,
    ask.Verify: SmtpSession._verify,
    ask.Etrn: SmtpSession._etrn,
    ask.StartTls: SmtpSession._start_tls,
    ask.Auth: SmtpSession._auth,
    ask.AuthResponse: SmtpSession._auth,
    ask.XClient: SmtpSession._introduce,
    ask.Answered: SmtpSession._answered,
    ask.Quit: SmtpSession._quit,
}
