"""The world's DNS as zone files: a root and a zone that are signed, and one that is not."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import dns.dnssec
import dns.name
import dns.rdataset
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS
from tests.world.atlas import LAME, PLAIN, SIGNED
from tests.world.model import Domain, Host, Sts, World

TTL = 300  # seconds
_HEAD = (f"@ {TTL} IN SOA ns.nowhere. hostmaster.nowhere. 1 3600 600 86400 60", f"@ {TTL} IN NS ns.nowhere.")

Records = Sequence[tuple[str, str, str]]
"""Each a name, a type and data."""


def zone_files(world: World, tlsa: Mapping[str, Sequence[str]]) -> tuple[Mapping[str, str], str]:
    """The text of each zone by its name, and the root's key as a trust anchor. ``tlsa`` are data by the host's name."""
    records = _records(world, tlsa)
    bogus = {(domain.name, "MX") for domain in world.domains if domain.mx_is_bogus}
    bogus |= {(_tlsa_name(world, host), "TLSA") for host in world.hosts.values() if host.tlsa_is_bogus}
    signed, _, below = _signed(SIGNED, [record for record in records if _is_in(SIGNED, record[0])], bogus)
    delegations = [(f"{zone}.", "NS", "ns.nowhere.") for zone in (SIGNED, PLAIN, LAME)]
    delegations.append((f"{SIGNED}.", "DS", below.to_text()))
    root, anchor, _ = _signed(".", delegations, set())
    plain = "\n".join([f"$ORIGIN {PLAIN}.", *_HEAD, *_lines([r for r in records if _is_in(PLAIN, r[0])])])
    return {".": root, SIGNED: signed, PLAIN: plain + "\n"}, f". IN DNSKEY {anchor.to_text()}"


def _records(world: World, tlsa: Mapping[str, Sequence[str]]) -> Records:
    found: list[tuple[str, str, str]] = []
    for host in world.hosts.values():
        address = world.address(host)
        found.append((host.name, "AAAA" if ":" in address else "A", address))
        found += [(_tlsa_name(world, host), "TLSA", data) for data in tlsa[host.name]]
        if host.alias:
            found.append((host.alias, "CNAME", f"{host.name}."))
    for domain in world.domains:
        found += _of_domain(world, domain)
    return found


def _of_domain(world: World, domain: Domain) -> list[tuple[str, str, str]]:
    found = []
    if domain.is_null_mx:
        found.append((domain.name, "MX", "0 ."))  # RFC 7505 §3
    if domain.site is not None and domain.has_mx:
        hosts = [(host.preference, host.alias or host.name) for host in domain.site.hosts]
        found += [(domain.name, "MX", f"{preference} {name}.") for preference, name in hosts]
    if domain.sts is not Sts.NONE:
        found.append((f"_mta-sts.{domain.name}", "TXT", '"v=STSv1; id=20261126;"'))  # RFC 8461 §3.1
        found.append((f"mta-sts.{domain.name}", "A", world.policy_address))
    return found


def _tlsa_name(world: World, host: Host) -> str:
    return f"_{world.port}._tcp.{host.name}"  # RFC 6698 §3


def _is_in(zone: str, name: str) -> bool:
    return name.rstrip(".").endswith(f".{zone}")


def _lines(records: Records) -> list[str]:
    return [f"{name.rstrip('.')}. {TTL} IN {kind} {data}" for name, kind, data in records]


def _signed(origin: str, records: Records, bogus: set[tuple[str, str]]) -> tuple[str, DNSKEY, DS]:
    """The zone as text, its key, and the DS for the zone above. The data of ``bogus`` change after they were signed."""
    zone = dns.zone.from_text("\n".join([*_HEAD, *_lines(records)]), origin=origin, relativize=False)
    private = ec.generate_private_key(ec.SECP256R1())
    key = dns.dnssec.make_dnskey(private.public_key(), "ECDSAP256SHA256", flags=257)
    with zone.writer() as writer:
        hour_ago = int(time.time()) - 3600
        dns.dnssec.sign_zone(zone, writer, keys=[(private, key)], inception=hour_ago, lifetime=7 * 86400)
    with zone.writer() as writer:
        for name, kind in bogus:
            writer.replace(dns.name.from_text(name), _others(kind))
    return zone.to_text(), key, dns.dnssec.make_ds(dns.name.from_text(origin), key, "SHA256")


def _others(kind: str) -> dns.rdataset.Rdataset:
    data = defaultdict(lambda: "3 1 1 " + "00" * 32, MX=f"66 mx.attacker.{PLAIN}.")[kind]
    return dns.rdataset.from_text("IN", kind, TTL, data)
