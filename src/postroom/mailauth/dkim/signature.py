"""What a signature field claims: its tags, checked and turned into values (RFC 6376 §3.5, §6.1.1, RFC 8617 §4.1.2).

Whether it is true is found out in ``verifying``.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping

from postroom.mail.domain import normalise_domain
from postroom.mail.value import value
from postroom.mailauth.dkim.tags import listed, without_space
from postroom.mailauth.model import Result

MAX_NAMES = 1000
"""Names in h=; signatures that are in use have some twenty."""
MAX_IDENTITY = 320  # octets of i=: an address with room to spare
MAX_NAME = 253  # octets of a name in the DNS as text (RFC 1035 §2.3.4)
RSA_SHA256 = "rsa-sha256"
ED25519_SHA256 = "ed25519-sha256"

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_NUMBER = re.compile(r"[0-9]{1,76}")
_FIELD_NAME = re.compile(r"[!-9;-~]+")  # RFC 5322 §3.6.8
_SELECTOR = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_QUOTED_OCTET = re.compile(r"=([0-9A-F]{2})")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CANONICALISATIONS = {"simple": False, "relaxed": True}
_INFINITE = 10**12  # RFC 6376 §3.5 t=: what has more than 12 digits may be taken for infinite


class SignatureFault(ValueError):
    """The signature cannot be used; the message says why, ``result`` what that makes of it (RFC 8601 §2.7.1).

    What is malformed or unknown is "not able to be processed", NEUTRAL.
    """

    def __init__(self, reason: str, result: Result = Result.NEUTRAL) -> None:
        super().__init__(reason)
        self.result = result


@value(frozen=True, slots=True)
class Signature:
    """A well-formed signature. ``names`` are those of h= in lower case, ``limit`` is l= (None: the whole body).

    ``identity`` is i= with its default, decoded; ``host`` the domain in it. ``expires`` and ``made`` are x= and t= in
    seconds since the Unix epoch, None where they are absent.
    """

    domain: str
    selector: str
    algorithm: str
    value: bytes
    body_hash: bytes
    names: tuple[bytes, ...]
    relaxed_header: bool
    relaxed_body: bool
    limit: int | None
    identity: str
    host: str
    made: int | None
    expires: int | None


def read_signature(tags: Mapping[str, str]) -> Signature:
    """The signature that a DKIM-Signature field claims to be (RFC 6376 §3.5). Raises SignatureFault."""
    version = _required(tags, "v")
    if version != "1":  # RFC 6376 §6.1.1
        raise SignatureFault(f"its version is {version[:20]!r}, not 1")
    names = _names(_required(tags, "h"))
    if b"from" not in names:  # RFC 6376 §6.1.1; RFC 8601 §2.7.1 on permerror
        raise SignatureFault("From is not signed", Result.PERMERROR)
    if "dns/txt" not in listed(tags.get("q", "dns/txt")):  # RFC 6376 §3.5: unknown methods are passed over
        raise SignatureFault("its key cannot be had by dns/txt")
    domain = read_domain(tags)
    identity, host = _identity(tags, domain)
    return _read(tags, names, domain, identity=identity, host=host, forms="simple/simple")


def read_message_signature(tags: Mapping[str, str]) -> Signature:
    """The same for an ARC-Message-Signature field: no v=, and i= is another thing (RFC 8617 §4.1.2).

    From need not be signed, h= may be empty, and c= is relaxed where it is missing: the public suite of validation
    tests has it so, and its makers wrote the standard.
    """
    names = tuple([name.lower().encode() for name in listed(_required(tags, "h")) if name])
    _check_number(len(names))
    if b"arc-seal" in names:  # RFC 8617 §4.1.2
        raise SignatureFault("it signs an ARC-Seal")
    domain = read_domain(tags)
    return _read(tags, names, domain, identity="", host=domain, forms="relaxed/relaxed")


def _read(
    tags: Mapping[str, str], names: tuple[bytes, ...], domain: str, *, identity: str, host: str, forms: str
) -> Signature:
    relaxed_header, relaxed_body = _canonicalisation(tags.get("c", forms))
    made, expires = read_time(tags, "t"), read_time(tags, "x")
    if made is not None and expires is not None and expires <= made:  # RFC 6376 §3.5 x=
        raise SignatureFault("it expires before it was made")
    return Signature(
        domain,
        read_selector(tags, domain),
        read_algorithm(tags),
        read_base64(tags, "b"),
        read_base64(tags, "bh"),
        names,
        relaxed_header,
        relaxed_body,
        _limit(tags),
        identity,
        host,
        made,
        expires,
    )


def read_algorithm(tags: Mapping[str, str]) -> str:
    """a=. What is unknown is not looked at further (RFC 6376 §3.3.4), SHA-1 has failed for good (RFC 8301 §3.1)."""
    algorithm = _required(tags, "a")
    if algorithm in (RSA_SHA256, ED25519_SHA256):  # RFC 8463 §3
        return algorithm
    if algorithm == "rsa-sha1":
        raise SignatureFault("rsa-sha1 is not used any more", Result.PERMERROR)
    raise SignatureFault(f"the algorithm {algorithm[:30]!r} is unknown")


def read_domain(tags: Mapping[str, str]) -> str:
    """d= in lower-case A-labels; U-labels are taken (RFC 8616 §5)."""
    return _domain(_required(tags, "d"), "d=")


def read_selector(tags: Mapping[str, str], domain: str) -> str:
    """s= in lower-case A-labels, so that the name of its key can be asked for (RFC 6376 §3.1, §3.6.2.1).

    The underscore, which the standard lacks, is in use, and means nothing to the DNS.
    """
    text = _required(tags, "s")
    try:
        labels = [
            label if label.isascii() else normalise_domain(label) for label in text[: MAX_NAME + 1].lower().split(".")
        ]
    except ValueError:
        labels = [""]
    if not all(_SELECTOR.fullmatch(label) for label in labels):
        raise SignatureFault(f"s= has {text[:50]!r}, which is no selector")
    selector = ".".join(labels)
    if len(key_name(selector, domain)) > MAX_NAME:
        raise SignatureFault("s= and d= are too long for a name")
    return selector


def read_base64(tags: Mapping[str, str], name: str) -> bytes:
    """The octets of b= or bh=; white space is no part of them (RFC 6376 §2.10)."""
    text = without_space(_required(tags, name))
    try:
        if not _BASE64.fullmatch(text):
            raise SignatureFault(f"{name}= is not base64")
        return b64decode(text, validate=True)
    except binascii.Error:
        raise SignatureFault(f"{name}= is not base64") from None


def read_time(tags: Mapping[str, str], name: str) -> int | None:
    """t= or x= in seconds since the Unix epoch, None if it is absent."""
    text = tags.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise SignatureFault(f"{name}= is not a number")
    return int(text) if len(text) <= 12 else _INFINITE


def key_name(selector: str, domain: str) -> str:
    """Where the key is published (RFC 6376 §3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"


def _required(tags: Mapping[str, str], name: str) -> str:
    text = tags.get(name)
    if text is None:  # RFC 6376 §6.1.1
        raise SignatureFault(f"{name}= is missing")
    return text


def _names(text: str) -> tuple[bytes, ...]:
    names = listed(text)
    _check_number(len(names))
    for name in names:
        if not _FIELD_NAME.fullmatch(name):
            raise SignatureFault("h= has what is no field name" if name else "h= has an empty name")
    return tuple([name.lower().encode() for name in names])


def _check_number(names: int) -> None:
    if names > MAX_NAMES:
        raise SignatureFault(f"h= has more than {MAX_NAMES} names")


def _domain(text: str, where: str) -> str:
    """A domain of two labels at least (RFC 6376 §3.5 domain-name), no address literal."""
    try:
        domain = normalise_domain(text)
    except ValueError:
        domain = ""
    if "." not in domain or domain.startswith("["):
        raise SignatureFault(f"{where} has {text[:50]!r}, which is no domain")
    return domain


def _identity(tags: Mapping[str, str], domain: str) -> tuple[str, str]:
    """i= decoded, and its domain, which must be d= or below it (RFC 6376 §3.5, §6.1.1)."""
    text = tags.get("i")
    if text is None:
        return f"@{domain}", domain
    text = without_space(text)
    if len(text.encode()) > MAX_IDENTITY:
        raise SignatureFault("i= is too long")
    if "=" in _QUOTED_OCTET.sub("", text):  # RFC 6376 §2.11: an "=" is always the beginning of a quoted octet
        raise SignatureFault("i= is not quoted as it should be")
    try:
        text = _QUOTED_OCTET.sub(lambda match: chr(int(match[1], 16)), text.encode().decode("latin-1"))
        text = text.encode("latin-1").decode()
    except UnicodeError:
        raise SignatureFault("i= has octets that are not UTF-8") from None
    local, at, host = text.rpartition("@")
    if not at or _CONTROL.search(local):
        raise SignatureFault("i= is no address")
    host = _domain(host, "i=")
    if host != domain and not host.endswith("." + domain):
        raise SignatureFault(f"i= is of {host}, which is not below {domain}")
    return f"{local}@{host}", host


def _canonicalisation(text: str) -> tuple[bool, bool]:
    """c=: whether that of the header and of the body is relaxed; that of the body is simple unless said
    (RFC 6376 §3.5).
    """
    header, slash, body = text.partition("/")
    relaxed_header = _CANONICALISATIONS.get(header)
    relaxed_body = _CANONICALISATIONS.get(body) if slash else False
    if relaxed_header is None or relaxed_body is None:  # RFC 6376 §3.4: such signatures are ignored
        raise SignatureFault(f"the canonicalisation {text[:30]!r} is unknown")
    return relaxed_header, relaxed_body


def _limit(tags: Mapping[str, str]) -> int | None:
    text = tags.get("l")
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise SignatureFault("l= is not a number of at most 76 digits")
    return int(text)
