"""ETRN (RFC 1985): who may ask, what is tried, and what is told of it."""

import pytest
from tests.fakes.hand_clock import HandClock
from tests.fakes.queue_store import MemoryQueueStore, Stored

from postroom.inbound.etrn import QueueStarter, is_meant
from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.message import Message, QueueId
from postroom.mail.session import Client, Role
from postroom.mail.trouble import StoreUnavailable
from postroom.protocol.smtp.events import Etrn, EtrnKind
from postroom.report.events import QueueActed, Report
from postroom.report.reporter import Reporter

TRUSTED = Client(1, Role.MX, "192.0.2.1", 4711)
STRANGER = Client(2, Role.MX, "198.51.100.9", 4711)
ANN = Client(3, Role.SUBMISSION, "198.51.100.9", 4711, account="ann@home.example")
FAR = Etrn(EtrnKind.DOMAIN, "far.example")


class Counter:
    """A queue, and who is told of what."""

    def __init__(self) -> None:
        self.clock = HandClock(1000.0)
        self.store = MemoryQueueStore()
        self.reports: list[Report] = []
        self.revived: list[str] = []
        self.destinations = ["far.example", "sub.far.example", "sofar.example", "near.example night/2"]
        for number, destination in enumerate(self.destinations, 1):
            self._put(number, destination)
        self.starter = QueueStarter(
            self.store,
            is_trusted=lambda address: address == "192.0.2.1",
            clock=self.clock,
            reporter=Reporter([self.reports.append]),
            revive=self._revive,
        )

    def _put(self, number: int, destination: str) -> None:
        recipient = Recipient(Address("bob", destination.partition(" ")[0]))
        waiting = QueuedRecipient(
            0, recipient, RecipientState.DEFERRED, 3, self.clock.now() + 9000, destination=destination
        )
        message = Message(QueueId(number), 0.0, Envelope(None, (recipient,)), b"", 5)
        self.store.messages[message.queue_id] = Stored(message, b"", {0: waiting})

    def _revive(self, asked: Etrn) -> None:
        self.revived += [destination for destination in self.destinations if is_meant(asked, destination)]

    def due(self) -> list[str]:
        return sorted(one.waits_under for one in self.store.recipients() if one.next_attempt == self.clock.now())


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.mark.parametrize(
    ("asked", "due", "shown"),
    [
        (FAR, ["far.example"], "1 pending messages for node far.example"),
        (
            Etrn(EtrnKind.BELOW, "far.example"),
            ["far.example", "sub.far.example"],
            "2 pending messages for node @far.example",
        ),
        (Etrn(EtrnKind.QUEUE, "night"), ["near.example night/2"], "1 pending messages for node #night"),
    ],
)
async def test_what_waits_is_tried_now(counter: Counter, asked: Etrn, due: list[str], shown: str) -> None:
    reply = await counter.starter.start(TRUSTED, asked)
    assert (reply.code, reply.status) == (253, "2.0.0")
    assert shown in reply.text
    assert counter.due() == due
    assert sorted(counter.revived) == due
    (report,) = counter.reports
    assert isinstance(report, QueueActed)
    assert (report.action, report.recipients) == ("retry", len(due))
    assert "192.0.2.1" in report.what


async def test_where_nothing_waits(counter: Counter) -> None:
    for kind in EtrnKind:
        reply = await counter.starter.start(TRUSTED, Etrn(kind, "other.example"))
        assert (reply.code, reply.status) == (251, "2.0.0")
    assert not counter.due()
    assert not counter.revived
    assert not counter.reports


async def test_accounts_may_ask_and_strangers_may_not(counter: Counter) -> None:
    reply = await counter.starter.start(STRANGER, FAR)
    assert (reply.code, reply.status) == (459, "4.7.1")
    assert counter.due() == []
    assert (await counter.starter.start(ANN, FAR)).code == 253


async def test_a_name_is_good_once_a_minute(counter: Counter) -> None:
    assert (await counter.starter.start(TRUSTED, FAR)).code == 253
    counter.clock.advance(30)
    counter._put(9, "far.example")
    again = await counter.starter.start(ANN, FAR)
    assert again.code == 250
    assert counter.due() == []
    counter.clock.advance(31)
    assert (await counter.starter.start(TRUSTED, FAR)).code == 253


async def test_nobody_asks_for_everything(counter: Counter) -> None:
    reply = await counter.starter.start(TRUSTED, Etrn(EtrnKind.BELOW, "example"))
    assert reply.code == 459
    replies = [await counter.starter.start(ANN, Etrn(EtrnKind.DOMAIN, f"d{n}.example")) for n in range(40)]
    assert [reply.code for reply in replies] == [251] * 30 + [458] * 10
    assert (await counter.starter.start(TRUSTED, FAR)).code == 253


async def test_a_store_that_fails(counter: Counter) -> None:
    counter.store.failing.add("act")
    with pytest.raises(StoreUnavailable):
        await counter.starter.start(TRUSTED, FAR)
