"""The order of POP3 as a table: which command is due in which state (RFC 1939 §4 to §6, RFC 2449 §5, RFC 6856)."""

from collections.abc import Mapping
from enum import Enum


class State(Enum):
    """Where a session stands. The RFC's AUTHORIZATION state is the first five, its UPDATE state has no commands."""

    GREETING = "greeting"
    """Nothing has been said."""
    AUTHORIZATION = "authorization"
    NAMED = "named"
    """USER was accepted: PASS is due."""
    AUTH = "auth"
    """The client owes the response to a challenge."""
    HANDSHAKE = "handshake"
    """TLS is coming up."""
    TRANSACTION = "transaction"
    CONTENT = "content"
    """A message is being sent."""
    UPDATE = "update"
    """What was deleted is being removed."""
    OVER = "over"


_BEFORE_LOGIN = frozenset({State.AUTHORIZATION, State.NAMED})
_AFTER_LOGIN = frozenset({State.TRANSACTION})

ORDER: Mapping[str, frozenset[State]] = {
    "CAPA": _BEFORE_LOGIN | _AFTER_LOGIN,  # RFC 2449 §5
    "QUIT": _BEFORE_LOGIN | _AFTER_LOGIN,
    "STLS": _BEFORE_LOGIN,  # RFC 2595 §4
    "AUTH": _BEFORE_LOGIN,  # RFC 5034 §4
    "USER": _BEFORE_LOGIN,
    "UTF8": _BEFORE_LOGIN,  # RFC 6856 §2
    "LANG": _BEFORE_LOGIN | _AFTER_LOGIN,  # RFC 6856 §3.1
    "PASS": frozenset({State.NAMED}),  # RFC 1939 §7
    "STAT": _AFTER_LOGIN,
    "LIST": _AFTER_LOGIN,
    "UIDL": _AFTER_LOGIN,
    "RETR": _AFTER_LOGIN,
    "TOP": _AFTER_LOGIN,
    "DELE": _AFTER_LOGIN,
    "NOOP": _AFTER_LOGIN,
    "RSET": _AFTER_LOGIN,
}
"""A command that is not here is unknown; one whose state is not here is answered with -ERR."""
