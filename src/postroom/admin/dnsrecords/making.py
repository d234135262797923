"""Makes the records of a domain from the facts: pure, the same facts give the same records."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import quote

from postroom.admin.dnsrecords.model import (
    PLACEHOLDER,
    Desired,
    DkimRecord,
    Facts,
    Published,
    Purpose,
    Way,
)
from postroom.admin.dnsrecords.relays import include_of, mechanism_of
from postroom.admin.stspolicy import POLICY_HOST, POLICY_PATH, policy_record, policy_text
from postroom.dns.record import ZoneRecord, txt_data
from postroom.dns.resolver import reverse_name
from postroom.mail.session import Role

_SERVICES = (
    # RFC 6186 §3.1 to §3.4, RFC 8314 §5.1: what is not offered is said to be not offered
    ("_submissions", Role.SUBMISSIONS),
    ("_submission", Role.SUBMISSION),
    ("_pop3s", Role.POP3S),
    ("_pop3", Role.POP3),
    ("_imaps", None),
    ("_imap", None),
)
_SMTP_PORT = 25
_ISSUERS = {"letsencrypt.org": "letsencrypt.org", "zerossl.com": "sectigo.com", "pki.goog": "pki.goog"}


def records_for(domain: str, facts: Facts, dkim: Sequence[DkimRecord] = ()) -> Published:
    """All that should be published for one domain, the host's own records among them."""
    policy = "" if facts.sts is None else policy_text(facts.sts)
    records = [
        *_mx(domain, facts),
        *host_records(facts, domain),
        *_spf(domain, facts),
        *_dkim(domain, facts, dkim),
        *_dmarc(domain, facts),
        *_sts(domain, facts),
        *_tlsrpt(domain, facts),
        *_tlsa(facts),
        *_srv(domain, facts),
        *_autoconfig(domain, facts),
        *_caa(facts),
    ]
    return Published(domain, facts.hostname, tuple(records), tuple(_notes(domain, facts, dkim)), policy)


def records_of_host(facts: Facts) -> Published:
    """What the host needs, whatever the domains."""
    records = (*host_records(facts), *_tlsa(facts), *_caa(facts))
    return Published("", facts.hostname, records, facts.notes)


def mailto(written: str, domain: str) -> str:
    """The URI of the address for reports on a domain (RFC 6068 §2; RFC 9989 §4.7: no comma nor exclamation mark)."""
    return "mailto:" + quote(written if "@" in written else f"{written}@{domain}", safe="@+")


def helo_names(facts: Facts) -> dict[str, tuple[str, ...]]:
    """The names that we give in EHLO, with the addresses that we give them from."""
    names: dict[str, tuple[str, ...]] = {}
    if facts.sends_itself:
        names[facts.helo or facts.hostname] = facts.addresses
    for sender in facts.senders:
        names[sender.helo] = (*names.get(sender.helo, ()), sender.address)
    names.setdefault(facts.hostname, facts.addresses)
    return {name: tuple(dict.fromkeys(addresses)) for name, addresses in names.items()}


def sending_names(facts: Facts) -> dict[str, tuple[str, ...]]:
    """Those of them that mail leaves under: where all of it goes by relays, and under another name, not the host's."""
    host_sends = facts.sends_itself and facts.helo in {"", facts.hostname}
    named = {sender.helo for sender in facts.senders}
    names = helo_names(facts).items()
    return {name: known for name, known in names if name != facts.hostname or host_sends or name in named}


def host_records(facts: Facts, domain: str = "") -> Iterator[Desired]:
    """Addresses of the host and of the names in EHLO, the way back from each, and SPF for the names themselves."""
    for name, addresses in helo_names(facts).items():
        own = name == facts.hostname
        why = "this host's address" if own else "the name given in EHLO from this address"
        if not addresses:
            yield _make(facts, name, "A", PLACEHOLDER, Purpose.ADDRESS, why=why, zone=name, way=Way.FILL)
        for address in addresses:
            kind = "A" if ip_address(address).version == 4 else "AAAA"
            yield _make(facts, name, kind, address, Purpose.ADDRESS, why=why, zone=name)
        for address in addresses if name in sending_names(facts) else ():
            # many receivers refuse mail without it
            back = "the way back from the address to its name: ask whoever owns the address, the provider"
            yield _make(
                facts, reverse_name(address), "PTR", f"{name}.", Purpose.REVERSE, why=back, zone=name, way=Way.ASK
            )
        if name != domain:
            # RFC 7208 §2.3: the name in HELO is checked too, for bounces it alone
            says = "which addresses may call themselves by this name (bounces are judged by it)"
            yield _txt(facts, name, "v=spf1 a -all", Purpose.SPF, why=says, zone=name)


def spf_text(domain: str, facts: Facts) -> str:
    """The SPF record of a domain (RFC 7208 §4.5, §5)."""
    terms = []
    if facts.sends_itself or not facts.relays:
        terms.append("a" if domain == facts.hostname else f"a:{facts.hostname}")
    others = [sender.address for sender in facts.senders if sender.address not in facts.addresses]
    terms += [f"ip{ip_address(address).version}:{address}" for address in others]
    terms += [mechanism_of(relay) for relay in facts.relays]
    unsure = any(not include_of(relay) for relay in facts.relays)
    return " ".join(["v=spf1", *dict.fromkeys(terms), "~all" if unsure else "-all"])


def _mx_hosts(facts: Facts) -> list[str]:
    return [facts.hostname, *facts.backup_mx]


def _mx(domain: str, facts: Facts) -> Iterator[Desired]:
    for number, host in enumerate(_mx_hosts(facts)):
        why = f"mail for {domain} comes to this host" if not number else "another host that takes mail"
        yield _make(facts, domain, "MX", f"{min(number + 1, 2) * 10} {host}.", Purpose.MX, why=why, zone=domain)


def _spf(domain: str, facts: Facts) -> Iterator[Desired]:
    why = f"which addresses mail from {domain} comes from"
    yield _txt(facts, domain, spf_text(domain, facts), Purpose.SPF, why=why, zone=domain)


def _dkim(domain: str, facts: Facts, dkim: Sequence[DkimRecord]) -> Iterator[Desired]:
    for key in dkim:
        why = f"the key by which others verify our signatures (state: {key.state})"
        yield replace(_txt(facts, key.name, key.text, Purpose.DKIM, why=why, zone=domain), in_use=key.in_use)


def _dmarc(domain: str, facts: Facts) -> Iterator[Desired]:
    address = mailto(facts.dmarc_reports, domain)
    text = f"v=DMARC1; p={facts.dmarc}; rua={address}"
    why = "what others shall do with mail that is not ours, and where their reports go"
    yield _txt(facts, f"_dmarc.{domain}", text, Purpose.DMARC, why=why, zone=domain)
    target = address.rpartition("@")[2]
    if not related(domain, target):
        # RFC 9990 §4: without it no report is sent there
        name = f"{domain}._report._dmarc.{target}"
        says = f"{target} agrees to get the reports on {domain}; without it nobody sends them there"
        yield _txt(facts, name, "v=DMARC1", Purpose.AUTHORISATION, why=says, zone=target, way=Way.ASK)


def related(domain: str, other: str) -> bool:
    """One is the other or stands below it: the organizational domain is the same, as far as names alone tell."""
    return domain == other or domain.endswith(f".{other}") or other.endswith(f".{domain}")


def _sts(domain: str, facts: Facts) -> Iterator[Desired]:
    if facts.sts is None:
        return
    why = "senders shall use TLS to us; the id changes with the policy"
    yield _txt(facts, f"_mta-sts.{domain}", policy_record(facts.sts), Purpose.MTA_STS, why=why, zone=domain)
    host = f"{POLICY_HOST}.{domain}"
    says = f"where the policy is fetched: https://{host}{POLICY_PATH}"
    yield _web(facts, host, Purpose.MTA_STS, why=says, zone=domain)


def _tlsrpt(domain: str, facts: Facts) -> Iterator[Desired]:
    text = f"v=TLSRPTv1; rua={mailto(facts.tls_reports, domain)}"
    why = "where senders report trouble with TLS to us"
    yield _txt(facts, f"_smtp._tls.{domain}", text, Purpose.TLSRPT, why=why, zone=domain)


def _tlsa(facts: Facts) -> Iterator[Desired]:
    # RFC 7672 §3.1.1: DANE-EE, SPKI, SHA-256; it outlives renewals that keep the key
    for key in facts.keys if facts.dane else ():
        why = "the key of the next certificate" if key.is_next else "the key of this host's certificate"
        name = f"_{_SMTP_PORT}._tcp.{facts.hostname}"
        data = f"3 1 1 {key.digest}"
        yield _make(facts, name, "TLSA", data, Purpose.TLSA, why=f"{why}, for DANE", zone=facts.hostname)


def _srv(domain: str, facts: Facts) -> Iterator[Desired]:
    ports = {service.role: service.port for service in facts.services}
    for label, role in _SERVICES:
        port = ports.get(role) if role is not None else None
        if port is None:
            data, why = "0 0 0 .", f"{label[1:]} is not offered"  # RFC 6186 §3.4
        else:
            data, why = f"0 1 {port} {facts.program_host or facts.hostname}.", f"where mail programs find {label[1:]}"
        yield _make(facts, f"{label}._tcp.{domain}", "SRV", data, Purpose.SRV, why=why, zone=domain)


def _autoconfig(domain: str, facts: Facts) -> Iterator[Desired]:
    if not facts.autoconfig or not any(service.role is not Role.MX for service in facts.services):
        return
    for label in ("autoconfig", "autodiscover"):
        why = "where mail programs fetch their settings"
        yield _web(facts, f"{label}.{domain}", Purpose.AUTOCONFIG, why=why, zone=domain)
    host = facts.web_host or facts.hostname
    why = "the same, for programs that ask by SRV"
    yield _make(
        facts, f"_autodiscover._tcp.{domain}", "SRV", f"0 0 443 {host}.", Purpose.AUTOCONFIG, why=why, zone=domain
    )


def issuer_of(facts: Facts) -> str:
    """The name by which CAA knows our authority; ``""`` for none, or one that we do not know."""
    return next((name for host, name in _ISSUERS.items() if host in facts.authority), "")


def _caa(facts: Facts) -> Iterator[Desired]:
    issuer = issuer_of(facts)
    if issuer:
        why = "no other authority may issue certificates for this host"
        data = f'0 issue "{issuer}"'
        yield _make(facts, facts.hostname, "CAA", data, Purpose.CAA, why=why, zone=facts.hostname, way=Way.CHOOSE)


def _web(facts: Facts, name: str, purpose: Purpose, *, why: str, zone: str) -> Desired:
    return _make(facts, name, "CNAME", f"{facts.web_host or facts.hostname}.", purpose, why=why, zone=zone)


def _txt(facts: Facts, name: str, text: str, purpose: Purpose, *, why: str, zone: str, way: Way = Way.PASTE) -> Desired:
    return _make(facts, name, "TXT", txt_data(text), purpose, why=why, zone=zone, way=way)


def _make(
    facts: Facts, name: str, kind: str, data: str, purpose: Purpose, *, why: str, zone: str, way: Way = Way.PASTE
) -> Desired:
    return Desired(ZoneRecord(name, kind, data, facts.ttl), purpose, why, zone, way)


def _notes(domain: str, facts: Facts, dkim: Sequence[DkimRecord]) -> Iterator[str]:
    yield from facts.notes
    if not facts.addresses:
        yield (
            f"the public address of {facts.hostname} is not known: write it in place of {PLACEHOLDER}, or set "
            "[publish] public_addresses"
        )
    for relay in facts.relays:
        included = include_of(relay)
        if included:
            yield f"SPF includes {included} for {relay}: compare with what that provider asks for"
        else:
            yield (
                f"which addresses {relay} sends from is not known: ask its provider which include it wants in SPF, "
                "put it in place of the a: mechanism, and end with -all"
            )
    if not dkim:
        yield f"{domain} has no DKIM key to publish: what is not signed hardly arrives"
    if facts.keys and facts.dane:
        yield "TLSA is of use only in a zone that is signed by DNSSEC: in another, set [publish] dane = false"
        if not facts.keeps_key and not any(key.is_next for key in facts.keys):
            yield "renew the certificate with the same key, else the TLSA record must be there for the new one first"
    if facts.sts is not None:
        yield "MTA-STS: the policy must be served first ([https]); postroom check dns tells whether it is"
    if facts.dmarc == "none":
        yield "DMARC begins with p=none: when reports show that all of your mail passes, set [publish] dmarc"
