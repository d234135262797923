"""Who wants reports: the TXT record at ``_smtp._tls``, by the grammar of RFC 8460 §3. Pure."""

import re
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from postroom.mail.address import Address
from postroom.mail.value import value

MAX_TARGETS = 4
"""Addresses and URLs of one record that are used."""

_VERSION = b"v=TLSRPTv1"
_FIELD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=(.+)")
_DELIMITER = re.compile(r"[ \t]*;[ \t]*")
_COMMA = re.compile(r"[ \t]*,[ \t]*")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[\x23-\x2b\x2d-\x3a\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]+")


@value(frozen=True, slots=True)
class ReportTarget:
    """Where reports go: ``mail`` an address, or ``url`` of https; the other is None or ``""``."""

    mail: Address | None = None
    url: str = ""

    def __str__(self) -> str:
        return self.url or f"mailto:{self.mail}"


def read_targets(records: Sequence[bytes]) -> tuple[ReportTarget, ...]:
    """Where a domain wants its reports, from the TXT records at ``_smtp._tls``; none: it wants none.

    URIs that are of no use to us are left out; a record that breaks the grammar is none.
    """
    candidates = [record for record in records if _is_candidate(record)]
    if len(candidates) != 1:  # RFC 8460 §3: not one, then there is none
        return ()
    try:
        text = candidates[0].decode("ascii")
    except UnicodeDecodeError:
        return ()
    _, *fields = _DELIMITER.split(text)
    if fields and not fields[-1]:
        fields.pop()
    uris: list[str] = []
    for field in fields:
        parsed = _FIELD.fullmatch(field)
        if parsed is None:
            return ()
        if parsed[1] == "rua" and not uris:
            uris = _COMMA.split(parsed[2])
    targets = dict.fromkeys([target for target in map(_read_uri, uris) if target is not None])
    return tuple(targets)[:MAX_TARGETS]


def _read_uri(uri: str) -> ReportTarget | None:
    if not _URI.fullmatch(uri):
        return None
    scheme, _, rest = uri.partition(":")
    try:
        if scheme.lower() == "mailto":
            address = Address.parse(unquote(rest.partition("?")[0], errors="strict"))
            return None if address.needs_smtputf8 or address.domain[:1] in {"", "["} else ReportTarget(address)
        parts = urlsplit(uri)
        is_plain = parts.username is None and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return ReportTarget(url=uri) if scheme.lower() == "https" and is_plain else None


def _is_candidate(record: bytes) -> bool:
    return record.startswith(_VERSION) and record[len(_VERSION) :].lstrip(b" \t").startswith(b";")
