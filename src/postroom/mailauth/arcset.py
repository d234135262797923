"""The ARC sets of a header, and whether together they have the structure of a chain (RFC 8617 §4, §5.2)."""

import re
from collections.abc import Mapping
from typing import TypeVar

from postroom.mail.headers import unfold
from postroom.mail.value import value
from postroom.mailauth.dkim.body import BodyForm
from postroom.mailauth.dkim.claims import check_times
from postroom.mailauth.dkim.header import SignedHeader
from postroom.mailauth.dkim.keys import Place
from postroom.mailauth.dkim.signature import (
    Signature,
    SignatureFault,
    read_algorithm,
    read_base64,
    read_domain,
    read_message_signature,
    read_selector,
    read_time,
)
from postroom.mailauth.dkim.tags import TagFault, read_tags
from postroom.mailauth.model import NO_ARC, ArcCheck, Result

MAX_SETS = 50  # RFC 8617 §4.2.1, §5.2 step 1
RESULTS, MESSAGE, SEAL = b"arc-authentication-results", b"arc-message-signature", b"arc-seal"
ARC_FIELDS = (RESULTS, MESSAGE, SEAL)

# RFC 8617 §4.1.1: the instance comes first, comments and white space around it.
_BETWEEN = rb"(?:\([^()\\]*\)|[ \t\r\n]++)*+"  # in this order: mail/headers.py says why
_INSTANCE = re.compile(rb"%bi[ \t\r\n]*=[ \t\r\n]*([0-9]{1,2})%b;[ \t\r\n]*" % (_BETWEEN, _BETWEEN))
_NUMBER = re.compile(r"[0-9]{1,2}")


@value(frozen=True, slots=True)
class Seal:
    """An ARC-Seal (RFC 8617 §4.1.3) and where it stands in the header."""

    place: int
    domain: str
    selector: str
    algorithm: str
    value: bytes


@value(frozen=True, slots=True)
class ArcSet:
    """One set. ``results`` is what its sealer found, without the instance; ``message`` the signature of the message,
    or why it cannot be used.
    """

    results_place: int
    results: str
    message_place: int
    message: Signature | str
    seal: Seal


@value(frozen=True, slots=True)
class Chain:
    """The sets from the first on; their structure is sound, whatever their signatures are worth."""

    sets: tuple[ArcSet, ...]

    @property
    def newest(self) -> ArcSet:
        """The last set that was added."""
        return self.sets[-1]

    def newest_keys(self) -> list[Place]:
        """The keys that the newest set needs, without which nothing else matters."""
        newest = self.newest
        places = [(newest.seal.selector, newest.seal.domain)]
        if isinstance(newest.message, Signature):
            places.append((newest.message.selector, newest.message.domain))
        return places

    def body_forms(self) -> list[BodyForm]:
        """What the message signatures say about the body."""
        messages = [each.message for each in self.sets if isinstance(each.message, Signature)]
        return [(message.relaxed_body, message.limit) for message in messages]


class _Broken(Exception):
    """The structure is not that of a chain; the message says why."""


_Tags = Mapping[str, str]


def read_chain(header: SignedHeader, now: float) -> Chain | ArcCheck:
    """The chain of a header, or all there is to say without one: NONE, or FAIL. Steps 1 to 3 of RFC 8617 §5.2.

    ``now`` is in seconds since the Unix epoch. Nothing raises.
    """
    if not any(header.places(name) for name in ARC_FIELDS):
        return NO_ARC
    try:
        return Chain(_sets(header, now))
    except _Broken as broken:
        return ArcCheck(Result.FAIL, reason=str(broken))


def _sets(header: SignedHeader, now: float) -> tuple[ArcSet, ...]:
    if max(len(header.places(name)) for name in ARC_FIELDS) > MAX_SETS:
        raise _Broken(f"there are more than {MAX_SETS} ARC sets")
    results, messages, seals = _results(header), _tagged(header, MESSAGE), _tagged(header, SEAL)
    count = max(results.keys() | messages.keys() | seals.keys())
    for number in range(1, count + 1):  # RFC 8617 §5.2 step 3 A, B: one of each, from 1 on without a gap
        for name, found in ((RESULTS, results), (MESSAGE, messages), (SEAL, seals)):
            if number not in found:
                raise _Broken(f"set {number} has no {_shown(name)}")
    if seals[count][1].get("cv") == "fail":  # RFC 8617 §5.2 step 2
        raise _Broken(f"sealer {count} found the chain broken")
    sets = []
    for number in range(1, count + 1):
        place, tags = messages[number]
        message = _message(tags, now)
        sets.append(ArcSet(*results[number], place, message, _seal(*seals[number], number)))
    return tuple(sets)


def _results(header: SignedHeader) -> dict[int, tuple[int, str]]:
    """Place and text of each ARC-Authentication-Results by its instance."""
    found: dict[int, tuple[int, str]] = {}
    for place in header.places(RESULTS):
        field = header.fields[place]
        match = _INSTANCE.match(field.value)
        if match is None:
            raise _Broken(f"an {_shown(RESULTS)} does not begin with its instance")
        _add(found, int(match[1]), (place, unfold(field.value[match.end() :])), RESULTS)
    return found


def _tagged(header: SignedHeader, name: bytes) -> dict[int, tuple[int, _Tags]]:
    """Place and tags of each field of a name by its instance."""
    found: dict[int, tuple[int, _Tags]] = {}
    for place in header.places(name):
        try:
            tags = read_tags(header.fields[place].value)
        except TagFault as fault:
            raise _Broken(f"an {_shown(name)} is malformed: {fault}") from None
        number = tags.get("i", "")
        if not _NUMBER.fullmatch(number):
            raise _Broken(f"an {_shown(name)} has no instance")
        _add(found, int(number), (place, tags), name)
    return found


_Entry = TypeVar("_Entry")


def _add(found: dict[int, _Entry], number: int, entry: _Entry, name: bytes) -> None:
    if not 1 <= number <= MAX_SETS:
        raise _Broken(f"an {_shown(name)} has the instance {number}")
    if number in found:
        raise _Broken(f"set {number} has two {_shown(name)}")
    found[number] = entry


def _message(tags: _Tags, now: float) -> Signature | str:
    try:
        signature = read_message_signature(tags)
        check_times(signature, now)
    except SignatureFault as fault:
        return str(fault)
    return signature


def _seal(place: int, tags: _Tags, number: int) -> Seal:
    state = tags.get("cv", "")
    if state != ("pass" if number > 1 else "none"):  # RFC 8617 §5.2 step 3 C
        raise _Broken(f"seal {number} has cv={state[:10]}")
    if "h" in tags:  # RFC 8617 §4.1.3
        raise _Broken(f"seal {number} has h=")
    try:
        domain = read_domain(tags)
        read_time(tags, "t")
        return Seal(place, domain, read_selector(tags, domain), read_algorithm(tags), read_base64(tags, "b"))
    except SignatureFault as fault:
        raise _Broken(f"seal {number} cannot be used: {fault}") from None


def _shown(name: bytes) -> str:
    return name.decode().title().replace("Arc", "ARC")
