"""One POP3 session: moves bytes between stream, engine and mailbox; nothing is removed but by QUIT (RFC 1939)."""

import traceback
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import assert_never

from postroom.clock import Clock
from postroom.directory.login import Ask, Failure, LoggedIn, Login, LoginDesk, Outcome
from postroom.directory.model import Account
from postroom.mail.reply import Reply
from postroom.mail.session import Client
from postroom.mail.trouble import StoreUnavailable
from postroom.mailbox.store import MailboxStore
from postroom.net.pause import Pause
from postroom.net.stream import Stream
from postroom.net.tls import TlsError
from postroom.protocol.pop3 import answers
from postroom.protocol.pop3 import events as ask
from postroom.protocol.pop3.answers import Answer, ok
from postroom.protocol.pop3.capabilities import Pop3Options
from postroom.protocol.pop3.server import Pop3Server
from postroom.report.events import (
    AbuseSeen,
    CommandRefused,
    InternalError,
    MailboxClosed,
    MailboxOpened,
    SessionClosed,
    SessionOpened,
    TlsFailed,
)
from postroom.report.reporter import Reporter

_FLUSH = 32 * 1024
"""Octets of answers that are gathered for one write; more than this and a piece of content is never held."""

_TOLD = 100
"""Refused commands of one session that are reported one by one; a peer does not choose how long the log gets."""

_REFUSALS: Mapping[Failure, Answer] = MappingProxyType(
    {
        Failure.MALFORMED: answers.AUTH_MALFORMED,
        Failure.WRONG: answers.LOGIN_REFUSED,
        Failure.LOCKED: answers.LOGIN_LOCKED,
        Failure.UNAVAILABLE: answers.TRY_LATER,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pop3Setup:
    """What all sessions have in common. Timeouts are seconds; ``node`` names this node among those of the store."""

    options: Pop3Options
    idle_timeout: float
    tls_timeout: float
    desk: LoginDesk
    mailboxes: MailboxStore
    clock: Clock
    reporter: Reporter
    node: str


MOST_FROM_STRANGERS = 100
"""Commands that need no login, such as CAPA, that a session without one may give."""


class SessionEnded(Exception):
    """The session cannot go on; what there was to say has been said."""


class Pop3Session:
    """One connection, from greeting to end."""

    __slots__ = (
        "_account",
        "_client",
        "_draining",
        "_engine",
        "_idle",
        "_ids",
        "_login",
        "_out",
        "_out_size",
        "_pause",
        "_reason",
        "_removed",
        "_retrieved",
        "_setup",
        "_sizes",
        "_strangers",
        "_stream",
        "_told",
    )

    def __init__(self, setup: Pop3Setup, stream: Stream, client: Client) -> None:
        self._setup = setup
        self._stream = stream
        self._client = client
        self._engine = Pop3Server(setup.options, tls=client.tls is not None)
        self._login: Login | None = None  # the exchange that is under way
        self._pause = Pause(setup.clock)
        self._account: Account | None = None  # whose mailbox is held
        self._ids: Sequence[int] = ()
        self._sizes: Sequence[int] = ()
        self._out: list[bytes] = []  # answers that have not been sent
        self._out_size = 0
        self._idle = False  # waiting for the client
        self._draining = False
        self._told = 0
        self._strangers = 0  # commands without a login
        self._retrieved = 0
        self._removed = 0
        self._reason = ""
        self._offer_mechanisms()

    async def run(self) -> None:
        """Talk until either side ends it. Raises nothing but CancelledError."""
        reporter, clock = self._setup.reporter, self._setup.clock
        reporter.tell(SessionOpened(self._client))
        opened_at = clock.monotonic()
        reason = "drain"  # cancelled, unless one of the following is so
        try:
            await self._talk()
            reason = self._reason
        except TimeoutError:
            reason = self._reason or "timeout"  # RFC 1939 §3: without a word, and nothing is removed
        except SessionEnded:
            reason = self._reason
        except OSError:
            reason = "closed"  # the connection is lost, as peers do it
        except Exception as error:  # noqa: BLE001 - a bug must cost one session, not the server
            reason = "failure"
            self._complain(error)
        finally:
            self._stream.close()
            opened = self._account is not None
            await self._release()
            if opened:
                forgotten = self._engine.marked - self._removed
                reporter.tell(MailboxClosed(self._client, self._retrieved, self._removed, forgotten))
            reporter.tell(SessionClosed(self._client, reason, clock.monotonic() - opened_at, self._retrieved))

    def drain(self) -> None:
        """End the session as soon as nothing is lost by it: no message is on its way, none is marked as deleted."""
        self._draining = True
        self._pause.end()
        if self._idle and self._may_drain():
            self._reason = "drain"
            self._stream.close()

    def _may_drain(self) -> bool:
        return self._draining and not self._engine.marked

    # Moving bytes.

    async def _talk(self) -> None:
        engine, stream = self._engine, self._stream
        progress = True
        while True:
            event = engine.next_event()
            if event is ask.NEED_DATA:
                if self._may_drain():
                    self._reason = "drain"
                    self._flush()
                    return
                if progress:  # a command that dribbles in does not get its time anew with each octet
                    stream.set_timeout(self._setup.idle_timeout)
                    progress = False
                self._flush()
                await stream.drain()
                self._idle = True
                data = await stream.receive()
                self._idle = False
                engine.receive_data(data)
                continue
            progress = True
            if isinstance(event, ask.Signal):  # a question is never left open here: the session is over
                self._flush()
                return
            await self._handle(event)
            if self._out_size > _FLUSH:
                await self._push()

    def _say(self, data: bytes) -> None:
        self._out.append(data)
        self._out_size += len(data)

    def _flush(self) -> None:
        """The answers to pipelined commands leave in one write."""
        if self._out:
            self._stream.send(self._out[0] if len(self._out) == 1 else b"".join(self._out))
            self._out.clear()
            self._out_size = 0

    async def _push(self) -> None:
        """Send what there is, and wait until the client has taken enough of it."""
        self._stream.set_timeout(self._setup.idle_timeout)
        self._flush()
        await self._stream.drain()

    # Questions and notices.

    async def _handle(self, event: ask.Event) -> None:
        """Answer a question, pass a notice on. The one place where an operational exception becomes an answer."""
        try:
            answer = await self._answer_to(event)
        except StoreUnavailable as error:
            answer = answers.NOT_REMOVED if isinstance(event, ask.Update) else answers.TRY_LATER
            self._tell_refused(type(event).__name__.upper(), str(error), answer)
        if answer is not None:
            self._say(self._engine.answer(answer))
            if isinstance(event, ask.Login | ask.Auth | ask.AuthResponse) and self._engine.is_over:
                self._reason = "errors"

    async def _answer_to(self, event: ask.Event) -> Answer | None:
        """The answer to a question; None for a notice, and where it has been given already."""
        match event:
            case ask.Answered():
                self._pass_on(event)
            case ask.Outgoing(data):
                self._say(data)
            case ask.Retrieve():
                return await self._retrieve(event)
            case ask.Login(name, password):
                return await self._log_in(await self._begin("USER").with_password(name, password))
            case ask.Auth(mechanism, data):
                self._login = self._begin(mechanism)
                return await self._log_in(await self._login.step(data))
            case ask.AuthResponse(data):
                assert self._login is not None  # noqa: S101 - the engine asks in order
                return await self._log_in(await self._login.step(data))
            case ask.Update(deleted):
                return await self._update(deleted)
            case ask.StartTls():
                await self._start_tls()
            case ask.Connected():
                if self._draining:
                    self._reason = "drain"
                    return answers.TRY_LATER
                return ok(answers.GREETING_TEXT)
            case ask.Closed():
                self._reason = self._reason or "closed"
            case _:
                assert_never(event)
        return None

    def _pass_on(self, event: ask.Answered) -> None:
        """The engine answered by itself."""
        self._say(event.data)
        if self._account is None and not self._engine.is_over:
            self._strangers += 1
            if self._strangers > MOST_FROM_STRANGERS:
                self._say(answers.TOO_MANY_ERRORS.to_bytes())
                self._engine.shut_down()
                self._reason = "errors"
                self._setup.reporter.tell(AbuseSeen(self._client, "commands", f"{self._strangers} without a login"))
                return
        if not event.answer.ok:
            self._tell_refused(event.command, event.line, event.answer)
        if self._engine.is_over:
            self._reason = "quit" if event.answer.ok else "errors"

    async def _start_tls(self) -> None:
        self._say(self._engine.answer(answers.BEGIN_TLS))
        self._flush()
        self._stream.set_timeout(self._setup.tls_timeout)
        try:
            facts = await self._stream.start_tls()
        except (TlsError, TimeoutError) as error:
            self._reason = "tls"
            self._setup.reporter.tell(TlsFailed(self._client, str(error) or "the peer took too long"))
            raise SessionEnded from error
        self._engine.tls_established()
        self._client = replace(self._client, tls=facts)
        self._offer_mechanisms()

    # Login.

    def _offer_mechanisms(self) -> None:
        """What this session may use, which depends on its TLS."""
        self._engine.offer_mechanisms(self._mechanisms())

    def _mechanisms(self) -> tuple[str, ...]:
        return self._setup.desk.mechanisms(self._client, self._stream.channel_binding)

    def _begin(self, mechanism: str) -> Login:
        return Login(self._setup.desk, self._client, mechanism, self._mechanisms(), self._stream.channel_binding)

    async def _log_in(self, outcome: Outcome) -> Answer | None:
        """What has come of it: a challenge, the mailbox, or a refusal."""
        if isinstance(outcome, LoggedIn):
            self._login = None
            return await self._open(outcome.account)
        if outcome.delay:
            self._flush()
            await self._pause.hold(outcome.delay)
        if isinstance(outcome, Ask):
            self._say(self._engine.challenge(outcome.data))
            return None
        self._login = None
        return _REFUSALS[outcome.kind]

    async def _open(self, account: Account) -> Answer | None:
        """Take the mailbox for this session alone (RFC 1939 §4)."""
        mailboxes = self._setup.mailboxes
        if not await mailboxes.claim(account.account_id, self._claim):
            self._tell_refused("LOGIN", str(account.address), answers.IN_USE)
            return answers.IN_USE
        self._account = account
        try:
            entries = await mailboxes.entries(account.account_id)
        except StoreUnavailable:
            await self._release()
            raise
        self._ids = array("Q", [entry.entry_id for entry in entries])
        self._sizes = array("Q", [entry.size for entry in entries])
        self._client = replace(self._client, account=str(account.address))
        self._setup.reporter.tell(MailboxOpened(self._client, len(entries), sum(self._sizes)))
        self._say(self._engine.open_maildrop(self._ids, self._sizes))
        return None

    @property
    def _claim(self) -> str:
        """What this session is called among those that want the mailbox, on all nodes."""
        return f"{self._setup.node}/{self._client.session_id}"

    async def _release(self) -> None:
        account, self._account = self._account, None
        if account is not None:
            with suppress(StoreUnavailable):  # nobody is left to be told; the store lets claims lapse
                await self._setup.mailboxes.release(account.account_id, self._claim)

    # The mailbox.

    async def _retrieve(self, event: ask.Retrieve) -> Answer | None:
        """A message in pieces, never whole. Trouble before its first octet is answered; later it ends the session."""
        account_id = self._held().account_id
        pieces = self._setup.mailboxes.read(account_id, self._ids[event.number - 1])
        try:
            piece = await anext(pieces, b"")
        except KeyError:
            self._tell_refused("RETR", str(event.number), answers.GONE)
            return answers.GONE
        self._say(self._engine.answer(ok("{} octets", self._sizes[event.number - 1])))
        try:
            await self._send_content(piece, pieces)
        except (StoreUnavailable, KeyError) as error:
            self._tell_refused("RETR", f"broken off: {error}", answers.TRY_LATER)
            self._reason = "failure"
            self._flush()
            raise SessionEnded from error
        self._say(self._engine.end_content())
        self._retrieved += event.lines is None
        return None

    async def _send_content(self, piece: bytes, more: AsyncIterator[bytes]) -> None:
        engine = self._engine
        while piece:
            self._say(engine.content(piece))
            if not engine.wants_content:
                return
            if self._out_size > _FLUSH:
                await self._push()
            piece = await anext(more, b"")

    async def _update(self, deleted: tuple[int, ...]) -> Answer:
        """Remove what is marked, and give the mailbox back before the client hears that it may come again."""
        self._reason = "quit"
        account_id = self._held().account_id
        if deleted:
            await self._setup.mailboxes.remove(account_id, [self._ids[number - 1] for number in deleted])
            self._removed = len(deleted)
        with suppress(StoreUnavailable):  # tried again when the session ends
            await self._setup.mailboxes.release(account_id, self._claim)
        return answers.BYE

    def _held(self) -> Account:
        """Whose mailbox is open: the engine asks in order, so there is one."""
        assert self._account is not None  # noqa: S101
        return self._account

    # Telling.

    def _tell_refused(self, command: str, line: str, answer: Answer) -> None:
        self._told += 1
        if self._told <= _TOLD:
            code = 450 if answer.code in {"SYS/TEMP", "IN-USE"} else 550  # POP3 has no codes; a report tells the kind
            self._setup.reporter.tell(CommandRefused(self._client, command, line, Reply.of(code, "", str(answer))))

    def _complain(self, error: Exception) -> None:
        where = f"pop3 session {self._client.session_id} ({self._client.role.value})"
        self._setup.reporter.tell(InternalError(where, repr(error), traceback.format_exc()))
