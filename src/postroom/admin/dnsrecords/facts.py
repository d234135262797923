"""Gathers what the records are made from: settings, certificates on the disk, and this machine's own addresses."""

import socket
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from ipaddress import ip_address

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from postroom.admin.acmeshelf import Shelf as AcmeShelf
from postroom.admin.dnsrecords.model import Facts, Sender, Service, TlsKey
from postroom.admin.stspolicy import sts_offer
from postroom.config.model import STANDARD_PORTS, Settings
from postroom.config.road import RouteSettings
from postroom.mail.session import Role
from postroom.net.certificates import (
    Certificate,
    CertificateError,
    PrivateKey,
    Shelf,
    load_certificate,
)

Local = Callable[[], Sequence[str]]
"""The addresses of this machine."""

# RFC 5737, RFC 3849: nobody is there, and nothing is sent to find out which address would be used
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
_EVERYWHERE = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - recognised, not bound


def gather(settings: Settings, local: Local | None = None) -> Facts:
    """The facts of these settings. Certificates that cannot be read are left out, with a note."""
    notes: list[str] = []
    addresses = _public_addresses(settings, local or local_addresses)
    publish, outbound = settings.publish, settings.outbound
    return Facts(
        hostname=settings.hostname,
        addresses=addresses,
        senders=tuple(_senders(settings, addresses, notes)),
        helo=outbound.hostname,
        sends_itself=not any(_takes_all(settings, route) for route in settings.route),
        relays=tuple(_relays(settings)),
        services=_services(settings, notes),
        keys=tuple(_keys(settings, notes)),
        dane=publish.dane,
        keeps_key=settings.acme.enabled and settings.acme.keep_key,
        authority=settings.acme.directory if settings.acme.enabled else "",
        web_host=publish.web_host,
        program_host=settings.autoconfig.host,
        autoconfig=settings.autoconfig.enabled,
        backup_mx=publish.backup_mx,
        dmarc_reports=settings.reports.dmarc,
        tls_reports=settings.reports.tls,
        dmarc=publish.dmarc,
        sts=sts_offer(settings),
        ttl=int(publish.ttl),
        notes=tuple(notes),
    )


def local_addresses() -> list[str]:
    """The address of each family that this machine would use to reach the world; nothing is sent."""
    found = []
    for family, elsewhere in _ELSEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))
                found.append(str(probe.getsockname()[0]).partition("%")[0])
        except OSError:  # no such family, or no way out: then it has no address
            continue
    return found


def _public_addresses(settings: Settings, local: Local) -> tuple[str, ...]:
    if settings.publish.public_addresses:
        return tuple([str(ip_address(text)) for text in settings.publish.public_addresses])
    bound = [text for each in settings.listener if each.role is Role.MX for text in each.addresses]
    named = [text for text in bound if text not in _EVERYWHERE]
    wide = local() if len(named) < len(bound) else []
    return tuple(dict.fromkeys([text for text in (*named, *wide) if _is_public(text)]))


def _is_public(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast


def _senders(settings: Settings, addresses: Sequence[str], notes: list[str]) -> Iterator[Sender]:
    helo = settings.outbound.hostname or settings.hostname
    given = [(source.hostname or helo, text) for source in settings.source for text in (source.ipv4, source.ipv6)]
    given += [(helo, text) for text in settings.outbound.source_addresses]
    for name, text in given:
        if not text:
            continue
        if _is_public(text):
            yield Sender(str(ip_address(text)), name)
        elif not settings.publish.public_addresses:
            notes.append(
                f"mail leaves from {text}, which is not public: the world sees another address. "
                "Set [publish] public_addresses, and see that SPF covers it"
            )


def _relays(settings: Settings) -> list[str]:
    """The hosts of smarthosts that routes lead to."""
    hosts = {each.name: each.host for each in settings.smarthost if each.protocol == "smtp"}
    used = [name for route in settings.route for name in route.via]
    return list(dict.fromkeys([hosts[name] for name in used if name in hosts]))


def _takes_all(settings: Settings, route: RouteSettings) -> bool:
    """Whether a route leads everything to smarthosts."""
    plain = RouteSettings(via=route.via, name=route.name, weights=route.weights, schedule=route.schedule)
    relays = {each.name for each in settings.smarthost if each.protocol == "smtp"}
    return route == plain and bool(route.via) and set(route.via) <= relays


def _services(settings: Settings, notes: list[str]) -> tuple[Service, ...]:
    """What the world can reach. Where nothing is offered but on the loopback, standard ports stand for it."""
    listeners = [each for each in settings.listener if each.role is not Role.LMTP]
    outside = [each for each in listeners if any(not _is_loopback(text) for text in each.addresses)]
    if not outside:
        notes.append("no listener is open to the world: the records name the standard ports")
        roles = dict.fromkeys([each.role for each in listeners] or list(STANDARD_PORTS))
        return tuple([Service(role, STANDARD_PORTS[role]) for role in roles])
    mx = [each.port for each in outside if each.role is Role.MX]
    if mx and STANDARD_PORTS[Role.MX] not in mx:
        notes.append(f"mx listens on port {mx[0]}: mail comes to port 25, so let that lead here")
    ports: dict[Role, int] = {}
    for each in outside:
        ports.setdefault(each.role, each.port)
        if each.port == STANDARD_PORTS[each.role]:
            ports[each.role] = each.port
    return tuple([Service(role, port) for role, port in ports.items()])


def _is_loopback(text: str) -> bool:
    try:
        return ip_address(text).is_loopback
    except ValueError:
        return text == "localhost"


def _keys(settings: Settings, notes: list[str]) -> Iterator[TlsKey]:
    """The keys that who asks for the host's name, or for no name, may be shown on port 25 (RFC 7672 §8.1)."""
    acme = AcmeShelf(settings.data) if settings.acme.enabled else None
    tls = settings.tls if acme is None else acme.dress(settings.tls)
    pairs = [(tls.certificate, tls.key)] if tls.certificate is not None else []
    pairs += [(more.certificate, more.key) for more in tls.more]
    certificates: list[Certificate] = []
    for certificate, key in pairs:
        try:
            certificates.append(load_certificate(certificate, key))
        except CertificateError as error:
            notes.append(f"no TLSA record for a certificate that cannot be used: {error}")
    if not certificates:
        if acme is not None:
            notes.append("no TLSA record yet: the first certificate is still to come")
        return
    shelf = Shelf(certificates)
    shown = dict.fromkeys([digest_of(certificates[each].key) for each in (shelf.choose(settings.hostname), 0)])
    yield from map(TlsKey, shown)
    planned = None if acme is None or settings.acme.keep_key else acme.planned_key()
    if planned is not None:
        private = load_pem_private_key(planned, None)
        if isinstance(private, PrivateKey) and digest_of(private) not in shown:
            yield TlsKey(digest_of(private), is_next=True)


def digest_of(key: PrivateKey) -> str:
    """The SHA-256 of the public key's SubjectPublicKeyInfo, in hex (RFC 6698 §2.1.2, §2.1.3)."""
    info = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(info).hexdigest()
