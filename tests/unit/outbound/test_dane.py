"""DANE: which records count, where they are looked for, and what they say of a chain (RFC 7672)."""

import hashlib
from itertools import product

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.chains import Issuer, der, make_leaf, make_root, spki

from postroom.dns.resolver import TlsaRecord
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.trouble import ResolverUnavailable
from postroom.net.peercerts import Flaw
from postroom.outbound.dane import Dane, Tlsa, examine, usable_of

HOST = "mx.example.org"
TA, EE = 2, 3
COMBINATIONS = list(product((0, 1), (0, 1, 2)))  # selector, matching


def record(usage: int, selector: int, matching: int, certificate: x509.Certificate) -> TlsaRecord:
    data = spki(certificate) if selector else der(certificate)
    if matching:
        data = (hashlib.sha256 if matching == 1 else hashlib.sha512)(data).digest()
    return TlsaRecord(usage, selector, matching, data)


def tlsa(*records: TlsaRecord, base: str = HOST) -> Tlsa:
    return Tlsa(base, records, usable_of(records))


def flaw_of(found: Tlsa, *chain: x509.Certificate, names: tuple[str, ...] = (HOST,)) -> Flaw | None:
    fault = examine(found, [der(each) for each in chain], names)
    return None if fault is None else fault.flaw


@pytest.fixture(scope="module")
def root() -> Issuer:
    return make_root()


@pytest.fixture(scope="module")
def middle(root: Issuer) -> Issuer:
    return root.issue_issuer("middle")


# Certificates.


@pytest.mark.parametrize(("selector", "matching"), COMBINATIONS)
def test_an_end_entity_matches_whatever_its_name_and_age(root: Issuer, selector: int, matching: int) -> None:
    # RFC 7672 §3.1.1
    for leaf in (make_leaf(root, HOST), make_leaf(root, "other.example", expired=True)):
        assert flaw_of(tlsa(record(EE, selector, matching, leaf)), leaf) is None


@pytest.mark.parametrize(("selector", "matching"), COMBINATIONS)
def test_another_end_entity_does_not_match(root: Issuer, selector: int, matching: int) -> None:
    found = tlsa(record(EE, selector, matching, make_leaf(root, HOST)))
    assert flaw_of(found, make_leaf(root, HOST), root.certificate) is Flaw.UNTRUSTED


def test_an_end_entity_record_is_not_about_the_authority(root: Issuer) -> None:
    leaf = make_leaf(root, HOST)
    assert flaw_of(tlsa(record(EE, 1, 1, root.certificate)), leaf, root.certificate) is Flaw.UNTRUSTED
    assert flaw_of(tlsa(record(TA, 1, 1, leaf)), leaf, root.certificate) is Flaw.UNTRUSTED


def test_the_same_key_in_a_renewed_certificate_matches_by_selector_1_alone(root: Issuer) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    old, new = make_leaf(root, HOST, key=key), make_leaf(root, HOST, key=key)
    assert flaw_of(tlsa(record(EE, 1, 1, old)), new) is None
    assert flaw_of(tlsa(record(EE, 0, 1, old)), new) is Flaw.UNTRUSTED


@pytest.mark.parametrize(("selector", "matching"), COMBINATIONS)
@pytest.mark.parametrize("anchor", ["root", "middle"])
def test_a_trust_anchor_that_is_shown(root: Issuer, middle: Issuer, selector: int, matching: int, anchor: str) -> None:
    trusted = {"root": root, "middle": middle}[anchor].certificate
    found = tlsa(record(TA, selector, matching, trusted))
    leaf = make_leaf(middle, HOST)
    chain = (leaf, middle.certificate, root.certificate)
    assert flaw_of(found, *chain) is None
    assert flaw_of(found, make_leaf(middle, HOST, expired=True), *chain[1:]) is Flaw.EXPIRED
    assert flaw_of(found, make_leaf(middle, "other.example"), *chain[1:]) is Flaw.MISMATCH
    assert flaw_of(found, make_leaf(make_root(), HOST), *chain[1:]) is Flaw.UNTRUSTED


@pytest.mark.parametrize(("selector", "matching"), COMBINATIONS)
def test_a_trust_anchor_that_is_not_shown_must_be_in_the_record(root: Issuer, selector: int, matching: int) -> None:
    # RFC 7671 §5.2.2: a digest alone cannot be trusted; a certificate or key in full can
    found = tlsa(record(TA, selector, matching, root.certificate))
    assert flaw_of(found, make_leaf(root, HOST)) is (Flaw.UNTRUSTED if matching else None)
    middle = root.issue_issuer("another middle")
    chain = (make_leaf(middle, HOST), middle.certificate)
    assert flaw_of(found, *chain) is (Flaw.UNTRUSTED if matching else None)


def test_names_of_a_trust_anchors_server(root: Issuer) -> None:
    # RFC 7672 §3.2.2, §3.2.3
    found = tlsa(record(TA, 0, 1, root.certificate))
    names = (HOST, "example.org")
    for shown in (HOST, "*.example.org", "example.org"):
        assert flaw_of(found, make_leaf(root, shown), root.certificate, names=names) is None
    assert flaw_of(found, make_leaf(root, "example.org"), root.certificate) is Flaw.MISMATCH
    assert flaw_of(found, make_leaf(root, common_name=HOST), root.certificate) is None
    assert flaw_of(found, make_leaf(root, "a.example", common_name=HOST), root.certificate) is Flaw.MISMATCH


def test_any_record_will_do(root: Issuer) -> None:
    leaf, other = make_leaf(root, HOST), make_leaf(root, HOST)
    found = tlsa(record(EE, 1, 1, other), record(TA, 0, 1, root.certificate), record(EE, 1, 1, leaf))
    assert flaw_of(found, leaf) is None
    assert flaw_of(found, make_leaf(root, HOST), root.certificate) is None


def test_a_server_that_shows_nothing_or_rubbish(root: Issuer) -> None:
    found = tlsa(record(EE, 1, 1, root.certificate))
    assert flaw_of(found) is Flaw.INVALID
    fault = examine(found, [b"\x30\x03rub"], (HOST,))
    assert fault is not None
    assert fault.flaw is Flaw.INVALID


@pytest.mark.parametrize(
    "given",
    [
        TlsaRecord(0, 1, 1, bytes(32)),  # RFC 7672 §3.1.3
        TlsaRecord(1, 1, 1, bytes(32)),
        TlsaRecord(4, 1, 1, bytes(32)),
        TlsaRecord(255, 0, 0, b"x"),
        TlsaRecord(3, 2, 1, bytes(32)),
        TlsaRecord(3, 1, 3, bytes(32)),
        TlsaRecord(3, 1, 1, bytes(31)),
        TlsaRecord(3, 1, 2, bytes(32)),
        TlsaRecord(3, 1, 1, b""),
        TlsaRecord(2, 0, 0, b"no certificate"),
        TlsaRecord(2, 1, 0, b"no key"),
    ],
)
def test_what_is_of_no_use(given: TlsaRecord) -> None:
    good = TlsaRecord(3, 1, 1, bytes(32))
    assert usable_of([given]) == ()
    assert usable_of([given, good]) == (good,)


def test_of_digests_the_strongest_counts() -> None:
    # RFC 7671 §9: who can break the weaker one gains nothing by it
    weak, strong = TlsaRecord(3, 1, 1, bytes(32)), TlsaRecord(3, 1, 2, bytes(64))
    assert usable_of([weak, strong]) == (strong,)
    other = TlsaRecord(3, 0, 1, bytes(32))
    assert usable_of([other, strong]) == (other, strong)


@given(
    st.lists(
        st.builds(TlsaRecord, st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.binary(max_size=80)),
        max_size=5,
    ),
    st.lists(st.binary(max_size=80), max_size=3),
)
def test_nothing_in_records_or_chains_raises(records: list[TlsaRecord], chain: list[bytes]) -> None:
    assert examine(tlsa(*records), chain, (HOST,)) is not None


# Lookups.

RECORD = TlsaRecord(3, 1, 1, bytes(32))
TEXT = str(RECORD)


def zone_of(records: dict[str, dict[str, list[str]]], *secure: str) -> Zone:
    zone = Zone.of(records)
    zone.secure.update(secure)
    return zone


async def look_up(zone: Zone, host: str = HOST, port: int = 25) -> Tlsa | None:
    return await Dane(ZoneResolver(zone)).look_up(host, port)


async def test_secure_records_are_found() -> None:
    zone = zone_of({HOST: {"A": ["192.0.2.1"]}, f"_25._tcp.{HOST}": {"TLSA": [TEXT]}}, HOST, f"_25._tcp.{HOST}")
    assert await look_up(zone) == Tlsa(HOST, (RECORD,), (RECORD,))
    assert await look_up(zone, port=2525) is None


async def test_records_of_no_use_are_told_all_the_same() -> None:
    zone = zone_of({HOST: {"A": ["192.0.2.1"]}, f"_25._tcp.{HOST}": {"TLSA": ["1 1 1 00"]}}, HOST, f"_25._tcp.{HOST}")
    found = await look_up(zone)
    assert found is not None
    assert (len(found.records), found.usable) == (1, ())


async def test_insecure_records_do_not_count() -> None:
    records = {HOST: {"A": ["192.0.2.1"]}, f"_25._tcp.{HOST}": {"TLSA": [TEXT]}}
    assert await look_up(zone_of(records, HOST)) is None


async def test_no_question_for_tlsa_where_the_addresses_are_insecure() -> None:
    # RFC 7672 §2.2.2: servers that mishandle it
    zone = zone_of({HOST: {"A": ["192.0.2.1"]}})
    zone.servfail.add(f"_25._tcp.{HOST}")
    assert await look_up(zone) is None
    assert ("TLSA", f"_25._tcp.{HOST}") not in zone.asked


@pytest.mark.parametrize("failure", ["servfail", "silent"])
@pytest.mark.parametrize("name", [HOST, f"_25._tcp.{HOST}"])
async def test_a_lookup_that_fails_is_told(failure: str, name: str) -> None:
    # RFC 7672 §2.1.2
    zone = zone_of({HOST: {"A": ["192.0.2.1"]}}, HOST)
    (zone.servfail if failure == "servfail" else zone.silent).add(name)
    with pytest.raises(ResolverUnavailable):
        await look_up(zone)


ALIAS = {
    HOST: {"CNAME": ["real.example.net"]},
    "real.example.net": {"A": ["192.0.2.1"]},
    f"_25._tcp.{HOST}": {"TLSA": [TEXT]},
    "_25._tcp.real.example.net": {"TLSA": ["3 1 1 " + "ff" * 32]},
}


async def test_a_secure_alias_is_expanded_first() -> None:
    names = (HOST, "real.example.net", f"_25._tcp.{HOST}", "_25._tcp.real.example.net")
    found = await look_up(zone_of(ALIAS, *names))
    assert found is not None
    assert found.base == "real.example.net"
    found = await look_up(zone_of(ALIAS, *names[:3]))
    assert found is not None
    assert found.base == HOST


async def test_an_insecure_host_behind_a_secure_alias() -> None:
    found = await look_up(zone_of(ALIAS, HOST, f"_25._tcp.{HOST}", "_25._tcp.real.example.net"))
    assert found is not None
    assert found.base == HOST


async def test_an_insecure_alias_ends_it() -> None:
    zone = zone_of(ALIAS, "real.example.net", f"_25._tcp.{HOST}", "_25._tcp.real.example.net")
    assert await look_up(zone) is None
    assert not [kind for kind, _ in zone.asked if kind == "TLSA"]


async def test_records_behind_an_alias_of_their_own_keep_the_base() -> None:
    # RFC 7672 §2.2.3
    records = {
        HOST: {"A": ["192.0.2.1"]},
        f"_25._tcp.{HOST}": {"CNAME": ["tlsa._dane.example.org"]},
        "tlsa._dane.example.org": {"TLSA": [TEXT]},
    }
    found = await look_up(zone_of(records, HOST, f"_25._tcp.{HOST}", "tlsa._dane.example.org"))
    assert found is not None
    assert found.base == HOST
    assert await look_up(zone_of(records, HOST, "tlsa._dane.example.org")) is None


async def test_one_family_that_fails_does_not_hide_the_other() -> None:
    class Half(ZoneResolver):
        async def addresses(self, host, family):  # type: ignore[no-untyped-def]
            if family.value == "AAAA":
                raise ResolverUnavailable("AAAA is silent")
            return await super().addresses(host, family)

    zone = zone_of({HOST: {"A": ["192.0.2.1"]}, f"_25._tcp.{HOST}": {"TLSA": [TEXT]}}, HOST, f"_25._tcp.{HOST}")
    assert await Dane(Half(zone)).look_up(HOST, 25) is not None


async def test_a_next_hop_is_known_by_what_it_is_an_alias_of_too() -> None:
    # RFC 7672 §3.2.2
    zone = Zone.of({"exchange.example.org": {"CNAME": ["example.com"]}, "example.com": {"MX": ["10 mx10.example.com"]}})
    dane = Dane(ZoneResolver(zone))
    assert await dane.next_hops("exchange.example.org") == ("exchange.example.org", "example.com")
    assert await dane.next_hops("example.com") == ("example.com",)
