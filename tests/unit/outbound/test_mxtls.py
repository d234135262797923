"""What TLS an MX host must have, and what becomes of mail: plans, and deliveries over real TLS on loopback."""

import hashlib
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from tests.fakes.chains import Issuer, der, make_leaf, make_root
from tests.fakes.hand_clock import HandClock
from tests.fakes.peer import ALL_EXTENSIONS, Network, ScriptedPeer, broken_tls
from tests.unit.outbound.making import SITE, make_carrier, make_request

from postroom.config.road import OutboundSettings
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Delivered, DeliveryRequest, Failed, Outcome, Site, StsMode, StsPolicy
from postroom.outbound.mxtls import TLS_REQUIRED_NO, MxTls, Wish
from postroom.outbound.opening import SocketConnect
from postroom.outbound.tlschecks import DaneCheck, PkixCheck
from postroom.outbound.tlsmet import TlsMet
from postroom.outbound.tlspolicy import TlsNeed, TlsPolicy
from postroom.outbound.tlsstore import TlsLevel
from postroom.outbound.trouble import AttemptEnded

HOST = "mx.example.org"
TLSA_NAME = f"_25._tcp.{HOST}"
WISH = Wish(("example.org",))
STS = StsPolicy("example.org", StsMode.ENFORCE, (HOST,), "1", 1e12, ("version: STSv1", "mode: enforce"))
EE = "3 1 1 " + "ab" * 32


def zone(*tlsa: str, secure: bool = True, address: str = "192.0.2.1") -> Zone:
    made = Zone.of({HOST: {"A": [address]}, "example.org": {"MX": [f"10 {HOST}"]}})
    for text in tlsa:
        made.add(TLSA_NAME, "TLSA", text)
    if secure:
        made.secure.update({HOST, TLSA_NAME, "example.org"})
    return made


def planner(made: Zone, met: list[TlsMet] | None = None, **settings: Any) -> MxTls:
    made_settings = OutboundSettings(**settings)
    policy = TlsPolicy(made_settings, (), HandClock())
    return MxTls(made_settings, policy, ZoneResolver(made), (list[TlsMet]() if met is None else met).append)


# Plans.


async def test_dane_comes_first() -> None:
    for sts in (None, STS):
        plan = await planner(zone(EE)).plan(replace(SITE, dnssec=True, sts=sts), HOST, WISH)
        assert (plan.need, plan.policy, plan.name, plan.strict) == (TlsNeed.REQUIRED, "dane", HOST, True)
        assert isinstance(plan.check, DaneCheck)
        assert plan.applied.kind == "tlsa"
        assert plan.applied.lines == ("3 1 1 " + "AB" * 32,)


async def test_dane_with_insecure_mx_is_not_called_secure() -> None:
    # RFC 7672 §2.2.1: it must not be misrepresented as secure delivery to the next-hop domain
    plan = await planner(zone("2 0 1 " + "ab" * 32)).plan(SITE, HOST, WISH)
    assert plan.policy == "dane, MX insecure"
    assert isinstance(plan.check, DaneCheck)
    assert plan.check.next_hops == ()


async def test_dane_of_a_host_that_forged_mx_records_name_does_not_get_round_the_policy() -> None:
    # RFC 8461 §2, §4.1: where nothing vouches for the MX records, a host's own TLSA records say who it is, not whose
    forged, met = "mx.thief.example", list[TlsMet]()
    made = Zone.of({forged: {"A": ["192.0.2.66"]}})
    made.add(f"_25._tcp.{forged}", "TLSA", EE)
    made.secure.update({forged, f"_25._tcp.{forged}"})
    site = replace(SITE, hosts=((forged,),), sts=STS)
    with pytest.raises(AttemptEnded):
        await planner(made, met).plan(site, forged, WISH)
    assert [(one.applied.kind, one.level) for one in met] == [("sts", None)]
    plan = await planner(made).plan(replace(site, sts=replace(STS, mode=StsMode.TESTING)), forged, WISH)
    assert plan.policy == "dane, MX insecure"
    assert (await planner(made).plan(replace(site, dnssec=True), forged, WISH)).policy == "dane"
    assert (await planner(zone(EE)).plan(replace(SITE, sts=STS), HOST, WISH)).policy == "dane, MX insecure"


async def test_the_next_hop_domain_is_a_name_too_where_mx_is_secure() -> None:
    plan = await planner(zone("2 0 1 " + "ab" * 32)).plan(replace(SITE, dnssec=True), HOST, WISH)
    assert isinstance(plan.check, DaneCheck)
    assert plan.check.next_hops == (("example.org",),)


async def test_records_of_no_use_need_tls_without_a_name() -> None:
    # RFC 7672 §2.2
    plan = await planner(zone("1 1 1 " + "ab" * 32)).plan(SITE, HOST, WISH)
    assert (plan.need, plan.check) == (TlsNeed.REQUIRED, None)


@pytest.mark.parametrize("dane", [True, False])
async def test_without_dane_it_is_opportunistic(dane: bool) -> None:
    plan = await planner(zone(EE, secure=not dane), dane=dane).plan(SITE, HOST, WISH)
    assert (plan.need, plan.policy, plan.check) == (TlsNeed.OPPORTUNISTIC, "opportunistic", None)
    assert plan.applied.kind == "no-policy-found"
    assert plan.domains == ("example.org",)


async def test_a_tlsa_lookup_that_fails_leaves_the_host_out() -> None:
    made, met = zone(), list[TlsMet]()
    made.servfail.add(TLSA_NAME)
    with pytest.raises(AttemptEnded) as caught:
        await planner(made, met).plan(replace(SITE, sts=STS), HOST, WISH)
    assert isinstance(caught.value.trouble.outcome, Deferred)
    assert caught.value.trouble.outcome.cause is Cause.TLS
    assert [(one.failure, one.domains, one.level) for one in met] == [("dnssec-invalid", ("example.org",), None)]


async def test_sts_by_mode() -> None:
    plan = await planner(zone()).plan(replace(SITE, sts=STS), HOST, WISH)
    assert (plan.need, plan.policy, plan.strict) == (TlsNeed.REQUIRED, "sts enforce", True)
    assert isinstance(plan.check, PkixCheck)
    testing = replace(STS, mode=StsMode.TESTING)
    plan = await planner(zone()).plan(replace(SITE, sts=testing), HOST, WISH)
    assert (plan.need, plan.policy, plan.strict) == (TlsNeed.OPPORTUNISTIC, "sts testing", False)
    assert isinstance(plan.check, PkixCheck)


async def test_a_host_beside_the_policy() -> None:
    # RFC 8461 §4.1, §5
    met = list[TlsMet]()
    with pytest.raises(AttemptEnded) as caught:
        await planner(zone(), met).plan(replace(SITE, sts=replace(STS, mx=("other.example",))), HOST, WISH)
    assert isinstance(caught.value.trouble.outcome, Deferred)
    assert [one.failure for one in met] == ["validation-failure"]
    testing = replace(STS, mode=StsMode.TESTING, mx=("other.example",))
    plan = await planner(zone(), met).plan(replace(SITE, sts=testing), HOST, WISH)
    assert plan.need is TlsNeed.OPPORTUNISTIC
    assert plan.flaw is not None


async def test_with_tls_turned_off_nothing_is_asked() -> None:
    made = zone(EE)
    plan = await planner(made, tls=False).plan(replace(SITE, sts=STS), HOST, WISH)
    assert (plan.need, plan.policy) == (TlsNeed.NONE, "none")
    assert not made.asked


async def test_an_address_has_no_tlsa() -> None:
    plan = await planner(zone()).plan(SITE, "192.0.2.1", WISH)
    assert plan.need is TlsNeed.OPPORTUNISTIC


async def test_who_waives_is_not_held_up() -> None:
    # RFC 8689 §4.2.2, §8.4: as if there were neither DANE nor MTA-STS, but TLS is tried
    waived = replace(WISH, waived=True)
    plan = await planner(zone(EE)).plan(SITE, HOST, waived)
    assert (plan.need, plan.strict, plan.domains) == (TlsNeed.OPPORTUNISTIC, False, ())
    plan = await planner(zone()).plan(replace(SITE, sts=replace(STS, mx=("other.example",))), HOST, waived)
    assert (plan.need, plan.strict) == (TlsNeed.OPPORTUNISTIC, False)
    broken = zone()
    broken.servfail.add(TLSA_NAME)
    assert (await planner(broken).plan(SITE, HOST, waived)).need is TlsNeed.OPPORTUNISTIC


@pytest.mark.parametrize(
    ("site", "vouched"),
    [
        (SITE, False),
        (replace(SITE, dnssec=True), True),
        (replace(SITE, sts=STS), True),
        (replace(SITE, sts=replace(STS, mode=StsMode.TESTING)), True),
        (replace(SITE, sts=replace(STS, mx=("other.example",))), False),
    ],
)
async def test_requiretls_wants_a_name_that_somebody_vouches_for(site: Site, vouched: bool) -> None:
    # RFC 8689 §4.2.1
    secured = replace(WISH, secured=True)
    if vouched:
        plan = await planner(zone()).plan(site, HOST, secured)
        assert plan.need is TlsNeed.REQUIRED
        assert plan.strict
    else:
        with pytest.raises(AttemptEnded) as caught:
            await planner(zone()).plan(site, HOST, secured)
        assert isinstance(caught.value.trouble.outcome, Failed)
        assert caught.value.trouble.outcome.reply.status == "5.7.10"


async def test_authorities_that_cannot_be_read_are_our_fault(tmp_path: Path) -> None:
    with pytest.raises(AttemptEnded) as caught:
        await planner(zone(), sts_ca_file=tmp_path / "missing.pem").plan(replace(SITE, sts=STS), HOST, WISH)
    assert caught.value.trouble.outcome.cause is Cause.LOCAL


# Deliveries over real TLS.


@pytest.fixture(scope="module")
def root() -> Issuer:
    return make_root()


def ee_of(certificate: x509.Certificate) -> str:
    return f"3 0 1 {hashlib.sha256(der(certificate)).hexdigest()}"


def ta_of(issuer: Issuer) -> str:
    return f"2 0 1 {hashlib.sha256(issuer.der).hexdigest()}"


@dataclass
class Far:
    """A mail server on loopback, and the DNS that leads to it."""

    context: ssl.SSLContext | None
    folder: Path
    root: Issuer
    extensions: tuple[str, ...] = ALL_EXTENSIONS
    tlsa: list[str] = field(default_factory=list)
    secure: bool = True
    sts: StsPolicy | None = None
    met: list[TlsMet] = field(default_factory=list)
    peer: ScriptedPeer = field(init=False)

    async def deliver(self, *requests: DeliveryRequest, **settings: Any) -> list[Outcome]:
        """What becomes of the requests, one after the other."""
        self.peer = ScriptedPeer(self.extensions)
        (self.folder / "ca.pem").write_bytes(self.root.pem)
        async with self.peer.serve(self.context) as port:
            made = zone(address="127.0.0.1")
            made.records.pop(TLSA_NAME, None)
            for text in self.tlsa:
                made.add(f"_{port}._tcp.{HOST}", "TLSA", text)
            made.secure.add(f"_{port}._tcp.{HOST}")
            site = Site(HOST, SITE.kind, SITE.hosts, port, dnssec=self.secure, sts=self.sts)
            carrier = make_carrier(
                SocketConnect(),
                zone=made,
                ipv6=False,
                allow_loopback=True,
                sts_ca_file=self.folder / "ca.pem",
                note_tls=self.met.append,
                **settings,
            )
            outcomes = [(await carrier.deliver(replace(one, site=site)))[1] for one in requests or (make_request(),)]
            await carrier.close()
        return outcomes


@pytest.fixture
def far(root: Issuer, tmp_path: Path) -> Far:
    return Far(root.server_context(HOST, folder=tmp_path), tmp_path, root, tlsa=[ta_of(root)])


def shown(outcome: Outcome) -> tuple[type[Outcome], str]:
    return type(outcome), outcome.peer.policy


@pytest.fixture
def shown_root(root: Issuer) -> Issuer:
    """The authority as one that shows itself in its servers' chains."""
    return replace(root, above=(root.certificate,))


async def test_a_host_that_its_records_authenticate(shown_root: Issuer, far: Far, tmp_path: Path) -> None:
    far.context = shown_root.server_context(HOST, folder=tmp_path)
    (outcome,) = await far.deliver()
    assert shown(outcome) == (Delivered, "dane")
    assert far.peer.taken[0].tls
    (met,) = far.met
    assert (met.level, met.failure, met.domains, met.applied.kind) == (TlsLevel.VERIFIED, "", ("example.org",), "tlsa")
    assert met.peer.source == "127.0.0.1"


async def test_a_host_that_its_records_do_not_authenticate_gets_nothing(far: Far, root: Issuer) -> None:
    far.tlsa = [ee_of(make_leaf(root, HOST))]
    far.sts = STS  # RFC 8461 §2: a policy of MTA-STS does not mend what DANE finds broken
    (outcome,) = await far.deliver()
    assert shown(outcome) == (Deferred, "dane")
    assert isinstance(outcome, Deferred)
    assert outcome.cause is Cause.TLS
    assert outcome.reply.status == "4.7.5"
    assert "TLSA" in outcome.detail
    assert not far.peer.taken
    assert not any(command.startswith("MAIL") for command in far.peer.commands)
    assert [one.failure for one in far.met] == ["certificate-not-trusted"]


async def test_a_host_with_records_and_without_tls_gets_nothing(far: Far) -> None:
    far.context = None
    (outcome,) = await far.deliver()
    assert shown(outcome) == (Deferred, "dane")
    assert not far.peer.taken
    assert [(one.failure, one.level) for one in far.met] == [("starttls-not-supported", None)]


async def test_a_certificate_for_the_domain_is_good_for_that_domain_alone(shown_root: Issuer, far: Far) -> None:
    # RFC 7672 §3.2.2
    far.context = shown_root.server_context("example.org", folder=far.folder)
    ours, other = make_request("a@example.org"), make_request("b@example.com")
    outcomes = await far.deliver(ours, other, ours)
    assert [type(outcome) for outcome in outcomes] == [Delivered, Deferred, Delivered]
    assert far.peer.connections == 3  # such a session is nobody else's
    (outcome,) = await far.deliver(make_request("a@example.org", "b@example.com"))
    assert isinstance(outcome, Deferred)
    far.secure = False
    (outcome,) = await far.deliver(ours)
    assert isinstance(outcome, Deferred)


async def test_a_session_that_was_checked_is_kept(shown_root: Issuer, far: Far) -> None:
    far.context = shown_root.server_context(HOST, folder=far.folder)
    outcomes = await far.deliver(make_request(), make_request())
    assert [shown(outcome) for outcome in outcomes] == [(Delivered, "dane")] * 2
    assert far.peer.connections == 1
    assert len(far.met) == 1  # RFC 8460: sessions are counted, not messages


@pytest.mark.parametrize(
    ("names", "expired", "ours", "failure"),
    [
        ((HOST,), False, True, ""),
        (("*.example.org",), False, True, ""),
        (("other.example",), False, True, "certificate-host-mismatch"),
        ((HOST,), True, True, "certificate-expired"),
        ((HOST,), False, False, "certificate-not-trusted"),
    ],
)
@pytest.mark.parametrize("mode", [StsMode.ENFORCE, StsMode.TESTING])
async def test_mta_sts(
    far: Far, root: Issuer, mode: StsMode, names: tuple[str, ...], expired: bool, ours: bool, failure: str
) -> None:
    # RFC 8461 §4.2, §5
    issuer = root if ours else make_root()
    far.context = issuer.server_context(*names, folder=far.folder, expired=expired)
    far.tlsa, far.secure, far.sts = [], False, replace(STS, mode=mode)
    (outcome,) = await far.deliver()
    lets_through = not failure or mode is StsMode.TESTING
    assert isinstance(outcome, Delivered if lets_through else Deferred)
    assert len(far.peer.taken) == lets_through
    assert outcome.peer.policy.startswith(f"sts {mode.value}")
    assert ("would fail" in outcome.peer.policy) == (bool(failure) and mode is StsMode.TESTING)
    (met,) = far.met
    assert (met.failure, met.applied.kind, met.applied.mx) == (failure, "sts", (HOST,))


async def test_mta_sts_without_tls(far: Far) -> None:
    far.context, far.tlsa, far.sts = None, [], STS
    (outcome,) = await far.deliver()
    assert shown(outcome) == (Deferred, "sts enforce")
    far.sts = replace(STS, mode=StsMode.TESTING)
    (outcome,) = await far.deliver()
    assert isinstance(outcome, Delivered)
    assert "would fail: it does not offer STARTTLS" in outcome.peer.policy


async def test_opportunistic_takes_anything_and_says_so(far: Far) -> None:
    far.context = make_root().server_context("other.example", folder=far.folder, expired=True)
    far.tlsa = []
    (outcome,) = await far.deliver()
    assert shown(outcome) == (Delivered, "opportunistic")
    assert outcome.peer.tls
    assert [(one.level, one.failure) for one in far.met] == [(TlsLevel.ENCRYPTED, "")]
    far.context, far.met = None, []
    (outcome,) = await far.deliver()
    assert shown(outcome) == (Delivered, "opportunistic")
    assert [(one.level, one.failure) for one in far.met] == [(TlsLevel.NONE, "starttls-not-supported")]


async def test_the_header_that_waives(far: Far, root: Issuer) -> None:
    # RFC 8689 §4.2.2
    far.tlsa = [ee_of(make_leaf(root, HOST))]
    plain = make_request()
    waived = replace(plain, message=replace(plain.message, tags=("x", TLS_REQUIRED_NO)))
    outcomes = await far.deliver(waived, plain)
    assert [type(outcome) for outcome in outcomes] == [Delivered, Deferred]  # its session is nobody else's
    assert outcomes[0].peer.policy.startswith("dane, waived by the sender (would fail: no TLSA record")
    assert far.met[0].domains == ()  # RFC 8460 §5.3: a report is no reason for a report


SAFE = (*ALL_EXTENSIONS, "REQUIRETLS")


async def test_requiretls_by_dane_and_by_mta_sts(shown_root: Issuer, far: Far) -> None:
    # RFC 8689 §4.2.1
    far.extensions = SAFE
    far.context = shown_root.server_context(HOST, folder=far.folder)
    request = make_request(require_tls=True)
    assert shown((await far.deliver(request))[0]) == (Delivered, "dane")
    assert far.peer.taken[0].mail.endswith(" REQUIRETLS")
    far.tlsa, far.secure, far.sts = [], False, STS
    assert shown((await far.deliver(request))[0]) == (Delivered, "sts enforce")
    far.sts = None
    (outcome,) = await far.deliver(request)
    assert isinstance(outcome, Failed)
    assert outcome.reply.status == "5.7.10"


async def test_requiretls_wants_the_hosts_name_even_from_dane_ee(root: Issuer, far: Far) -> None:
    # RFC 8689 §4.2.1: the host name MUST match
    far.extensions = SAFE
    leaf_context = root.server_context("other.example", folder=far.folder)
    far.context = leaf_context
    (path,) = far.folder.glob("other.example.*.pem")
    leaf = x509.load_pem_x509_certificate(path.read_bytes())
    far.tlsa = [ee_of(leaf)]
    (outcome,) = await far.deliver(make_request())
    assert shown(outcome) == (Delivered, "dane")
    (outcome,) = await far.deliver(make_request(require_tls=True))
    assert isinstance(outcome, Failed)
    assert outcome.reply.status == "5.7.10"


# Which host is tried.


async def test_the_next_host_may_do() -> None:
    first, second = ScriptedPeer(), ScriptedPeer(tls=True)
    network = Network({"192.0.2.1": first, "192.0.2.2": second})
    made = Zone.of({HOST: {"A": ["192.0.2.1"]}, "b.example.org": {"A": ["192.0.2.2"]}, TLSA_NAME: {"TLSA": [EE]}})
    made.secure.update({HOST, TLSA_NAME})
    site = Site("two", SITE.kind, ((HOST,), ("b.example.org",)))
    carrier = make_carrier(network, zone=made)
    outcome = (await carrier.deliver(make_request(site=site)))[1]
    assert shown(outcome) == (Delivered, "opportunistic")
    assert first.connections == 1
    assert second.names == ["b.example.org"]
    await carrier.close()


async def test_a_host_whose_tlsa_lookup_fails_is_not_even_asked() -> None:
    # RFC 7672 §2.1.2
    peer, made = ScriptedPeer(tls=True), zone()
    made.servfail.add(TLSA_NAME)
    carrier = make_carrier(peer, zone=made)
    outcome = (await carrier.deliver(make_request()))[1]
    assert isinstance(outcome, Deferred)
    assert outcome.cause is Cause.TLS
    assert peer.connections == 0
    await carrier.close()


async def test_a_handshake_that_breaks_is_counted_and_followed_by_clear_text() -> None:
    met = list[TlsMet]()
    peer = ScriptedPeer(tls=True, tls_error=broken_tls())
    carrier = make_carrier(peer, note_tls=met.append)
    outcome = (await carrier.deliver(make_request()))[1]
    assert shown(outcome) == (Delivered, "opportunistic")
    assert [(one.level, one.failure, bool(one.domains)) for one in met] == [
        (None, "validation-failure", True),
        (TlsLevel.NONE, "", False),
    ]
    await carrier.close()


async def test_the_sni_is_the_tlsa_base_domain() -> None:
    # RFC 7672 §8.1
    made = Zone.of(
        {
            HOST: {"CNAME": ["real.example.net"]},
            "real.example.net": {"A": ["192.0.2.1"]},
            "_25._tcp.real.example.net": {"TLSA": ["3 1 9 00"]},
        }
    )
    made.secure.update({HOST, "real.example.net", "_25._tcp.real.example.net"})
    peer = ScriptedPeer(tls=True)
    carrier = make_carrier(peer, zone=made)
    assert isinstance((await carrier.deliver(make_request()))[1], Delivered)
    assert peer.names == ["real.example.net"]
    await carrier.close()
