"""The order of SMTP as tables: which command is due in which state, and where its reply leads (RFC 5321 §4.1.4)."""

from collections.abc import Mapping
from enum import IntEnum

from postroom.mail.reply import Reply
from postroom.protocol.smtp import commands as say
from postroom.protocol.smtp import events as ask
from postroom.protocol.smtp import replies


class ServerState(IntEnum):
    """Where a server session stands. Integers, because they are looked up for every command."""

    GREETING = 0
    """Nothing has been said."""
    REFUSED = 1
    """The greeting was a refusal: the client may only leave (RFC 5321 §3.1)."""
    FRESH = 2
    """Greeted, or TLS has come up: EHLO is due."""
    READY = 3
    """No transaction."""
    SENDER = 4
    """MAIL was accepted."""
    RECIPIENTS = 5
    """At least one RCPT was accepted."""
    CHUNKS = 6
    """Between two BDAT chunks."""
    CHUNK = 7
    """Within a BDAT chunk."""
    SKIP = 8
    """Within a BDAT chunk that was refused: it is consumed, then answered (RFC 3030 §2)."""
    CONTENT = 9
    """Within the content of DATA."""
    AUTH = 10
    """The client owes the answer to a challenge."""
    HANDSHAKE = 11
    """TLS is coming up."""
    OVER = 12


_S = ServerState

TRANSACTION = frozenset({_S.SENDER, _S.RECIPIENTS, _S.CHUNKS, _S.CHUNK, _S.SKIP, _S.CONTENT})
"""The states in which a transaction is open."""

DEAF = frozenset({_S.HANDSHAKE, _S.OVER})
"""The states in which nothing that comes is looked at."""

_ANY_TIME = {_S.REFUSED: replies.ONLY_QUIT}
_NO_TRANSACTION = {
    _S.REFUSED: replies.ONLY_QUIT,
    _S.SENDER: replies.IN_TRANSACTION,
    _S.RECIPIENTS: replies.IN_TRANSACTION,
    _S.CHUNKS: replies.IN_TRANSACTION,
}

SERVER_ORDER: Mapping[str, Mapping[ServerState, Reply]] = {
    # A command is in order in each state in which commands are read and for which no refusal stands here.
    "EHLO": _ANY_TIME,
    "HELO": _ANY_TIME,
    "LHLO": _ANY_TIME,
    "RSET": _ANY_TIME,
    "NOOP": _ANY_TIME,
    "HELP": _ANY_TIME,
    "VRFY": _ANY_TIME,
    "EXPN": _ANY_TIME,
    "QUIT": {},
    "ETRN": _NO_TRANSACTION | {_S.FRESH: replies.HELLO_FIRST},  # RFC 1985
    "STARTTLS": _NO_TRANSACTION,
    "XCLIENT": _NO_TRANSACTION,
    "AUTH": _NO_TRANSACTION | {_S.FRESH: replies.HELLO_FIRST},  # RFC 4954 §4
    "MAIL": {
        _S.REFUSED: replies.ONLY_QUIT,
        _S.FRESH: replies.HELLO_FIRST,
        _S.SENDER: replies.NESTED_MAIL,
        _S.RECIPIENTS: replies.NESTED_MAIL,
        _S.CHUNKS: replies.NESTED_MAIL,
    },
    "RCPT": {
        _S.REFUSED: replies.ONLY_QUIT,
        _S.FRESH: replies.HELLO_FIRST,
        _S.READY: replies.MAIL_FIRST,
        _S.CHUNKS: replies.CHUNKS_BEGUN,
    },
    "DATA": {
        _S.REFUSED: replies.ONLY_QUIT,
        _S.FRESH: replies.HELLO_FIRST,
        _S.READY: replies.MAIL_FIRST,
        _S.SENDER: replies.RCPT_FIRST,
        _S.CHUNKS: replies.CHUNKS_BEGUN,  # RFC 3030 §2: DATA and BDAT do not mix
    },
    "BDAT": {
        _S.REFUSED: replies.ONLY_QUIT,
        _S.FRESH: replies.HELLO_FIRST,
        _S.READY: replies.MAIL_FIRST,
        _S.SENDER: replies.RCPT_FIRST,
    },
}

SERVER_MOVES: Mapping[tuple[type[ask.ServerEvent], int], ServerState] = {
    # Where the answer to a question leads, by the first digit of its code. What is not here stays where it is.
    # READY stands for FRESH as long as nobody has said hello.
    (ask.Connected, 2): _S.FRESH,
    (ask.Connected, 4): _S.OVER,
    (ask.Connected, 5): _S.REFUSED,
    (ask.Hello, 2): _S.READY,
    (ask.StartTls, 2): _S.HANDSHAKE,
    (ask.XClient, 2): _S.FRESH,
    (ask.XClient, 4): _S.OVER,
    (ask.XClient, 5): _S.REFUSED,
    (ask.Auth, 3): _S.AUTH,
    (ask.AuthResponse, 2): _S.READY,
    (ask.AuthResponse, 3): _S.AUTH,
    (ask.AuthResponse, 4): _S.READY,
    (ask.AuthResponse, 5): _S.READY,
    (ask.Mail, 2): _S.SENDER,
    (ask.Rcpt, 2): _S.RECIPIENTS,
    (ask.Data, 2): _S.CONTENT,
    (ask.Data, 3): _S.CONTENT,
    (ask.Data, 4): _S.READY,
    (ask.Data, 5): _S.READY,
    (ask.ContentEnd, 2): _S.READY,
    (ask.ContentEnd, 4): _S.READY,
    (ask.ContentEnd, 5): _S.READY,
    (ask.Reset, 2): _S.READY,
    (ask.Quit, 2): _S.OVER,
    (ask.Quit, 4): _S.OVER,
    (ask.Quit, 5): _S.OVER,
}

CHUNK_MOVES: Mapping[int, ServerState] = {
    # The same for the question that a first BDAT asks: its octets follow, whatever the answer is.
    2: _S.CHUNK,
    3: _S.CHUNK,
    4: _S.SKIP,
    5: _S.SKIP,
}


class ClientState(IntEnum):
    """Where a client session stands, as far as has been sent; a refusal takes it back."""

    GREETING = 0
    """The greeting has not come."""
    CLOSING = 1
    """The server wants to end the session: only QUIT is left."""
    FRESH = 2
    """EHLO is due."""
    READY = 3
    """No transaction."""
    SENDER = 4
    """MAIL was sent."""
    RECIPIENTS = 5
    """RCPT was sent."""
    DATA = 6
    """DATA was sent."""
    CONTENT = 7
    """The server said 354."""
    CHUNKS = 8
    """A chunk was sent that is not the last."""
    CHUNK_REFUSED = 9
    """The server refused a chunk: RSET is due (RFC 3030 §2)."""
    AUTH = 10
    """The server sent a challenge."""
    HANDSHAKE = 11
    """TLS is coming up."""
    OVER = 12


_C = ClientState
_TALKING = frozenset({_C.FRESH, _C.READY, _C.SENDER, _C.RECIPIENTS})
_CHUNKING = frozenset({_C.CHUNKS, _C.CHUNK_REFUSED})

CLIENT_ORDER: Mapping[type[say.Command], frozenset[ClientState]] = {
    # The states in which a command may be sent. SayChunk and EndOfContent are not sent, but written with the content.
    say.SayHello: _TALKING,
    say.SayStartTls: frozenset({_C.READY}),
    say.SayAuth: frozenset({_C.READY}),
    say.SayAuthResponse: frozenset({_C.AUTH}),
    say.SayAuthCancel: frozenset({_C.AUTH}),
    say.SayMail: frozenset({_C.READY}),
    say.SayRcpt: frozenset({_C.SENDER, _C.RECIPIENTS}),
    say.SayData: frozenset({_C.RECIPIENTS}),
    say.SayChunk: frozenset(),
    say.EndOfContent: frozenset(),
    say.SayReset: _TALKING | _CHUNKING,
    say.SayNoop: _TALKING | _CHUNKING,
    say.SayQuit: _TALKING | _CHUNKING | {_C.CLOSING},
}

CHUNK_ORDER = frozenset({_C.RECIPIENTS, _C.CHUNKS})
"""The states in which a chunk may be sent (RFC 3030 §2)."""

CLIENT_MOVES: Mapping[type[say.Command], ClientState] = {
    # Where sending a command leads before its reply has come: what may be pipelined behind it (RFC 2920 §3.1).
    say.SayMail: _C.SENDER,
    say.SayRcpt: _C.RECIPIENTS,
    say.SayData: _C.DATA,
    say.SayQuit: _C.CLOSING,
}

LAST_IN_GROUP: frozenset[type[say.Command]] = frozenset(
    # RFC 2920 §3.1; AUTH and STARTTLS change the state as EHLO does.
    {
        say.SayHello,
        say.SayStartTls,
        say.SayAuth,
        say.SayAuthResponse,
        say.SayAuthCancel,
        say.SayData,
        say.SayNoop,
        say.SayQuit,
    }
)
