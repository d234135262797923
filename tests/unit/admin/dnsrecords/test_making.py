"""The records that a domain should publish, from plain facts."""

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.zone
import pytest

from postroom.admin.dnsrecords.making import records_for, spf_text
from postroom.admin.dnsrecords.model import DkimRecord, Facts, Purpose, Sender, Service, TlsKey, Way
from postroom.admin.dnsrecords.zonefile import zone_file
from postroom.admin.stspolicy import StsOffer, policy_id
from postroom.dns.zone import Zone, txt_strings
from postroom.mail.session import Role

HOST, DOMAIN = "mx.example.org", "example.org"
STS = StsOffer("testing", (HOST,), 604800)
ALL = tuple(Service(role, port) for role, port in ((Role.MX, 25), (Role.SUBMISSIONS, 465), (Role.POP3S, 995)))
KEY = DkimRecord(f"s1._domainkey.{DOMAIN}", "v=DKIM1; k=rsa; p=" + "A" * 392, "active")


def facts(**changed: object) -> Facts:
    known = {
        "hostname": HOST,
        "addresses": ("192.0.2.1", "2001:db8::1"),
        "services": ALL,
        "keys": (TlsKey("ab" * 32),),
        "sts": STS,
    }
    return Facts(**{**known, **changed})  # type: ignore[arg-type]


def lines(purpose: Purpose, domain: str = DOMAIN, *dkim: DkimRecord, **changed: object) -> list[str]:
    found = records_for(domain, facts(**changed), dkim).of(purpose)
    return [f"{each.record.name} {each.record.kind} {each.text}" for each in found]


def test_mail_comes_to_the_host() -> None:
    assert lines(Purpose.MX) == [f"{DOMAIN} MX 10 {HOST}."]
    assert lines(Purpose.MX, backup_mx=("b.example.net",))[1] == f"{DOMAIN} MX 20 b.example.net."


def test_addresses_and_the_way_back() -> None:
    assert lines(Purpose.ADDRESS) == [f"{HOST} A 192.0.2.1", f"{HOST} AAAA 2001:db8::1"]
    back = records_for(DOMAIN, facts()).of(Purpose.REVERSE)
    assert back[0].record.name == "1.2.0.192.in-addr.arpa"
    assert {each.record.data for each in back} == {f"{HOST}."}
    assert {each.way for each in back} == {Way.ASK}


def test_an_unknown_address_is_left_to_fill_in() -> None:
    published = records_for(DOMAIN, facts(addresses=()))
    (address,) = published.of(Purpose.ADDRESS)
    assert (address.record.data, address.way) == ("ADDRESS", Way.FILL)
    assert any("public_addresses" in note for note in published.notes)


def test_every_name_in_ehlo_has_addresses_and_spf() -> None:
    senders = (Sender("192.0.2.7", "out.example.org"), Sender("192.0.2.8", "out.example.org"))
    assert lines(Purpose.ADDRESS, senders=senders)[2:] == [
        "out.example.org A 192.0.2.7",
        "out.example.org A 192.0.2.8",
    ]
    assert "out.example.org TXT v=spf1 a -all" in lines(Purpose.SPF, senders=senders)


def test_the_way_back_leads_to_the_name_in_ehlo() -> None:
    def back(**changed: object) -> set[str]:
        return {each.record.data for each in records_for(DOMAIN, facts(**changed)).of(Purpose.REVERSE)}

    assert back() == {f"{HOST}."}
    assert back(helo="out.example.org") == {"out.example.org."}
    assert back(sends_itself=False, relays=("smtp.sendgrid.net",)) == set()
    assert f"{HOST} A 192.0.2.1" in lines(Purpose.ADDRESS, helo="out.example.org")


@pytest.mark.parametrize(
    ("domain", "changed", "text"),
    [
        (DOMAIN, {}, f"v=spf1 a:{HOST} -all"),
        (HOST, {}, "v=spf1 a -all"),
        (DOMAIN, {"senders": (Sender("192.0.2.1", HOST),)}, f"v=spf1 a:{HOST} -all"),
        (DOMAIN, {"senders": (Sender("192.0.2.9", HOST),)}, f"v=spf1 a:{HOST} ip4:192.0.2.9 -all"),
        (DOMAIN, {"senders": (Sender("2001:db8::9", HOST),)}, f"v=spf1 a:{HOST} ip6:2001:db8::9 -all"),
        (DOMAIN, {"relays": ("smtp.sendgrid.net",)}, f"v=spf1 a:{HOST} include:sendgrid.net -all"),
        (DOMAIN, {"relays": ("smtp.office365.com",), "sends_itself": False}, "include:spf.protection.outlook.com"),
        (DOMAIN, {"relays": ("[192.0.2.44]",)}, f"v=spf1 a:{HOST} ip4:192.0.2.44 ~all"),
        (DOMAIN, {"relays": ("relay.example.net",), "sends_itself": False}, "v=spf1 a:relay.example.net ~all"),
    ],
)
def test_spf(domain: str, changed: dict[str, object], text: str) -> None:
    assert text in spf_text(domain, facts(**changed))


def test_a_domain_that_is_the_host_has_one_spf_record() -> None:
    assert lines(Purpose.SPF, HOST) == [f"{HOST} TXT v=spf1 a -all"]


def test_dkim_and_what_is_said_without() -> None:
    assert lines(Purpose.DKIM, DOMAIN, KEY) == [f"{KEY.name} TXT {KEY.text}"]
    assert any("no DKIM key" in note for note in records_for(DOMAIN, facts()).notes)


def test_dmarc_and_reports_elsewhere() -> None:
    assert lines(Purpose.DMARC) == [f"_dmarc.{DOMAIN} TXT v=DMARC1; p=none; rua=mailto:dmarc-reports@{DOMAIN}"]
    assert lines(Purpose.AUTHORISATION) == []
    assert lines(Purpose.AUTHORISATION, dmarc_reports="a@reports.example.org") == []
    # RFC 9990 §4
    assert lines(Purpose.AUTHORISATION, dmarc_reports="a@example.net") == [
        f"{DOMAIN}._report._dmarc.example.net TXT v=DMARC1"
    ]
    assert "p=reject" in lines(Purpose.DMARC, dmarc="reject")[0]
    assert "rua=mailto:a%21b@" in lines(Purpose.DMARC, dmarc_reports="a!b")[0]  # RFC 9989 §4.7
    assert lines(Purpose.TLSRPT) == [f"_smtp._tls.{DOMAIN} TXT v=TLSRPTv1; rua=mailto:tls-reports@{DOMAIN}"]


def test_mta_sts_and_its_policy() -> None:
    published = records_for(DOMAIN, facts())
    assert published.policy == f"version: STSv1\r\nmode: testing\r\nmx: {HOST}\r\nmax_age: 604800\r\n"
    assert lines(Purpose.MTA_STS) == [
        f"_mta-sts.{DOMAIN} TXT v=STSv1; id={policy_id(STS)};",
        f"mta-sts.{DOMAIN} CNAME {HOST}.",
    ]
    other = StsOffer("enforce", (HOST,), 604800)
    assert policy_id(other) != policy_id(STS)
    assert policy_id(other) in lines(Purpose.MTA_STS, sts=other)[0]
    assert lines(Purpose.MTA_STS, sts=None) == []
    assert lines(Purpose.MTA_STS, web_host="web.example.org")[1] == f"mta-sts.{DOMAIN} CNAME web.example.org."


def test_tlsa_for_this_key_and_the_next() -> None:
    keys = (TlsKey("ab" * 32), TlsKey("cd" * 32, is_next=True))
    assert lines(Purpose.TLSA, keys=keys) == [
        f"_25._tcp.{HOST} TLSA 3 1 1 {'ab' * 32}",
        f"_25._tcp.{HOST} TLSA 3 1 1 {'cd' * 32}",
    ]
    assert lines(Purpose.TLSA, dane=False) == []
    noted = records_for(DOMAIN, facts()).notes
    assert any("same key" in note for note in noted)
    assert not any("same key" in note for note in records_for(DOMAIN, facts(keeps_key=True)).notes)


def test_services_that_are_offered_and_not() -> None:
    # RFC 6186 §3.4: "." says that it is not offered
    assert lines(Purpose.SRV) == [
        f"_submissions._tcp.{DOMAIN} SRV 0 1 465 {HOST}.",
        f"_submission._tcp.{DOMAIN} SRV 0 0 0 .",
        f"_pop3s._tcp.{DOMAIN} SRV 0 1 995 {HOST}.",
        f"_pop3._tcp.{DOMAIN} SRV 0 0 0 .",
        f"_imaps._tcp.{DOMAIN} SRV 0 0 0 .",
        f"_imap._tcp.{DOMAIN} SRV 0 0 0 .",
    ]


def test_programs_find_their_settings() -> None:
    assert f"_autodiscover._tcp.{DOMAIN} SRV 0 0 443 {HOST}." in lines(Purpose.AUTOCONFIG)
    assert lines(Purpose.AUTOCONFIG, services=(Service(Role.MX, 25),)) == []
    assert lines(Purpose.AUTOCONFIG, autoconfig=False) == []
    assert "SRV 0 1 465 mail.example.org." in lines(Purpose.SRV, program_host="mail.example.org")[0]


def test_an_authority_is_hinted_at() -> None:
    assert lines(Purpose.CAA) == []
    authority = "https://acme-v02.api.letsencrypt.org/directory"
    (hint,) = records_for(DOMAIN, facts(authority=authority)).of(Purpose.CAA)
    assert (hint.record.data, hint.way) == ('0 issue "letsencrypt.org"', Way.CHOOSE)


def test_the_zone_file_can_be_pasted() -> None:
    """Another reader, dnspython's, and our own take it as it is, and strings are short enough."""
    published = records_for(DOMAIN, facts(dmarc_reports="a@example.net"), [KEY])
    text = zone_file(published)
    head = f"@ IN SOA ns.{DOMAIN}. h.{DOMAIN}. 1 1 1 1 1\n@ IN NS ns.{DOMAIN}.\n"
    zone = dns.zone.from_text(head + text, DOMAIN)
    assert zone.get_rdataset("@", "MX") is not None
    pasted = [each for each in published.records if each.way is Way.PASTE]
    assert sum(len(rdataset) for _, rdataset in zone.iterate_rdatasets()) == len(pasted) + 2
    assert Zone.parse(text).find("TXT", KEY.name).texts
    assert max(map(len, txt_strings(Zone.parse(text).find("TXT", KEY.name).texts[0]))) == 255
    assert "_report._dmarc" in text
    assert all(line.startswith(";") for line in text.splitlines() if "_report._dmarc" in line)
    assert "; mode: testing" in text


def test_every_record_is_one() -> None:
    keys = (TlsKey("ab" * 32),)
    for each in records_for(DOMAIN, facts(keys=keys, authority="letsencrypt.org"), [KEY]).records:
        assert each.why
        kind = dns.rdatatype.from_text(each.record.kind)
        assert dns.rdata.from_text(dns.rdataclass.IN, kind, each.record.data)
