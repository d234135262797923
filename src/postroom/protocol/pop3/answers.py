"""What a POP3 server says: +OK or -ERR, perhaps with a response code (RFC 1939 §3, RFC 2449 §8, RFC 3206)."""

from postroom.mail.value import value

MAX_ANSWER = 512  # octets, CRLF included, RFC 1939 §3


@value(frozen=True, slots=True)
class Answer:
    """One line. ``code`` is an extended response code without its brackets (``IN-USE``) or ``""``.

    ``text`` is ours, without CR or LF; it does not begin with ``[``, which would make a code of it.
    """

    ok: bool
    text: str = ""
    code: str = ""

    def to_bytes(self) -> bytes:
        """The line on the wire, cut to what RFC 1939 allows."""
        code = f"[{self.code}]" if self.code else ""
        line = " ".join(part for part in ("+OK" if self.ok else "-ERR", code, self.text) if part)
        return line.encode("utf-8", "replace")[: MAX_ANSWER - 2] + b"\r\n"

    def __str__(self) -> str:
        return self.to_bytes().decode("utf-8", "replace").rstrip()


def ok(text: str = "") -> Answer:
    """+OK."""
    return Answer(True, text)


def error(text: str, code: str = "") -> Answer:
    """-ERR."""
    return Answer(False, text, code)


GREETING_TEXT = "Postroom POP3 ready"
BYE = ok("bye")
BEGIN_TLS = ok("begin TLS")
SEND_PASSWORD = ok("now the password")
NOTHING_DONE = ok()

UNKNOWN_COMMAND = error("unknown command")
WRONG_STATE = error("not now")
WRONG_ARGUMENTS = error("wrong arguments")
LINE_TOO_LONG = error("line too long")
NOT_TEXT = error("not UTF-8")
TOO_MANY_ERRORS = error("too many errors")
TLS_FIRST = error("only over TLS: send STLS first")
TLS_IS_UP = error("TLS is up already")
NO_TLS_HERE = error("no TLS here")
NO_SUCH_MECHANISM = error("no such mechanism")
BAD_BASE64 = error("invalid base64")
AUTH_CANCELLED = error("cancelled")
AUTH_MALFORMED = error("malformed response")
NO_SUCH_MESSAGE = error("no such message")

LOGIN_REFUSED = error("wrong name or password", "AUTH")  # RFC 3206 §5: the credentials are the matter
IN_USE = error("the mailbox is in use by another session", "IN-USE")  # RFC 2449 §8.1.2
TRY_LATER = error("not possible now, try again later", "SYS/TEMP")  # RFC 3206 §4
BUSY = error("too many connections, try again later", "SYS/TEMP")
NOT_REMOVED = error("deleted messages were not removed", "SYS/TEMP")
GONE = error("the message is gone")
