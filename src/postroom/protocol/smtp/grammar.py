"""The words of a command line: paths, parameters, base64, xtext (RFC 5321 §4.1.2, RFC 3461 §4, RFC 4954 §4)."""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from datetime import UTC, datetime

from postroom.mail.address import Address
from postroom.mail.domain import MAX_DOMAIN, normalise_domain
from postroom.mail.reply import Reply
from postroom.protocol.lines import visible
from postroom.protocol.smtp import replies
from postroom.protocol.smtp.events import EtrnKind
from postroom.protocol.smtp.replies import Refused, bad_argument

_BEYOND_ASCII_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# A path up to its closing bracket where a quoted local part may hide another one.
_QUOTED_PATH = re.compile(r'<((?:[^">]|"(?:[^"\\]|\\.)*")*)>')
_HELLO = re.compile(r"[!#-'*+\-./0-:=?A-Z\[\]^_`a-z{|}~]+")  # printable, without what would break a Received field
_QUEUE_NAME = re.compile(r"[!-~]{1,64}(?: [!-~]{1,64}){0,3}")
_KEYWORD = re.compile(r"[A-Z0-9][A-Z0-9-]*")
_MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}")  # RFC 4422 §3.1
_CHUNK = re.compile(r"([0-9]{1,20})(?: +(LAST))?", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?[Zz]", re.ASCII)  # RFC 3339 §5.6, in UTC
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")  # RFC 3461 §4
_XTEXT_PAIR = re.compile(r"\+([0-9A-F]{2})")
_NOT_XCHAR = re.compile(r"[^!-*,-<>-~]")
_UNITEXT = re.compile(r"(?:[!-*,-<>-\[\]-~\u00a0-\U0010ffff]|\\x\{[0-9A-F]{2,6}\})+")  # RFC 6533 §3
_UNITEXT_POINT = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")


def read_text(line: bytes) -> str:
    """The text of a command line, without white space at its end (RFC 5321 §4.1.1)."""
    if line.isascii():
        text = line.decode("ascii").rstrip(" \t")
        if text.isprintable():
            return text
        raise Refused(replies.BAD_CHARACTER)
    try:
        text = line.decode("utf-8").rstrip(" \t")
    except UnicodeDecodeError as error:
        raise Refused(replies.NOT_UTF8) from error
    if _BEYOND_ASCII_CONTROL.search(text):
        raise Refused(replies.BAD_CHARACTER)
    return text


def read_hello(argument: str) -> str:
    """What a client calls itself. RFC 5321 §4.1.4 forbids to refuse a name that is merely wrong."""
    if not argument:
        raise bad_argument("Say who you are: EHLO needs your domain or address literal")
    if len(argument) > MAX_DOMAIN or not _HELLO.fullmatch(argument):
        raise bad_argument("EHLO needs one domain or address literal")
    return argument


def read_queue_name(argument: str) -> tuple[EtrnKind, str]:
    """What ETRN names (RFC 1985)."""
    kind = {"@": EtrnKind.BELOW, "#": EtrnKind.QUEUE}.get(argument[:1], EtrnKind.DOMAIN)
    name = argument if kind is EtrnKind.DOMAIN else argument[1:]
    if kind is EtrnKind.QUEUE:
        if not _QUEUE_NAME.fullmatch(name):
            raise bad_argument("# is followed by the name of a queue")
        return kind, name
    try:
        return kind, normalise_domain(name)
    except ValueError as error:
        raise bad_argument("ETRN needs a domain, @ and a domain, or # and the name of a queue") from error


def split_path(argument: str, keyword: str, status: str) -> tuple[str, str]:
    """Path without brackets, and parameters, of ``FROM:<...> ...`` and ``TO:<...> ...``."""
    if argument[: len(keyword)].upper() != keyword:
        raise bad_argument(f"Expected {keyword}<address>")
    rest = argument[len(keyword) :].lstrip(" ")
    if '"' in rest:
        match = _QUOTED_PATH.match(rest)
        path, end = (match[1], match.end()) if match else ("", 0)
    else:
        end = rest.find(">") + 1
        path = rest[1 : end - 1]
    if not end or rest[0] != "<":
        raise Refused(Reply.of(501, status, "The address must stand in angle brackets"))
    parameters = rest[end:]
    if parameters and parameters[0] != " ":
        raise bad_argument("A space must follow the closing bracket")
    return path, parameters


def read_path(path: str, status: str) -> Address:
    """The mailbox of a path, its source route ignored (RFC 5321 §4.1.2, appendix C)."""
    try:
        if path.startswith("@"):
            path = _drop_route(path)
        return Address.parse(path)
    except ValueError as error:
        fault = visible(str(error)).encode("ascii", "backslashreplace").decode("ascii")
        raise Refused(Reply.of(501, status, f"Malformed address: {fault[:200]}")) from error


def _drop_route(path: str) -> str:
    """The mailbox behind ``@one.example,@two.example:``."""
    route, colon, mailbox = path.partition(":")
    if not colon:
        raise ValueError("the source route lacks its colon")
    for hop in route.split(","):
        if not hop.startswith("@"):
            raise ValueError("the source route is malformed")
        normalise_domain(hop[1:])
    return mailbox


def split_parameters(text: str) -> dict[str, str | None]:
    """ESMTP parameters by keyword in upper case; None where there is no value (RFC 5321 §4.1.1.11)."""
    parameters: dict[str, str | None] = {}
    for word in text.split(" "):
        if not word:
            continue
        keyword, equals, value = word.partition("=")
        keyword = keyword.upper()
        if not _KEYWORD.fullmatch(keyword) or (equals and (not value or "=" in value)):
            raise bad_argument("A parameter is KEYWORD or KEYWORD=value")
        if keyword in parameters:
            raise bad_argument(f"{keyword} is given twice")
        parameters[keyword] = value if equals else None
    return parameters


def read_chunk(argument: str) -> tuple[int, bool]:
    """Octets of a chunk, and whether it is the last (RFC 3030 §2)."""
    match = _CHUNK.fullmatch(argument)
    if match is None:
        raise bad_argument("BDAT needs the size of the chunk, and LAST for the last one")
    return int(match[1]), match[2] is not None


def read_auth(argument: str) -> tuple[str, bytes | None]:
    """Mechanism in upper case and decoded initial response of AUTH (RFC 4954 §4)."""
    mechanism, space, initial = argument.partition(" ")
    mechanism = mechanism.upper()
    if not _MECHANISM.fullmatch(mechanism):
        raise bad_argument("AUTH needs the name of a mechanism")
    if not space:
        return mechanism, None
    if initial == "=":  # RFC 4954 §4: an initial response that is empty
        return mechanism, b""
    return mechanism, read_base64(initial.encode())


def read_base64(text: bytes) -> bytes:
    """The octets of base64 as RFC 4648 §4 writes it, nothing else tolerated (RFC 4954 §4)."""
    try:
        return a2b_base64(text, strict_mode=True) if text else b""
    except Base64Error as error:
        raise Refused(replies.BAD_BASE64) from error


def write_base64(data: bytes) -> str:
    """Base64 in one line."""
    return b2a_base64(data, newline=False).decode("ascii")


def read_xtext(text: str) -> str:
    """The printable ASCII text that xtext encodes. ValueError if it is none (RFC 3461 §4)."""
    if not _XTEXT.fullmatch(text):
        raise ValueError("it is not xtext")
    plain = _XTEXT_PAIR.sub(lambda pair: chr(int(pair[1], 16)), text) if "+" in text else text
    if not plain.isascii() or not plain.isprintable():
        raise ValueError("it has control characters")
    return plain


def write_xtext(text: str) -> str:
    """ASCII text as xtext (RFC 3461 §4)."""
    return _NOT_XCHAR.sub(lambda character: f"+{ord(character[0]):02X}", text)


def read_unitext(text: str) -> str:
    r"""The text of a ``utf-8`` address with its ``\x{...}`` resolved. ValueError if it is none (RFC 6533 §3)."""
    if not _UNITEXT.fullmatch(text):
        raise ValueError("it is not a utf-8 address")
    plain = _UNITEXT_POINT.sub(lambda point: chr(int(point[1], 16)), text)  # chr: ValueError beyond Unicode
    if visible(plain) != plain:
        raise ValueError("it has control characters")
    return plain


def write_unitext(text: str) -> str:
    r"""The text as an address of type ``utf-8`` in ASCII: all else becomes ``\x{...}`` (RFC 6533 §3)."""
    return _NOT_QCHAR.sub(lambda character: rf"\x{{{ord(character[0]):02X}}}", text)


def read_date(text: str) -> float:
    """The seconds since the Unix epoch of an RFC 3339 date in UTC. ValueError if it is none (RFC 4865 §3)."""
    if not _DATE.fullmatch(text):
        raise ValueError("it is not a date such as 2030-12-31T23:59:59Z")
    whole, _, fraction = text[:-1].partition(".")
    return datetime.fromisoformat(whole.upper()).replace(tzinfo=UTC).timestamp() + float(f"0.{fraction or 0}")


def write_date(at: float) -> str:
    """Seconds since the Unix epoch as RFC 3339 §5.6 writes them, in UTC."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
