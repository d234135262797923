"""DMARC policy records as published (RFC 9989 §4.7, §4.8): what is unknown or broken in them is passed over."""

import re

from postroom.mail.value import value
from postroom.mailauth.model import DmarcRecord, Policy

MAX_URIS = 10
"""Addresses for reports that are kept of one record: more would make mail out of one message of a stranger."""

# RFC 9989 §4.8: "v" equals %s"DMARC1", then the next tag or nothing; RFC 6376 §3.2 lets white space stand before it.
_VERSION = re.compile(rb"[ \t]*v[ \t]*=[ \t]*(?-i:DMARC1)[ \t]*(?:;|\Z)", re.IGNORECASE)
_TAG = re.compile(r"([A-Za-z]+)[ \t]*=[ \t]*([\t -:<-~]+)")
# RFC 3986 §3: a scheme and what may stand in a URI; comma and exclamation mark would have to be encoded.
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):[A-Za-z0-9._~:/?#\[\]@$&'()*+;=%-]+")
_SIZE = re.compile(r"![0-9]+[kmgt]?\Z", re.IGNORECASE)  # RFC 9989 §4.8 obs-dmarc-report-size: to be ignored
_POLICIES = {policy.value: policy for policy in Policy}
_FAILURE_OPTIONS = frozenset({"0", "1", "d", "s"})


@value(frozen=True, slots=True)
class Published:
    """A record, and what is wrong with its policy where that cannot be applied (RFC 9989 §4.10.1); it counts in the
    tree walk all the same.
    """

    record: DmarcRecord
    fault: str = ""


def is_record(text: bytes) -> bool:
    """Whether a TXT record is a DMARC policy record: ``v=DMARC1`` stands first (RFC 9989 §4.7)."""
    return _VERSION.match(text) is not None


def read_record(domain: str, text: bytes) -> Published | None:
    """The record of a domain; None where it is none. Never raises."""
    version = _VERSION.match(text)
    if version is None:
        return None
    tags: dict[str, str] = {}
    for part in text[version.end() :].decode("ascii", "replace").split(";"):
        tag = _TAG.fullmatch(part.strip(" \t"))
        if tag is not None:
            tags.setdefault(tag[1].lower(), tag[2].rstrip(" \t"))
    wanted = {name: tags[name].lower() for name in ("p", "sp", "np") if name in tags}
    aggregate = _uris(tags.get("rua", ""))
    fault = ""
    if "p" not in wanted or not all(policy in _POLICIES for policy in wanted.values()):
        # RFC 9989 §4.10.1: with somebody to tell it counts as p=none, else it is not applied.
        if not aggregate:
            fault = "the DMARC record has no valid policy"
        wanted = {}
    failure = _uris(tags.get("ruf", ""))
    record = DmarcRecord(
        domain=domain,
        policy=_POLICIES[wanted.get("p", "none")],
        subdomain_policy=_POLICIES[wanted["sp"]] if "sp" in wanted else None,
        nonexistent_policy=_POLICIES[wanted["np"]] if "np" in wanted else None,
        strict_dkim=tags.get("adkim", "").lower() == "s",
        strict_spf=tags.get("aspf", "").lower() == "s",
        testing=tags.get("t", "").lower() == "y",
        psd=psd if (psd := tags.get("psd", "").lower()) in {"y", "n"} else "u",
        aggregate=aggregate,
        failure=failure,
        failure_options=_failure_options(tags.get("fo", "")) if failure else ("0",),
    )
    return Published(record, fault)


def _uris(text: str) -> tuple[str, ...]:
    """The URIs of a list that are such, without the size that once could stand behind them."""
    uris = [_SIZE.sub("", uri.strip(" \t")) for uri in text.split(",")]
    return tuple(dict.fromkeys(uri for uri in uris if _is_uri(uri)))[:MAX_URIS]


def _is_uri(text: str) -> bool:
    match = _URI.fullmatch(text)
    return match is not None and (match[1].lower() != "mailto" or "@" in text[7:] or "%40" in text)


def _failure_options(text: str) -> tuple[str, ...]:
    """The options of fo=; its default where they contradict each other or are unknown (RFC 9989 §4.7)."""
    options = tuple(dict.fromkeys(option.strip(" \t").lower() for option in text.split(":")))
    if not set(options) <= _FAILURE_OPTIONS or {"0", "1"} <= set(options):
        return ("0",)
    return options
