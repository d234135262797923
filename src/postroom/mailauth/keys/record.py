"""The record of a key in the DNS: whether it is there and says what it should, and how zone files write it."""

import re
from collections.abc import Sequence

from postroom.mailauth.keys.model import Look, Sight

_WHITE = re.compile(r"\s+")
_LONGEST_STRING = 255  # octets, RFC 1035 §3.3
_LONGEST_SHOWN = 80


def judge(record: str, answers: Sequence[tuple[str, Sequence[bytes] | None]]) -> Look:
    """What servers (each with a name for people) say of the name at which ``record`` should stand; None: no answer.

    VISIBLE only where all of those that answered have this record and no other: what several records at one name mean
    is undefined (RFC 6376 §3.6.2.2).
    """
    absent: list[str] = []
    wrong: list[str] = []
    known = False
    for server, found in answers:
        if found is None:
            continue
        known = True
        if not found:
            absent.append(server)
        elif len(found) > 1:
            wrong.append(f"{server} has {len(found)} records at this name, which must have one")
        elif not says_the_same(found[0], record):
            wrong.append(f"{server} has another record: {_show(found[0])}")
    if not known:
        return Look(Sight.UNKNOWN)
    if wrong:
        return Look(Sight.WRONG, wrong[0])
    if absent:
        return Look(Sight.ABSENT, f"{_join(absent)} {'does' if len(absent) == 1 else 'do'} not have it")
    return Look(Sight.VISIBLE)


def says_the_same(found: bytes, record: str) -> bool:
    """Whether what was found lets everybody verify what the key of ``record`` signs (RFC 6376 §3.6.1).

    Notes, ``t=s`` and white space make no difference; ``t=y`` does not either, although its mail counts as unsigned.
    """
    try:
        there, ours = read_tags(found.decode("utf-8")), read_tags(record)
    except ValueError:
        return False
    if there.get("v", "DKIM1") != "DKIM1":
        return False
    if _plain(there.get("p", "")) != _plain(ours["p"]) or there.get("k", "rsa") != ours.get("k", "rsa"):
        return False
    hashes = there.get("h")
    if hashes is not None and "sha256" not in [each.strip() for each in hashes.split(":")]:
        return False
    services = there.get("s")
    return services is None or not {"*", "email"}.isdisjoint(each.strip() for each in services.split(":"))


def read_tags(text: str) -> dict[str, str]:
    """The tags of a record (RFC 6376 §3.2). ValueError for what is no tag list, or has a tag twice."""
    tags: dict[str, str] = {}
    for piece in text.strip().removesuffix(";").split(";"):
        name, equals, content = piece.partition("=")
        name = name.strip()
        if not equals or not name or name in tags:
            raise ValueError("not a list of tags")
        tags[name] = content.strip()
    return tags


def zone_text(record: str) -> str:
    """The data of the TXT record as zone files have it: strings of at most 255 octets (RFC 1035 §3.3.14, §5.1)."""
    octets = record.encode("ascii")
    pieces = [octets[at : at + _LONGEST_STRING] for at in range(0, len(octets), _LONGEST_STRING)]
    return " ".join([f'"{_escape(piece.decode("ascii"))}"' for piece in pieces])


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _plain(text: str) -> str:
    return _WHITE.sub("", text)


def _show(found: bytes) -> str:
    text = "".join(character if character.isprintable() else "?" for character in found.decode("utf-8", "replace"))
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
