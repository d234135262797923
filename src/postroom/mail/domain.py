"""Domain names and address literals as mail writes them (RFC 5321 §4.1.2, §4.1.3, RFC 5890)."""

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address

import idna

MAX_DOMAIN = 255  # octets, RFC 5321 §4.5.3.1.2

LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
"""One label in ASCII as a pattern: letters, digits, inner hyphens, at most 63 octets (RFC 1035 §2.3.1)."""

_LABEL = re.compile(LABEL)
_DOMAIN = re.compile(rf"{LABEL}(?:\.{LABEL})*")
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
_IPV6_TAG = "[ipv6:"


def normalise_domain(text: str) -> str:
    """The canonical form of a domain or an address literal: A-labels in lower case, or ``[192.0.2.1]``, ``[IPv6:...]``.

    Raises ValueError, saying what is wrong, for anything that RFC 5321 §4.1.2 and RFC 5891 do not allow.
    """
    if len(text) > MAX_DOMAIN:  # an A-label is never shorter than its U-label, so this bounds both
        raise ValueError(f"the domain is longer than {MAX_DOMAIN} octets")
    if _DOMAIN.fullmatch(text):
        return text.lower()
    if text.startswith("["):
        return _normalise_literal(text)
    if not text:
        raise ValueError("the domain is missing")
    domain = ".".join([_normalise_label(label) for label in text.split(".")])
    if len(domain) > MAX_DOMAIN:
        raise ValueError(f"the domain is longer than {MAX_DOMAIN} octets")
    return domain


def show_domain(domain: str) -> str:
    """The domain for people: U-labels where it has any."""
    if "xn--" not in domain:
        return domain
    return ".".join([_show_label(label) for label in domain.split(".")])


def literal_address(domain: str) -> str:
    """The IP address that a normalised address literal names, as text; ``""`` for a domain name."""
    if not domain.startswith("["):
        return ""
    return domain[len(_IPV6_TAG) : -1] if domain.lower().startswith(_IPV6_TAG) else domain[1:-1]


def _normalise_label(label: str) -> str:
    """One label as an A-label or a lower-case LDH label."""
    if label.isascii():
        if not _LABEL.fullmatch(label):
            raise ValueError(_label_fault(label))
        return label.lower()
    # RFC 5895 §2: case and composition are mapped as a person would expect; nothing else is (no UTS #46).
    try:
        return idna.alabel(unicodedata.normalize("NFC", label.lower())).decode("ascii")
    except UnicodeError as error:  # idna.IDNAError is one
        raise ValueError(f"the domain label {label!r} is not allowed: {error}") from error


def _label_fault(label: str) -> str:
    """What is wrong with an ASCII label."""
    if not label:
        return "the domain has an empty label"
    if len(label) > 63:
        return "a domain label is longer than 63 octets"
    return f"the domain label {label!r} has something other than letters, digits and inner hyphens"


def _show_label(label: str) -> str:
    """The U-label of an A-label; the label itself where it has none (registries hold labels that IDNA 2008 forbids)."""
    if not label.startswith("xn--"):
        return label
    try:
        return idna.ulabel(label)
    except UnicodeError:
        return label


def _normalise_literal(text: str) -> str:
    """The canonical form of an address literal (RFC 5321 §4.1.3). No tag but ``IPv6`` was ever registered."""
    if not text.endswith("]"):
        raise ValueError("the address literal lacks its closing bracket")
    if text[: len(_IPV6_TAG)].lower() == _IPV6_TAG:
        inner = text[len(_IPV6_TAG) : -1]
        try:
            if "%" in inner:  # a zone is a matter of one machine, not of an address literal
                raise ValueError("it has a zone")
            return f"[IPv6:{IPv6Address(inner).compressed}]"
        except ValueError as error:
            raise ValueError(f"{text!r} is not an IPv6 address literal: {error}") from error
    inner = text[1:-1]
    if not _IPV4.fullmatch(inner):
        raise ValueError(f"{text!r} is not an address literal")
    numbers = [int(number) for number in inner.split(".")]  # RFC 5321 §4.1.3: Snum is decimal, leading zeros or not
    if max(numbers) > 255:
        raise ValueError(f"{text!r} is not an IPv4 address literal: a number is above 255")
    return f"[{IPv4Address(bytes(numbers))}]"
