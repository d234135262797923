"""Which language a person is told in: what the header of the message says of it, else the house's (RFC 3282).

Every module in ``spoken`` is a language: whoever adds a file there adds a language.
"""

import importlib
import pkgutil
import re
from collections.abc import Mapping
from types import MappingProxyType

from postroom.mail.dsntexts import spoken
from postroom.mail.dsntexts.texts import Texts
from postroom.mail.headers import find_field

ENGLISH = "en"

_MOST_RANGES = 20  # of one field; what comes behind is not looked at
_COMMENT = re.compile(r"\([^()]*\)")  # RFC 5322 §3.2.2; one in another is rare enough to spoil its range
_RANGE = re.compile(r"([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*|\*)(?:\s*;\s*[Qq]\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?")


def _load() -> Mapping[str, Texts]:
    found = [
        importlib.import_module(f"{spoken.__name__}.{one.name}").TEXTS for one in pkgutil.iter_modules(spoken.__path__)
    ]
    return MappingProxyType({texts.language.lower(): texts for texts in found})


LANGUAGES: Mapping[str, Texts] = _load()
"""By tag in lower case."""


def choose(content_start: bytes, default: str = ENGLISH) -> Texts:
    """The texts for whoever sent the message that begins like this; ``default`` where it says nothing that we speak.

    Accept-Language says what people like to read, Content-Language what they have written themselves.
    """
    usual = look_up(default) or LANGUAGES[ENGLISH]
    for name in (b"accept-language", b"content-language"):
        field = find_field(content_start, name)
        for wanted in read_ranges(field) if field else ():
            texts = usual if wanted == "*" else look_up(wanted)
            if texts is not None:
                return texts
    return usual


def read_ranges(field: str) -> list[str]:
    """The language ranges of a field, the most wanted first; those that make no sense or have q=0 are left out."""
    weighed: list[tuple[float, str]] = []
    for text in _COMMENT.sub(" ", field[:2000]).split(",")[:_MOST_RANGES]:
        match = _RANGE.fullmatch(text.strip())
        if match is not None:
            weighed.append((float(match[2] or "1"), match[1]))
    weighed.sort(key=lambda one: -one[0])  # stable: what is wanted as much stays in its order
    return [wanted for weight, wanted in weighed if weight > 0]


def look_up(wanted: str) -> Texts | None:
    """The language for a range: itself, else the nearest that says more in general (RFC 4647 §3.4); None: none."""
    subtags = wanted.lower().split("-")
    while subtags:
        texts = LANGUAGES.get("-".join(subtags))
        if texts is not None:
            return texts
        subtags.pop()
    return None
