"""Finds the message that a report returns, in a part of its own or quoted in the text, and its Message-ID."""

import re

from postroom.mail.bounces.parts import MAX_HEADER, Part
from postroom.mail.headers import find_field, glance

_MESSAGE_ID = re.compile(
    rb"^[> \t]{0,8}message-id:[ \t]*(?:\r\n[ \t]+)?(<[^<>\s]{1,250}>)", re.IGNORECASE | re.MULTILINE
)


def find_returned(parts: tuple[Part, ...]) -> bytes | None:
    """The returned message or its header, from its own part; None if there is none."""
    for part in parts[1:]:
        if part.is_returned:
            return part.body[:MAX_HEADER].lstrip(b"\r\n")
    return None


def returned_field(returned: bytes, name: bytes) -> str:
    """A field of the returned message, ``""`` if there is none."""
    return find_field(returned, name) or ""


def message_id_of(parts: tuple[Part, ...]) -> str:
    """The Message-ID of the returned message with its angle brackets, ``""`` if it is not there."""
    returned = find_returned(parts)
    if returned is not None:
        message_id = glance(returned).message_id
        if message_id:
            return message_id
    for part in parts:
        if part.kind.startswith("multipart/"):
            continue
        found = _MESSAGE_ID.search(part.body[:MAX_HEADER])
        if found is not None:
            return found[1].decode("utf-8", "replace")
    return ""
