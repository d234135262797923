"""Which question a command line asks: verb, order, gates and syntax, in that order (RFC 5321 §4.1)."""

from collections.abc import Callable, Mapping

from postroom.mail.value import value
from postroom.protocol.smtp import replies
from postroom.protocol.smtp.events import (
    Answered,
    Auth,
    Data,
    Etrn,
    Hello,
    Quit,
    Reset,
    ServerEvent,
    StartTls,
    Verify,
)
from postroom.protocol.smtp.extensions import read_mail, read_rcpt
from postroom.protocol.smtp.grammar import read_auth, read_chunk, read_hello, read_queue_name
from postroom.protocol.smtp.manual import explain
from postroom.protocol.smtp.replies import Refused, bad_argument
from postroom.protocol.smtp.standing import Standing
from postroom.protocol.smtp.states import SERVER_ORDER
from postroom.protocol.smtp.xclient import read_xclient


@value(frozen=True, slots=True)
class Chunk:
    """BDAT: the engine's own affair, because its octets follow whatever the answer is (RFC 3030 §2)."""

    size: int
    last: bool
    refused: Refused | None


Handler = Callable[[str, Standing], ServerEvent | Chunk]


def read_question(verb: str, argument: str, line: str, standing: Standing) -> ServerEvent | Chunk:
    """The question that a command asks; Answered where there is nothing to ask. Refused if it must not be asked."""
    handler = HANDLERS.get(verb)
    if handler is None or (verb in _HELLO_VERBS and (verb == "LHLO") is not standing.options.lmtp):  # RFC 2033 §4.1
        raise Refused(replies.UNKNOWN_COMMAND)
    if not line.isascii() and verb not in _UTF8_VERBS:
        raise Refused(replies.NOT_ASCII)
    if verb != "BDAT" and (standing.tls_first or standing.state in SERVER_ORDER[verb]):
        fault = _fault(verb, standing)
        if fault is not None:
            raise fault
    return handler(argument, standing)


def _fault(verb: str, standing: Standing) -> Refused | None:
    """Why the command is not in order now."""
    if standing.tls_first and verb not in _BEFORE_TLS:
        return Refused(replies.TLS_FIRST)  # RFC 3207 §4
    refusal = SERVER_ORDER[verb].get(standing.state)
    if refusal is None:
        return None
    return Refused(refusal, counted=not (standing.excused and verb in _MAY_FOLLOW_A_REFUSAL))


def _no_argument(verb: str, argument: str) -> None:
    if argument:
        raise bad_argument(f"{verb} has no argument")


def _ehlo(argument: str, _: Standing) -> ServerEvent:
    return Hello(read_hello(argument), esmtp=True)


def _helo(argument: str, _: Standing) -> ServerEvent:
    return Hello(read_hello(argument), esmtp=False)


def _mail(argument: str, standing: Standing) -> ServerEvent:
    if standing.options.require_auth and not standing.authenticated:
        raise Refused(replies.AUTH_FIRST)
    return read_mail(argument, standing.offer, standing.latest_release)


def _rcpt(argument: str, standing: Standing) -> ServerEvent:
    question = read_rcpt(argument, smtputf8=standing.smtputf8)
    if standing.recipients >= standing.options.max_recipients:
        raise Refused(replies.TOO_MANY_RECIPIENTS, counted=False)  # RFC 5321 §4.5.3.1.10
    return question


def _data(argument: str, standing: Standing) -> ServerEvent:
    _no_argument("DATA", argument)
    if standing.binary:
        raise Refused(replies.BINARY_NEEDS_CHUNKS)
    return _DATA


def _bdat(argument: str, standing: Standing) -> Chunk:
    size, last = read_chunk(argument)
    return Chunk(size, last, _fault("BDAT", standing))


def _rset(argument: str, _: Standing) -> ServerEvent:
    _no_argument("RSET", argument)
    return _RESET


def _quit(argument: str, _: Standing) -> ServerEvent:
    _no_argument("QUIT", argument)
    return _QUIT


def _noop(argument: str, _: Standing) -> ServerEvent:
    return Answered(replies.OK, replies.OK.to_bytes(), "NOOP", f"NOOP {argument}".rstrip()[:200])


def _help(argument: str, standing: Standing) -> ServerEvent:
    reply = explain(argument, lmtp=standing.options.lmtp)
    if not reply.is_positive:
        raise Refused(reply)
    return Answered(reply, reply.to_bytes(), "HELP", f"HELP {argument}".rstrip()[:200])


def _etrn(argument: str, standing: Standing) -> ServerEvent:
    if not standing.etrn:
        raise Refused(replies.NO_ETRN)
    if standing.options.require_auth and not standing.authenticated:
        raise Refused(replies.AUTH_FIRST)
    return Etrn(*read_queue_name(argument))


def _xclient(argument: str, standing: Standing) -> ServerEvent:
    if not standing.xclient:
        raise Refused(replies.NO_XCLIENT)
    return read_xclient(argument)


def _verify(verb: str, argument: str, standing: Standing) -> ServerEvent:
    if standing.offer.smtputf8:  # RFC 6531 §3.7.4.2: whether the reply may be in UTF-8; none of ours is
        if argument.upper().endswith(" SMTPUTF8"):
            argument = argument[: -len(" SMTPUTF8")].rstrip(" ")
    elif not argument.isascii():
        raise Refused(replies.NOT_ASCII)
    if not argument:
        raise bad_argument(f"{verb} needs an address or a name")
    return Verify(verb, argument)


def _vrfy(argument: str, standing: Standing) -> ServerEvent:
    return _verify("VRFY", argument, standing)


def _expn(argument: str, standing: Standing) -> ServerEvent:
    return _verify("EXPN", argument, standing)


def _starttls(argument: str, standing: Standing) -> ServerEvent:
    if standing.tls:
        raise Refused(replies.TLS_ALREADY)
    if not standing.offer.starttls:
        raise Refused(replies.NO_STARTTLS)
    _no_argument("STARTTLS", argument)
    return StartTls()


def _auth(argument: str, standing: Standing) -> ServerEvent:
    offer = standing.offer
    if standing.authenticated:
        raise Refused(replies.AUTH_ALREADY)
    if not offer.auth_parameter:
        raise Refused(replies.NO_AUTH)
    if not offer.auth_mechanisms:
        raise Refused(replies.TLS_FOR_AUTH)
    mechanism, initial = read_auth(argument)
    if mechanism not in offer.auth_mechanisms:
        raise Refused(replies.UNKNOWN_MECHANISM)
    return Auth(mechanism, initial)


HANDLERS: Mapping[str, Handler] = {
    "MAIL": _mail,
    "RCPT": _rcpt,
    "DATA": _data,
    "BDAT": _bdat,
    "EHLO": _ehlo,
    "HELO": _helo,
    "LHLO": _ehlo,
    "RSET": _rset,
    "NOOP": _noop,
    "HELP": _help,
    "VRFY": _vrfy,
    "EXPN": _expn,
    "ETRN": _etrn,
    "QUIT": _quit,
    "STARTTLS": _starttls,
    "AUTH": _auth,
    "XCLIENT": _xclient,
}

VERBS_ALONE: Mapping[bytes, str] = {verb.encode(): verb for verb in HANDLERS}
"""The lines that are a verb and nothing else."""

# These questions say no more than that they are asked.
_DATA, _RESET, _QUIT = Data(), Reset(), Quit()

_HELLO_VERBS = frozenset({"EHLO", "HELO", "LHLO"})
_UTF8_VERBS = frozenset({"MAIL", "RCPT", "VRFY", "EXPN"})
_BEFORE_TLS = frozenset({"EHLO", "HELO", "LHLO", "STARTTLS", "NOOP", "RSET", "HELP", "QUIT", "XCLIENT"})
_MAY_FOLLOW_A_REFUSAL = frozenset({"RCPT", "DATA", "BDAT"})
