"""DMARC: one record, sound, its reports arrive, and our mail can be aligned (RFC 9989 §4.7, RFC 9990 §4)."""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import unquote

from postroom.admin.dnsfaults.model import DnsFinding, Fault, Scene, publish, shown
from postroom.admin.dnsrecords.model import Purpose
from postroom.admin.dnsrecords.zonefile import zone_line
from postroom.dns.record import ZoneRecord, txt_data
from postroom.mailauth.dmarc.record import Published, is_record, read_record
from postroom.mailauth.dmarc.walk import TreeWalk
from postroom.mailauth.model import DmarcRecord, Policy

_OBSOLETE = ("pct", "rf", "ri")
"""Tags that RFC 9989 has taken away."""

_STRENGTH = {Policy.NONE: 0, Policy.QUARANTINE: 1, Policy.REJECT: 2}


async def check_dmarc(scene: Scene) -> AsyncIterator[DnsFinding]:
    """The policy record that applies to the domain. Raises ResolverUnavailable."""
    domain, name = scene.domain, f"_dmarc.{scene.domain}"
    remedy = publish(scene.wanted.of(Purpose.DMARC))
    texts = (await scene.resolver.txt(name)).records
    records = [text for text in texts if is_record(text)]
    walk = TreeWalk(scene.resolver)
    if len(records) > 1:
        yield scene.error(
            Fault.DMARC_SEVERAL,
            name,
            f"{name} has {len(records)} DMARC records",
            consequence="several are as good as none (RFC 9989 §4.10): anyone may forge mail of this domain",
            remedy=f"keep one; {remedy}",
        )
        return
    if not records:
        async for finding in _without(scene, walk, texts, remedy):
            yield finding
        return
    published = read_record(domain, records[0])
    if published is None or published.fault or _lacks_policy(records[0]):
        yield scene.error(
            Fault.DMARC_INVALID,
            name,
            f"the DMARC record of {domain} is broken: {shown(records[0])}",
            consequence="it is not applied, or as p=none: anyone may forge mail of this domain",
            remedy=remedy,
        )
        return
    found = list(_policy(scene, name, published.record))
    found += _obsolete(scene, name, records[0])
    found += [each async for each in _reports(scene, name, published, records[0], walk)]
    found += [each async for each in _alignment(scene, name, published.record, walk)]
    for finding in found or [scene.good(name, f"DMARC of {domain} says p={published.record.policy.value}")]:
        yield finding


async def _without(scene: Scene, walk: TreeWalk, texts: tuple[bytes, ...], remedy: str) -> AsyncIterator[DnsFinding]:
    """No record of its own: what stands there is broken, or that of the organization applies, or none does."""
    domain, name = scene.domain, f"_dmarc.{scene.domain}"
    nearly = [text for text in texts if text.strip(b" \t\"'").lower().startswith(b"v=dmarc")]
    if nearly:
        yield scene.error(
            Fault.DMARC_INVALID,
            name,
            f"{name} has a TXT record that is meant to be DMARC and is not: {shown(nearly[0])}",
            consequence="nobody takes it for DMARC: it must begin with v=DMARC1; (RFC 9989 §4.7)",
            remedy=remedy,
        )
        return
    found = await walk.organization(domain)
    if found.published is not None:
        record = found.published.record
        policy = record.subdomain_policy or record.policy
        yield scene.good(name, f"DMARC of {record.domain} applies to {domain}: {policy.value}")
        return
    yield scene.warning(
        Fault.DMARC_MISSING,
        name,
        f"{domain} has no DMARC record",
        consequence="anyone may forge mail of it, you get no reports, and large providers take less mail from it",
        remedy=remedy,
    )


def _policy(scene: Scene, name: str, record: DmarcRecord) -> Iterator[DnsFinding]:
    if record.policy is Policy.NONE:
        yield scene.note(
            Fault.DMARC_NONE,
            name,
            f"DMARC of {scene.domain} says p=none: it watches, and forged mail is delivered all the same",
            remedy="when reports show that all of your mail passes: quarantine, and some weeks later reject",
        )
    elif record.testing:
        yield scene.note(
            Fault.DMARC_TESTING,
            name,
            f"DMARC of {scene.domain} says t=y: others apply one step less than p={record.policy.value}",
            remedy="remove t=y when reports show that all of your mail passes",
        )
    for what, weaker in (("sp", record.subdomain_policy), ("np", record.nonexistent_policy)):
        if weaker is not None and _STRENGTH[weaker] < _STRENGTH[record.policy]:
            yield scene.warning(
                Fault.DMARC_WEAKER,
                name,
                f"DMARC of {scene.domain} says {what}={weaker.value}, less than p={record.policy.value}",
                consequence="whoever forges mail takes a name below the domain instead",
                remedy=f"remove {what}=, or set it to {record.policy.value}",
            )


def _obsolete(scene: Scene, name: str, text: bytes) -> Iterator[DnsFinding]:
    old = [tag for tag in _OBSOLETE if tag in _tags(text)]
    if old:
        yield scene.note(
            Fault.DMARC_OBSOLETE,
            name,
            f"DMARC of {scene.domain} has {', '.join(old)}, which count no more (RFC 9989)",
            remedy=f"remove {', '.join(old)}" + (", and use t=y for tests" if "pct" in old else ""),
        )


async def _reports(
    scene: Scene, name: str, published: Published, text: bytes, walk: TreeWalk
) -> AsyncIterator[DnsFinding]:
    """Whether anybody gets the reports."""
    domain, tags = scene.domain, _tags(text)
    if not published.record.aggregate:
        fault = Fault.DMARC_REPORTS_INVALID if "rua" in tags else Fault.DMARC_NO_REPORTS
        what = (
            f"the rua of {domain}'s DMARC record is no list of URIs: {shown(tags['rua'])}"
            if "rua" in tags
            else f"DMARC of {domain} names nobody for reports (rua)"
        )
        yield scene.warning(
            fault,
            name,
            what,
            consequence="you do not learn who sends as this domain, and what of yours fails",
            remedy=publish(scene.wanted.of(Purpose.DMARC)),
        )
        return
    own = (await walk.organization(domain)).domain
    for uri in published.record.aggregate:
        host = unquote(uri.partition(":")[2].partition("?")[0]).rpartition("@")[2].lower()
        if not uri.lower().startswith("mailto:") or not host:
            continue
        if (await walk.organization(host)).domain == own:
            continue
        place = f"{domain}._report._dmarc.{host}"  # RFC 9990 §4
        if not any(is_record(each) for each in (await scene.resolver.txt(place)).records):
            yield scene.warning(
                Fault.DMARC_UNAUTHORISED,
                place,
                f"{host} does not say that it takes reports on {domain}",
                consequence="nobody sends them there: you get none",
                remedy="let its owner publish: " + zone_line(ZoneRecord(place, "TXT", txt_data("v=DMARC1"))),
            )


async def _alignment(scene: Scene, name: str, record: DmarcRecord, walk: TreeWalk) -> AsyncIterator[DnsFinding]:
    """Whether SPF can be aligned: our return paths may have a domain of their own (RFC 9989 §4.4.2)."""
    paths = scene.return_domain
    if not paths or paths == scene.domain:
        return
    if (
        not record.strict_spf
        and (await walk.organization(paths)).domain == (await walk.organization(scene.domain)).domain
    ):
        return
    remedy = f"let [returns] domain be one below {scene.domain}"
    if record.strict_spf:
        remedy = "remove aspf=s, or " + remedy
    if scene.wanted.of(Purpose.DKIM):
        yield scene.note(
            Fault.DMARC_UNALIGNED,
            name,
            f"return paths have the domain {paths}, which is not aligned with {scene.domain}: DKIM alone passes",
            consequence="a message whose signature is broken on the way fails",
            remedy=remedy,
        )
        return
    yield scene.error(
        Fault.DMARC_UNALIGNED,
        name,
        f"return paths have the domain {paths}, which is not aligned with {scene.domain}, and nothing is signed",
        consequence="all mail with such return paths fails DMARC",
        remedy=f"postroom dkim add {scene.domain}, or {remedy}",
    )


def _lacks_policy(text: bytes) -> bool:
    """No valid p=, although somebody to tell lets it count as p=none."""
    return _tags(text).get("p", "").lower() not in {policy.value for policy in Policy}


def _tags(text: bytes) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.decode("ascii", "replace").split(";")]
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}
