"""The host: its addresses, the way back from them, the names in EHLO, and who may issue its certificate."""

from collections.abc import AsyncIterator
from ipaddress import ip_address

from postroom.admin.dnsfaults.model import DnsFinding, Fault, Scene, publish
from postroom.admin.dnsrecords.making import helo_names, issuer_of, sending_names
from postroom.admin.dnsrecords.model import Purpose
from postroom.dns.resolver import Family, Resolver

_ASK_FOR_ADDRESS = (
    "set [publish] public_addresses to the address that the world reaches us by, and publish what postroom dns "
    "says then"
)


async def addresses_of(resolver: Resolver, name: str) -> tuple[str, ...]:
    """All addresses of a name. Raises ResolverUnavailable."""
    return tuple([address for family in Family for address in (await resolver.addresses(name, family)).records])


async def check_host(scene: Scene) -> AsyncIterator[DnsFinding]:
    """The hostname and its addresses. Raises ResolverUnavailable."""
    host = scene.facts.hostname
    if host.startswith("["):
        yield scene.warning(
            Fault.HOST_LITERAL,
            host,
            f"the hostname is an address literal, {host}",
            consequence="many servers refuse mail from a host without a name",
            remedy="set hostname to a name with A and AAAA records",
        )
        return
    found = await addresses_of(scene.resolver, host)
    records = publish(each for each in scene.wanted.of(Purpose.ADDRESS) if each.record.name == host)
    if not found:
        yield scene.error(
            Fault.HOST_NO_ADDRESS,
            host,
            f"{host} has no address",
            consequence="nobody can bring mail to it",
            remedy=records,
        )
        return
    yield scene.good(host, f"{host} is {', '.join(found)}")
    async for finding in _alias(scene, host):
        yield finding
    for address in found:
        if ip_address(address).is_private or ip_address(address).is_loopback:
            yield scene.error(
                Fault.ADDRESS_PRIVATE,
                host,
                f"{host} leads to {address}, which is not a public address",
                consequence="nobody outside reaches it",
                remedy=_ASK_FOR_ADDRESS if address in scene.facts.addresses else f"remove that record; {records}",
            )
        elif scene.facts.addresses and address not in scene.facts.addresses:
            yield scene.warning(
                Fault.ADDRESS_FOREIGN,
                host,
                f"{host} also leads to {address}, which is not an address of this host as far as it knows",
                consequence="mail goes to another machine, or nowhere",
                remedy="remove that record, or name the address in [publish] public_addresses",
            )
    for address in scene.facts.addresses:
        if address not in found:
            yield scene.warning(
                Fault.ADDRESS_MISSING,
                host,
                f"{host} does not lead to {address}, although it is this host's",
                consequence="mail that leaves from there seems to come from a stranger",
                remedy=records,
            )


async def _alias(scene: Scene, host: str) -> AsyncIterator[DnsFinding]:
    alias = (await scene.resolver.cname(host)).records
    if alias:
        yield scene.error(
            Fault.HOST_ALIAS,
            host,
            f"{host} is an alias (CNAME) of {alias[0]}",
            consequence="an MX must not lead to an alias (RFC 5321 §5.1): some servers do not deliver to it",
            remedy="replace the CNAME by A and AAAA records",
        )


async def check_helo(scene: Scene) -> AsyncIterator[DnsFinding]:
    """Each name that we give in EHLO leads to the addresses that we give it from (RFC 5321 §2.3.5)."""
    for name, known in helo_names(scene.facts).items():
        found = await addresses_of(scene.resolver, name)
        if not found and name != scene.facts.hostname:
            yield scene.error(
                Fault.HELO_NO_ADDRESS,
                name,
                f"{name}, the name in EHLO, has no address",
                consequence="many servers refuse mail from a host whose name does not exist",
                remedy=publish(each for each in scene.wanted.of(Purpose.ADDRESS) if each.record.name == name),
            )
            continue
        for address in known:
            if address not in found and name != scene.facts.hostname:
                yield scene.warning(
                    Fault.HELO_ADDRESS_MISSING,
                    name,
                    f"{name} is given in EHLO from {address}, and does not lead there",
                    consequence="the name does not vouch for the address: some servers refuse, many distrust",
                    remedy=publish(each for each in scene.wanted.of(Purpose.ADDRESS) if each.record.name == name),
                )


async def check_reverse(scene: Scene) -> AsyncIterator[DnsFinding]:
    """The way back from each address that mail leaves from (RFC 1035 §3.5). Raises ResolverUnavailable."""
    for name, known in sending_names(scene.facts).items():
        for address in known or await addresses_of(scene.resolver, name):
            async for finding in _way_back(scene, name, address):
                yield finding


async def _way_back(scene: Scene, name: str, address: str) -> AsyncIterator[DnsFinding]:
    names = (await scene.resolver.ptr(address)).records
    remedy = f"ask whoever owns {address}, the provider, for a PTR record to {name}"
    if not names:
        yield scene.warning(
            Fault.PTR_MISSING,
            address,
            f"{address} points back to no name",
            consequence="large providers refuse mail from such an address",
            remedy=remedy,
        )
        return
    for back in names:
        if address in await addresses_of(scene.resolver, back):
            if name in names:
                yield scene.good(address, f"{address} points back to {name}")
            else:
                yield scene.warning(
                    Fault.PTR_ELSEWHERE,
                    address,
                    f"{address} points back to {', '.join(names)}, not to {name}",
                    consequence="the name in EHLO and the name of the address differ: some servers distrust that",
                    remedy=f"{remedy}, or set [outbound] hostname to {back}",
                )
            return
    yield scene.warning(
        Fault.PTR_NOT_CONFIRMED,
        address,
        f"{address} points back to {', '.join(names)}, which does not lead to {address}",
        consequence="the way back is not confirmed: large providers refuse mail from such an address",
        remedy=f"publish A or AAAA records that lead there, or {remedy}",
    )


async def check_authority(scene: Scene) -> AsyncIterator[DnsFinding]:
    """Whether CAA lets our authority issue (RFC 8659 §3: the closest name that has any decides)."""
    issuer, host = issuer_of(scene.facts), scene.facts.hostname
    if not issuer:
        return
    name = host
    while name:
        records = (await scene.resolver.caa(name)).records
        if records:
            allowed = {each.value.partition(";")[0].strip().lower() for each in records if each.tag == "issue"}
            if allowed and issuer not in allowed:
                yield scene.error(
                    Fault.CAA_FORBIDS,
                    name,
                    f"the CAA records of {name} let {', '.join(sorted(allowed)) or 'nobody'} issue certificates, "
                    f"not {issuer}",
                    consequence="the certificate will not be renewed",
                    remedy=f'publish: {host}. CAA 0 issue "{issuer}"',
                )
            return
        name = name.partition(".")[2]
