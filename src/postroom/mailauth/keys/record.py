"""The record of a key in the DNS: whether it is there and says what it should, and how zone files write it."""

from collections.abc import Sequence

from postroom.mailauth.dkim.keyrecord import UnusableKey, read_key
from postroom.mailauth.keys.model import Look, Sight

_LONGEST_STRING = 255  # octets, RFC 1035 §3.3
_LONGEST_SHOWN = 80


def judge(record: str, answers: Sequence[tuple[str, Sequence[bytes] | None]]) -> Look:
    """What servers (each with a name for people) say of the name at which ``record`` should stand; None: no answer.

    VISIBLE only where all of those that answered have a record with this key, usable for mail, and no other record:
    what several at one name mean is undefined (RFC 6376 §3.6.2.2). Notes, white space and the like make no difference.
    """
    absent: list[str] = []
    wrong: list[str] = []
    notes: list[str] = []
    known = False
    as_made = record.encode()
    for server, found in answers:
        if found is None:
            continue
        known = True
        if not found:
            absent.append(server)
        elif len(found) > 1:
            wrong.append(f"{server} has {len(found)} records at this name, which must have one")
        elif found[0] != as_made:
            there, ours = read_key(found[0]), read_key(as_made)
            if isinstance(there, UnusableKey) or isinstance(ours, UnusableKey) or there.public != ours.public:
                wrong.append(f"{server} has another record: {_show(found[0])}")
            elif there.testing:
                notes.append(f"{server} has t=y in it: receivers take the mail for unsigned (RFC 6376 §3.6.1)")
    if not known:
        return Look(Sight.UNKNOWN)
    if wrong:
        return Look(Sight.WRONG, wrong[0])
    if absent:
        return Look(Sight.ABSENT, f"{_join(absent)} {'does' if len(absent) == 1 else 'do'} not have it")
    return Look(Sight.VISIBLE, notes[0] if notes else "")


def zone_text(record: str) -> str:
    """The data of the TXT record as zone files have it: strings of at most 255 octets (RFC 1035 §3.3.14, §5.1)."""
    octets = record.encode("ascii")
    pieces = [octets[at : at + _LONGEST_STRING] for at in range(0, len(octets), _LONGEST_STRING)]
    return " ".join([f'"{_escape(piece.decode("ascii"))}"' for piece in pieces])


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _show(found: bytes) -> str:
    text = "".join(character if character.isprintable() else "?" for character in found.decode("utf-8", "replace"))
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
