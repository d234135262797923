"""Who is believed when mail fails: sealers, forwarders, lists, and nobody who only says so (RFC 8617 §7, §9)."""

import pytest
from tests.fakes.checked_world import a_zone

from postroom.config.mailauth import MailauthSettings
from postroom.dns.zone import ZoneResolver
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.headers import split_header
from postroom.mail.session import Client, Role
from postroom.mailauth.model import (
    NO_ARC,
    ArcCheck,
    Authentication,
    DkimCheck,
    DmarcCheck,
    Policy,
    Result,
    SpfCheck,
    SpfIdentity,
)
from postroom.mailauth.overrides import OverrideKind
from postroom.policy.disposition import Action, Ground, Objection
from postroom.policy.vouching import Vouchers, authentic_list, domain_matcher, passed_dmarc, sealed_by

AUTHOR = "bank.example"
PASSED = "mx.list.example; dmarc=pass header.from=bank.example"
OBJECTION = Objection(Ground.DMARC, Action.REFUSE, "DMARC fails")
CLIENT = Client(1, Role.MX, "192.0.2.1", 25, "client.example")
BOB = Envelope(None, (Recipient(Address.parse("bob@local.example")),))


def failing(arc: ArcCheck = NO_ARC, helo: SpfCheck | None = None, dkim: tuple[DkimCheck, ...] = ()) -> Authentication:
    return Authentication(
        SpfCheck(Result.PASS, SpfIdentity.MAIL_FROM, "list.example"),
        helo,
        dkim,
        arc,
        DmarcCheck(Result.FAIL, AUTHOR, policy=Policy.REJECT),
    )


async def bound(
    found: Authentication,
    *,
    client: Client = CLIENT,
    envelope: Envelope = BOB,
    header: bytes = b"",
    objection: Objection = OBJECTION,
    failing_names: tuple[str, ...] = (),
    **settings: object,
) -> tuple[OverrideKind, Action] | None:
    zone = a_zone()
    zone.servfail.update(failing_names)
    vouchers = Vouchers(MailauthSettings.model_validate(settings), ZoneResolver(zone))
    leniency = await vouchers.lenient(objection, client, envelope, split_header(header), found)
    return None if leniency is None else (leniency.override.kind, leniency.at_most)


# Seals.


@pytest.mark.parametrize(
    ("results", "passed"),
    [
        (PASSED, True),
        ("mx.list.example; dmarc=pass (p=REJECT sp=NONE dis=NONE) header.from=BANK.example", True),
        ("mx.list.example; spf=fail; dkim=pass header.d=x; dmarc=pass action=none header.from=bank.example;", True),
        ("mx.list.example; dmarc=fail header.from=bank.example", False),
        ("mx.list.example; dmarc=pass header.from=other.example", False),
        ("mx.list.example; dmarc=pass", False),
        ("mx.list.example; dkim=pass header.d=bank.example; spf=pass smtp.mailfrom=bank.example", False),
        ("mx.list.example; none", False),
        ("dmarc=pass header.from=bank.example", False),  # there is no name in front
        ("", False),
        # What strangers say, in a string or a comment.
        ('x.example; spf=pass smtp.mailfrom="a; dmarc=pass header.from=bank.example"@evil.example', False),
        ("x.example; spf=pass (a; dmarc=pass header.from=bank.example) smtp.mailfrom=evil.example", False),
        ('x.example; spf=fail reason="; dmarc=pass header.from=bank.example"; dmarc=none', False),
        ("x.example; spf=fail (not closed; dmarc=pass header.from=bank.example", False),
        ("x.example; dmarc=fail header.from=bank.example; dmarc=pass header.from=bank.example", False),
        ("x.example; dmarc=pass header.from=bank.example; dmarc=pass header.from=evil.example", False),
        ("x.example; dmarc=pass header.from=" + "a" * 40_000, False),
        ("x.example; dmarc=pass header.from=\x00", False),
    ],
)
def test_what_a_sealer_saw(results: str, passed: bool) -> None:
    assert passed_dmarc(results, AUTHOR) is passed


@pytest.mark.parametrize(
    ("sealers", "results", "sealer"),
    [
        (("list.example",), (PASSED,), "list.example"),
        (("mx.list.example",), (PASSED,), ""),
        (("evil.example",), (PASSED,), ""),
        # Whoever sealed later may have changed it.
        (("list.example", "evil.example"), (PASSED, "x; none"), ""),
        (("list.example", "evil.example"), (PASSED, PASSED), ""),
        (("list.example", "a.big.example"), (PASSED, "x; dmarc=fail header.from=bank.example"), "list.example"),
        (("evil.example", "list.example"), (PASSED, "x; dmarc=fail header.from=bank.example"), ""),
        (("evil.example", "list.example"), ("x; none", PASSED), "list.example"),
    ],
)
def test_whose_seal_counts(sealers: tuple[str, ...], results: tuple[str, ...], sealer: str) -> None:
    """RFC 8617 §9.3: a chain that holds says who had the message, and not that they are honest."""
    trusted = domain_matcher(("list.example", ".big.example"))
    assert sealed_by(ArcCheck(Result.PASS, sealers, results), AUTHOR, trusted) == sealer
    # RFC 8617 §5.2: a chain that fails is no chain.
    assert sealed_by(ArcCheck(Result.FAIL, sealers, results), AUTHOR, trusted) == ""
    assert sealed_by(ArcCheck(Result.PASS, sealers, results), "", trusted) == ""


async def test_a_trusted_seal_softens() -> None:
    chain = ArcCheck(Result.PASS, ("list.example",), (PASSED,))
    assert await bound(failing(chain)) is None
    assert await bound(failing(chain), trusted_sealers=["list.example"]) == (OverrideKind.LOCAL_POLICY, Action.TAG)
    two = Objection(Ground.AUTHORS, Action.REFUSE, "two")
    assert await bound(failing(chain), trusted_sealers=["list.example"], objection=two) is None


# Forwarders.


async def test_a_network_that_forwards() -> None:
    forwarder = (OverrideKind.TRUSTED_FORWARDER, Action.TAG)
    assert await bound(failing(), trusted_forwarders=["192.0.2.0/24"]) == forwarder
    assert await bound(failing(), trusted_forwarders=["198.51.100.0/24"]) is None


async def test_a_host_that_forwards_is_known_by_its_address_both_ways() -> None:
    """A PTR record alone is what anybody says of himself."""
    forwarder = (OverrideKind.TRUSTED_FORWARDER, Action.TAG)
    assert await bound(failing(), trusted_forwarders=["mx.forward.example"]) == forwarder
    assert await bound(failing(), trusted_forwarders=[".forward.example"]) == forwarder
    assert await bound(failing(), trusted_forwarders=["forward.example"]) is None
    liar = Client(1, Role.MX, "192.0.2.2", 25, "mx.forward.example")
    assert await bound(failing(), client=liar, trusted_forwarders=["mx.forward.example"]) is None


async def test_a_host_that_forwards_is_known_by_spf_for_helo() -> None:
    helo = SpfCheck(Result.PASS, SpfIdentity.HELO, "out.forward.example")
    stranger = Client(1, Role.MX, "203.0.113.1", 25)
    expected = (OverrideKind.TRUSTED_FORWARDER, Action.TAG)
    assert await bound(failing(helo=helo), client=stranger, trusted_forwarders=[".forward.example"]) == expected
    claimed = SpfCheck(Result.NEUTRAL, SpfIdentity.HELO, "out.forward.example")
    assert await bound(failing(helo=claimed), client=stranger, trusted_forwarders=[".forward.example"]) is None


async def test_a_forwarder_is_not_refused_because_the_dns_fails() -> None:
    found = await bound(failing(), trusted_forwarders=["mx.forward.example"], failing_names=("1.2.0.192.in-addr.arpa",))
    assert found == (OverrideKind.OTHER, Action.DEFER)


async def test_a_socket_has_no_name() -> None:
    assert await bound(failing(), client=Client(1, Role.LMTP, "", 0), trusted_forwarders=["mx.forward.example"]) is None


# Lists.

LIST = b"List-Id: News <news.list.example>\r\n"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (LIST, "news.list.example"),
        (b"list-id: <list.example>\r\n", "list.example"),
        (b"List-Id: <news.other.example>\r\n", ""),
        (b"List-Id: <newslist.example>\r\n", ""),
        (b"List-Id: news.list.example\r\n", ""),
        (LIST + LIST, ""),
        (b"", ""),
    ],
)
def test_a_list_is_one_if_its_domain_passes(header: bytes, name: str) -> None:
    assert authentic_list(split_header(header), failing()) == name


def test_a_signature_vouches_for_a_list() -> None:
    signed = DkimCheck(Result.PASS, "other.example", "s", "rsa-sha256")
    header = split_header(b"List-Id: <news.other.example>\r\n")
    assert authentic_list(header, failing(dkim=(signed,))) == "news.other.example"
    tested = DkimCheck(Result.PASS, "other.example", "s", "rsa-sha256", testing=True)
    assert authentic_list(header, failing(dkim=(tested,))) == ""


async def test_lists_are_no_exception_unless_the_settings_say_so() -> None:
    assert await bound(failing(), header=LIST) is None
    expected = (OverrideKind.MAILING_LIST, Action.QUARANTINE)
    assert await bound(failing(), header=LIST, on_list="quarantine") == expected
    spf = Objection(Ground.SPF, Action.REFUSE, "SPF fails")
    assert await bound(failing(), header=LIST, on_list="quarantine", objection=spf) is None


# Authors and recipients.


async def test_an_author_that_is_known_to_fail() -> None:
    overrides = [{"domains": ["bank.example"]}, {"domains": [".example"], "at_most": "quarantine"}]
    assert await bound(failing(), override=overrides) == (OverrideKind.LOCAL_POLICY, Action.TAG)
    assert await bound(failing(), override=overrides[1:]) == (OverrideKind.LOCAL_POLICY, Action.QUARANTINE)
    assert await bound(failing(), override=[{"domains": ["other.example"]}]) is None


@pytest.mark.parametrize(
    ("recipients", "exempt"),
    [
        (("Postmaster@local.example",), True),
        (("abuse@local.example", "postmaster@other.local.example"), True),
        (("help@desk.example",), True),
        (("help@local.example",), False),
        (("postmaster@local.example", "bob@local.example"), False),
    ],
)
async def test_who_is_to_hear_of_it(recipients: tuple[str, ...], exempt: bool) -> None:
    """RFC 5321 §4.5.1, RFC 2142 §4."""
    envelope = Envelope(None, tuple(Recipient(Address.parse(one)) for one in recipients))
    names = ["postmaster", "abuse", "help@desk.example"]
    found = await bound(failing(), envelope=envelope, exempt_recipients=names)
    assert found == ((OverrideKind.LOCAL_POLICY, Action.TAG) if exempt else None)
    assert await bound(failing(), envelope=envelope, exempt_recipients=[]) is None


async def test_nobody_is_asked_where_nothing_would_be_done() -> None:
    tagged = Objection(Ground.DMARC, Action.TAG, "p=none")
    assert await bound(failing(), objection=tagged, trusted_forwarders=["192.0.2.0/24"]) is None
