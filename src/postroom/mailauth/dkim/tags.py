"""Tag lists, of which signatures, seals and key records are made: read strictly, every fault said (RFC 6376 §3.2)."""

import re

MAX_TAGS = 100
"""Tags of one list; the standards define a dozen."""

# RFC 6376 §2.8; a fold without anything on its line (obs-FWS) is not one.
_FWS = r"[ \t]*+(?:\r\n[ \t]++)?"
# RFC 6376 §3.2 VALCHAR. Its note advises not to preclude UTF-8, and RFC 8616 §5 has it; C1 controls are kept out.
_VISIBLE = r"!-:<-~\u00a0-\U0010ffff"
_BLANK = " \t\r\n"
# With what stands behind it, which is judged by itself. What is in the group fails at once: mail/headers.py says why.
_VALUE = rf"(?:[{_VISIBLE}](?:[{_VISIBLE} \t]++|\r\n[ \t])*+)?"
_SPEC = re.compile(rf"{_FWS}([A-Za-z][A-Za-z0-9_]*+){_FWS}={_FWS}({_VALUE}){_FWS}")
_NOTHING = re.compile(_FWS)
_ANY_FWS = re.compile(r"[ \t\r\n]+")


class TagFault(ValueError):
    """The text is no tag list; the message says why."""


def read_tags(text: bytes) -> dict[str, str]:
    """The tags in their order with their values, white space and folds within values kept. Raises TagFault.

    Each octet is looked at a bounded number of times, whatever it is.
    """
    try:
        specs = text.decode("utf-8").split(";", MAX_TAGS + 1)
    except UnicodeDecodeError:
        raise TagFault("it has octets that are not UTF-8") from None
    if _NOTHING.fullmatch(specs[-1]):  # after the ";" that may end the list
        specs.pop()
    if len(specs) > MAX_TAGS:
        raise TagFault(f"it has more than {MAX_TAGS} tags")
    tags: dict[str, str] = {}
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        name, rest = match.groups() if match else ("", "")
        value = rest.rstrip(_BLANK)
        if match is None or _NOTHING.fullmatch(rest, len(value)) is None:
            raise TagFault(f"{_shown(spec)} is not a tag and its value")
        if name in tags:  # RFC 6376 §3.2: then the entire list is invalid
            raise TagFault(f"the tag {name[:20]}= is there twice")
        tags[name] = value
    if not tags:
        raise TagFault("it has no tags")
    return tags


def without_space(value: str) -> str:
    """The value without any white space, where that is no part of it (RFC 6376 §2.10, §2.11)."""
    for space in " \t\r\n":  # four searches in C are ten times as fast as one pattern
        value = value.replace(space, "")
    return value


def listed(value: str) -> list[str]:
    """The items of a list with colons, white space around the colons taken off (RFC 6376 §3.5, §3.6.1)."""
    return [item.strip(_BLANK) for item in value.split(":")]


def _shown(spec: str) -> str:
    """The beginning of what is no tag, on one line."""
    shown = _ANY_FWS.sub(" ", spec).strip()
    return repr(shown if len(shown) <= 30 else shown[:30] + "…")
