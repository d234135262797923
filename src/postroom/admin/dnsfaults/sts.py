"""MTA-STS and TLS reports: the record, the policy behind it, and that both fit what we are (RFC 8461, RFC 8460)."""

import re
from collections.abc import AsyncIterator, Iterator, Sequence

from postroom.admin.dnsfaults.hosts import addresses_of
from postroom.admin.dnsfaults.model import DnsFinding, Fault, Scene, publish, shown
from postroom.admin.dnsrecords.model import Purpose
from postroom.admin.stspolicy import POLICY_HOST, POLICY_PATH, policy_id
from postroom.mail.delivery import StsMode, StsPolicy
from postroom.net.peercerts import matches

_STS = re.compile(rb"v=STSv1[ \t]*;")
_STS_ID = re.compile(rb"(?:^|;)[ \t]*id=([A-Za-z0-9]{1,32})[ \t]*(?:;|$)")
_RPT = re.compile(rb"v=TLSRPTv1[ \t]*;")
_RPT_URIS = re.compile(rb"(?:^|;)[ \t]*rua=[ \t]*(?:mailto:[^\s;@]+@[^\s;]+|https://[^\s;]+)[ \t]*(?:;|$)")
_CONSEQUENCES = {
    Fault.STS_UNREACHABLE: "senders that do not know the policy yet deliver without it; others report it",
    Fault.STS_UNTRUSTED: "senders may not take a policy from a host whose certificate they do not trust",
    Fault.STS_STATUS: "only 200 counts, redirects do not (RFC 8461 §3.3): senders have no policy",
    Fault.STS_TYPE: "only text/plain counts (RFC 8461 §3.2): senders have no policy",
    Fault.STS_POLICY_INVALID: "senders pass over a policy that they cannot read",
}


async def check_sts(scene: Scene) -> AsyncIterator[DnsFinding]:
    """The record at ``_mta-sts`` and the policy. Raises ResolverUnavailable."""
    name = f"_mta-sts.{scene.domain}"
    texts = [text for text in (await scene.resolver.txt(name)).records if text.startswith(b"v=STS")]
    remedy = publish(each for each in scene.wanted.of(Purpose.MTA_STS) if each.record.kind == "TXT")
    if not texts:
        if scene.facts.sts is not None:
            yield scene.warning(
                Fault.STS_MISSING,
                name,
                f"{scene.domain} has no MTA-STS record",
                consequence="senders do not look for the policy: whoever stands between may switch TLS off",
                remedy=f"{remedy} (once the policy can be fetched)",
            )
        return
    if len(texts) > 1:
        yield scene.error(
            Fault.STS_SEVERAL,
            name,
            f"{name} has {len(texts)} MTA-STS records",
            consequence="several are as good as none (RFC 8461 §3.1)",
            remedy=f"keep one; {remedy}",
        )
        return
    found = _STS_ID.search(texts[0]) if _STS.match(texts[0]) else None
    if found is None:
        yield scene.error(
            Fault.STS_INVALID,
            name,
            f"the MTA-STS record of {scene.domain} is broken: {shown(texts[0])}",
            consequence="senders pass over it (RFC 8461 §3.1)",
            remedy=remedy or "remove it",
        )
        return
    async for finding in _behind(scene, name, found[1].decode()):
        yield finding


async def _behind(scene: Scene, name: str, record_id: str) -> AsyncIterator[DnsFinding]:
    host = f"{POLICY_HOST}.{scene.domain}"
    if not await addresses_of(scene.resolver, host):
        yield scene.error(
            Fault.STS_HOST_MISSING,
            host,
            f"there is an MTA-STS record, and {host} has no address",
            consequence="the policy cannot be fetched: the record is of no use, and senders report it",
            remedy=publish(each for each in scene.wanted.of(Purpose.MTA_STS) if each.record.kind != "TXT"),
        )
        return
    fetched = await scene.policies.fetch(scene.domain)
    if fetched.policy is None:
        fault = fetched.fault or Fault.STS_UNREACHABLE
        yield scene.error(
            fault,
            host,
            f"the policy at https://{host}{POLICY_PATH} is of no use: {shown(fetched.why)}",
            consequence=_CONSEQUENCES.get(fault, "senders have no policy"),
            remedy=f"let {host} lead to a server that answers with the policy, with a certificate for that name "
            "([https] here, or a web server that passes it on to [web])",
        )
        return
    troubles = [each async for each in _policy(scene, host, fetched.policy)]
    troubles += _identity(scene, name, record_id, fetched.policy)
    for finding in troubles or [scene.good(name, f"MTA-STS of {scene.domain}: {fetched.policy.mode.value}")]:
        yield finding


async def _policy(scene: Scene, host: str, policy: StsPolicy) -> AsyncIterator[DnsFinding]:
    if policy.mode is not StsMode.NONE:
        hosts = [record.host for record in (await scene.resolver.mx(scene.domain)).records if record.host]
        outside = [each for each in hosts if not any(matches(pattern, each) for pattern in policy.mx)]
        if outside:
            emit = scene.error if policy.mode is StsMode.ENFORCE else scene.warning
            yield emit(
                Fault.STS_MX_MISMATCH,
                host,
                f"the MTA-STS policy of {scene.domain} does not allow its MX {', '.join(outside)}",
                consequence="senders that obey it do not deliver there"
                if policy.mode is StsMode.ENFORCE
                else "senders would not deliver there if the mode were enforce",
                remedy="name the host in the policy ([publish] backup_mx), then change the id; or remove that MX",
            )
    if _differs(scene, policy):
        yield scene.warning(
            Fault.STS_POLICY_DIFFERS,
            host,
            f"the policy served for {scene.domain} is not that of the settings: mode {policy.mode.value}, "
            f"mx {', '.join(policy.mx[:5]) or 'none'}",
            consequence="senders go by what is served",
            remedy="restart or reload what serves it, or change [publish] mta_sts",
        )


def _differs(scene: Scene, policy: StsPolicy) -> bool:
    offer = scene.facts.sts
    mode = "none" if offer is None else offer.mode
    mx = set() if offer is None or mode == "none" else {each.lower() for each in offer.hosts}
    return policy.mode.value != mode or (mode != "none" and set(policy.mx) != mx)


def _identity(scene: Scene, name: str, record_id: str, policy: StsPolicy) -> Iterator[DnsFinding]:
    """Whether the id is that of the policy: if it stays the same, senders do not see a change (RFC 8461 §3.1)."""
    offer = scene.facts.sts
    if offer is None or _differs(scene, policy) or record_id == policy_id(offer):
        return
    yield scene.warning(
        Fault.STS_ID_UNCHANGED,
        name,
        f"the id of {scene.domain}'s MTA-STS record, {record_id}, is not that of the policy, {policy_id(offer)}",
        consequence="senders keep the policy that they have until it expires",
        remedy=publish(each for each in scene.wanted.of(Purpose.MTA_STS) if each.record.kind == "TXT"),
    )


async def check_tlsrpt(scene: Scene) -> AsyncIterator[DnsFinding]:
    """The record at ``_smtp._tls`` (RFC 8460 §3). Raises ResolverUnavailable."""
    name = f"_smtp._tls.{scene.domain}"
    texts = [text for text in (await scene.resolver.txt(name)).records if text.lower().startswith(b"v=tlsrpt")]
    remedy = publish(scene.wanted.of(Purpose.TLSRPT))
    yield _tlsrpt(scene, name, texts, remedy)


def _tlsrpt(scene: Scene, name: str, texts: Sequence[bytes], remedy: str) -> DnsFinding:
    consequence = "you do not learn when TLS to you fails"
    if not texts:
        what = f"{scene.domain} asks for no TLS reports"
        return scene.warning(Fault.TLSRPT_MISSING, name, what, consequence=consequence, remedy=remedy)
    if len(texts) > 1:
        what = f"{name} has {len(texts)} TLSRPT records: several are as good as none (RFC 8460 §3)"
        remedy = f"keep one; {remedy}"
        return scene.warning(Fault.TLSRPT_SEVERAL, name, what, consequence=consequence, remedy=remedy)
    if not _RPT.match(texts[0]) or not _RPT_URIS.search(texts[0]):
        what = f"the TLSRPT record of {scene.domain} is broken: {shown(texts[0])}"
        return scene.warning(Fault.TLSRPT_INVALID, name, what, consequence=consequence, remedy=remedy)
    return scene.good(name, f"TLS reports on {scene.domain} are asked for")
