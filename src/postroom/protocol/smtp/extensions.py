"""The service extensions: what EHLO lists, and the parameters of MAIL and RCPT that they bring (RFC 5321 §2.2)."""

from collections.abc import Callable, Mapping
from typing import Any

from postroom.mail.envelope import Body, Notify, Recipient, Ret
from postroom.mail.reply import Reply
from postroom.mail.value import value
from postroom.protocol.smtp import replies
from postroom.protocol.smtp.events import Mail, Rcpt
from postroom.protocol.smtp.grammar import (
    read_path,
    read_unitext,
    read_xtext,
    split_parameters,
    split_path,
    write_unitext,
    write_xtext,
)
from postroom.protocol.smtp.replies import Refused, bad_argument

BAD_SENDER = "5.1.7"  # RFC 3463 §3.2
BAD_RECIPIENT = "5.1.3"
_MAX_ENVID = 100  # characters, RFC 3461 §4.4
_MAX_ORCPT = 500  # characters, RFC 3461 §4.2
_MAX_AUTH = 500  # characters, RFC 4954 §5


@value(frozen=True, slots=True)
class Offer:
    """What a session offers at this moment."""

    max_size: int
    smtputf8: bool
    starttls: bool
    auth_mechanisms: tuple[str, ...]
    """Those that may be used now."""
    auth_parameter: bool
    """AUTH belongs to this service at all, so that MAIL may have AUTH=."""
    extra: tuple[str, ...]

    def ehlo_lines(self) -> tuple[str, ...]:
        """The lines of the EHLO reply behind the first."""
        lines = ["PIPELINING", f"SIZE {self.max_size}", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING"]
        if self.smtputf8:
            lines.append("SMTPUTF8")
        if self.starttls:
            lines.append("STARTTLS")
        if self.auth_mechanisms:
            lines.append("AUTH " + " ".join(self.auth_mechanisms))
        return (*lines, *self.extra)


def read_mail(argument: str, offer: Offer) -> Mail:
    """The question that ``MAIL argument`` asks. Refused if it asks none."""
    path, text = split_path(argument, "FROM:", BAD_SENDER)
    fields: dict[str, Any] = {}
    if text:
        for keyword, value in split_parameters(text).items():
            parameter = _MAIL_PARAMETERS.get(keyword)
            if parameter is None or not parameter.is_offered(offer):
                raise _unknown_parameter(keyword)
            fields[parameter.field] = parameter.read(keyword, value)
    if not fields.get("smtputf8", False) and not argument.isascii():
        raise Refused(replies.SENDER_NOT_ASCII)
    size = fields.get("size")
    if size is not None and size > offer.max_size:
        raise Refused(replies.TOO_BIG, counted=False)  # RFC 1870 §6.1
    address = read_path(path, BAD_SENDER) if path else None
    if address is not None and not address.domain:  # the bare postmaster only receives
        raise Refused(Reply.of(501, BAD_SENDER, "Malformed address: the domain is missing"))
    return Mail(address, **fields)


def read_rcpt(argument: str, *, smtputf8: bool) -> Rcpt:
    """The question that ``RCPT argument`` asks in a transaction with or without SMTPUTF8. Refused if it asks none."""
    path, text = split_path(argument, "TO:", BAD_RECIPIENT)
    fields: dict[str, Any] = {}
    if text:
        for keyword, value in split_parameters(text).items():
            reader = _RCPT_PARAMETERS.get(keyword)
            if reader is None:
                raise _unknown_parameter(keyword)
            fields[keyword.lower()] = reader(keyword, value)
    if not smtputf8 and not argument.isascii():
        raise Refused(replies.RECIPIENT_NOT_ASCII)
    return Rcpt(Recipient(read_path(path, BAD_RECIPIENT), **fields))


def write_orcpt(orcpt: str) -> str:
    """The value of ORCPT for a decoded ``addr-type;address``; ``""`` if it cannot be written (RFC 3461 §4.2)."""
    kind, _, address = orcpt.partition(";")
    if kind.lower() == "utf-8":
        return f"{kind};{write_unitext(address)}"
    return f"{kind};{write_xtext(address)}" if orcpt.isascii() else ""


def _unknown_parameter(keyword: str) -> Refused:
    return Refused(Reply.of(555, "5.5.4", f"Unknown parameter {keyword[:40]}"))  # RFC 5321 §4.1.1.11


def _need(keyword: str, value: str | None, limit: int) -> str:
    """The value of a parameter that must have one."""
    if value is None:
        raise bad_argument(f"{keyword} needs a value")
    if len(value) > limit:
        raise bad_argument(f"{keyword} is longer than {limit} characters")
    return value


def _read_size(keyword: str, value: str | None) -> int:
    text = _need(keyword, value, 20)  # RFC 1870 §3
    if not text.isascii() or not text.isdigit():
        raise bad_argument("SIZE is a number of octets")
    return int(text)


def _read_body(keyword: str, value: str | None) -> Body:
    try:
        body = Body(_need(keyword, value, 20).upper())
    except ValueError as error:
        raise bad_argument("BODY is 7BIT or 8BITMIME") from error
    if body is Body.BINARY:
        raise Refused(replies.NO_BINARY)
    return body


def _read_smtputf8(keyword: str, value: str | None) -> bool:
    if value is not None:
        raise bad_argument(f"{keyword} has no value")  # RFC 6531 §3.4
    return True


def _read_ret(keyword: str, value: str | None) -> Ret:
    try:
        return Ret(_need(keyword, value, 4).upper())
    except ValueError as error:
        raise bad_argument("RET is FULL or HDRS") from error


def _decode(keyword: str, decoder: Callable[[str], str], text: str) -> str:
    try:
        return decoder(text)
    except ValueError as error:
        raise bad_argument(f"{keyword}: {error}") from error


def _read_envid(keyword: str, value: str | None) -> str:
    return _decode(keyword, read_xtext, _need(keyword, value, _MAX_ENVID))


def _read_auth(keyword: str, value: str | None) -> str:
    return _decode(keyword, read_xtext, _need(keyword, value, _MAX_AUTH))


def _read_notify(keyword: str, value: str | None) -> Notify:
    words = _need(keyword, value, 40).upper().split(",")
    if words == ["NEVER"]:
        return Notify.NEVER
    notify = Notify.NEVER
    for word in words:
        case = _NOTIFY.get(word)
        if case is None:
            raise bad_argument("NOTIFY is NEVER, or some of SUCCESS, FAILURE, DELAY")
        notify |= case
    return notify


def _read_orcpt(keyword: str, value: str | None) -> str:
    kind, semicolon, address = _need(keyword, value, _MAX_ORCPT).partition(";")
    if not kind or not semicolon or not address:
        raise bad_argument("ORCPT is a type, a semicolon and an address")
    plain_kind = _decode(keyword, read_xtext, kind)
    decoder = read_unitext if plain_kind.lower() == "utf-8" else read_xtext
    return f"{plain_kind};{_decode(keyword, decoder, address)}"


_NOTIFY: Mapping[str, Notify] = {"SUCCESS": Notify.SUCCESS, "FAILURE": Notify.FAILURE, "DELAY": Notify.DELAY}


@value(frozen=True, slots=True)
class _MailParameter:
    """The field of ``Mail`` that a parameter fills, how it is read, and whether it is offered."""

    field: str
    read: Callable[[str, str | None], object]
    is_offered: Callable[[Offer], bool] = lambda _: True


_MAIL_PARAMETERS: Mapping[str, _MailParameter] = {
    "SIZE": _MailParameter("size", _read_size),  # RFC 1870
    "BODY": _MailParameter("body", _read_body),  # RFC 6152
    "SMTPUTF8": _MailParameter("smtputf8", _read_smtputf8, lambda offer: offer.smtputf8),  # RFC 6531
    "RET": _MailParameter("ret", _read_ret),  # RFC 3461
    "ENVID": _MailParameter("envid", _read_envid),  # RFC 3461
    "AUTH": _MailParameter("auth", _read_auth, lambda offer: offer.auth_parameter),  # RFC 4954
}

_RCPT_PARAMETERS: Mapping[str, Callable[[str, str | None], object]] = {
    "NOTIFY": _read_notify,  # RFC 3461
    "ORCPT": _read_orcpt,  # RFC 3461, RFC 6533
}
