"""The SMTP and LMTP client engine: commands in, bytes out; bytes in, replies out (RFC 5321, RFC 2033)."""

import re
from collections import deque
from functools import lru_cache

from postroom.mail.envelope import Body
from postroom.mail.reply import Reply
from postroom.protocol.errors import LocalProtocolError, RemoteProtocolError
from postroom.protocol.lines import BadLine, LineReader, visible
from postroom.protocol.smtp.commands import (
    Command,
    EndOfContent,
    SayAuth,
    SayAuthCancel,
    SayAuthResponse,
    SayChunk,
    SayData,
    SayHello,
    SayMail,
    SayRcpt,
    SayReset,
    SayStartTls,
)
from postroom.protocol.smtp.content import ContentWriter
from postroom.protocol.smtp.events import NEED_DATA, PAUSED, ClientEvent, Closed, Replied, Signal
from postroom.protocol.smtp.states import CHUNK_ORDER, CLIENT_MOVES, CLIENT_ORDER, LAST_IN_GROUP, ClientState
from postroom.protocol.smtp.writing import read_capabilities, write_command

_REPLY_LINE = 2048  # octets: RFC 5321 §4.5.3.1.5 says 512, servers have been seen to say more
_REPLY_LINES = 100
_REPLIES_KNOWN = 256  # replies of one line that are remembered as they were read: servers repeat themselves
_REPLY = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_STATUS = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")  # RFC 3463 §2


class SmtpClient:
    """One connection, client side. Starts by waiting for the greeting."""

    __slots__ = (
        "_accepted",
        "_before",
        "_binary",
        "_capabilities",
        "_eof",
        "_error",
        "_lines",
        "_lmtp",
        "_mail_refused",
        "_outstanding",
        "_rcpts",
        "_reply_code",
        "_reply_lines",
        "_state",
        "_writer",
    )

    def __init__(self, *, lmtp: bool = False) -> None:
        self._lmtp = lmtp
        self._state = ClientState.GREETING
        self._lines = LineReader(strict=False)
        self._eof = False
        self._error: RemoteProtocolError | None = None
        self._capabilities: dict[str, str] = {}
        # Commands whose replies are due, with an ordinal: of the RCPT, or of the recipient that LMTP speaks about.
        self._outstanding: deque[tuple[Command, int | None]] = deque()
        self._reply_code = 0
        self._reply_lines: list[str] = []
        self._rcpts = 0
        self._accepted: list[int] = []
        self._mail_refused = False
        self._binary = False
        self._writer = ContentWriter()

    def send(self, command: Command) -> bytes:
        """The command on the wire. LocalProtocolError if it is out of order, or if replies are outstanding and the
        server did not announce PIPELINING, or after a command that must be last in a group (RFC 2920 §3.1).
        """
        kind = type(command)
        states = CLIENT_ORDER[kind]
        if not self._may_send(states):
            raise self._out_of_order(kind, states)
        data = write_command(command, self._capabilities, lmtp=self._lmtp)
        ordinal = None
        match command:
            case SayMail():
                self._rcpts = 0
                self._accepted.clear()
                self._binary = command.body is Body.BINARY
            case SayRcpt():
                ordinal = self._rcpts
                self._rcpts += 1
            case SayData() if self._binary:
                raise LocalProtocolError("binary content goes by chunks alone")  # RFC 3030 §3
            case SayReset() if self._state is not ClientState.FRESH:
                self._state = ClientState.READY
            case _:
                pass
        self._outstanding.append((command, ordinal))
        self._state = CLIENT_MOVES.get(kind, self._state)
        return data

    def content(self, data: bytes) -> bytes:
        """A piece of content, dot-stuffed (RFC 5321 §4.5.2). LocalProtocolError on a bare CR or LF, so that nothing
        is smuggled out; the connection is of no use after that.
        """
        self._in_content()
        return self._writer.write(data)

    def end_content(self) -> bytes:
        """The end of content: CRLF where the content lacks it, and the final dot."""
        self._in_content()
        data = self._writer.end()
        self._expect_end()
        return data

    def chunk(self, data: bytes, *, last: bool) -> bytes:
        """BDAT and its octets as they are (RFC 3030 §2): their number ends them, so that nothing can be smuggled out.

        All replies to RCPT must be in. LocalProtocolError if it is out of order: also if the server did not announce
        CHUNKING, if nobody was accepted, or after a chunk that was refused.
        """
        if not self._may_send(CHUNK_ORDER):
            raise self._out_of_order(SayChunk, CHUNK_ORDER)
        if "CHUNKING" not in self._capabilities:
            raise LocalProtocolError("the server did not announce CHUNKING")
        if not self._accepted or any(isinstance(command, SayMail | SayRcpt) for command, _ in self._outstanding):
            raise LocalProtocolError("a chunk needs a recipient that was accepted")
        if last:
            self._expect_end()
        else:
            self._outstanding.append((SayChunk(), None))
            self._state = ClientState.CHUNKS
        return b"BDAT %d%b\r\n%b" % (len(data), b" LAST" if last else b"", data)

    def whole(self, data: bytes) -> bytes:
        """All of the content as its last chunk, in the group of MAIL and RCPT, before the replies to these.

        RFC 3030 §4.2, RFC 2920 §3.1. Where they are refused, its reply refuses it too, and RSET is due.

        LocalProtocolError if it is out of order, for LMTP (whose replies are counted by who was accepted), and if the
        server did not announce CHUNKING.
        """
        if self._lmtp:
            raise LocalProtocolError("LMTP has as many replies to the end as recipients were accepted")  # RFC 2033 §4.3
        if self._state is not ClientState.RECIPIENTS or not self._may_send(CHUNK_ORDER):
            raise self._out_of_order(SayChunk, frozenset({ClientState.RECIPIENTS}))
        if "CHUNKING" not in self._capabilities:
            raise LocalProtocolError("the server did not announce CHUNKING")
        self._expect_end()
        return b"BDAT %d LAST\r\n%b" % (len(data), data)

    def _may_send(self, states: frozenset[ClientState]) -> bool:
        """Whether something may be sent now that may be sent in these states."""
        if self._state not in states:
            return False
        outstanding = self._outstanding
        return not outstanding or (self.can_pipeline and type(outstanding[-1][0]) not in LAST_IN_GROUP)

    def _out_of_order(self, kind: type[Command], states: frozenset[ClientState]) -> LocalProtocolError:
        """Why it may not."""
        if self._state not in states:
            return LocalProtocolError(f"{kind.__name__} is out of order: the state is {self._state.name}")
        if not self.can_pipeline:
            return LocalProtocolError(f"{kind.__name__} must wait: the server did not announce PIPELINING")
        last = type(self._outstanding[-1][0])
        return LocalProtocolError(f"{kind.__name__} must wait for the reply to {last.__name__}")

    def _expect_end(self) -> None:
        """The content is complete: what replies will come."""
        self._state = ClientState.READY
        if self._lmtp:  # RFC 2033 §4.2, §4.3
            self._outstanding.extend([(EndOfContent(), ordinal) for ordinal in self._accepted])
        else:
            self._outstanding.append((EndOfContent(), None))

    def receive_data(self, data: bytes) -> None:
        """Take what came; ``b""`` means that the server closed. Raises nothing: errors come from ``next_event``."""
        if not data:
            self._eof = True
        elif self._state is not ClientState.HANDSHAKE:
            self._lines.feed(data)

    def next_event(self) -> ClientEvent | Signal:
        """The next reply, Closed, NEED_DATA, or PAUSED during a TLS handshake.

        RemoteProtocolError on a malformed, oversized or unexpected reply; then again at each call.
        """
        if self._error is not None:
            raise self._error
        while (line := self._lines.next_line(_REPLY_LINE)) is not None:
            if isinstance(line, BadLine):
                raise self._fail("the server sent a line that is too long")
            reply = (None if self._reply_lines else _read_whole(line)) or self._read_line(line)
            if reply is not None:
                return self._replied(reply)
        if self._eof:
            self._state = ClientState.OVER
            return Closed()
        return PAUSED if self._state is ClientState.HANDSHAKE else NEED_DATA

    def tls_established(self) -> None:
        """The handshake is done: capabilities forgotten, anything buffered dropped, EHLO is next (RFC 3207 §4.2)."""
        if self._state is not ClientState.HANDSHAKE:
            raise LocalProtocolError("no TLS handshake is under way")
        self._capabilities = {}
        self._state = ClientState.FRESH

    @property
    def capabilities(self) -> dict[str, str]:
        """EHLO keywords in upper case with their parameters; empty after HELO."""
        return self._capabilities

    @property
    def can_pipeline(self) -> bool:
        """PIPELINING was announced."""
        return "PIPELINING" in self._capabilities

    @property
    def outstanding(self) -> int:
        """Commands whose replies have not come yet."""
        return len(self._outstanding)

    # Reading replies (RFC 5321 §4.2.1).

    def _fail(self, message: str, hint: Reply | None = None) -> RemoteProtocolError:
        self._error = RemoteProtocolError(message, hint)
        self._state = ClientState.OVER
        return self._error

    def _read_line(self, line: bytes) -> Reply | None:
        """The reply of several lines that this one completes."""
        match = _REPLY.fullmatch(line)
        if match is None:
            raise self._fail(f"the server sent no SMTP reply: {visible(line[:100].decode('utf-8', 'replace'))!r}")
        code = int(match[1])
        if self._reply_lines and code != self._reply_code:
            raise self._fail(f"the server changed the code of a reply from {self._reply_code} to {code}")
        self._reply_code = code
        self._reply_lines.append(visible((match[3] or b"").decode("utf-8", "replace")))
        if match[2] == b"-":
            if len(self._reply_lines) == _REPLY_LINES:
                raise self._fail(f"the server sent a reply of more than {_REPLY_LINES} lines")
            return None
        lines, self._reply_lines = self._reply_lines, []
        return _make_reply(code, lines)

    def _replied(self, reply: Reply) -> ClientEvent:
        """Whose reply it is, and what it changes."""
        if self._outstanding:
            command, ordinal = self._outstanding.popleft()
            self._learn(command, ordinal, reply)
            if reply.code == 421:
                self._state = ClientState.CLOSING
            return Replied(command, reply, ordinal if type(command) is EndOfContent else None)
        if self._state is ClientState.GREETING:
            self._state = ClientState.FRESH if reply.code // 100 == 2 else ClientState.CLOSING
        elif reply.code == 421:  # RFC 5321 §3.8: the one reply that may come unasked
            self._state = ClientState.CLOSING
        else:
            raise self._fail(f"the server sent a reply that nobody asked for: {reply}", reply)
        return Replied(None, reply)

    def _learn(self, command: Command, ordinal: int | None, reply: Reply) -> None:
        """What a reply changes: the state that sending assumed stands, or is taken back."""
        good = reply.is_positive
        match command:  # those of each message first
            case SayMail():
                self._mail_refused = not good
            case SayRcpt() if good and ordinal is not None:
                self._accepted.append(ordinal)
            case SayData() if good:
                self._state = ClientState.CONTENT
                self._writer = ContentWriter()
            case EndOfContent():
                pass
            case SayData() if self._state is ClientState.DATA:
                self._state = ClientState.RECIPIENTS
            case SayHello(esmtp=esmtp) if good:
                self._capabilities = read_capabilities(reply) if esmtp or self._lmtp else {}
                self._state = ClientState.READY
            case SayStartTls() if reply.code == 220:
                self._state = ClientState.HANDSHAKE
                self._lines.clear()  # RFC 3207 §4.2, and nothing injected before the handshake is believed
            case SayAuth() | SayAuthResponse() | SayAuthCancel():
                self._state = ClientState.AUTH if reply.code == 334 else ClientState.READY
            case SayChunk() if not good and self._state is ClientState.CHUNKS:
                self._state = ClientState.CHUNK_REFUSED
            case _:
                pass
        if not self._outstanding and self._state in (ClientState.SENDER, ClientState.RECIPIENTS):
            self._take_back()

    def _take_back(self) -> None:
        """All replies are in: what sending assumed and the server refused did not happen."""
        if self._mail_refused:
            self._state = ClientState.READY
        elif not self._accepted:
            self._state = ClientState.SENDER

    def _in_content(self) -> None:
        if self._state is not ClientState.CONTENT:
            raise LocalProtocolError(f"no content is due: the state is {self._state.name}")


@lru_cache(_REPLIES_KNOWN)
def _read_whole(line: bytes) -> Reply | None:
    """The reply that this line is; None where more lines follow, or where it is no reply."""
    match = _REPLY.fullmatch(line)
    if match is None or match[2] == b"-":
        return None
    return _make_reply(int(match[1]), [visible((match[3] or b"").decode("utf-8", "replace"))])


def _make_reply(code: int, lines: list[str]) -> Reply:
    """The reply, its enhanced status taken out of the text (RFC 2034 §4)."""
    found = _STATUS.match(lines[-1])
    if found is None or int(found[1][0]) != code // 100:
        return Reply(code, "", tuple(lines))
    status = found[1]
    return Reply(code, status, tuple([_without_status(line, status) for line in lines]))


def _without_status(line: str, status: str) -> str:
    return line[len(status) :].lstrip(" ") if line.startswith(status) else line
