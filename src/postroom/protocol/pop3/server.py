"""The POP3 server engine: bytes in, questions out, one at a time (RFC 1939, RFC 2449, RFC 2595, RFC 5034, RFC 6856)."""

from array import array
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from postroom.protocol.errors import LocalProtocolError
from postroom.protocol.lines import BadLine, LineFault, LineReader
from postroom.protocol.pop3 import answers
from postroom.protocol.pop3.answers import Answer, ok
from postroom.protocol.pop3.capabilities import Pop3Options, capabilities
from postroom.protocol.pop3.commands import (
    HIDDEN,
    MAX_AUTH,
    MAX_COMMAND,
    CommandLine,
    read_base64,
    read_line,
    read_numbers,
    show,
)
from postroom.protocol.pop3.content import Outflow
from postroom.protocol.pop3.events import (
    NEED_DATA,
    PAUSED,
    Answered,
    Auth,
    AuthResponse,
    Closed,
    Connected,
    Event,
    Login,
    Outgoing,
    Retrieve,
    Signal,
    StartTls,
    Update,
)
from postroom.protocol.pop3.languages import ENGLISH, choose_language, listing, translated
from postroom.protocol.pop3.maildrop import Maildrop
from postroom.protocol.pop3.states import ORDER, State
from postroom.protocol.sasl.exchange import Malformed, Password, read_text
from postroom.protocol.sasl.prepare import saslprep


class Pop3Server:
    """One session, server side. ``tls`` is true from the start for implicit TLS (RFC 8314 §3.3)."""

    __slots__ = (
        "_asked",
        "_eof",
        "_errors",
        "_language",
        "_listing",
        "_logins",
        "_maildrop",
        "_mechanisms",
        "_name",
        "_options",
        "_outflow",
        "_reader",
        "_state",
        "_tls",
        "_utf8",
    )

    def __init__(self, options: Pop3Options, *, tls: bool = False) -> None:
        self._options = options
        self._tls = tls
        self._reader = LineReader(strict=False)  # nothing depends on where a line of POP3 ends but the line
        self._eof = False
        self._state = State.GREETING
        self._asked: Event | None = None  # the question that is open
        self._errors = 0
        self._logins = 0
        self._name = ""
        self._mechanisms = options.auth_mechanisms
        self._language = ENGLISH
        self._utf8 = False
        self._maildrop = Maildrop((), ())
        self._listing: Iterator[bytes] | None = None
        self._outflow = Outflow(None, utf8=True)

    def offer_mechanisms(self, mechanisms: tuple[str, ...]) -> None:
        """What AUTH knows in this session from now on: when it begins, and when TLS has come up."""
        self._mechanisms = mechanisms

    def receive_data(self, data: bytes) -> None:
        """Take what came from the client; ``b""`` means that it closed. Never raises on any input."""
        if not data:
            self._eof = True
        elif self._state is not State.OVER:
            self._reader.feed(data)

    def next_event(self) -> Event | Signal:
        """The next event, NEED_DATA, or PAUSED while a question or a message is open or the session is over."""
        if self._listing is not None:
            piece = next(self._listing, None)
            if piece is not None:
                return Outgoing(piece)
            self._listing = None
        if self._asked is not None or self._state in _PAUSED:
            return PAUSED
        if self._state is State.GREETING:
            return self._ask(Connected())
        return self._read()

    def answer(self, answer: Answer) -> bytes:
        """Answer the open question. Returns what to send. LocalProtocolError if there is none, or none of this kind."""
        match self._asked:
            case Connected() if answer.ok:
                self._state = State.AUTHORIZATION
            case Connected() | Update():
                self._end()
            case StartTls():
                self._state = State.HANDSHAKE if answer.ok else State.AUTHORIZATION
            case Login() | Auth() | AuthResponse() if not answer.ok:
                self._refuse_login()
            case Retrieve(_, lines):
                self._begin_content(answer, lines)
            case _:
                raise LocalProtocolError("there is no question that this would answer")
        self._asked = None
        return answer.to_bytes(self._language)

    def challenge(self, data: bytes) -> bytes:
        """Answer the open ``Auth`` or ``AuthResponse`` with a challenge; the client's response follows."""
        if not isinstance(self._asked, Auth | AuthResponse):
            raise LocalProtocolError("there is no exchange that this would go on")
        self._asked = None
        self._state = State.AUTH
        return b"+ %s\r\n" % b2a_base64(data, newline=False)

    def open_maildrop(self, ids: Sequence[int], sizes: Sequence[int]) -> bytes:
        """Answer the open ``Login``, ``Auth`` or ``AuthResponse`` with +OK: ids (unique for ever) and sizes (octets) of
        messages, oldest first.
        """
        if not isinstance(self._asked, Login | Auth | AuthResponse):
            raise LocalProtocolError("nobody logs in")
        self._asked = None
        self._state = State.TRANSACTION
        self._maildrop = Maildrop(array("Q", ids), array("Q", sizes))
        return self._maildrop.summary.to_bytes(self._language)

    def content(self, data: bytes) -> bytes:
        """A piece of the message that RETR or TOP asked for, in any size. Returns what to send, perhaps nothing."""
        self._need_content()
        return self._outflow.add(data)

    def end_content(self) -> bytes:
        """The message is complete, or ``wants_content`` is false. Returns what to send."""
        self._need_content()
        self._state = State.TRANSACTION
        return self._outflow.end()

    @property
    def wants_content(self) -> bool:
        """A message is being sent, and TOP has not had its lines yet: reading on is not in vain."""
        return self._state is State.CONTENT and not self._outflow.is_full

    def tls_established(self) -> None:
        """The handshake is done: still before login, nothing buffered, nothing remembered (RFC 2595 §4)."""
        if self._state is not State.HANDSHAKE:
            raise LocalProtocolError("no handshake is under way")
        self._reader.clear()
        self._name = ""
        self._language, self._utf8 = ENGLISH, False
        self._tls = True
        self._state = State.AUTHORIZATION

    def shut_down(self) -> None:
        """End the session from our side, without a word and without removing anything (RFC 1939 §3)."""
        self._end()

    @property
    def is_over(self) -> bool:
        """Nothing more will be read: send what is left and close."""
        return self._state is State.OVER

    @property
    def is_logged_in(self) -> bool:
        """A maildrop is open."""
        return self._state in _LOGGED_IN

    @property
    def marked(self) -> int:
        """How many messages are marked as deleted."""
        return len(self._maildrop.deleted)

    # Reading.

    def _read(self) -> Event | Signal:
        """The next line, and what it leads to."""
        in_auth = self._state is State.AUTH or self._reader.peek(5).upper() == b"AUTH "
        line = self._reader.next_line(MAX_AUTH if in_auth else MAX_COMMAND)
        if line is None:
            if not self._eof:
                return NEED_DATA
            self._end()
            return Closed()
        if isinstance(line, BadLine):
            return self._read_bad_line(line)
        if self._state is State.AUTH:
            return self._read_response(line)
        command = read_line(line)
        states = ORDER.get(command.keyword)
        if states is None:
            # who has given a name may forget the PASS before the password
            return self._wrong(answers.UNKNOWN_COMMAND, command, HIDDEN if self._state is State.NAMED else "")
        if self._state not in states:
            return self._wrong(answers.WRONG_STATE, command)
        return _HANDLERS[command.keyword](self, command)

    def _read_bad_line(self, line: BadLine) -> Event:
        """A line beyond its limit."""
        secret = self._state is State.AUTH or line.head[:5].upper() in {b"AUTH ", b"PASS "}
        command = CommandLine("", None)
        if self._state is State.AUTH:
            self._state = State.AUTHORIZATION
        if line.fault is LineFault.ENDLESS:
            self._errors = self._options.max_errors
        return self._wrong(answers.LINE_TOO_LONG, command, HIDDEN if secret else show(line.head))

    def _ask(self, question: Event) -> Event:
        self._asked = question
        return question

    def _say(self, answer: Answer, command: CommandLine, more: bytes = b"") -> Answered:
        return Answered(answer, answer.to_bytes(self._language) + more, command.keyword, command.shown)

    def _say_lines(self, answer: Answer, command: CommandLine, lines: Iterable[str]) -> Answered:
        """A multi-line answer that is short (RFC 1939 §3)."""
        return self._say(answer, command, "\r\n".join([*lines, ".", ""]).encode())

    def _wrong(self, answer: Answer, command: CommandLine, line: str = "") -> Answered:
        """A command that has no place or no sense; too many of them and the session is over."""
        self._errors += 1
        if self._errors >= self._options.max_errors:
            self._end()
            answer = answers.TOO_MANY_ERRORS
        return Answered(answer, answer.to_bytes(self._language), command.keyword, line or command.shown)

    def _end(self) -> None:
        self._state = State.OVER
        self._asked = None
        self._listing = None
        self._reader.clear()

    def _need_content(self) -> None:
        if self._state is not State.CONTENT:
            raise LocalProtocolError("no message is being sent")

    # Before login.

    def _capa(self, command: CommandLine) -> Event:
        if command.argument:
            return self._wrong(answers.WRONG_ARGUMENTS, command)
        logged_in = self._state is State.TRANSACTION
        lines = capabilities(self._options, self._mechanisms, tls=self._tls, logged_in=logged_in, utf8=self._utf8)
        return self._say_lines(answers.CAPABILITIES, command, lines)

    def _lang(self, command: CommandLine) -> Event:
        """RFC 6856 §3."""
        wanted = (command.argument or b"").strip()
        if not wanted:
            return self._say_lines(answers.LANGUAGES, command, listing())
        tag = choose_language(wanted.decode("ascii", "replace"))
        if tag is None:
            return self._say(answers.NO_SUCH_LANGUAGE, command)
        self._language = tag
        return self._say(ok(f"{tag} {translated('language changed', tag)}"), command)

    def _utf8_on(self, command: CommandLine) -> Event:
        """RFC 6856 §2.1."""
        if command.argument:
            return self._wrong(answers.WRONG_ARGUMENTS, command)
        self._utf8 = True
        return self._say(answers.UTF8_ON, command)

    def _stls(self, command: CommandLine) -> Event:
        if command.argument:
            return self._wrong(answers.WRONG_ARGUMENTS, command)
        if self._tls:
            return self._wrong(answers.TLS_IS_UP, command)
        if not self._options.stls:
            return self._wrong(answers.NO_TLS_HERE, command)
        if self._utf8:
            return self._wrong(answers.NO_TLS_AFTER_UTF8, command)  # RFC 6856 §2.1
        return self._ask(StartTls())

    def _user(self, command: CommandLine) -> Event:
        self._state = State.AUTHORIZATION
        if not (self._tls or self._options.auth_without_tls):
            return self._wrong(answers.TLS_FIRST, command)
        name = _read_name((command.argument or b"").strip())
        if not name:
            return self._wrong(answers.WRONG_ARGUMENTS, command)
        self._name = name
        self._state = State.NAMED
        return self._say(answers.SEND_PASSWORD, command)  # whoever it is: names are not given away (RFC 1939 §13)

    def _pass(self, command: CommandLine) -> Event:
        # RFC 1939 §7: spaces are part of the password
        password = read_text(command.argument or b"", "password")
        self._state = State.AUTHORIZATION
        if isinstance(password, Malformed):
            return self._wrong(answers.WRONG_ARGUMENTS, command)
        return self._ask(Login(self._name, Password(password)))

    def _auth(self, command: CommandLine) -> Event:
        """RFC 5034 §4."""
        self._state = State.AUTHORIZATION
        mechanism, space, initial = (command.argument or b"").partition(b" ")
        name = mechanism.upper().decode("ascii", "replace")
        if not (self._tls or self._options.auth_without_tls):
            return self._wrong(answers.TLS_FIRST, command)
        if command.argument is None:  # no standard has it, but older clients ask so, and older servers answer
            return self._say_lines(answers.CAPABILITIES, command, self._mechanisms)
        if name not in self._mechanisms:
            return self._wrong(answers.NO_SUCH_MECHANISM, command)
        data = None
        if space:
            data = b"" if initial == b"=" else read_base64(initial)
            if data is None or not initial:
                return self._wrong(answers.BAD_BASE64, command)
        return self._ask(Auth(name, data))

    def _read_response(self, line: bytes) -> Event:
        """The client's response to a challenge."""
        command = CommandLine("AUTH", None)
        self._state = State.AUTHORIZATION
        if line == b"*":
            self._refuse_login()  # who has seen that a guess was wrong may not ask for it to be forgotten
            return self._say(answers.AUTH_CANCELLED, command)
        data = read_base64(line)
        if data is None:
            return self._wrong(answers.BAD_BASE64, command)
        return self._ask(AuthResponse(data))

    def _refuse_login(self) -> None:
        """Back to the start; a guesser has few tries in one session."""
        self._state = State.AUTHORIZATION
        self._name = ""
        self._logins += 1
        if self._logins >= self._options.max_logins:
            self._end()

    # After login.

    def _quit(self, command: CommandLine) -> Event:
        if self._state is State.TRANSACTION:
            self._state = State.UPDATE
            return self._ask(Update(self._maildrop.marked_numbers()))
        self._end()  # RFC 1939 §4: without login there is no UPDATE
        return self._say(answers.BYE, command)

    def _stat(self, command: CommandLine) -> Event:
        if command.argument:
            return self._wrong(answers.WRONG_ARGUMENTS, command)
        return self._say(ok(f"{self._maildrop.count} {self._maildrop.octets}"), command)

    def _list(self, command: CommandLine) -> Event:
        return self._listing_of(command, self._maildrop.sizes)

    def _uidl(self, command: CommandLine) -> Event:
        return self._listing_of(command, self._maildrop.ids)

    def _listing_of(self, command: CommandLine, values: Sequence[int]) -> Event:
        """One line, or a line for each message, a bounded piece at a time."""
        if not (command.argument or b"").strip():
            self._listing = self._maildrop.lines(values)
            return self._say(self._maildrop.summary, command)
        numbers = self._message(command, 1)
        if isinstance(numbers, Answered):
            return numbers
        return self._say(ok(f"{numbers[0]} {values[numbers[0] - 1]}"), command)

    def _retr(self, command: CommandLine) -> Event:
        numbers = self._message(command, 1)
        return numbers if isinstance(numbers, Answered) else self._ask(Retrieve(numbers[0]))

    def _top(self, command: CommandLine) -> Event:
        numbers = self._message(command, 2)
        return numbers if isinstance(numbers, Answered) else self._ask(Retrieve(numbers[0], numbers[1]))

    def _dele(self, command: CommandLine) -> Event:
        numbers = self._message(command, 1)
        if isinstance(numbers, Answered):
            return numbers
        self._maildrop.mark(numbers[0])  # a mark only: QUIT removes (RFC 1939 §5)
        return self._say(answers.MARKED, command)

    def _message(self, command: CommandLine, words: int) -> list[int] | Answered:
        """So many numbers, the first of which is a message; or the answer that says what is wrong."""
        numbers = read_numbers(command.argument)
        if numbers is None or len(numbers) != words:
            return self._wrong(answers.WRONG_ARGUMENTS, command)
        return numbers if self._maildrop.has(numbers[0]) else self._say(answers.NO_SUCH_MESSAGE, command)

    def _begin_content(self, answer: Answer, lines: int | None) -> None:
        if answer.ok:
            self._state = State.CONTENT
            self._outflow = Outflow(lines, utf8=self._utf8)

    def _noop(self, command: CommandLine) -> Event:
        return self._say(answers.NOTHING_DONE, command)

    def _rset(self, command: CommandLine) -> Event:
        self._maildrop.unmark_all()
        return self._say(self._maildrop.summary, command)


def _read_name(argument: bytes) -> str:
    """The name in USER, prepared (RFC 6856 §2.2); ``""`` if it is none."""
    name = read_text(argument, "name")
    try:
        return "" if isinstance(name, Malformed) else saslprep(name)
    except ValueError:
        return ""


_PAUSED = frozenset({State.CONTENT, State.HANDSHAKE, State.OVER})
_LOGGED_IN = frozenset({State.TRANSACTION, State.CONTENT, State.UPDATE})

_HANDLERS: Mapping[str, Callable[[Pop3Server, CommandLine], Event]] = {
    "CAPA": Pop3Server._capa,
    "QUIT": Pop3Server._quit,
    "STLS": Pop3Server._stls,
    "AUTH": Pop3Server._auth,
    "USER": Pop3Server._user,
    "PASS": Pop3Server._pass,
    "UTF8": Pop3Server._utf8_on,
    "LANG": Pop3Server._lang,
    "STAT": Pop3Server._stat,
    "LIST": Pop3Server._list,
    "UIDL": Pop3Server._uidl,
    "RETR": Pop3Server._retr,
    "TOP": Pop3Server._top,
    "DELE": Pop3Server._dele,
    "NOOP": Pop3Server._noop,
    "RSET": Pop3Server._rset,
}
