"""The TLSA records of the host: they fit the certificate in use, and DNSSEC vouches for them (RFC 7672 §3.1)."""

from collections.abc import AsyncIterator, Sequence

from postroom.admin.dnsfaults.model import DnsFinding, Fault, Scene, publish
from postroom.admin.dnsrecords.model import Purpose, TlsKey
from postroom.dns.resolver import Answer, Family, TlsaRecord

_TA, _EE = 2, 3
_SPKI, _SHA256 = 1, 1


async def check_tlsa(scene: Scene) -> AsyncIterator[DnsFinding]:
    """What senders that obey DANE find. Raises ResolverUnavailable."""
    host = scene.facts.hostname
    name = f"_25._tcp.{host}"
    answer = await scene.resolver.tlsa(name)
    if not answer.records:
        if scene.wanted.of(Purpose.TLSA) and await _is_signed(scene, host):
            yield scene.note(
                Fault.TLSA_MISSING,
                name,
                f"the zone of {host} is signed, and there is no TLSA record",
                consequence="senders cannot be sure of our certificate, although they could be",
                remedy=publish(scene.wanted.of(Purpose.TLSA)),
            )
        return
    if not answer.authenticated:
        yield scene.warning(
            Fault.TLSA_UNSIGNED,
            name,
            f"{name} is not vouched for by DNSSEC, as far as our resolver sees",
            consequence="a TLSA record without DNSSEC is of no use: nobody looks at it (RFC 7672 §2.1.1)",
            remedy="sign the zone and have its DS record published, or see that [dns] servers validate; "
            "or remove the record and set [publish] dane = false",
        )
    for finding in _compare(scene, name, answer):
        yield finding


def _compare(scene: Scene, name: str, answer: Answer[TlsaRecord]) -> Sequence[DnsFinding]:
    facts = scene.facts
    records = answer.records
    found: list[DnsFinding] = []
    unusable = [each for each in records if each.usage not in {_TA, _EE}]
    if unusable:
        found.append(
            scene.warning(
                Fault.TLSA_UNUSABLE,
                name,
                f"{name} has records of usage {', '.join(sorted({str(each.usage) for each in unusable}))}",
                consequence="usages 0 and 1 are of no use for mail (RFC 7672 §3.1.3)",
                remedy=publish(scene.wanted.of(Purpose.TLSA)),
            )
        )
    ours = [each for each in records if each.usage == _EE]
    judged = [each for each in ours if each.selector == _SPKI and each.matching == _SHA256]
    others = [each for each in records if each.usage == _TA] + [each for each in ours if each not in judged]
    now = [key for key in facts.keys if not key.is_next]
    if not now or (others and not any(_has(records, key) for key in now)):
        return found  # nothing to compare with: an authority's record, or one of a form that is not ours
    missing = [key for key in now if not _has(records, key)]
    remedy = publish(scene.wanted.of(Purpose.TLSA))
    if len(missing) == len(now):
        emit = scene.error if answer.authenticated else scene.warning
        mismatch = emit(
            Fault.TLSA_MISMATCH,
            name,
            f"no TLSA record of {name} fits the certificate in use",
            consequence="senders that obey DANE do not deliver here at all"
            if answer.authenticated
            else "as soon as the zone is signed, senders that obey DANE will not deliver here",
            remedy=f"{remedy}; until that is seen, go back to the certificate before",
        )
        return [*found, mismatch]
    found += _further(scene, name, judged, missing)
    return found or [scene.good(name, f"the TLSA record of {name} fits the certificate in use")]


def _further(scene: Scene, name: str, judged: Sequence[TlsaRecord], missing: Sequence[TlsKey]) -> Sequence[DnsFinding]:
    """A key without a record, and records without a key."""
    found: list[DnsFinding] = []
    remedy = publish(scene.wanted.of(Purpose.TLSA))
    coming = [key for key in scene.facts.keys if key.is_next and not _has(judged, key)]
    if missing or coming:
        which = "another certificate of this host" if missing else "the next certificate"
        found.append(
            scene.warning(
                Fault.TLSA_KEY_MISSING,
                name,
                f"no TLSA record of {name} fits the key of {which}",
                consequence="senders that obey DANE do not deliver when they are shown that one",
                remedy=remedy,
            )
        )
    known = {key.digest for key in scene.facts.keys}
    stale = [each for each in judged if each.data.hex() not in known]
    if stale:
        found.append(
            scene.note(
                Fault.TLSA_STALE,
                name,
                f"{len(stale)} TLSA record of {name} fits no certificate of this host",
                consequence="whoever has that key may pass for this host",
                remedy=f"remove it: {stale[0]}",
            )
        )
    return found


def _has(records: Sequence[TlsaRecord], key: TlsKey) -> bool:
    return any(
        (each.usage, each.selector, each.matching, each.data.hex()) == (_EE, _SPKI, _SHA256, key.digest)
        for each in records
    )


async def _is_signed(scene: Scene, host: str) -> bool:
    answers = [await scene.resolver.addresses(host, family) for family in Family]
    return any(answer.records and answer.authenticated for answer in answers)
