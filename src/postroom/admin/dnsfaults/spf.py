"""SPF of the domain and of the names in EHLO: one record, sound, and it covers every address that we send from."""

import re
from collections.abc import AsyncIterator, Iterator

from postroom.admin.dnsfaults.hosts import addresses_of
from postroom.admin.dnsfaults.model import DnsFinding, Fault, Scene, publish, shown
from postroom.admin.dnsrecords.making import sending_names
from postroom.admin.dnsrecords.model import Purpose
from postroom.mail.address import Address
from postroom.mailauth.model import Result, SpfCheck

_VERSION = re.compile(rb"v=spf1(?: |\Z)", re.IGNORECASE)
_NEARLY = re.compile(rb"\s*[\"']?\s*v\s*=\s*spf", re.IGNORECASE)
_ALL = re.compile(r"([+?~-]?)all", re.IGNORECASE)
_PTR = re.compile(r"[+?~-]?ptr(?::.*)?", re.IGNORECASE)
_NOBODY = "192.0.2.1"  # RFC 5737: asked about where no address of ours is known, to see whether the record is sound


async def check_spf(scene: Scene) -> AsyncIterator[DnsFinding]:
    """The domain's record. Raises ResolverUnavailable."""
    text, findings = await _record(scene, scene.domain)
    for finding in findings:
        yield finding
    if not text:
        return
    for finding in _terms(scene, scene.domain, text):
        yield finding
    senders = await _senders(scene)
    covered = []
    for address, helo in senders or [(_NOBODY, scene.facts.hostname)]:
        _, check = await scene.spf.check(address, helo, Address("postmaster", scene.domain))
        trouble = _judge(scene, scene.domain, address, check, is_ours=bool(senders))
        if trouble is not None:
            yield trouble
            if trouble.fault is not Fault.SPF_NOT_COVERING:
                return  # the same for every address
        elif senders:
            covered.append(address)
    if covered:
        yield scene.good(scene.domain, f"SPF of {scene.domain} covers {', '.join(covered)}")


async def check_helo_spf(scene: Scene) -> AsyncIterator[DnsFinding]:
    """The records of the names in EHLO: bounces are judged by them (RFC 7208 §2.4). Raises ResolverUnavailable."""
    for name, known in sending_names(scene.facts).items():
        text, findings = await _record(scene, name)
        for finding in findings:
            yield finding
        for address in (known or await addresses_of(scene.resolver, name)) if text else ():
            check, _ = await scene.spf.check(address, name, None)
            trouble = _judge(scene, name, address, check, is_ours=True)
            if trouble is not None:
                yield trouble


async def _senders(scene: Scene) -> list[tuple[str, str]]:
    """The addresses that we send from, each with its name. Relays are not asked for theirs."""
    if scene.facts.relays and not scene.facts.sends_itself:
        return []
    names = sending_names(scene.facts)
    found = [(address, name) for name, known in names.items() for address in known]
    if not found and not scene.facts.relays:
        host = scene.facts.hostname
        found = [(address, host) for address in await addresses_of(scene.resolver, host)]
    return found


async def _record(scene: Scene, name: str) -> tuple[str, list[DnsFinding]]:
    """The one record of a name; ``""`` where there is not one, and what is to be said of that."""
    texts = (await scene.resolver.txt(name)).records
    found = [text for text in texts if _VERSION.match(text)]
    remedy = publish(each for each in scene.wanted.of(Purpose.SPF) if each.record.name == name)
    if len(found) > 1:
        several = scene.error(
            Fault.SPF_SEVERAL,
            name,
            f"{name} has {len(found)} SPF records",
            consequence="two are an error (RFC 7208 §4.5): others treat mail as if SPF had failed",
            remedy=f"keep one, with the mechanisms of all of them; or {remedy}",
        )
        return "", [several]
    if found:
        return found[0].decode("ascii", "replace"), []
    nearly = [text for text in texts if _NEARLY.match(text)]
    if nearly:
        typo = scene.error(
            Fault.SPF_TYPO,
            name,
            f"{name} has a TXT record that is meant to be SPF and is not: {shown(nearly[0])}",
            consequence="nobody takes it for SPF: it must begin with v=spf1 and a blank (RFC 7208 §4.5)",
            remedy=remedy,
        )
        return "", [typo]
    what = f"{name} has no SPF record"
    consequence = "large providers refuse mail from it, or take it for spam"
    if name != scene.domain:
        consequence = "bounces from here are not vouched for: some servers refuse them"
    return "", [scene.warning(Fault.SPF_MISSING, name, what, consequence=consequence, remedy=remedy)]


def _terms(scene: Scene, name: str, text: str) -> Iterator[DnsFinding]:
    """What can be seen of a record without asking further."""
    terms = text.split()[1:]
    ends = [match[1] or "+" for term in terms if (match := _ALL.fullmatch(term))]
    remedy = publish(each for each in scene.wanted.of(Purpose.SPF) if each.record.name == name)
    if not ends and not any(term.lower().startswith("redirect=") for term in terms):
        yield scene.warning(
            Fault.SPF_NO_ALL,
            name,
            f"SPF of {name} does not end with all: {shown(text)}",
            consequence="it says nothing of addresses that it does not name: anyone may send as this domain",
            remedy=remedy,
        )
    if ends[:1] == ["+"]:
        yield scene.error(
            Fault.SPF_PLUS_ALL,
            name,
            f"SPF of {name} ends with +all",
            consequence="it lets the whole world send as this domain, and others distrust it for that",
            remedy=f"end it with -all; {remedy}",
        )
    if ends[:1] == ["?"]:
        yield scene.warning(
            Fault.SPF_NEUTRAL_ALL,
            name,
            f"SPF of {name} ends with ?all",
            consequence="forged mail is treated as if there were no SPF",
            remedy="end it with -all, or ~all while you look for forgotten senders",
        )
    if ends[:1] == ["~"]:
        yield scene.note(
            Fault.SPF_SOFT_ALL,
            name,
            f"SPF of {name} ends with ~all: forged mail is marked, and seldom refused",
            remedy="end it with -all when reports show no forgotten sender",
        )
    if any(_PTR.fullmatch(term) for term in terms):
        yield scene.warning(
            Fault.SPF_PTR,
            name,
            f"SPF of {name} uses ptr",
            consequence="it is slow and unreliable, should not be published (RFC 7208 §5.5), and some pass over it",
            remedy="name the addresses instead",
        )


def _judge(scene: Scene, name: str, address: str, check: SpfCheck, *, is_ours: bool) -> DnsFinding | None:
    """What is wrong with a result; None where nothing is."""
    remedy = publish(each for each in scene.wanted.of(Purpose.SPF) if each.record.name == name)
    if check.result is Result.PERMERROR:
        return scene.error(
            Fault.SPF_PERMERROR,
            name,
            f"SPF of {name} is broken: {shown(check.reason) or 'permanent error'}",
            consequence="others treat mail as if SPF had failed (too many look-ups count as broken: RFC 7208 §4.6.4)",
            remedy=f"correct it, with ten terms at most that ask the DNS; or {remedy}",
        )
    if check.result is Result.TEMPERROR:
        return scene.warning(
            Fault.SPF_TEMPERROR,
            name,
            f"SPF of {name} cannot be worked out now: {shown(check.reason)}",
            consequence="others put mail off, or treat it as if there were no SPF",
            remedy="see that all name servers that it includes answer",
        )
    if not is_ours or check.result is Result.PASS:
        return None
    emit = scene.error if check.result is Result.FAIL else scene.warning
    return emit(
        Fault.SPF_NOT_COVERING,
        name,
        f"SPF of {name} does not cover {address}, which mail leaves from ({check.result.value}"
        + (f" by {shown(check.mechanism)})" if check.mechanism else ")"),
        consequence="mail from there is refused, or taken for spam",
        remedy=f"add ip{6 if ':' in address else 4}:{address} to it; or {remedy}",
    )
