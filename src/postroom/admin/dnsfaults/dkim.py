"""The records of our signing keys: each there, whole, usable, and the right one (RFC 6376 §3.6)."""

import re
from collections.abc import AsyncIterator, Sequence
from itertools import permutations

from postroom.admin.dnsfaults.model import DnsFinding, Fault, Scene, publish, shown
from postroom.admin.dnsfaults.zones import check_ttl
from postroom.admin.dnsrecords.model import Desired, Purpose
from postroom.mailauth.dkim.keyrecord import Key, UnusableKey, read_key

_SAFE_BITS = 2048  # RFC 8301 §3.2
_LEAST_BITS = 1024
_MOST_PIECES = 4  # records of one name that are tried as parts of one
_SPACE = re.compile(rb"[ \t]+")
_REVOKED = re.compile(rb"(?:^|;)[ \t]*p[ \t]*=[ \t]*(?:;|$)")


async def check_dkim(scene: Scene) -> AsyncIterator[DnsFinding]:
    """All keys that are to be seen. Raises ResolverUnavailable."""
    keys = scene.wanted.of(Purpose.DKIM)
    if not keys:
        yield scene.warning(
            Fault.DKIM_NONE,
            scene.domain,
            f"{scene.domain} has no key to sign with",
            consequence="mail from it is not signed: large providers refuse it, or take it for spam",
            remedy=f"postroom dkim make {scene.domain}",
        )
    for key in keys:
        name = key.record.name
        answer = await scene.resolver.txt(name)
        finding = judge_key(scene, key, answer.records)
        yield finding
        for late in check_ttl(scene, name, "TXT", answer):
            yield late


def judge_key(scene: Scene, key: Desired, records: Sequence[bytes]) -> DnsFinding:
    """What the records at a key's name come to."""
    name, ours = key.record.name, key.text.encode()
    remedy = publish([key])
    fails = "signatures by this key fail: mail loses its DKIM, and DMARC with it"
    if not records and not key.in_use:
        return scene.warning(
            Fault.DKIM_MISSING,
            name,
            f"{name} has no DKIM record yet",
            consequence="its key waits: nothing is signed with it before its record is seen",
            remedy=remedy,
        )
    if not records:
        return scene.error(Fault.DKIM_MISSING, name, f"{name} has no DKIM record", consequence=fails, remedy=remedy)
    if len(records) > 1:
        if _are_parts(records, ours):
            what = f"the DKIM record {name} was cut into {len(records)} records instead of strings of one"
            return scene.error(Fault.DKIM_SPLIT, name, what, consequence=fails, remedy=f"{remedy} (in one record)")
        what = f"{name} has {len(records)} TXT records"
        consequence = "which of them counts is undefined (RFC 6376 §3.6.2.2): signatures fail now and then"
        return scene.error(Fault.DKIM_SEVERAL, name, what, consequence=consequence, remedy=f"keep one: {remedy}")
    return _judge_one(scene, key, records[0], ours, fails)


def _judge_one(scene: Scene, key: Desired, found: bytes, ours: bytes, fails: str) -> DnsFinding:
    name, remedy = key.record.name, publish([key])
    there, wanted = read_key(found), read_key(ours)
    if isinstance(there, Key) and isinstance(wanted, Key) and there.public == wanted.public:
        return _judge_right(scene, key, there)
    if _plain(found) == _plain(ours):
        return scene.good(name, f"the DKIM record {name} is there")
    if _REVOKED.search(found):
        what = f"the DKIM record {name} has an empty p=: the key is revoked"
        return scene.error(Fault.DKIM_REVOKED, name, what, consequence=fails, remedy=remedy)
    if b'"' in found or b"\\;" in found:
        what = f"the DKIM record {name} has quotes or backslashes inside: {shown(found)}"
        hint = "paste the text without the quotes, as one value"
        return scene.error(Fault.DKIM_SPLIT, name, what, consequence=fails, remedy=f"{hint}; {remedy}")
    if len(_plain(found)) < len(_plain(ours)) and _plain(ours).startswith(_plain(found)):
        what = f"the DKIM record {name} is cut off after {len(found)} octets of {len(ours)}"
        hint = "the provider's form may cut at 255: write it in several strings"
        return scene.error(Fault.DKIM_TRUNCATED, name, what, consequence=fails, remedy=f"{hint}; {remedy}")
    if isinstance(there, UnusableKey):
        what = f"the DKIM record {name} cannot be used: {shown(there.reason)}"
        return scene.error(Fault.DKIM_INVALID, name, what, consequence=fails, remedy=remedy)
    what = f"the DKIM record {name} is of another key"
    return scene.error(Fault.DKIM_WRONG, name, what, consequence=fails, remedy=remedy)


def _judge_right(scene: Scene, key: Desired, there: Key) -> DnsFinding:
    name = key.record.name
    if there.algorithm.startswith("rsa") and there.bits < _SAFE_BITS:
        emit = scene.error if there.bits < _LEAST_BITS else scene.warning
        return emit(
            Fault.DKIM_WEAK,
            name,
            f"the DKIM key {name} has {there.bits} bits",
            consequence="others take signatures by so weak a key for none, or will (RFC 8301 §3.2)",
            remedy=f"postroom dkim rotate {scene.domain}",
        )
    if there.testing:
        return scene.warning(
            Fault.DKIM_TESTING,
            name,
            f"the DKIM record {name} says that it is a test (t=y)",
            consequence="mail that it signs is treated as unsigned (RFC 6376 §3.6.1)",
            remedy=f"remove t=y; {publish([key])}",
        )
    return scene.good(name, f"the DKIM record {name} is there")


def _are_parts(records: Sequence[bytes], ours: bytes) -> bool:
    if len(records) > _MOST_PIECES:
        return False
    return any(_plain(b"".join(each)) == _plain(ours) for each in permutations(records))


def _plain(text: bytes) -> bytes:
    return _SPACE.sub(b"", text).rstrip(b";")
