"""Looks whether mail can leave as the settings say: DNSSEC for DANE, source addresses, who answers for reports."""

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from ipaddress import ip_address

from postroom.admin.dnscheck import is_reserved
from postroom.admin.finding import Finding, Level
from postroom.config.model import Settings
from postroom.config.sending import SourceSettings
from postroom.directory.directory import Directory
from postroom.directory.model import Unknown
from postroom.directory.operator import postmaster_of
from postroom.dns.resolver import Family, Resolver
from postroom.mail.address import Address
from postroom.mail.trouble import ResolverUnavailable

AREA = "road"

_ROOT = "."
_VALIDATOR = "run a resolver that validates (such as unbound) on this machine and name it in dns.servers"

IsHere = Callable[[str], bool]
"""Whether an address is one of this machine."""


async def check_road(
    settings: Settings, resolver: Resolver, servers: Sequence[str], is_here: IsHere | None = None
) -> AsyncIterator[Finding]:
    """``servers`` are the addresses of the resolvers that are asked."""
    if settings.outbound.dane:
        async for finding in _check_dane(resolver, servers):
            yield finding
    for source in settings.source:
        hostname = source.hostname or settings.outbound.hostname or settings.hostname
        async for finding in _check_source(source, hostname, resolver, is_here or can_bind):
            yield finding


async def check_reports(settings: Settings, directory: Directory) -> AsyncIterator[Finding]:
    """Whether somebody gets what others write about our reports. Raises StoreUnavailable."""
    hostname = settings.hostname
    if settings.tlsrpt.enabled:
        given = settings.tlsrpt.contact
        contact = given or f"postmaster@{hostname}"
        async for finding in _check_contact("TLS", "tlsrpt.contact", given, contact, directory):
            yield finding
    if settings.dmarc_reports.enabled:
        given = settings.dmarc_reports.contact
        contact = given or str(await postmaster_of(hostname, directory.is_local) or f"postmaster@{hostname}")
        async for finding in _check_contact("DMARC", "dmarc_reports.contact", given, contact, directory):
            yield finding


async def _check_contact(
    kind: str, setting: str, given: str, contact: str, directory: Directory
) -> AsyncIterator[Finding]:
    """``contact`` is what the reports name, ``given`` what the settings say."""
    try:
        address = Address.parse(contact)
    except ValueError as error:
        yield Finding(Level.ERROR, AREA, f"{setting}: {error}", "write a mail address")
        return
    resolution = await directory.resolve(address)
    if isinstance(resolution, Unknown):
        what = f"{kind} reports name {contact}, which does not exist"
        yield Finding(Level.WARNING, AREA, what, f"postroom alias add {contact} WHO, or change {setting}")
    elif not given and not resolution.is_ours:
        what = f"{kind} reports name {contact}, and {address.domain} is no domain of this server"
        yield Finding(Level.WARNING, AREA, what, f"set {setting} to an address that somebody reads")


def can_bind(address: str) -> bool:
    """Whether connections can be made from the address: it is one of this machine."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.bind((address, 0))
    except OSError:  # the answer: whatever the reason, nothing can leave from there
        return False
    return True


async def _check_dane(resolver: Resolver, servers: Sequence[str]) -> AsyncIterator[Finding]:
    """RFC 7672 §2.1, RFC 4035 §4.9.3: AD counts only from a validating resolver that nobody stands in front of."""
    for server in servers:
        if not _is_loopback(server):
            what = f"DANE believes what {server} says of DNSSEC, and the way there is not protected"
            yield Finding(Level.WARNING, AREA, what, f"{_VALIDATOR}, or set outbound.dane = false")
    try:
        # The root is signed, and so is that it has no MX (RFC 4035 §3.1.3): one question that needs no zone of ours.
        answer = await resolver.mx(_ROOT)
    except ResolverUnavailable as error:
        yield Finding(
            Level.SKIPPED, AREA, f"DNSSEC not checked: no resolver answers ({error})", "see [dns] in the settings"
        )
        return
    if answer.authenticated:
        yield Finding(Level.OK, AREA, "the resolver validates DNSSEC, so that DANE can be used")
    else:
        what = "the resolver does not validate DNSSEC (no AD for the root zone): DANE is never used"
        yield Finding(Level.WARNING, AREA, what, f"{_VALIDATOR}, or set outbound.dane = false")


async def _check_source(
    source: SourceSettings, hostname: str, resolver: Resolver, is_here: IsHere
) -> AsyncIterator[Finding]:
    for family, address in ((Family.IPV4, source.ipv4), (Family.IPV6, source.ipv6)):
        if not address:
            continue
        if not is_here(address):
            what = f"source {source.name}: {address} is not an address of this machine"
            remedy = f"add it to an interface (ip address add {address} dev ...), or change the [[source]]"
            yield Finding(Level.WARNING, AREA, what, remedy)
        if is_reserved(hostname) or not ip_address(address).is_global:
            what = f"source {source.name}: {hostname} and {address} are not of the public DNS: not looked up"
            yield Finding(Level.SKIPPED, AREA, what)
            continue
        try:
            yield await _check_names(source.name, hostname, family, address, resolver)
        except ResolverUnavailable as error:
            what = f"source {source.name}: names not checked: no resolver answers ({error})"
            yield Finding(Level.SKIPPED, AREA, what, "see [dns] in the settings")


async def _check_names(name: str, hostname: str, family: Family, address: str, resolver: Resolver) -> Finding:
    """Whether the name given in EHLO and the address lead to each other, as many servers ask."""
    forward = {ip_address(text) for text in (await resolver.addresses(hostname, family)).records}
    if ip_address(address) not in forward:
        shown = ", ".join(map(str, sorted(forward, key=str))) or "nothing"
        what = f"source {name}: {hostname} leads to {shown}, not to {address}"
        return Finding(Level.WARNING, AREA, what, f"publish: {hostname}. {family.value} {address}")
    names = (await resolver.ptr(address)).records
    if hostname.lower() not in names:
        what = f"source {name}: {address} points back to {', '.join(names) or 'no name'}, not to {hostname}"
        remedy = f"ask whoever owns the address for a PTR record to {hostname}: many servers refuse mail without"
        return Finding(Level.WARNING, AREA, what, remedy)
    return Finding(Level.OK, AREA, f"source {name}: {hostname} and {address} lead to each other")


def _is_loopback(server: str) -> bool:
    try:
        return ip_address(server).is_loopback
    except ValueError:  # a name, of which nothing is known
        return False
