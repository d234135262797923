"""Tags of a message: what rules of routing ask of its header, answered once, when it comes in (docs/adr/0013).

A tag is a value of an X-Postroom-Tag field of submitted mail, ``header:Name=pattern`` for a condition on the header
that holds, or ``tls-required-no``.
"""

import re
from collections.abc import Iterable
from email.errors import HeaderParseError
from email.header import decode_header

from postroom.mail.headers import Glance, find_field, split_header

MAX_TAGS = 10
TLS_REQUIRED_NO = "tls-required-no"
"""The tag of a message whose header says ``TLS-Required: No`` (RFC 8689 §3)."""

_TAG = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TAG_FIELD = b"x-postroom-tag"
_HEADER_TAG = "header:"
_LOOKED_AT = 4096  # characters of a field; a longer one is compared by its beginning
_MOST_FIELDS = 50  # of one name


def header_tag(field: str, pattern: str) -> str:
    """The tag of a message whose header fulfils a condition."""
    return f"{_HEADER_TAG}{field}={pattern}"


class Tagger:
    """Finds the tags that rules ask for. ``conditions`` are fields and patterns, as the settings have them; ``own``:
    there are rules that go by what messages say of themselves.
    """

    def __init__(self, conditions: Iterable[tuple[str, str]] = (), *, own: bool = False) -> None:
        self._own = own
        self._conditions = [
            (field.lower().encode(), wildcard(pattern), header_tag(field, pattern))
            for field, pattern in dict.fromkeys(conditions)
        ]

    def tags_of(self, start: bytes, seen: Glance, *, trusted: bool, require_tls: bool = False) -> tuple[str, ...]:
        """The tags of a message whose content begins with ``start``.

        ``trusted``: it is submitted, or from a client that may relay, so that its own tags count. ``require_tls``:
        REQUIRETLS was asked for.
        """
        if not (self._conditions or self._own or seen.waives_tls):
            return ()
        tags = _own_tags(start) if self._own and trusted else []
        # RFC 8689 §4.1: where REQUIRETLS was asked for as well the field means nothing
        if seen.waives_tls and not require_tls and (find_field(start, b"tls-required") or "").lower() == "no":
            tags.append(TLS_REQUIRED_NO)
        if self._conditions:
            tags += self._fulfilled(start)
        return tuple(tags)

    def _fulfilled(self, start: bytes) -> list[str]:
        values: dict[bytes, list[str]] = {name: [] for name, _, _ in self._conditions}
        for field in split_header(start).fields:
            found = values.get(field.name.lower())
            if found is not None and len(found) < 2 * _MOST_FIELDS:
                text = field.text[:_LOOKED_AT]
                found.append(text.casefold())
                if "=?" in text:
                    found.append(_decoded(text).casefold())
        return [
            tag
            for name, pattern, tag in self._conditions
            if any(pattern.match(value) is not None for value in values[name])
        ]


UNTAGGED = Tagger()
"""For settings whose rules ask nothing of a header."""


def wildcard(pattern: str) -> "re.Pattern[str]":
    """What a pattern with ``*`` and ``?`` stands for, to be matched against casefolded text.

    It takes no longer than text and pattern are long together, multiplied: each piece between stars is looked for once.
    """
    first, *others = [re.escape(part).replace(r"\?", ".") for part in re.split(r"\*+", pattern.casefold())]
    if not others:
        return re.compile(rf"{first}\Z", re.DOTALL)
    # Atomic groups: once a piece between two stars is found, no other place for it is tried.
    found = "".join([f"(?>.*?{piece})" for piece in others[:-1]])
    return re.compile(rf"{first}{found}.*{others[-1]}\Z", re.DOTALL)


def is_tag(text: str) -> bool:
    """Whether a message can tag itself so."""
    return _TAG.fullmatch(text) is not None and text != TLS_REQUIRED_NO


def _own_tags(start: bytes) -> list[str]:
    """The values of its X-Postroom-Tag fields, apart by commas or blanks; what is no tag is passed over."""
    if find_field(start, _TAG_FIELD) is None:  # as a rule; much faster than taking the header apart
        return []
    words: list[str] = []
    for field in split_header(start).all(_TAG_FIELD)[:MAX_TAGS]:
        words += field.text[:_LOOKED_AT].replace(",", " ").split()
    return list(dict.fromkeys([word for word in words if is_tag(word)]))[:MAX_TAGS]


def _decoded(text: str) -> str:
    """The text with its encoded words decoded (RFC 2047); as it is where one cannot be."""
    try:
        return "".join(
            [
                part if isinstance(part, str) else part.decode(charset or "ascii", "replace")
                for part, charset in decode_header(text)
            ]
        )
    except (HeaderParseError, LookupError, ValueError):
        return text
