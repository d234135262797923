"""How mail programs find us: SRV records (RFC 6186, RFC 8314 §5.1) and the names for their settings."""

from collections.abc import AsyncIterator, Sequence

from postroom.admin.dnsfaults.hosts import addresses_of
from postroom.admin.dnsfaults.model import DnsFinding, Fault, Scene, publish
from postroom.admin.dnsrecords.model import Desired, Purpose
from postroom.dns.resolver import SrvRecord


async def check_services(scene: Scene) -> AsyncIterator[DnsFinding]:
    """Each service that the records should name. Raises ResolverUnavailable."""
    right = []
    for wanted in scene.wanted.of(Purpose.SRV):
        name = wanted.record.name
        records = (await scene.resolver.srv(name)).records
        findings = [each async for each in _service(scene, wanted, records)]
        for finding in findings:
            yield finding
        if records and not findings:
            right.append(name.partition(".")[0])
    if right:
        yield scene.good(scene.domain, f"mail programs find {', '.join(right)} of {scene.domain}")
    async for finding in _settings(scene):
        yield finding


async def _service(scene: Scene, wanted: Desired, records: Sequence[SrvRecord]) -> AsyncIterator[DnsFinding]:
    name, remedy = wanted.record.name, publish([wanted])
    _, _, port, target = wanted.record.data.split()
    offered = target != "."
    leading = [each for each in records if each.target]
    if not offered:
        if leading:
            yield scene.warning(
                Fault.SRV_NOT_OFFERED,
                name,
                f"{name} leads to {leading[0].target} port {leading[0].port}, and this server does not offer that",
                consequence="mail programs try it in vain, unless another server does",
                remedy=remedy,
            )
        return
    if not records:
        yield scene.note(Fault.SRV_MISSING, name, f"there is no {name}: mail programs have to guess", remedy=remedy)
        return
    if not leading:
        yield scene.warning(
            Fault.SRV_DENIED,
            name,
            f"{name} says that this is not offered, and it is",
            consequence="mail programs that ask do not use it",
            remedy=remedy,
        )
    for record in leading:
        async for finding in _target(scene, wanted, record):
            yield finding
    ours = any(each.target == target.removesuffix(".") and each.port == int(port) for each in leading)
    if leading and not ours:
        yield scene.warning(
            Fault.SRV_ELSEWHERE,
            name,
            f"{name} leads to {leading[0].target} port {leading[0].port}, not to {target.removesuffix('.')} "
            f"port {port}",
            consequence="mail programs that ask go there",
            remedy=remedy,
        )


async def _target(scene: Scene, wanted: Desired, record: SrvRecord) -> AsyncIterator[DnsFinding]:
    name, target = wanted.record.name, record.target
    alias = (await scene.resolver.cname(target)).records
    if alias:
        yield scene.warning(
            Fault.SRV_TARGET_ALIAS,
            name,
            f"{name} leads to {target}, an alias (CNAME) of {alias[0]}",
            consequence="an SRV record must not lead to an alias (RFC 2782): some programs do not follow",
            remedy=f"let it lead to {alias[0]}; {publish([wanted])}",
        )
    elif not await addresses_of(scene.resolver, target):
        yield scene.error(
            Fault.SRV_TARGET_MISSING,
            name,
            f"{name} leads to {target}, which has no address",
            consequence="mail programs that ask cannot connect",
            remedy=publish([wanted]),
        )


async def _settings(scene: Scene) -> AsyncIterator[DnsFinding]:
    for wanted in scene.wanted.of(Purpose.AUTOCONFIG):
        name = wanted.record.name
        if wanted.record.kind == "CNAME" and not await addresses_of(scene.resolver, name):
            yield scene.note(
                Fault.AUTOCONFIG_MISSING,
                name,
                f"{name} leads nowhere: mail programs do not find their settings there",
                remedy=publish([wanted]),
            )
