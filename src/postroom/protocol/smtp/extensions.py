"""The parameters of MAIL and RCPT that the service extensions bring (RFC 5321 §2.2, §4.1.1.11)."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from postroom.mail.envelope import Body, ByMode, DeliverBy, Notify, Recipient, Ret
from postroom.mail.reply import Reply
from postroom.mail.value import value
from postroom.protocol.smtp import replies
from postroom.protocol.smtp.events import Mail, Rcpt
from postroom.protocol.smtp.grammar import (
    read_date,
    read_path,
    read_unitext,
    read_xtext,
    split_parameters,
    split_path,
    write_unitext,
    write_xtext,
)
from postroom.protocol.smtp.options import Offer
from postroom.protocol.smtp.replies import Refused, bad_argument

BAD_SENDER = "5.1.7"  # RFC 3463 §3.2
BAD_RECIPIENT = "5.1.3"
_MAX_ENVID = 100  # characters, RFC 3461 §4.4
_MAX_ORCPT = 500  # characters, RFC 3461 §4.2
_MAX_AUTH = 500  # characters, RFC 4954 §5
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,40}")  # RFC 5322 §3.2.3; the registered types are short
_BY = re.compile(r"([+-]?[0-9]{1,9});([NR])(T?)", re.ASCII | re.IGNORECASE)  # RFC 2852 §4
_PRIORITY = re.compile(r"0|-?[1-9]", re.ASCII)  # RFC 6710 §7
_HOLD_FOR = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)  # RFC 4865 §3


def read_mail(argument: str, offer: Offer, latest_release: float) -> Mail:
    """The question that ``MAIL argument`` asks, where messages are held until ``latest_release`` at most.

    Refused if it asks none.
    """
    path, text = split_path(argument, "FROM:", BAD_SENDER)
    fields: dict[str, Any] = {}
    if text:
        for keyword, value in split_parameters(text).items():
            parameter = _MAIL_PARAMETERS.get(keyword)
            if parameter is None or not parameter.is_offered(offer):
                raise _unknown_parameter(keyword)
            fields[parameter.field] = parameter.read(keyword, value)
        _check_together(fields, offer, latest_release)
    if not fields.get("smtputf8", False) and not argument.isascii():
        raise Refused(replies.SENDER_NOT_ASCII)
    address = read_path(path, BAD_SENDER) if path else None
    if address is not None and not address.domain:  # the bare postmaster only receives
        raise Refused(Reply.of(501, BAD_SENDER, "Malformed address: the domain is missing"))
    return Mail(address, **fields) if fields else Mail(address)


def _check_together(fields: Mapping[str, Any], offer: Offer, latest_release: float) -> None:
    """What is right by itself and not right here and now."""
    size = fields.get("size")
    if size is not None and size > offer.max_size:
        raise Refused(replies.TOO_BIG, counted=False)  # RFC 1870 §6.1
    if fields.get("body") is Body.BINARY and not offer.binary:
        raise Refused(replies.NO_BINARY)
    if "require_tls" in fields and not offer.requiretls:
        raise Refused(replies.REQUIRETLS_NEEDS_TLS, counted=False)
    deliver_by = fields.get("deliver_by")
    if deliver_by is not None and deliver_by.mode is ByMode.RETURN and deliver_by.seconds < (offer.min_deliver_by or 0):
        raise Refused(replies.TOO_SOON, counted=False)
    if "hold_for" in fields or "hold_until" in fields:
        _check_hold(fields, offer, latest_release)


def _check_hold(fields: Mapping[str, Any], offer: Offer, latest_release: float) -> None:
    """RFC 4865 §4.2 (7) to (9), §5.2.2."""
    hold_for, until = fields.get("hold_for", 0), fields.get("hold_until")
    if hold_for and until is not None:
        raise bad_argument("Give one of HOLDFOR and HOLDUNTIL")
    if hold_for > offer.max_hold:
        raise bad_argument(f"HOLDFOR is {offer.max_hold} seconds at most")
    now = offer.now() if offer.now is not None else 0.0
    if until is not None and not now < until <= max(latest_release, now + offer.max_hold):
        raise bad_argument("HOLDUNTIL must lie between now and the latest time that EHLO announced")
    deliver_by = fields.get("deliver_by")
    release = now + hold_for if until is None else until
    if deliver_by is not None and release > now + deliver_by.seconds:
        raise bad_argument("The message would be released after the time by which it must be delivered")


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
    address = read_path(path, BAD_RECIPIENT)
    return Rcpt(Recipient(address, **fields) if fields else Recipient(address))


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
        return Body(_need(keyword, value, 20).upper())
    except ValueError as error:
        raise bad_argument("BODY is 7BIT, 8BITMIME or BINARYMIME") from error


def _read_flag(keyword: str, value: str | None) -> bool:
    if value is not None:
        raise bad_argument(f"{keyword} has no value")  # RFC 6531 §3.4, RFC 8689 §2
    return True


def _read_deliver_by(keyword: str, value: str | None) -> DeliverBy:
    """RFC 2852 §4."""
    match = _BY.fullmatch(_need(keyword, value, 20))
    if match is None:
        raise bad_argument("BY is a number of seconds, a semicolon, and N or R, with T for a trace")
    deliver_by = DeliverBy(int(match[1]), ByMode(match[2].upper()), bool(match[3]))
    if deliver_by.mode is ByMode.RETURN and deliver_by.seconds <= 0:
        raise bad_argument("BY with mode R needs a time that is still to come")
    return deliver_by


def _read_hold_for(keyword: str, value: str | None) -> int:
    text = _need(keyword, value, 20)
    if not _HOLD_FOR.fullmatch(text):
        raise bad_argument("HOLDFOR is a number of seconds")
    return int(text)


def _read_hold_until(keyword: str, value: str | None) -> float:
    try:
        return read_date(_need(keyword, value, 40))
    except ValueError as error:
        raise bad_argument(f"{keyword} is a date in UTC such as 2030-12-31T23:59:59Z") from error


def _read_priority(keyword: str, value: str | None) -> int:
    text = _need(keyword, value, 20)
    if not _PRIORITY.fullmatch(text):
        raise Refused(Reply.of(501, "5.5.2", "MT-PRIORITY is a number from -9 to 9"))  # RFC 6710 §4.1
    return int(text)


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
    if not _ATOM.fullmatch(kind):  # RFC 3461 §4.2: addr-type is an atom, and no xtext
        raise bad_argument("ORCPT has a malformed address type")
    decoder = read_unitext if kind.lower() == "utf-8" else read_xtext
    return f"{kind};{_decode(keyword, decoder, address)}"


_NOTIFY: Mapping[str, Notify] = {"SUCCESS": Notify.SUCCESS, "FAILURE": Notify.FAILURE, "DELAY": Notify.DELAY}


@value(frozen=True, slots=True)
class _MailParameter:
    """The field of ``Mail`` that a parameter fills, how it is read, and whether it is offered."""

    field: str
    read: Callable[[str, str | None], object]
    is_offered: Callable[[Offer], object] = lambda _: True


_MAIL_PARAMETERS: Mapping[str, _MailParameter] = {
    "SIZE": _MailParameter("size", _read_size),  # RFC 1870
    "BODY": _MailParameter("body", _read_body),  # RFC 6152, RFC 3030
    "SMTPUTF8": _MailParameter("smtputf8", _read_flag, lambda offer: offer.smtputf8),  # RFC 6531
    "BY": _MailParameter("deliver_by", _read_deliver_by, lambda offer: offer.min_deliver_by is not None),  # RFC 2852
    "HOLDFOR": _MailParameter("hold_for", _read_hold_for, lambda offer: offer.max_hold),  # RFC 4865
    "HOLDUNTIL": _MailParameter("hold_until", _read_hold_until, lambda offer: offer.max_hold),  # RFC 4865
    "MT-PRIORITY": _MailParameter("priority", _read_priority),  # RFC 6710
    "REQUIRETLS": _MailParameter(
        "require_tls", _read_flag, lambda offer: offer.requiretls or offer.requiretls_later
    ),  # RFC 8689
    "RET": _MailParameter("ret", _read_ret),  # RFC 3461
    "ENVID": _MailParameter("envid", _read_envid),  # RFC 3461
    "AUTH": _MailParameter("auth", _read_auth, lambda offer: offer.auth_parameter),  # RFC 4954
}

_RCPT_PARAMETERS: Mapping[str, Callable[[str, str | None], object]] = {
    "NOTIFY": _read_notify,  # RFC 3461
    "ORCPT": _read_orcpt,  # RFC 3461, RFC 6533
}
