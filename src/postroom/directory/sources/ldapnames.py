"""Names of people in LDAP's own writing: nothing that a client sends may change what a DN or a filter means."""

import re

from postroom.mail.address import Address

_FILTER = re.compile(r"[\x00-\x1f\x7f*()\\]")
_SPECIAL = re.compile(r'["+,;<>=\\\x00-\x1f\x7f]')
_PLACEHOLDER = re.compile(r"\{(address|local|domain)\}")


def escape_filter(text: str) -> str:
    """A value in a filter (RFC 4515 §3): what means something there is written as its octet."""
    return _FILTER.sub(lambda match: f"\\{ord(match[0]):02x}", text)


def escape_dn(text: str) -> str:
    """A value in a DN (RFC 4514 §2.4)."""
    escaped = _SPECIAL.sub(_as_octet, text)
    if escaped.startswith(("#", " ")):
        escaped = _as_octet(escaped[0]) + escaped[1:]
    if escaped.endswith(" "):
        escaped = escaped[:-1] + _as_octet(" ")
    return escaped


def fill_dn(template: str, address: Address) -> str:
    """The DN of an address."""
    parts = _parts(address)
    return _PLACEHOLDER.sub(lambda match: escape_dn(parts[match[1]]), template)


def fill_filter(template: str, address: Address) -> str:
    """The filter that finds an address."""
    parts = _parts(address)
    return _PLACEHOLDER.sub(lambda match: escape_filter(parts[match[1]]), template)


def _parts(address: Address) -> dict[str, str]:
    return {"address": str(address), "local": address.local, "domain": address.domain}


def _as_octet(match: "re.Match[str] | str") -> str:
    return f"\\{ord(match if isinstance(match, str) else match[0]):02x}"
