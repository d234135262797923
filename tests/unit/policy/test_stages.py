"""Each stage decides as the standards and the settings say."""

from ipaddress import IPv4Network, IPv6Network

import pytest
from tests.fakes.directory_store import MemoryDirectoryStore
from tests.fakes.hand_clock import HandClock

from postroom.config.model import DeliverySettings
from postroom.directory.directory import Directory
from postroom.directory.model import NotLocal, Resolved, Unknown, Usage
from postroom.mail.address import Address
from postroom.mail.envelope import Recipient
from postroom.mail.session import Client, Role
from postroom.policy.qualified import qualified_stage
from postroom.policy.recipients import recipients_stage
from postroom.policy.relaying import relaying_stage
from postroom.policy.sender import sender_stage
from postroom.policy.stage import AtMail, AtRcpt, Stage
from postroom.policy.verdict import ACCEPT, Refuse, Verdict

BOB = Address.parse("bob@local.example")
ELSEWHERE = Recipient(Address.parse("ann@remote.example"))


@pytest.fixture
def people() -> MemoryDirectoryStore:
    return MemoryDirectoryStore()


@pytest.fixture
def directory(people: MemoryDirectoryStore) -> Directory:
    return Directory(people, DeliverySettings(), HandClock())


def client(address: str = "192.0.2.1", account: str = "") -> Client:
    return Client(1, Role.MX, address, 4711, account=account)


async def at_rcpt(stage: Stage, moment: AtRcpt) -> Verdict:
    assert stage.on_rcpt is not None
    return await stage.on_rcpt(moment)


async def at_mail(stage: Stage, account: str, sender: str | None) -> Verdict:
    assert stage.on_mail is not None
    path = None if sender is None else Address.parse(sender)
    return await stage.on_mail(AtMail(client(account=account), path, None))


@pytest.mark.parametrize(
    ("address", "account", "relays"),
    [
        ("192.0.2.1", "", False),
        ("192.0.2.1", "bob@local.example", True),
        ("198.51.100.7", "", True),
        ("198.51.101.7", "", False),
        ("2001:db8::5", "", True),
        ("2001:db9::5", "", False),
    ],
)
async def test_relaying_is_for_accounts_and_trusted_networks(address: str, account: str, relays: bool) -> None:
    stage = relaying_stage((IPv4Network("198.51.100.0/24"), IPv6Network("2001:db8::/32")))
    moment = AtRcpt(client(address, account), None, None, ELSEWHERE, NotLocal())
    verdict = await at_rcpt(stage, moment)
    if relays:
        assert verdict is ACCEPT
    else:
        assert isinstance(verdict, Refuse)
        assert str(verdict.reply) == "550 5.7.1 Relaying denied"
        assert "trusted_networks" in verdict.reason


@pytest.mark.parametrize("resolution", [Unknown(), Resolved((), (BOB,))])
async def test_local_recipients_are_no_matter_of_relaying(resolution: Unknown | Resolved) -> None:
    moment = AtRcpt(client(), None, None, Recipient(BOB), resolution)
    assert await at_rcpt(relaying_stage(()), moment) is ACCEPT


@pytest.mark.parametrize(
    ("sender", "may"),
    [
        ("bob@local.example", True),
        ("BOB@local.example", True),
        ("bob+tag@local.example", True),
        ("sales@local.example", True),
        ("ann@local.example", False),
        ("nobody@local.example", False),
        ("bob@remote.example", False),
        (None, True),  # RFC 8098 §3
    ],
)
async def test_who_logged_in_sends_as_itself(
    people: MemoryDirectoryStore, directory: Directory, sender: str | None, may: bool
) -> None:
    people.add_account("bob@local.example")
    people.add_account("ann@local.example")
    people.add_alias("sales@local.example", "bob@local.example")
    verdict = await at_mail(sender_stage(directory), "bob@local.example", sender)
    assert (verdict is ACCEPT) is may
    if isinstance(verdict, Refuse):
        assert str(verdict.reply) == f"550 5.7.1 bob@local.example may not send as {sender}"


async def test_no_reply_shows_an_address_beyond_ascii(directory: Directory) -> None:
    # RFC 6531 §3.7.4.2: in replies to MAIL it may not, whatever the parameters
    verdict = await at_mail(sender_stage(directory), "bob@local.example", "jörg@local.example")
    assert isinstance(verdict, Refuse)
    assert str(verdict.reply) == "550 5.7.1 Not your address"


async def test_who_has_not_logged_in_is_no_matter_of_the_sender_stage(directory: Directory) -> None:
    assert await at_mail(sender_stage(directory), "", "ann@remote.example") is ACCEPT


async def test_an_account_that_went_away_sends_nothing(directory: Directory) -> None:
    assert isinstance(await at_mail(sender_stage(directory), "bob@local.example", "bob@local.example"), Refuse)


async def test_a_reply_does_not_hold_utf8(people: MemoryDirectoryStore, directory: Directory) -> None:
    people.add_account("bob@local.example")
    verdict = await at_mail(sender_stage(directory), "bob@local.example", "jürgen@local.example")
    assert isinstance(verdict, Refuse)
    assert verdict.reply.text.isascii()
    assert "jürgen" in verdict.reason


async def test_a_recipient_that_is_not_here(directory: Directory) -> None:
    moment = AtRcpt(client(), None, None, Recipient(BOB), Unknown("its alias leads nowhere"))
    verdict = await at_rcpt(recipients_stage(directory), moment)
    assert isinstance(verdict, Refuse)
    assert (verdict.reply.code, verdict.reply.status) == (550, "5.1.1")
    assert verdict.reason == "its alias leads nowhere"
    assert verdict.reason not in verdict.reply.text


@pytest.mark.parametrize(
    ("address", "account", "counts"),
    [("192.0.2.1", "", True), ("192.0.2.1", "bob@local.example", False), ("198.51.100.7", "", False)],
)
async def test_guessing_recipients_is_abuse_but_for_those_who_may_relay(
    directory: Directory, address: str, account: str, counts: bool
) -> None:
    counted: list[tuple[str, int, str]] = []
    trusted = (IPv4Network("198.51.100.0/24"),)
    stage = recipients_stage(directory, lambda *points: counted.append(points), trusted)
    for resolution in (Unknown(), NotLocal(), Resolved((), (BOB,))):
        await at_rcpt(stage, AtRcpt(client(address, account), None, None, Recipient(BOB), resolution))
    assert counted == ([(address, 1, "an unknown recipient")] if counts else [])


async def test_only_when_every_mailbox_is_full_is_the_recipient_refused(
    people: MemoryDirectoryStore, directory: Directory
) -> None:
    full = people.add_account("bob@local.example", quota=1000)
    empty = people.add_account("ann@local.example", quota=1000)
    people.usages = {full.account_id: Usage(900, 1)}
    stage = recipients_stage(directory)

    async def ask(resolved: Resolved, size: int | None) -> Verdict:
        return await at_rcpt(stage, AtRcpt(client(), None, size, Recipient(BOB), resolved))

    assert await ask(Resolved((full,)), None) is ACCEPT
    verdict = await ask(Resolved((full,)), 101)
    assert isinstance(verdict, Refuse)
    assert (verdict.reply.code, verdict.reply.status) == (552, "5.2.2")
    assert await ask(Resolved((full, empty)), 101) is ACCEPT
    assert await ask(Resolved((full,), (ELSEWHERE.address,)), 101) is ACCEPT


async def test_recipients_elsewhere_are_no_matter_of_mailboxes(directory: Directory) -> None:
    moment = AtRcpt(client(), None, None, ELSEWHERE, NotLocal())
    assert await at_rcpt(recipients_stage(directory), moment) is ACCEPT


@pytest.mark.parametrize(
    ("recipient", "taken"),
    [("ann@remote.example", True), ("ann@[192.0.2.1]", True), ("ann@sales", False), ("ann@localhost", False)],
)
async def test_what_is_submitted_goes_to_whole_domains(recipient: str, taken: bool) -> None:
    # RFC 6409 §4.2
    moment = AtRcpt(client(account="bob@local.example"), BOB, None, Recipient(Address.parse(recipient)), NotLocal())
    verdict = await at_rcpt(qualified_stage(), moment)
    if taken:
        assert verdict is ACCEPT
    else:
        assert isinstance(verdict, Refuse)
        assert (verdict.reply.code, verdict.reply.status) == (554, "5.1.2")


async def test_a_short_domain_may_be_one_of_ours() -> None:
    moment = AtRcpt(client(account="bob@host"), None, None, Recipient(Address.parse("bob@host")), Resolved((), (BOB,)))
    assert await at_rcpt(qualified_stage(), moment) is ACCEPT
