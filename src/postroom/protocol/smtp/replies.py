"""The replies that the server engine gives by itself (RFC 5321 §4.2.3, RFC 3463 §3)."""

from postroom.mail.reply import Reply
from postroom.protocol.smtp.events import Flaw


class Refused(Exception):
    """A command is refused with ``reply``. ``counted`` says that it is the peer's fault, towards ``max_errors``."""

    def __init__(self, reply: Reply, *, counted: bool = True) -> None:
        super().__init__(reply)
        self.reply = reply
        self.counted = counted


def bad_argument(text: str) -> Refused:
    """The command is known and its argument is not right."""
    return Refused(Reply.of(501, "5.5.4", text))


OK = Reply.of(250, "2.0.0", "OK")

UNKNOWN_COMMAND = Reply.of(500, "5.5.1", "Unknown command")  # RFC 5321 §4.2.4
BAD_CHARACTER = Reply.of(500, "5.5.2", "A command line cannot have control characters")
NOT_UTF8 = Reply.of(500, "5.5.2", "The command line is neither ASCII nor UTF-8")
NOT_ASCII = Reply.of(500, "5.5.2", "This command must be in ASCII")
LINE_TOO_LONG = Reply.of(500, "5.5.2", "Line too long")
BARE_LF_LINE = Reply.of(500, "5.5.2", "Bare LF refused: a command line must end with CRLF")
TOO_MANY_ERRORS = Reply.of(421, "4.7.0", "Too many errors, closing the connection")

ONLY_QUIT = Reply.of(503, "5.5.1", "No service here: send QUIT")
HELLO_FIRST = Reply.of(503, "5.5.1", "Send EHLO first")
NESTED_MAIL = Reply.of(503, "5.5.1", "A transaction is open already: send RSET first")
MAIL_FIRST = Reply.of(503, "5.5.1", "Send MAIL first")
RCPT_FIRST = Reply.of(503, "5.5.1", "No valid recipients: send RCPT first")
CHUNKS_BEGUN = Reply.of(503, "5.5.1", "The content has begun with BDAT: send BDAT or RSET")
IN_TRANSACTION = Reply.of(503, "5.5.1", "Not within a transaction: send RSET first")

TLS_FIRST = Reply.of(530, "5.7.0", "Send STARTTLS first")
AUTH_FIRST = Reply.of(530, "5.7.0", "Authentication required")
TLS_FOR_AUTH = Reply.of(538, "5.7.11", "Encryption required for authentication: send STARTTLS first")
NO_STARTTLS = Reply.of(502, "5.5.1", "STARTTLS is not offered")
TLS_ALREADY = Reply.of(503, "5.5.1", "TLS is up already")
NO_AUTH = Reply.of(502, "5.5.1", "AUTH is not offered")
AUTH_ALREADY = Reply.of(503, "5.5.1", "Already authenticated")
UNKNOWN_MECHANISM = Reply.of(504, "5.5.4", "Unknown authentication mechanism")
AUTH_CANCELLED = Reply.of(501, "5.0.0", "Authentication cancelled")
AUTH_LINE_TOO_LONG = Reply.of(500, "5.5.6", "Authentication exchange line is too long")
BAD_BASE64 = Reply.of(501, "5.5.2", "Invalid base64")

SENDER_NOT_ASCII = Reply.of(550, "5.6.7", "A non-ASCII reverse-path needs SMTPUTF8")  # RFC 6531 §3.5
RECIPIENT_NOT_ASCII = Reply.of(553, "5.6.7", "A non-ASCII address needs SMTPUTF8 in MAIL")
NO_BINARY = Reply.of(504, "5.5.4", "BODY=BINARYMIME is not offered")
BINARY_NEEDS_CHUNKS = Reply.of(503, "5.5.1", "BODY=BINARYMIME needs BDAT instead of DATA")  # RFC 3030 §3
REQUIRETLS_NEEDS_TLS = Reply.of(530, "5.7.10", "REQUIRETLS needs TLS: send STARTTLS first")  # RFC 8689 §2
TOO_SOON = Reply.of(555, "5.5.4", "BY asks for less time than EHLO announced")  # RFC 2852 §2
NO_ETRN = Reply.of(502, "5.5.1", "ETRN is not offered")
NO_XCLIENT = Reply.of(550, "5.7.0", "XCLIENT is not for you")
NO_TOPIC = Reply.of(504, "5.5.4", "There is no help on that: HELP lists the commands")
TOO_MANY_RECIPIENTS = Reply.of(452, "4.5.3", "Too many recipients: send the rest in another transaction")
TOO_BIG = Reply.of(552, "5.3.4", "The message is bigger than the size announced by EHLO")

BARE_CR = Reply.of(550, "5.6.0", "The content has a bare CR: the sending program must end each line with CRLF")
BARE_LF = Reply.of(550, "5.6.0", "The content has a bare LF: the sending program must end each line with CRLF")


def flawed(flaw: Flaw | None, max_line: int) -> Reply:
    """Content that ended properly and is refused for its flaw; lines may have ``max_line`` octets."""
    if flaw is Flaw.TOO_BIG:
        return TOO_BIG
    if flaw is Flaw.BARE_CR:
        return BARE_CR
    if flaw is Flaw.BARE_LF:
        return BARE_LF
    return Reply.of(550, "5.6.0", f"The content has a line too long: fold or encode it, {max_line} octets are allowed")
