"""The SMTP server engine: bytes in, questions out, one at a time (RFC 5321)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from postroom.mail.reply import Reply
from postroom.protocol.errors import LocalProtocolError
from postroom.protocol.lines import BadLine, LineFault, LineReader
from postroom.protocol.smtp import replies
from postroom.protocol.smtp.content import ChunkReader, ContentCheck, DataReader, end_of_patience
from postroom.protocol.smtp.events import (
    NEED_DATA,
    PAUSED,
    Answered,
    AuthResponse,
    Closed,
    Connected,
    Content,
    ContentDropped,
    ContentEnd,
    Data,
    Flaw,
    Hello,
    Reset,
    ServerEvent,
    Signal,
    XClient,
)
from postroom.protocol.smtp.grammar import read_base64, read_text
from postroom.protocol.smtp.options import ServerOptions
from postroom.protocol.smtp.questions import HANDLERS, VERBS_ALONE, Chunk, read_question
from postroom.protocol.smtp.replies import Refused
from postroom.protocol.smtp.standing import NOTES, Standing
from postroom.protocol.smtp.states import CHUNK_MOVES, DEAF, SERVER_MOVES, TRANSACTION, ServerState

_COMMAND_LINE = 2048  # octets: RFC 5321 §4.5.3.1.4 asks for 512, RFC 3461 §5.4 for 1036, all extensions for 1500
_AUTH_LINE = 12288  # octets, RFC 4954 §4
_LONGER = (b"AUTH ", _AUTH_LINE)
_CONNECTED = Connected()


@dataclass(slots=True)
class _Skip:
    """A refused chunk of ``size`` octets, of which ``left`` are still to be thrown away before it is answered.

    ``refused`` is None where it has no reply.
    """

    size: int
    left: int
    refused: Refused | None
    back: ServerState


class SmtpServer:
    """One session, server side.

    ``tls`` is true from the start for implicit TLS (RFC 8314 §3.3); ``xclient`` and ``etrn`` say
    that this client may use these commands.
    """

    __slots__ = (
        "_chunk",
        "_content",
        "_eof",
        "_errors",
        "_lines",
        "_options",
        "_pending",
        "_question",
        "_skip",
        "_standing",
        "_tell_closed",
    )

    def __init__(self, options: ServerOptions, *, tls: bool = False, xclient: bool = False, etrn: bool = False) -> None:
        self._options = options
        self._standing = Standing(options, tls=tls, xclient=xclient, etrn=etrn)
        self._lines = LineReader()
        self._eof = False
        self._question: ServerEvent | None = None
        self._pending: ServerEvent | None = None  # the second of two events that come together
        self._tell_closed = False  # Closed is due, once
        self._errors = 0
        self._content: DataReader | ChunkReader | None = None
        self._chunk: Chunk | None = None  # the first of a transaction, until the shell has answered
        self._skip: _Skip

    def receive_data(self, data: bytes) -> None:
        """Take what came from the peer; ``b""`` means that it closed. Never raises on any input."""
        if not data:
            self._eof = True
        elif self._standing.state not in DEAF:
            self._lines.feed(data)

    def next_event(self) -> ServerEvent | Signal:
        """The next event, NEED_DATA, or PAUSED while a question is open."""
        if self._question is not None:
            return PAUSED
        if self._pending is not None:
            event, self._pending = self._pending, None
            return event
        return _READERS[self._standing.state](self)

    def answer(self, reply: Reply) -> bytes:
        """Answer the open question. Returns what to send. LocalProtocolError if there is no open question."""
        question = self._question
        if question is None:
            raise LocalProtocolError("there is no open question")
        self._question = None
        if reply.code == 421:  # RFC 5321 §3.8
            return self.shut_down(reply)
        kind, digit = type(question), reply.code // 100
        target = SERVER_MOVES.get((kind, digit)) if self._chunk is None else CHUNK_MOVES.get(digit)
        note = NOTES.get(kind)
        if note is not None:
            note(self._standing, question, reply.is_positive)
        answerer = _ANSWERERS.get(kind)
        data = reply.to_bytes() if answerer is None else answerer(self, question, reply)
        if target is not None:
            self._move(target)
        return data

    def answer_each(self, answers: Sequence[Reply]) -> bytes:
        """Answer ContentEnd of an LMTP session for each accepted recipient, in their order (RFC 2033 §4.2)."""
        if type(self._question) is not ContentEnd or len(answers) != self._content_replies:
            raise LocalProtocolError("the end of content is due one reply for each accepted recipient")
        self._question = None
        self._errors = 0
        self._move(ServerState.READY)
        return b"".join([reply.to_bytes() for reply in answers])

    def refuse_content(self, reply: Reply) -> None:
        """While content comes in: drop the rest of it and answer ``reply`` at its end."""
        if self._question is not None or self._content is None:
            raise LocalProtocolError("no content is coming in")
        self._content.check.refusal = reply

    def tls_established(self) -> None:
        """The handshake is done: back to the state before EHLO (RFC 3207 §4.2), with nothing buffered."""
        if self._standing.state is not ServerState.HANDSHAKE:
            raise LocalProtocolError("no TLS handshake is under way")
        self._standing.tls_is_up()
        self._move(ServerState.FRESH)

    def offer_mechanisms(self, mechanisms: tuple[str, ...]) -> None:
        """What AUTH has in this session, which depends on its TLS: call it before the greeting, and after a handshake.

        Without it AUTH has the mechanisms of the options.
        """
        self._standing.offer_mechanisms(mechanisms)

    def authenticated(self) -> None:
        """Called before answering 235, so that MAIL is open and a second AUTH is not."""
        self._standing.account_is_known()

    def shut_down(self, reply: Reply) -> bytes:
        """End the session from our side (421): drain, timeout. Returns what to send; the engine is over."""
        self._question = self._pending = None
        self._move(ServerState.OVER)
        return reply.to_bytes()

    @property
    def is_over(self) -> bool:
        """Nothing more will be read: send what is left and close."""
        return self._standing.state is ServerState.OVER and self._pending is None

    @property
    def between_transactions(self) -> bool:
        """No transaction is open: a drain may end the session now."""
        return self._standing.state not in TRANSACTION

    # Moving between states.

    def _move(self, target: ServerState) -> None:
        """Into the state ``target``, leaving behind what does not live there."""
        standing = self._standing
        if target not in TRANSACTION:
            standing.forget_transaction()
            self._content = None
            if target in DEAF:
                self._lines.clear()  # RFC 3207 §4.2: what came before the handshake is not obeyed
            elif target is ServerState.READY and not standing.greeted:
                target = ServerState.FRESH
        standing.state = target

    def _ask(self, question: ServerEvent) -> ServerEvent:
        self._question = question
        return question

    def _no_data(self) -> ServerEvent | Signal:
        """Everything is used up: wait, or tell that the peer closed."""
        if not self._eof:
            return NEED_DATA
        self._move(ServerState.OVER)
        return Closed()

    def _give_up(self, reply: Reply, verb: str, line: str = "") -> ServerEvent:
        """Tell the peer why, and end."""
        dropped = self._content is not None
        self._move(ServerState.OVER)
        self._tell_closed = True
        answered = Answered(reply, reply.to_bytes(), verb, line)
        if not dropped:
            return answered
        self._pending = answered
        return ContentDropped(Flaw.TOO_BIG)

    def _refuse(self, refused: Refused, verb: str, line: str) -> ServerEvent:
        """Tell the peer that a command is refused; too often, and it is the last."""
        if refused.counted:
            self._errors += 1
            if self._errors > self._options.max_errors:
                return self._give_up(replies.TOO_MANY_ERRORS, verb, line)
        if verb in ("MAIL", "RCPT", "BDAT"):
            self._standing.excused = True
        return Answered(refused.reply, refused.reply.to_bytes(), verb, line, refused.counted)

    # Reading, by state.

    def _read_greeting(self) -> ServerEvent:
        return self._ask(_CONNECTED)

    def _read_command(self) -> ServerEvent | Signal:
        line = self._lines.next_line(_COMMAND_LINE, _LONGER)
        if line is None:
            return self._no_data()
        if isinstance(line, BadLine):
            return self._bad_line(line)
        standing, verb = self._standing, VERBS_ALONE.get(line, "")
        try:
            if verb:
                event = read_question(verb, "", verb, standing)
            else:
                text = read_text(line)
                word, _, argument = text.partition(" ")
                verb = word if word in HANDLERS else word.upper()
                event = read_question(verb, argument.lstrip(" "), text, standing)
        except Refused as refused:
            verb = verb if verb in HANDLERS else ""
            return self._refuse(refused, verb, standing.shown(line, verb))
        standing.auth_refused = False
        if isinstance(event, Chunk):
            return self._open_chunk(event)
        if not isinstance(event, Answered):
            self._question = event
        return event

    def _bad_line(self, bad: BadLine) -> ServerEvent:
        shown = self._standing.shown(bad.head, "")
        if bad.fault is LineFault.ENDLESS:
            return self._give_up(replies.LINE_TOO_LONG, "", shown)
        reply = replies.BARE_LF_LINE if bad.fault is LineFault.BARE_LF else replies.LINE_TOO_LONG
        return self._refuse(Refused(reply), "", shown)

    def _read_auth_response(self) -> ServerEvent | Signal:
        line = self._lines.next_line(_AUTH_LINE)
        if line is None:
            return self._no_data()
        if isinstance(line, BadLine):
            reply = replies.BARE_LF_LINE if line.fault is LineFault.BARE_LF else replies.AUTH_LINE_TOO_LONG
            if line.fault is LineFault.ENDLESS:
                return self._give_up(reply, "AUTH")
            return self._end_auth(Refused(reply))
        if line == b"*":
            return self._end_auth(Refused(replies.AUTH_CANCELLED))
        try:
            return self._ask(AuthResponse(read_base64(line)))
        except Refused as refused:
            return self._end_auth(refused)

    def _end_auth(self, refused: Refused) -> ServerEvent:
        self._move(ServerState.READY)
        self._standing.auth_refused = True
        return self._refuse(refused, "AUTH", "")

    def _read_content(self) -> ServerEvent | Signal:
        """A piece of content, or what its end brings; the same for DATA and for a chunk of BDAT."""
        content = cast("DataReader | ChunkReader", self._content)  # it stands in each state that comes here
        piece = content.next_piece(self._lines)
        if piece:
            return Content(piece)
        if piece is None:
            return self._no_data()
        check = content.check
        if not check.is_good:
            return self._give_up(replies.TOO_BIG, "DATA") if check.is_overrun else self._drop_content(content)
        if isinstance(content, ChunkReader) and not content.last:
            self._standing.state = ServerState.CHUNKS
            reply = Reply.of(250, "2.0.0", f"{content.size} octets received")
            return Answered(reply, reply.to_bytes(), "BDAT", f"BDAT {content.size}")
        return self._ask(ContentEnd(check.size))

    def _drop_content(self, content: DataReader | ChunkReader) -> ServerEvent:
        """The content is over and was not good: say so."""
        check = content.check
        flaw = None if check.refusal else check.flaw
        reply = check.refusal or replies.flawed(check.flaw, self._options.max_line)
        in_chunks = isinstance(content, ChunkReader)
        times = 1 if isinstance(content, ChunkReader) and not content.last else self._content_replies
        self._pending = Answered(reply, reply.to_bytes() * times, "BDAT" if in_chunks else "DATA")
        self._move(ServerState.OVER if reply.code == 421 else ServerState.READY)
        self._standing.excused = in_chunks  # more chunks may have been pipelined
        return ContentDropped(flaw)

    @property
    def _content_replies(self) -> int:
        """How many replies the end of content brings (RFC 2033 §4.2)."""
        return self._standing.recipients if self._options.lmtp else 1

    def _new_check(self) -> ContentCheck:
        options = self._options
        return ContentCheck(
            options.max_size,
            options.max_line,
            normalise=options.normalise_newlines,
            binary=self._standing.binary,
        )

    # Chunks (RFC 3030 §2): their octets follow the command, so that even a refusal must first consume them.

    def _open_chunk(self, chunk: Chunk) -> ServerEvent | Signal:
        content, standing = self._content, self._standing
        so_far = content.check.size if content else 0
        if so_far + chunk.size > end_of_patience(self._options.max_size):
            return self._give_up(replies.TOO_BIG, "BDAT", f"BDAT {chunk.size}")
        if chunk.refused:
            nobody = self._options.lmtp and chunk.last and standing.state is ServerState.SENDER  # RFC 2033 §4.3
            self._skip = _Skip(chunk.size, chunk.size, None if nobody else chunk.refused, standing.state)
            standing.state = ServerState.SKIP
            return self._skip_chunk()
        if isinstance(content, ChunkReader):
            content.open(chunk.size, last=chunk.last)
            standing.state = ServerState.CHUNK
            return self._read_content()
        self._chunk = chunk
        return self._ask(Data(chunking=True))

    def _skip_chunk(self) -> ServerEvent | Signal:
        skip = self._skip
        while skip.left:
            data = self._lines.take(skip.left)
            if not data:
                return self._no_data()
            skip.left -= len(data)
        self._move(skip.back)
        if skip.refused is None:
            return self._ask(Reset(silent=True))
        return self._refuse(skip.refused, "BDAT", f"BDAT {skip.size}")

    # What an answer brings besides the move.

    def _answer_hello(self, question: Hello, reply: Reply) -> bytes:
        if not reply.is_positive:
            return reply.to_bytes()
        # RFC 5321 §4.1.1.1: the extensions follow
        return _write_hello(reply.code, reply.lines, self._standing.extensions() if question.esmtp else ())

    def _answer_reset(self, question: Reset, reply: Reply) -> bytes:
        return b"" if question.silent else reply.to_bytes()

    def _answer_introduction(self, _: XClient, reply: Reply) -> bytes:
        """A greeting: the session begins anew. A refusal is one of the session, as that of a greeting."""
        self._standing.begin_anew()
        return reply.to_bytes()

    def _answer_data(self, _: Data, reply: Reply) -> bytes:
        chunk, self._chunk = self._chunk, None
        if chunk is None:
            self._content = DataReader(self._new_check())
            return reply.to_bytes()
        if reply.is_positive:
            self._content = ChunkReader(self._new_check())
            self._content.open(chunk.size, last=chunk.last)
        else:
            self._skip = _Skip(chunk.size, chunk.size, Refused(reply, counted=False), ServerState.READY)
        return b""

    def _answer_end(self, _: ContentEnd, reply: Reply) -> bytes:
        if reply.is_positive:
            self._errors = 0
        return reply.to_bytes() * self._content_replies

    def _rest(self) -> ServerEvent | Signal:
        """TLS is coming up, or the session is over."""
        standing = self._standing
        if self._tell_closed:
            self._tell_closed = False
            return Closed()
        if self._eof and standing.state is ServerState.HANDSHAKE:
            return self._no_data()
        return PAUSED


@lru_cache(maxsize=64)  # there are a few for each service
def _write_hello(code: int, lines: tuple[str, ...], extensions: tuple[str, ...]) -> bytes:
    """The answer to EHLO and HELO on the wire, without an enhanced status (RFC 2034 §4)."""
    return Reply(code, "", lines + extensions).to_bytes()


_READERS: Mapping[ServerState, Callable[[SmtpServer], ServerEvent | Signal]] = {
    ServerState.GREETING: SmtpServer._read_greeting,
    ServerState.REFUSED: SmtpServer._read_command,
    ServerState.FRESH: SmtpServer._read_command,
    ServerState.READY: SmtpServer._read_command,
    ServerState.SENDER: SmtpServer._read_command,
    ServerState.RECIPIENTS: SmtpServer._read_command,
    ServerState.CHUNKS: SmtpServer._read_command,
    ServerState.CHUNK: SmtpServer._read_content,
    ServerState.SKIP: SmtpServer._skip_chunk,
    ServerState.CONTENT: SmtpServer._read_content,
    ServerState.AUTH: SmtpServer._read_auth_response,
    ServerState.HANDSHAKE: SmtpServer._rest,
    ServerState.OVER: SmtpServer._rest,
}

_ANSWERERS: Mapping[type[ServerEvent], Callable[[SmtpServer, Any, Reply], bytes]] = {
    Hello: SmtpServer._answer_hello,
    XClient: SmtpServer._answer_introduction,
    Data: SmtpServer._answer_data,
    Reset: SmtpServer._answer_reset,
    ContentEnd: SmtpServer._answer_end,
}
