"""People are told of limits in plain words, once a day, by mail that nothing answers and that nothing follows from."""

import asyncio
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from tests.fakes.hand_clock import HandClock

from postroom.admin.notices import SILENCE, NoticeRooms, Notices
from postroom.config.guard import LimitSettings
from postroom.mail.message import Message, QueueIds
from postroom.mail.trouble import StoreUnavailable
from postroom.queue.model import Draft
from postroom.report.events import LimitNear, LimitReached, Report
from postroom.report.reporter import Reporter

NOW = 1_800_000_000.0
NEAR = LimitNear("account_messages", "alice@example.org", "60/1m", 0.8)
REACHED = LimitReached("account_messages", "alice@example.org", "60/1m", NOW + 12, "192.0.2.7")


@dataclass
class KeepingDoor:
    """``drafts`` is what came in; ``error`` is raised instead."""

    drafts: list[Draft] = field(default_factory=list)
    error: Exception | None = None

    async def accept(self, draft: Draft) -> Message:
        if self.error is not None:
            raise self.error
        self.drafts.append(draft)
        return Message(draft.queue_id, draft.received_at, draft.envelope, draft.prefix, draft.content_size)


class Office:
    """Notices over a door that keeps what it is given."""

    def __init__(self, *, hostname: str = "mx.example.org", postmaster: str = "", tell_owner: bool = True) -> None:
        self.clock = HandClock(NOW)
        self.door = KeepingDoor()
        self.notices = Notices(
            NoticeRooms(
                hostname=hostname,
                postmaster=postmaster,
                settings=LimitSettings.model_validate({"tell_owner": tell_owner}),
                is_local=self.is_local,
                door=self.door,
                next_id=QueueIds(self.clock.now).next,
                clock=self.clock,
            )
        )
        self.reporter = Reporter(choosers=[self.notices.choose])

    async def is_local(self, domain: str) -> bool:
        return domain == "example.org"

    async def tell(self, *reports: Report) -> list[EmailMessage]:
        """What is written after these reports."""
        self.door.drafts.clear()
        for report in reports:
            self.reporter.tell(report)
        writing = asyncio.create_task(self.notices.write())
        for _ in range(10):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        parse = policy.default
        return [message_from_bytes(d.content or b"", policy=parse) for d in self.door.drafts]

    @property
    def recipients(self) -> list[str]:
        return [str(one.address) for draft in self.door.drafts for one in draft.envelope.recipients]


async def test_owner_and_operator_are_told() -> None:
    office = Office()
    to_owner, _ = await office.tell(NEAR)
    assert office.recipients == ["alice@example.org", "postmaster@example.org"]
    assert to_owner["To"] == "alice@example.org"
    assert to_owner["Subject"] == "Limit nearly reached: alice@example.org"
    assert "80% of the limit of 60 messages per minute" in to_owner.get_content()
    assert "change it now" in to_owner.get_content()


async def test_nothing_ever_answers_a_notice() -> None:
    """RFC 3834 §5: auto-generated; and the null sender, so that neither a bounce nor a vacation reply comes of it."""
    office = Office()
    for message in await office.tell(NEAR, REACHED):
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["From"] == "Postmaster <postmaster@mx.example.org>"
        assert message["Message-ID"]
        assert message["Date"]
    assert {draft.envelope.reverse_path for draft in office.door.drafts} == {None}
    # It counts for nobody: no account brought it, and no client.
    assert {(draft.account, draft.client) for draft in office.door.drafts} == {("", None)}


async def test_what_is_said_at_the_limit() -> None:
    to_owner, to_operator = await Office().tell(REACHED)
    assert "room again from 2027-01-15 08:00:12 UTC" in to_owner.get_content()
    assert "192.0.2.7" in to_owner.get_content()
    assert "postroom limits show alice@example.org" in to_operator.get_content()


async def test_the_same_is_told_once_a_day() -> None:
    office = Office()
    assert len(await office.tell(NEAR, NEAR, REACHED, REACHED)) == 4
    assert await office.tell(NEAR, REACHED) == []
    office.clock.advance(SILENCE + 1)
    assert len(await office.tell(NEAR)) == 2


async def test_strangers_on_mx_are_not_written_about() -> None:
    assert await Office().tell(LimitReached("address_messages", "192.0.2.9", "600/1m", NOW, "192.0.2.9")) == []


@pytest.mark.parametrize(
    ("office", "recipients"),
    [
        (Office(postmaster="root@elsewhere.example"), ["alice@example.org", "root@elsewhere.example"]),
        (Office(postmaster="alice@example.org"), ["alice@example.org"]),
        (Office(tell_owner=False), ["postmaster@example.org"]),
        (Office(hostname="example.org"), ["alice@example.org", "postmaster@example.org"]),
        (Office(hostname="mx.example.net"), ["alice@example.org"]),
        (Office(hostname="localhost"), ["alice@example.org"]),
    ],
)
async def test_who_is_told(office: Office, recipients: list[str]) -> None:
    await office.tell(NEAR)
    assert office.recipients == recipients


async def test_limits_of_domains_are_the_operators_business() -> None:
    office = Office()
    (message,) = await office.tell(LimitNear("destination_messages", "example.net", "100/1h", 0.9))
    assert office.recipients == ["postmaster@example.org"]
    assert "destination_messages under [limits]" in message.get_content()


async def test_an_attack_with_many_accounts_does_not_fill_the_operators_mailbox() -> None:
    office = Office(tell_owner=False)
    for number in range(200):
        await office.tell(LimitNear("account_messages", f"user{number}@example.org", "60/1m", 0.8))
        office.clock.advance(1)
    assert await office.tell(LimitNear("account_messages", "late@example.org", "60/1m", 0.8)) == []
    office.clock.advance(3600)
    assert len(await office.tell(NEAR)) == 1


async def test_international_addresses() -> None:
    office = Office()
    (message, _) = await office.tell(LimitNear("account_messages", "jürgen@example.org", "60/1m", 0.8))
    assert office.door.drafts[0].envelope.smtputf8
    assert "jürgen@example.org" in message.get_content()


async def test_a_store_in_trouble_is_heard_of() -> None:
    office = Office()
    office.door.error = StoreUnavailable("disk full", full=True)
    office.notices.tell(NEAR)
    with pytest.raises(StoreUnavailable):
        await office.notices.write()
