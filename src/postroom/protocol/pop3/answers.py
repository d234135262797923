"""What a POP3 server says: +OK or -ERR, perhaps with a response code (RFC 1939 §3, RFC 2449 §8, RFC 3206)."""

from postroom.mail.value import value
from postroom.protocol.pop3.languages import ENGLISH, translated

MAX_ANSWER = 512  # octets, CRLF included, RFC 1939 §3


@value(frozen=True, slots=True)
class Answer:
    """One line. ``code`` is an extended response code without its brackets (``IN-USE``) or ``""``.

    ``text`` is ours, in English, without CR or LF; it does not begin with ``[``, which would make a code of it. Where
    there are ``numbers``, they take the places of the ``{}`` in it.
    """

    ok: bool
    text: str = ""
    code: str = ""
    numbers: tuple[int, ...] = ()

    def to_bytes(self, language: str = ENGLISH) -> bytes:
        """The line on the wire, cut to what RFC 1939 allows."""
        code = f"[{self.code}]" if self.code else ""
        text = translated(self.text, language)
        if self.numbers:
            text = text.format(*self.numbers)
        line = " ".join(part for part in ("+OK" if self.ok else "-ERR", code, text) if part)
        data = line.encode("utf-8", "replace")
        if len(data) > MAX_ANSWER - 2:
            data = data[: MAX_ANSWER - 2].decode("utf-8", "ignore").encode()  # no half character
        return data + b"\r\n"

    def __str__(self) -> str:
        return self.to_bytes().decode("utf-8", "replace").rstrip()


def ok(text: str = "", *numbers: int) -> Answer:
    """+OK."""
    return Answer(True, text, numbers=numbers)


def error(text: str, code: str = "") -> Answer:
    """-ERR."""
    return Answer(False, text, code)


GREETING_TEXT = "Postroom POP3 ready"
BYE = ok("bye")
BEGIN_TLS = ok("begin TLS")
SEND_PASSWORD = ok("now the password")
NOTHING_DONE = ok()
CAPABILITIES = ok("what there is")
MARKED = ok("marked")
UTF8_ON = ok("UTF-8 from now on")
LANGUAGES = ok("languages")

UNKNOWN_COMMAND = error("unknown command")
WRONG_STATE = error("not now")
WRONG_ARGUMENTS = error("wrong arguments")
LINE_TOO_LONG = error("line too long")
TOO_MANY_ERRORS = error("too many errors")
TLS_FIRST = error("only over TLS: send STLS first")
TLS_IS_UP = error("TLS is up already")
NO_TLS_HERE = error("no TLS here")
NO_TLS_AFTER_UTF8 = error("no TLS after UTF8")
NO_SUCH_MECHANISM = error("no such mechanism")
BAD_BASE64 = error("invalid base64")
AUTH_CANCELLED = error("cancelled")
AUTH_MALFORMED = error("malformed response")
NO_SUCH_MESSAGE = error("no such message")
NO_SUCH_LANGUAGE = error("no such language")

LOGIN_REFUSED = error("wrong name or password", "AUTH")  # RFC 3206 §5: the credentials are the matter
LOGIN_LOCKED = error("too many failed logins, try again later", "SYS/TEMP")  # RFC 3206 §4
IN_USE = error("the mailbox is in use by another session", "IN-USE")  # RFC 2449 §8.1.2
TRY_LATER = error("not possible now, try again later", "SYS/TEMP")  # RFC 3206 §4
BUSY = error("too many connections, try again later", "SYS/TEMP")
NOT_REMOVED = error("deleted messages were not removed", "SYS/TEMP")
GONE = error("the message is gone")
