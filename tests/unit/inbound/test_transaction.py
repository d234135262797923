"""What MAIL asked for by time reaches the envelope, and policy is told of each end once."""

import pytest
from tests.fakes.smtp_house import NOW, SmtpHouse

from postroom.inbound.heading import MAX_HEADER
from postroom.inbound.originator import Originator
from postroom.inbound.service import stages_of
from postroom.inbound.trace import Tracer
from postroom.inbound.transaction import Rooms, Transaction
from postroom.mail.address import Address
from postroom.mail.envelope import ByMode, DeliverBy, Envelope, Recipient
from postroom.mail.message import Message
from postroom.mail.reply import Reply
from postroom.mail.session import Client, Role
from postroom.policy.chain import Chain
from postroom.policy.networks import member_of
from postroom.policy.stage import AtMail, Stage
from postroom.policy.verdict import ACCEPT, Refuse, Verdict
from postroom.protocol.smtp.events import Mail

BOB = Address.parse("bob@local.example")
ANN = Address.parse("ann@remote.example")
CLIENT = Client(1, Role.MX, "192.0.2.1", 4711, "client.example", esmtp=True)


class Ends:
    """A policy step that keeps what it is told of ends."""

    def __init__(self, verdict: Verdict = ACCEPT) -> None:
        self.told: list[bool] = []
        self._verdict = verdict

    def stage(self) -> Stage:
        async def on_mail(_: AtMail) -> Verdict:
            return self._verdict

        return Stage(name="ends", on_mail=on_mail, on_end=lambda _, accepted: self.told.append(accepted))


def rooms(house: SmtpHouse, ends: Ends, *, submission: bool = False) -> Rooms:
    house.people.add_account(str(BOB), password="set")
    return Rooms(
        chain=Chain([*stages_of(Role.MX, house.house), ends.stage()]),
        resolver=house.directory,
        door=house.door,
        store=house.store,
        next_id=house.house.queue_ids.next,
        tracer=Tracer("mx.local.example"),
        clock=house.clock,
        reporter=house.house.reporter,
        settings=house.house.settings,
        originator=Originator(house.directory, "sender") if submission else None,
        may_hurry=member_of(()),
    )


async def begun(mail: Mail, house: SmtpHouse, ends: Ends | None = None) -> Transaction:
    transaction = Transaction(rooms(house, ends or Ends()), CLIENT, mail)
    assert (await transaction.open()).is_positive
    assert await transaction.add(Recipient(BOB)) is None
    transaction.begin_content()
    await transaction.take(b"Subject: hi\r\n\r\n")
    return transaction


async def envelope(mail: Mail, seconds: float) -> Envelope:
    """The envelope of a message whose content took so long to come."""
    house = SmtpHouse()
    transaction = await begun(mail, house)
    house.clock.advance(seconds)
    assert isinstance(await transaction.finish(), Message)
    return house.door.drafts[0].envelope


async def test_deliver_by_counts_from_mail() -> None:
    """RFC 2852 §4: the envelope's seconds count from when the message is complete."""
    by = (await envelope(Mail(ANN, deliver_by=DeliverBy(600, ByMode.RETURN, trace=True)), 20)).deliver_by
    assert by == DeliverBy(580, ByMode.RETURN, trace=True)
    assert by.ends_at(NOW + 20) == NOW + 600


async def test_a_notice_may_be_due_already() -> None:
    assert (await envelope(Mail(ANN, deliver_by=DeliverBy(10, ByMode.NOTIFY)), 30)).deliver_by == DeliverBy(
        -20, ByMode.NOTIFY
    )


async def test_time_that_runs_out_while_the_content_comes() -> None:
    """RFC 2852 §4.1.3: no delivery after that; whoever waits for the reply is told at once."""
    house = SmtpHouse()
    transaction = await begun(Mail(ANN, deliver_by=DeliverBy(10, ByMode.RETURN)), house)
    house.clock.advance(10)
    reply = await transaction.finish()
    assert isinstance(reply, Reply)
    assert (reply.code, reply.status) == (554, "5.4.7")
    assert house.door.drafts == []


async def test_holding_counts_from_mail() -> None:
    """RFC 4865 §4.2 (5), (6)."""
    assert (await envelope(Mail(ANN, hold_for=60), 20)).hold_until == NOW + 60
    assert (await envelope(Mail(ANN, hold_until=NOW + 99), 20)).hold_until == NOW + 99
    assert (await envelope(Mail(ANN), 20)).hold_until is None


async def test_policy_is_told_of_a_message() -> None:
    ends = Ends()
    transaction = await begun(Mail(ANN), SmtpHouse(), ends)
    assert ends.told == []
    await transaction.finish()
    await transaction.abandon()
    assert ends.told == [True]


async def test_policy_is_told_of_no_message() -> None:
    ends = Ends()
    transaction = await begun(Mail(ANN), SmtpHouse(), ends)
    await transaction.abandon()
    await transaction.abandon()
    await transaction.take(b"what still comes\r\n")
    assert ends.told == [False]


async def test_what_was_refused_has_no_end() -> None:
    ends = Ends(Refuse(Reply.of(550, "5.7.1", "No"), "no"))
    transaction = Transaction(rooms(SmtpHouse(), ends), CLIENT, Mail(ANN))
    assert (await transaction.open()).code == 550
    await transaction.abandon()
    assert ends.told == []


@pytest.mark.parametrize("account", ["", "bob@local.example"])
async def test_priority_is_for_those_who_log_in(account: str) -> None:
    """RFC 6710 §4.1."""
    client = Client(1, Role.MX, "192.0.2.1", 4711, account=account)
    reply = await Transaction(rooms(SmtpHouse(), Ends()), client, Mail(ANN, priority=1)).open()
    assert reply.status == ("2.1.0" if account else "2.3.6")


async def test_a_submitted_header_without_end_is_refused() -> None:
    house = SmtpHouse()
    transaction = Transaction(rooms(house, Ends(), submission=True), CLIENT, Mail(ANN))
    await transaction.open()
    await transaction.add(Recipient(BOB))
    transaction.begin_content()
    for _ in range(2 + MAX_HEADER // 60_000):
        await transaction.take(b"X: " + b"y" * 60_000 + b"\r\n")
    reply = await transaction.finish()
    assert isinstance(reply, Reply)
    assert (reply.code, reply.status) == (552, "5.3.4")
