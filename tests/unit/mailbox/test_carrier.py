"""Queued mail into mailboxes (RFC 5321 §4.4)."""

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.directory_store import MemoryDirectoryStore
from tests.fakes.mailbox_store import MemoryMailboxStore

from postroom.clock import Clock
from postroom.config.model import DeliverySettings
from postroom.directory.directory import Directory
from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Delivered, DeliveryRequest, Failed, QueuedRecipient, RouteKind, Site
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.message import Message, QueueId
from postroom.mailbox.carrier import MailboxCarrier, entry_prefix
from postroom.mailbox.model import NewEntry
from postroom.queue.carrier import Carrier

SENDER = Address.parse("sender@example.net")


class House:
    def __init__(self) -> None:
        clock: Clock = ManualClock()
        self.directory = MemoryDirectoryStore()
        self.mailboxes = MemoryMailboxStore()
        self.anna = self.directory.add_account("anna@example.org")
        self.bert = self.directory.add_account("bert@example.org")
        resolve = Directory(self.directory, DeliverySettings(), clock).resolve
        self.carrier: Carrier = MailboxCarrier(resolve, self.mailboxes, clock)

    @property
    def placed(self) -> list[NewEntry]:
        return [entry for _, entries, _ in self.mailboxes.placed for entry in entries]


@pytest.fixture
def house() -> House:
    return House()


def request(*addresses: str, sender: Address | None = SENDER) -> DeliveryRequest:
    recipients = tuple(Recipient(Address.parse(address)) for address in addresses)
    message = Message(QueueId(7), 1.0, Envelope(sender, recipients), b"", 100)
    queued = tuple(QueuedRecipient(number, recipient) for number, recipient in enumerate(recipients, start=3))
    return DeliveryRequest(message, queued, Site("here", RouteKind.MAILBOX))


def test_the_header_of_an_entry() -> None:
    anna = Address.parse("anna+x@example.org")
    assert entry_prefix(SENDER, anna) == b"Return-Path: <sender@example.net>\r\nDelivered-To: anna+x@example.org\r\n"
    assert entry_prefix(None, anna).startswith(b"Return-Path: <>\r\n")
    quoted = Address.parse('"a b"@example.org')
    assert b'Delivered-To: "a b"@example.org\r\n' in entry_prefix(None, quoted)
    assert "Return-Path: <jürgen@example.org>".encode() in entry_prefix(Address.parse("jürgen@example.org"), anna)


async def test_places_for_all_at_once(house: House) -> None:
    outcomes = await house.carrier.deliver(request("anna@example.org", "bert+x@example.org"))
    assert sorted(outcomes) == [3, 4]
    assert all(isinstance(outcome, Delivered) for outcome in outcomes.values())
    ((queue_id, entries, _),) = house.mailboxes.placed
    assert queue_id == 7
    assert [(entry.account_id, entry.recipient) for entry in entries] == [
        (house.anna.account_id, "anna@example.org"),
        (house.bert.account_id, "bert@example.org"),
    ]
    assert entries[1].prefix == entry_prefix(SENDER, Address.parse("bert+x@example.org"))


async def test_one_mailbox_never_twice(house: House) -> None:
    house.directory.add_alias("team@example.org", "anna@example.org", "bert@example.org")
    outcomes = await house.carrier.deliver(request("team@example.org", "anna@example.org"))
    assert all(isinstance(outcome, Delivered) for outcome in outcomes.values())
    assert [entry.account_id for entry in house.placed] == [house.anna.account_id, house.bert.account_id]


async def test_each_has_its_own_outcome(house: House) -> None:
    house.directory.add_alias("out@example.org", "anna@example.org", "x@example.net")
    outcomes = await house.carrier.deliver(
        request("nobody@example.org", "anna@example.org", "x@example.net", "out@example.org")
    )
    unknown, placed, elsewhere, moved = (outcomes[number] for number in (3, 4, 5, 6))
    assert isinstance(unknown, Failed)
    assert (unknown.reply.code, unknown.reply.status) == (550, "5.1.1")
    assert isinstance(placed, Delivered)
    assert isinstance(elsewhere, Deferred)
    assert isinstance(moved, Failed)
    assert moved.reply.status == "5.1.6"
    # Only the first says that the address is no good.
    assert (unknown.cause, elsewhere.cause, moved.cause) == (Cause.MAILBOX_UNKNOWN, Cause.LOCAL, Cause.LOCAL)
    assert [entry.account_id for entry in house.placed] == [house.anna.account_id]


async def test_nothing_to_place_is_not_placed(house: House) -> None:
    await house.carrier.deliver(request("nobody@example.org"))
    assert house.mailboxes.placed == []


@pytest.mark.parametrize(("full", "code"), [(True, 452), (False, 451)])
async def test_trouble_of_the_store_defers(house: House, full: bool, code: int) -> None:
    house.mailboxes.unavailable, house.mailboxes.full = {"place"}, full
    outcomes = await house.carrier.deliver(request("anna@example.org", "nobody@example.org"))
    deferred, unknown = outcomes[3], outcomes[4]
    assert isinstance(deferred, Deferred)
    assert deferred.reply.code == code
    assert deferred.cause is Cause.LOCAL
    assert isinstance(unknown, Failed)


async def test_trouble_of_the_directory_defers(house: House) -> None:
    house.directory.unavailable = True
    (outcome,) = (await house.carrier.deliver(request("anna@example.org"))).values()
    assert isinstance(outcome, Deferred)


async def test_an_account_that_went_meanwhile_defers(house: House) -> None:
    house.mailboxes.gone_accounts = {house.anna.account_id}
    outcomes = await house.carrier.deliver(request("anna@example.org", "bert@example.org"))
    assert all(isinstance(outcome, Deferred) for outcome in outcomes.values())


async def test_bounces_have_the_null_return_path(house: House) -> None:
    await house.carrier.deliver(request("anna@example.org", sender=None))
    assert house.placed[0].prefix.startswith(b"Return-Path: <>\r\n")


async def test_who_keeps_what_it_forwards_gets_its_own_copy_alone(house: House) -> None:
    """The copies for others were queued apart, when the message came in."""
    dora = house.directory.add_account("dora@example.org", forwards=["d@elsewhere.example", "bert@example.org"])
    outcomes = await house.carrier.deliver(request("dora@example.org"))
    assert isinstance(outcomes[3], Delivered)
    assert [entry.account_id for entry in house.placed] == [dora.account_id]


async def test_who_forwards_all_of_it_has_no_place(house: House) -> None:
    house.directory.add_account("dora@example.org", forwards=["d@elsewhere.example"], keep=False)
    outcomes = await house.carrier.deliver(request("dora@example.org"))
    assert isinstance(outcomes[3], Failed)
    assert house.placed == []
