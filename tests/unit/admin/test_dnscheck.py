"""A zone with each possible fault: each is named, with its consequence and its remedy."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.dns_inspector import MemoryPolicies

from postroom.admin.dnscheck import is_reserved
from postroom.admin.dnsfaults.model import DnsFinding, Fault, Fetched, Scene
from postroom.admin.dnsfaults.run import look_at_domain, look_at_host
from postroom.admin.dnsrecords.making import records_for, records_of_host
from postroom.admin.dnsrecords.model import DkimRecord, Facts, Sender, Service, TlsKey, Way
from postroom.admin.finding import Level
from postroom.admin.stspolicy import StsOffer
from postroom.dns.record import txt_data
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.delivery import StsMode, StsPolicy
from postroom.mail.session import Role
from postroom.mailauth.dkim.signingkey import Algorithm, SigningKey, key_record, make_key
from postroom.mailauth.spf import SpfChecker

HOST, DOMAIN, V4, V6 = "mx.postroom.net", "postroom.net", "8.8.8.8", "2001:4860::8"
TLSA = f"_25._tcp.{HOST}"
DIGEST, NEXT = "ab" * 32, "cd" * 32
LETSENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


@cache
def key(bits: int = 2048) -> DkimRecord:
    made = SigningKey(DOMAIN, "s1", Algorithm.RSA, make_key(Algorithm.RSA, bits))
    return DkimRecord(made.name, key_record(made), "active")


def make_facts() -> Facts:
    return Facts(
        hostname=HOST,
        addresses=(V4, V6),
        services=(Service(Role.MX, 25), Service(Role.SUBMISSIONS, 465), Service(Role.POP3S, 995)),
        keys=(TlsKey(DIGEST),),
        keeps_key=True,
        authority=LETSENCRYPT,
        dmarc="reject",
        sts=StsOffer("enforce", (HOST,), 604800),
    )


class Place:
    """A domain that is all right until a fault is put into its zone, its facts or its policy."""

    def __init__(self) -> None:
        self.facts = make_facts()
        self.dkim = [key()]
        self.return_domain = ""
        self.policy = Fetched(StsPolicy(DOMAIN, StsMode.ENFORCE, (HOST,), "", 2e9))
        self.zone = self.fill()

    def fill(self) -> Zone:
        """The zone as it should be."""
        zone = Zone()
        for each in records_for(DOMAIN, self.facts, self.dkim).records:
            if each.way is not Way.CHOOSE:
                zone.add(each.record.name, each.record.kind, each.record.data)
        zone.add(DOMAIN, "NS", "a.ns.example.")
        zone.add(DOMAIN, "NS", "b.ns.example.")
        zone.secure |= set(zone.records)
        return zone

    def put(self, name: str, kind: str, *texts: str) -> None:
        """These records and no others of their type."""
        types = self.zone.records.setdefault(name, {})
        types.pop(kind, None)
        if texts:
            types[kind] = texts

    def alias(self, name: str, target: str) -> None:
        self.zone.records[name] = {"CNAME": (target,)}

    async def look(self) -> list[DnsFinding]:
        resolver = ZoneResolver(self.zone)
        policies = MemoryPolicies({DOMAIN: self.policy})
        spf = SpfChecker(resolver, hostname=HOST, clock=ManualClock())
        host = Scene(
            domain="",
            facts=self.facts,
            wanted=records_of_host(self.facts),
            resolver=resolver,
            spf=spf,
            policies=policies,
        )
        wanted = records_for(DOMAIN, self.facts, self.dkim)
        domain = replace(host, domain=DOMAIN, wanted=wanted, return_domain=self.return_domain)
        return await look_at_host(host) + await look_at_domain(domain)


Breaks = Callable[[Place], object]


def txt(name: str, *texts: str) -> Breaks:
    return lambda place: place.put(name, "TXT", *map(txt_data, texts))


def put(name: str, kind: str, *texts: str) -> Breaks:
    return lambda place: place.put(name, kind, *texts)


def alias(name: str, target: str) -> Breaks:
    return lambda place: place.alias(name, target)


def know(**changed: object) -> Breaks:
    def change(place: Place) -> None:
        place.facts = replace(place.facts, **changed)  # type: ignore[arg-type]

    return change


def serve(fault: Fault) -> Breaks:
    return lambda place: setattr(place, "policy", Fetched(fault=fault, why="because"))


def serve_policy(mode: StsMode, *mx: str) -> Breaks:
    return lambda place: setattr(place, "policy", Fetched(StsPolicy(DOMAIN, mode, mx, "", 2e9)))


def all_of(*breaks: Breaks) -> Breaks:
    return lambda place: [each(place) for each in breaks]


def mark(where: str, *names: str) -> Breaks:
    return lambda place: getattr(place.zone, where).update(names)


def age(ttl: int) -> Breaks:
    return lambda place: setattr(place.zone, "ttl", ttl)


def unsign(name: str) -> Breaks:
    return lambda place: place.zone.secure.discard(name)


def weaken(place: Place) -> None:
    place.dkim = [key(1024)]
    place.put(key().name, "TXT", txt_data(key(1024).text))


def wait(place: Place) -> None:
    place.dkim = [replace(key(), state="made")]


def send_from(address: str, helo: str = HOST) -> Breaks:
    return know(senders=(Sender(address, helo),))


SPF, DMARC, STS, RPT = DOMAIN, f"_dmarc.{DOMAIN}", f"_mta-sts.{DOMAIN}", f"_smtp._tls.{DOMAIN}"
DKIM = f"s1._domainkey.{DOMAIN}"
OK_RUA = f"rua=mailto:a@{DOMAIN}"
MANY = "v=spf1 " + " ".join(f"include:i{number}.example" for number in range(11)) + " -all"
BACK4 = "8.8.8.8.in-addr.arpa"
E, W, N, S = Level.ERROR, Level.WARNING, Level.NOTE, Level.SKIPPED

FAULTS: list[tuple[Fault, Level, Breaks, str]] = [
    # the domain
    (Fault.DOMAIN_MISSING, E, lambda place: place.zone.records.clear(), "register it"),
    (Fault.DOMAIN_ALIAS, E, alias(DOMAIN, "elsewhere.example."), "replace the CNAME"),
    (Fault.DNSSEC_BOGUS, E, mark("bogus", DOMAIN), "DS record"),
    (Fault.UNAVAILABLE, S, mark("servfail", DOMAIN), "name servers of the domain"),
    (Fault.UNAVAILABLE, S, mark("silent", DMARC), "name servers of the domain"),
    (Fault.NS_SINGLE, W, put(DOMAIN, "NS", "a.ns.example."), "add a second"),
    (Fault.TTL_LONG, W, age(30 * 86400), "set its TTL"),
    (Fault.TTL_ZERO, N, age(0), "set its TTL"),
    # the host
    (Fault.HOST_NO_ADDRESS, E, lambda place: place.zone.records.pop(HOST), f"publish: {HOST}. 3600 IN A {V4}"),
    (Fault.HOST_ALIAS, E, all_of(alias(HOST, "h.example."), put("h.example", "A", V4)), "replace the CNAME"),
    (Fault.ADDRESS_PRIVATE, E, put(HOST, "A", V4, "10.0.0.1"), "remove that record; publish"),
    (
        Fault.ADDRESS_PRIVATE,
        E,
        all_of(know(addresses=("10.0.0.1",)), put(HOST, "A", "10.0.0.1")),
        "set [publish] public_addresses to the address that the world reaches us by",
    ),
    (Fault.ADDRESS_FOREIGN, W, put(HOST, "A", V4, "9.9.9.9"), "public_addresses"),
    (Fault.ADDRESS_MISSING, W, put(HOST, "AAAA"), f"IN AAAA {V6}"),
    (Fault.HELO_NO_ADDRESS, E, know(helo="out.postroom.net"), "out.postroom.net. 3600 IN A"),
    (
        Fault.HELO_ADDRESS_MISSING,
        W,
        all_of(send_from("9.9.9.9", "out.postroom.net"), put("out.postroom.net", "A", V4)),
        "out.postroom.net. 3600 IN A 9.9.9.9",
    ),
    (Fault.PTR_MISSING, W, put(BACK4, "PTR"), f"PTR record to {HOST}"),
    (
        Fault.PTR_ELSEWHERE,
        W,
        all_of(put(BACK4, "PTR", "vps.example."), put("vps.example", "A", V4)),
        "set [outbound] hostname to vps.example",
    ),
    (Fault.PTR_NOT_CONFIRMED, W, put(BACK4, "PTR", "vps.example."), "publish A or AAAA"),
    (Fault.CAA_FORBIDS, E, put(DOMAIN, "CAA", '0 issue "other.example"'), 'CAA 0 issue "letsencrypt.org"'),
    (Fault.SPF_MISSING, W, put(HOST, "TXT"), f'{HOST}. 3600 IN TXT "v=spf1 a -all"'),
    (Fault.SPF_NOT_COVERING, E, txt(HOST, "v=spf1 -all"), f"ip4:{V4}"),
    # MX
    (Fault.MX_MISSING, W, put(DOMAIN, "MX"), f"IN MX 10 {HOST}."),
    (Fault.MX_NULL, E, put(DOMAIN, "MX", "0 ."), f"IN MX 10 {HOST}."),
    (Fault.MX_ELSEWHERE, W, put(DOMAIN, "MX", "10 mx.elsewhere.example."), "remove the others"),
    (
        Fault.MX_NOT_FIRST,
        N,
        all_of(put(DOMAIN, "MX", "5 b.example.", f"10 {HOST}."), put("b.example", "A", "9.9.9.9")),
        "lowest preference",
    ),
    (
        Fault.MX_ALIAS,
        E,
        all_of(put(DOMAIN, "MX", "10 m.postroom.net."), alias("m.postroom.net", f"{HOST}.")),
        f"lead to {HOST}",
    ),
    (Fault.MX_NO_ADDRESS, E, put(DOMAIN, "MX", f"10 {HOST}.", "20 gone.example."), "remove that MX"),
    (Fault.MX_LITERAL, E, put(DOMAIN, "MX", f"10 {V4}."), "the name of a host"),
    # SPF
    (Fault.SPF_MISSING, W, put(SPF, "TXT"), f'"v=spf1 a:{HOST} -all"'),
    (Fault.SPF_SEVERAL, E, txt(SPF, "v=spf1 mx -all", "v=spf1 a -all"), "keep one"),
    (Fault.SPF_TYPO, E, txt(SPF, "v=spf1; mx -all"), "publish:"),
    (Fault.SPF_TYPO, E, txt(SPF, '"v=spf1 mx -all"'), "publish:"),
    (Fault.SPF_PERMERROR, E, txt(SPF, MANY), "ten terms at most"),
    (Fault.SPF_PERMERROR, E, txt(SPF, "v=spf1 ip4:nonsense -all"), "correct it"),
    (
        Fault.SPF_TEMPERROR,
        W,
        all_of(txt(SPF, "v=spf1 include:late.example -all"), mark("silent", "late.example")),
        "name servers that it includes",
    ),
    (Fault.SPF_NOT_COVERING, E, send_from("9.9.9.9"), "add ip4:9.9.9.9"),
    (Fault.SPF_NOT_COVERING, W, txt(SPF, "v=spf1 ip4:1.1.1.1 ~all"), f"add ip4:{V4}"),
    (Fault.SPF_NOT_COVERING, E, txt(SPF, f"v=spf1 ip4:{V4} -all"), f"add ip6:{V6}"),
    (Fault.SPF_PLUS_ALL, E, txt(SPF, "v=spf1 mx +all"), "-all"),
    (Fault.SPF_PLUS_ALL, E, txt(SPF, "v=spf1 mx all"), "-all"),
    (Fault.SPF_NO_ALL, W, txt(SPF, "v=spf1 mx"), "-all"),
    (Fault.SPF_NEUTRAL_ALL, W, txt(SPF, "v=spf1 mx ?all"), "-all"),
    (Fault.SPF_SOFT_ALL, N, txt(SPF, "v=spf1 mx ~all"), "-all"),
    (Fault.SPF_PTR, W, txt(SPF, "v=spf1 mx ptr -all"), "name the addresses"),
    # DKIM
    (Fault.DKIM_NONE, W, lambda place: setattr(place, "dkim", []), "postroom dkim"),
    (Fault.DKIM_MISSING, E, put(DKIM, "TXT"), f"publish: {DKIM}."),
    (Fault.DKIM_MISSING, W, all_of(wait, put(DKIM, "TXT")), f"publish: {DKIM}."),
    (Fault.DKIM_SEVERAL, E, txt(DKIM, key().text, "v=DKIM1; p=abc"), "keep one"),
    (Fault.DKIM_SPLIT, E, txt(DKIM, key().text[:200], key().text[200:]), "in one record"),
    (Fault.DKIM_SPLIT, E, txt(DKIM, f'{key().text[:200]}" "{key().text[200:]}'), "without the quotes"),
    (Fault.DKIM_SPLIT, E, txt(DKIM, key().text.replace(";", "\\;")), "without the quotes"),
    (Fault.DKIM_TRUNCATED, E, txt(DKIM, key().text[:255]), "several strings"),
    (Fault.DKIM_REVOKED, E, txt(DKIM, "v=DKIM1; k=rsa; p="), "publish:"),
    (Fault.DKIM_WRONG, E, txt(DKIM, key(1024).text), "publish:"),
    (Fault.DKIM_INVALID, E, txt(DKIM, "v=DKIM1; k=rsa; p=%%%"), "publish:"),
    (Fault.DKIM_WEAK, W, weaken, "rotate"),
    (Fault.DKIM_TESTING, W, txt(DKIM, key().text.replace("t=s", "t=y")), "remove t=y"),
    # DMARC
    (Fault.DMARC_MISSING, W, put(DMARC, "TXT"), f"publish: {DMARC}."),
    (Fault.DMARC_SEVERAL, E, txt(DMARC, f"v=DMARC1; p=reject; {OK_RUA}", "v=DMARC1; p=none"), "keep one"),
    (Fault.DMARC_INVALID, E, txt(DMARC, f"v=DMARC1; {OK_RUA}"), "publish:"),
    (Fault.DMARC_INVALID, E, txt(DMARC, "v=DMARC1; p=rejct"), "publish:"),
    (Fault.DMARC_INVALID, E, txt(DMARC, "v=DMARC; p=reject"), "publish:"),
    (Fault.DMARC_NONE, N, txt(DMARC, f"v=DMARC1; p=none; {OK_RUA}"), "quarantine"),
    (Fault.DMARC_WEAKER, W, txt(DMARC, f"v=DMARC1; p=reject; sp=none; {OK_RUA}"), "remove sp="),
    (Fault.DMARC_TESTING, N, txt(DMARC, f"v=DMARC1; p=reject; t=y; {OK_RUA}"), "remove t=y"),
    (Fault.DMARC_OBSOLETE, N, txt(DMARC, f"v=DMARC1; p=reject; pct=50; {OK_RUA}"), "use t=y"),
    (Fault.DMARC_NO_REPORTS, W, txt(DMARC, "v=DMARC1; p=reject"), "rua=mailto:"),
    (Fault.DMARC_REPORTS_INVALID, W, txt(DMARC, "v=DMARC1; p=reject; rua=a@postroom.net"), "rua=mailto:"),
    (
        Fault.DMARC_UNAUTHORISED,
        W,
        txt(DMARC, "v=DMARC1; p=reject; rua=mailto:a@reports.example"),
        f'{DOMAIN}._report._dmarc.reports.example. 3600 IN TXT "v=DMARC1"',
    ),
    (
        Fault.DMARC_UNALIGNED,
        N,
        all_of(
            txt(DMARC, f"v=DMARC1; p=reject; aspf=s; {OK_RUA}"),
            lambda place: setattr(place, "return_domain", f"b.{DOMAIN}"),
        ),
        "remove aspf=s",
    ),
    (
        Fault.DMARC_UNALIGNED,
        E,
        all_of(
            lambda place: setattr(place, "dkim", []),
            lambda place: setattr(place, "return_domain", "bounces.example"),
        ),
        "postroom dkim",
    ),
    # MTA-STS
    (Fault.STS_MISSING, W, put(STS, "TXT"), f"publish: {STS}."),
    (Fault.STS_SEVERAL, E, txt(STS, "v=STSv1; id=1;", "v=STSv1; id=2;"), "keep one"),
    (Fault.STS_INVALID, E, txt(STS, "v=STSv1; id=not-allowed;"), "publish:"),
    (Fault.STS_HOST_MISSING, E, put(f"mta-sts.{DOMAIN}", "CNAME"), "CNAME"),
    (Fault.STS_UNREACHABLE, E, serve(Fault.STS_UNREACHABLE), "certificate for that name"),
    (Fault.STS_UNTRUSTED, E, serve(Fault.STS_UNTRUSTED), "certificate for that name"),
    (Fault.STS_STATUS, E, serve(Fault.STS_STATUS), "answers with the policy"),
    (Fault.STS_TYPE, E, serve(Fault.STS_TYPE), "answers with the policy"),
    (Fault.STS_POLICY_INVALID, E, serve(Fault.STS_POLICY_INVALID), "answers with the policy"),
    (Fault.STS_MX_MISMATCH, E, serve_policy(StsMode.ENFORCE, "*.other.example"), "change the id"),
    (Fault.STS_MX_MISMATCH, W, serve_policy(StsMode.TESTING, "*.other.example"), "change the id"),
    (Fault.STS_POLICY_DIFFERS, W, serve_policy(StsMode.NONE), "[publish] mta_sts"),
    (Fault.STS_ID_UNCHANGED, W, txt(STS, "v=STSv1; id=20200101;"), "publish:"),
    # TLS reports
    (Fault.TLSRPT_MISSING, W, put(RPT, "TXT"), f"publish: {RPT}."),
    (Fault.TLSRPT_SEVERAL, W, txt(RPT, "v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1;"), "keep one"),
    (Fault.TLSRPT_INVALID, W, txt(RPT, "v=TLSRPTv1; rua=a@b.example"), "publish:"),
    # DANE
    (Fault.TLSA_MISSING, N, put(TLSA, "TLSA"), f"TLSA 3 1 1 {DIGEST}"),
    (Fault.TLSA_MISMATCH, E, put(TLSA, "TLSA", f"3 1 1 {NEXT}"), "go back to the certificate before"),
    (Fault.TLSA_MISMATCH, W, all_of(put(TLSA, "TLSA", f"3 1 1 {NEXT}"), unsign(TLSA)), "TLSA 3 1 1"),
    (Fault.TLSA_UNSIGNED, W, unsign(TLSA), "sign the zone"),
    (Fault.TLSA_KEY_MISSING, W, know(keys=(TlsKey(DIGEST), TlsKey(NEXT, is_next=True))), f"3 1 1 {NEXT}"),
    (Fault.TLSA_KEY_MISSING, W, know(keys=(TlsKey(DIGEST), TlsKey(NEXT))), f"3 1 1 {NEXT}"),
    (Fault.TLSA_STALE, N, put(TLSA, "TLSA", f"3 1 1 {DIGEST}", f"3 1 1 {NEXT}"), "remove it"),
    (Fault.TLSA_UNUSABLE, W, put(TLSA, "TLSA", f"3 1 1 {DIGEST}", f"1 1 1 {DIGEST}"), "publish:"),
    # mail programs
    (Fault.SRV_MISSING, N, put(f"_submissions._tcp.{DOMAIN}", "SRV"), "SRV 0 1 465"),
    (Fault.SRV_DENIED, W, put(f"_pop3s._tcp.{DOMAIN}", "SRV", "0 0 0 ."), "SRV 0 1 995"),
    (
        Fault.SRV_ELSEWHERE,
        W,
        all_of(put(f"_pop3s._tcp.{DOMAIN}", "SRV", "0 1 995 p.example."), put("p.example", "A", V4)),
        "SRV 0 1 995",
    ),
    (Fault.SRV_NOT_OFFERED, W, put(f"_imap._tcp.{DOMAIN}", "SRV", "0 1 143 i.example."), "SRV 0 0 0 ."),
    (Fault.SRV_TARGET_MISSING, E, put(f"_pop3s._tcp.{DOMAIN}", "SRV", "0 1 995 p.example."), "SRV 0 1 995"),
    (
        Fault.SRV_TARGET_ALIAS,
        W,
        all_of(
            put(f"_pop3s._tcp.{DOMAIN}", "SRV", f"0 1 995 pop.{DOMAIN}."),
            alias(f"pop.{DOMAIN}", f"{HOST}."),
        ),
        f"lead to {HOST}",
    ),
    (Fault.AUTOCONFIG_MISSING, N, put(f"autoconfig.{DOMAIN}", "CNAME"), "CNAME"),
]


async def test_all_is_well() -> None:
    found = await Place().look()
    assert [finding for finding in found if finding.level is not Level.OK] == []
    assert len(found) > 10


@pytest.mark.parametrize(
    ("fault", "level", "breaks", "remedy"), FAULTS, ids=[f"{case[0].value}-{at}" for at, case in enumerate(FAULTS)]
)
async def test_each_fault_is_named(fault: Fault, level: Level, breaks: Breaks, remedy: str) -> None:
    place = Place()
    breaks(place)
    found = await place.look()
    named = [each for each in found if each.fault is fault and each.level is level]
    assert named, [(each.fault, each.level, each.what) for each in found if each.level is not Level.OK]
    assert any(remedy in each.remedy for each in named), [each.remedy for each in named]
    for each in found:
        if each.level in (Level.WARNING, Level.ERROR):
            assert each.what
            assert each.consequence
            assert each.remedy
            assert "\n" not in each.what + each.consequence + each.remedy


def test_no_fault_is_left_out() -> None:
    assert {case[0] for case in FAULTS} == set(Fault) - {Fault.HOST_LITERAL}
    assert len(FAULTS) >= 40


async def test_an_address_literal_as_hostname() -> None:
    place = Place()
    place.facts = replace(place.facts, hostname="[8.8.8.8]")
    (finding, *_) = await place.look()
    assert finding.fault is Fault.HOST_LITERAL


async def test_strangers_texts_stay_on_their_line() -> None:
    place = Place()
    place.put(DMARC, "TXT", '"v=DMARC1; p=\x1b[31mred"')
    (finding,) = [each for each in await place.look() if each.fault is Fault.DMARC_INVALID]
    assert "\x1b" not in finding.what


async def test_a_policy_of_the_organization_is_enough() -> None:
    """RFC 9989 §4.10: the record may stand above."""
    place = Place()
    place.put(DMARC, "TXT")
    place.put("_dmarc.net", "TXT", '"v=DMARC1; p=reject; psd=n"')
    assert not [each for each in await place.look() if each.level in (Level.WARNING, Level.ERROR)]


async def test_reports_elsewhere_that_are_welcome() -> None:
    place = Place()
    place.put(DMARC, "TXT", '"v=DMARC1; p=reject; rua=mailto:a@reports.example"')
    place.put(f"{DOMAIN}._report._dmarc.reports.example", "TXT", '"v=DMARC1"')
    assert not [each for each in await place.look() if each.level in (Level.WARNING, Level.ERROR)]


async def test_a_domain_without_mx_that_is_the_host() -> None:
    place = Place()
    place.put(HOST, "MX")
    resolver = ZoneResolver(place.zone)
    scene = Scene(
        domain=HOST,
        facts=place.facts,
        wanted=records_for(HOST, place.facts, []),
        resolver=resolver,
        spf=SpfChecker(resolver, hostname=HOST, clock=ManualClock()),
        policies=MemoryPolicies(),
    )
    found = await look_at_domain(scene)
    assert not any(each.fault is Fault.MX_MISSING for each in found)


@pytest.mark.parametrize(
    ("record", "faults"),
    [
        (f"2 1 1 {NEXT}", set()),  # an authority's: it cannot be judged from here
        (f"3 0 1 {NEXT}", set()),
        ("9 9 9 00", {Fault.TLSA_UNUSABLE, Fault.TLSA_MISMATCH}),
    ],
)
async def test_other_tlsa_records(record: str, faults: set[Fault]) -> None:
    place = Place()
    place.put(TLSA, "TLSA", record)
    found = {each.fault for each in await place.look() if each.level is not Level.OK}
    assert found == faults


async def test_caa_of_the_closest_name_decides() -> None:
    place = Place()
    place.put(DOMAIN, "CAA", '0 issue "other.example"')
    place.put(HOST, "CAA", '0 issue "letsencrypt.org; validationmethods=http-01"')
    assert not any(each.fault is Fault.CAA_FORBIDS for each in await place.look())


@pytest.mark.parametrize(
    ("name", "reserved"), [("mx.example.org", True), ("a.test", True), ("localhost", True), ("postroom.net", False)]
)
def test_names_that_no_resolver_knows(name: str, reserved: bool) -> None:
    assert is_reserved(name) is reserved
