"""Reads XCLIENT: for whom a proxy speaks, as Postfix's XCLIENT protocol writes it."""

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

from postroom.mail.address import Address
from postroom.protocol.smtp.events import XClient
from postroom.protocol.smtp.grammar import read_hello, read_xtext
from postroom.protocol.smtp.options import XCLIENT_ATTRIBUTES
from postroom.protocol.smtp.replies import bad_argument

_UNKNOWN = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})
_MAX_VALUE = 255  # characters


def read_xclient(argument: str) -> XClient:
    """The question that ``XCLIENT argument`` asks. Refused if it asks none."""
    fields: dict[str, Any] = {}
    seen: set[str] = set()
    for word in argument.split():
        name, equals, text = word.partition("=")
        name = name.upper()
        if name not in XCLIENT_ATTRIBUTES or not equals:
            raise bad_argument("XCLIENT needs attributes of those that EHLO lists, each with a value")
        if name in seen:
            raise bad_argument(f"{name} is given twice")
        seen.add(name)
        value = _decode(name, text)
        reader = _READERS.get(name)
        if reader is not None:
            field, read = reader
            fields[field] = read("" if value.upper() in _UNKNOWN else value)
    if not seen:
        raise bad_argument("XCLIENT needs an attribute")
    return XClient(**fields)


def _decode(name: str, text: str) -> str:
    try:
        value = read_xtext(text)
    except ValueError as error:
        raise bad_argument(f"{name}: {error}") from error
    if not value or len(value) > _MAX_VALUE:
        raise bad_argument(f"{name} has 1 to {_MAX_VALUE} characters")
    return value


def _read_address(text: str) -> str:
    """An address as text; an IPv4-mapped one as IPv4, as everywhere."""
    if not text:
        return ""
    prefixed = text[:5].upper() == "IPV6:"
    try:
        address = ip_address(text[5:] if prefixed else text)
    except ValueError as error:
        raise bad_argument("ADDR is an IPv4 address, or IPV6: and an IPv6 address") from error
    if address.version == 6:
        if address.scope_id is not None:
            raise bad_argument("ADDR has no scope")
        return str(address.ipv4_mapped or address)
    if prefixed:
        raise bad_argument("ADDR has an IPv4 address behind IPV6:")
    return str(address)


def _read_port(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 65536:
        raise bad_argument("PORT is a number from 1 to 65535")
    return int(text)


def _read_proto(text: str) -> bool | None:
    if not text:
        return None
    if text.upper() not in ("SMTP", "ESMTP"):
        raise bad_argument("PROTO is SMTP or ESMTP")
    return text.upper() == "ESMTP"


def _read_helo(text: str) -> str:
    return read_hello(text) if text else ""


def _read_login(text: str) -> str:
    """The name of an account: an address."""
    if not text:
        return ""
    try:
        return str(Address.parse(text))
    except ValueError as error:
        raise bad_argument("LOGIN is the address of an account") from error


_READERS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "ADDR": ("address", _read_address),
    "PORT": ("port", _read_port),
    "PROTO": ("esmtp", _read_proto),
    "HELO": ("helo", _read_helo),
    "LOGIN": ("login", _read_login),
}
