"""Reports leave once a day, to those who want them then, in the form of RFC 9990 §3.5; days pass in no time."""

import asyncio
import email
import email.policy
import gzip
import re
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

import pytest
from tests.fakes.dmarc_store import MemoryDmarcStore
from tests.fakes.hand_clock import HandClock
from tests.unit.outbound.dmarcrpt.seen import FAILED, PASSED, REPORT, note, of_domain, with_record

from postroom.config.dmarcreports import DmarcReportSettings
from postroom.directory.model import Account, NotLocal, Resolution, Resolved, Unknown
from postroom.dns.resolver import Answer
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.address import Address
from postroom.mail.envelope import Notify
from postroom.mail.message import Message, QueueIds
from postroom.mail.trouble import StoreUnavailable
from postroom.mailauth.model import Policy
from postroom.outbound.daily.counts import DAY, TALLY_KEPT
from postroom.outbound.daily.door import ReportPost
from postroom.outbound.daily.rounds import AT_ONCE, GIVEN_UP_AFTER
from postroom.outbound.dmarcrpt import sending
from postroom.outbound.dmarcrpt.room import FORGET_EVERY, WRITTEN_AT_ONCE, DmarcRoom
from postroom.outbound.dmarcrpt.sending import SETTLING, SPREAD, DmarcReporter
from postroom.queue.model import Draft
from postroom.report.events import Report, StoreTrouble
from postroom.report.reporter import Reporter
from postroom.report.road import DmarcReportSent

US = "mail.us.example"
TODAY = 20_000


@dataclass
class Door:
    """``unavailable``: the store takes nothing in."""

    unavailable: bool = False
    drafts: list[Draft] = field(default_factory=list)

    async def accept(self, draft: Draft) -> Message:
        if self.unavailable:
            raise StoreUnavailable("full")
        self.drafts.append(draft)
        assert draft.content is not None
        return Message(draft.queue_id, draft.received_at, draft.envelope, b"", len(draft.content))


class World:
    def __init__(self, rua: str = "mailto:dmarc@example.org", **settings: object) -> None:
        self.zone = Zone.of({"_dmarc.example.org": {"TXT": [f"v=DMARC1; p=reject; rua={rua}"]}})
        self.clock = HandClock(TODAY * DAY + 50_000.0)
        self.store = MemoryDmarcStore()
        self.door = Door()
        self.signed = {US}
        self.told: list[Report] = []
        self.settings = DmarcReportSettings.model_validate(settings)
        self.ids = QueueIds(self.clock.now)
        self.start()

    def start(self) -> None:
        """As a process begins: nothing is in memory."""
        self.room = DmarcRoom(
            self.settings,
            hostname=US,
            resolver=ZoneResolver(self.zone),
            store=self.store,
            clock=self.clock,
            reporter=Reporter([self.told.append]),
        )
        self.reporter: DmarcReporter = self.room.reports(
            ReportPost(self.door, self.ids.next, self.clock, US), signs=self.signs, is_local=self.is_local
        )

    async def restart(self) -> None:
        """The process is killed, and another begins."""
        self.start()
        await self.room.start()

    def signs(self, domain: str) -> bool:
        return domain in self.signed

    async def is_local(self, domain: str) -> bool:
        return domain == "us.example"

    async def run(self, seconds: float, step: float = 300.0) -> None:
        """Time passes, with what the node does every so often."""
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            self.clock.advance(min(step, end - self.clock.now()))
            await self.room.tick()
            await self.reporter.send_due()

    async def next_day(self) -> None:
        """Until all of yesterday has been dealt with."""
        now = self.clock.now()
        await self.run((now // DAY + 1) * DAY - now + SETTLING + SPREAD + 300)

    def sent(self) -> list[tuple[str, EmailMessage, str]]:
        """Recipient, mail and XML of each."""
        found = []
        for draft in self.door.drafts:
            assert draft.content is not None
            message = email.message_from_bytes(draft.content, policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            xml = gzip.decompress(next(iter(message.iter_attachments())).get_content()).decode()
            found.append((str(draft.envelope.recipients[0].address), message, xml))
        return found

    def recipients(self) -> list[str]:
        return [recipient for recipient, _, _ in self.sent()]

    def troubles(self) -> list[str]:
        return [report.trouble for report in self.told if isinstance(report, DmarcReportSent) and report.trouble]


Txt = Callable[[ZoneResolver, str], Coroutine[Any, Any, Answer[bytes]]]


def silent_below(domain: str, real: Txt) -> Txt:
    """A resolver's method that gets no answer at a domain and below."""

    async def txt(resolver: ZoneResolver, name: str) -> Answer[bytes]:
        if name.endswith(domain):
            await asyncio.get_running_loop().create_future()
        return await real(resolver, name)

    return txt


@pytest.fixture
def world() -> World:
    return World()


def count_of(xml: str) -> int:
    return sum(int(count) for count in re.findall("<count>([0-9]+)</count>", xml))


async def test_a_report_of_yesterday_through_the_one_door(world: World) -> None:
    for _ in range(3):
        note(world.room.tally)
    note(world.room.tally, FAILED, disposition=Policy.REJECT)
    await world.next_day()
    ((recipient, message, xml),) = world.sent()
    assert recipient == "dmarc@example.org"
    assert count_of(xml) == 4
    (draft,) = world.door.drafts
    assert str(draft.envelope.reverse_path) == f"noreply-dmarc@{US}"
    assert message["From"] == f"noreply-dmarc@{US}"  # aligned: RFC 9990 §3.5.2
    assert draft.envelope.recipients[0].notify is Notify.NEVER
    assert draft.message_id == message["Message-ID"]
    assert "<email>postmaster@us.example</email>" in xml
    assert f"<org_name>{US}</org_name>" in xml
    assert world.told == [DmarcReportSent("example.org", "dmarc@example.org", 4)]
    assert world.store.counts == {}
    assert world.room.tally.counts.days() == ()


async def test_the_settings_say_who_reports() -> None:
    world = World(
        organization="Us, Inc.",
        sender="dmarc@us.example",
        contact="help@us.example",
        extra_contact="https://us.example",
    )
    world.signed = {"us.example"}
    note(world.room.tally)
    await world.next_day()
    ((_, message, xml),) = world.sent()
    assert message["From"] == "dmarc@us.example"
    assert "Submitter: us.example" in message["Subject"]
    for text in ("Us, Inc.", "help@us.example", "https://us.example"):
        assert f">{text}<" in xml


async def test_days_pass_with_restarts_and_each_is_reported_once(world: World) -> None:
    counted: Counter[int] = Counter()
    for day in range(TODAY, TODAY + 5):
        for hour in range(1, 24, 3):
            world.clock.time = day * DAY + hour * 3600.0
            note(world.room.tally, client=f"192.0.2.{hour}")
            counted[day * DAY] += 1
            await world.run(600)
            if hour % 2:
                await world.restart()
    await world.next_day()
    await world.run(3 * DAY, step=3600)
    reported = {int(begin): count_of(xml) for _, _, xml in world.sent() for begin in re.findall("<begin>(.*?)<", xml)}
    assert reported == counted
    assert len(world.door.drafts) == 5
    names = [message["Subject"] for _, message, _ in world.sent()]
    assert len(set(names)) == 5
    assert world.troubles() == []
    assert world.store.counts == {}


async def test_a_crash_between_sending_and_noting_that_sends_the_same_again(world: World) -> None:
    # RFC 9990 §3.5.4: it can be told that it is the same
    note(world.room.tally)
    await world.room.tick()
    kept = dict(world.store.counts)
    await world.next_day()
    world.store.counts = kept
    await world.restart()
    await world.run(60)
    (_, first, xml), (_, second, again) = world.sent()
    assert first["Subject"] == second["Subject"]
    assert xml == again
    (name,) = {next(iter(one.iter_attachments())).get_filename() for one in (first, second)}
    assert name


async def test_domains_have_their_own_moments_after_midnight(world: World) -> None:
    for number in range(40):
        name = f"d{number}.example"
        world.zone.add(f"_dmarc.{name}", "TXT", f"v=DMARC1; p=none; rua=mailto:a@{name}")
        note(world.room.tally, of_domain(name))
    await world.run((TODAY + 1) * DAY + SETTLING - world.clock.now())
    assert world.door.drafts == []
    moments = []
    for _ in range(72):
        before = len(world.door.drafts)
        await world.run(300)
        moments.append(len(world.door.drafts) - before)
    assert sum(moments) == 40
    assert max(moments) < 10


async def test_what_the_record_says_at_the_time_of_sending_counts(world: World) -> None:
    note(world.room.tally)
    world.zone.records["_dmarc.example.org"] = {"TXT": ("v=DMARC1; p=none; rua=mailto:new@example.org",)}
    await world.next_day()
    ((recipient, _, xml),) = world.sent()
    assert recipient == "new@example.org"
    assert "<p>reject</p>" in xml  # as it was seen


@pytest.mark.parametrize("record", [None, "v=DMARC1; p=reject", "v=DMARC1; p=reject; rua=https://r.example"])
async def test_who_asks_no_more_gets_nothing(world: World, record: str | None) -> None:
    note(world.room.tally)
    world.zone.records["_dmarc.example.org"] = {"TXT": (record,)} if record else {}
    await world.next_day()
    assert world.door.drafts == []
    assert world.store.counts == {}


async def test_everyone_who_is_named_and_agrees_gets_it() -> None:
    # RFC 9990 §3.5, §4
    world = World("mailto:a@example.org,mailto:b@red.example,mailto:c@blue.example")
    world.zone.add("example.org._report._dmarc.red.example", "TXT", "v=DMARC1")
    note(world.room.tally)
    await world.next_day()
    assert world.recipients() == ["a@example.org", "b@red.example"]
    assert all("blue.example does not accept reports on example.org" in xml for _, _, xml in world.sent())
    assert len({message["Subject"] for _, message, _ in world.sent()}) == 1


async def test_a_victim_named_in_a_record_gets_nothing() -> None:
    world = World("mailto:victim@victim.example")
    for _ in range(100):
        note(world.room.tally, FAILED)
    await world.next_day()
    assert world.door.drafts == []
    assert world.troubles() == ["rua: victim.example does not accept reports on example.org"]


async def test_a_report_for_each_policy_that_was_seen(world: World) -> None:
    # RFC 9990 §3.3
    note(world.room.tally)
    note(world.room.tally, with_record(PASSED, policy=Policy.NONE))
    await world.next_day()
    assert [re.findall("<p>(.*?)</p>", xml) for _, _, xml in world.sent()] == [["reject"], ["none"]]
    assert len({message["Subject"] for _, message, _ in world.sent()}) == 2


async def test_no_reports_about_nothing_but_reports(world: World) -> None:
    note(world.room.tally, header=REPORT)
    await world.next_day()
    assert world.door.drafts == []
    assert world.store.counts == {}
    note(world.room.tally, header=REPORT)
    note(world.room.tally)
    await world.next_day()
    ((_, _, xml),) = world.sent()
    assert re.findall("<count>(.*?)</count>", xml) == ["2"]  # alike but for that: one row


@pytest.mark.parametrize("suppress", ["example.org", "dmarc@example.org", "Dmarc@EXAMPLE.org"])
async def test_who_is_suppressed_gets_nothing(suppress: str) -> None:
    world = World(suppress=[suppress])
    note(world.room.tally)
    await world.next_day()
    assert world.door.drafts == []
    assert world.store.counts == {}


async def test_without_a_signature_nothing_leaves_and_that_is_told_once_a_day(world: World) -> None:
    # RFC 9990 §3.5.2: reports must pass DMARC
    world.signed.clear()
    note(world.room.tally)
    await world.next_day()
    assert world.door.drafts == []
    assert world.troubles() == [f"nothing signs mail from {US}: see postroom dkim"]
    world.signed.add(US)
    await world.run(600)
    assert world.recipients() == ["dmarc@example.org"]


async def test_a_dns_that_fails_puts_it_off_for_a_day(world: World) -> None:
    note(world.room.tally)
    world.zone.servfail.add("_dmarc.example.org")
    await world.next_day()
    started = world.clock.now()
    while world.room.tally.counts.days() and world.clock.now() < started + 2 * DAY:
        await world.run(600)
    assert world.clock.now() <= started + GIVEN_UP_AFTER
    assert world.troubles() == ["no answer for _dmarc.example.org TXT: SERVFAIL"]
    assert world.door.drafts == []
    assert world.store.counts == {}


async def test_name_servers_that_never_answer_hold_up_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "DNS_SECONDS", 0.01)
    monkeypatch.setattr(ZoneResolver, "txt", silent_below("slow.example", ZoneResolver.txt))
    world.zone.add("_dmarc.slow.example", "TXT", "v=DMARC1; p=reject; rua=mailto:r@slow.example")
    note(world.room.tally, of_domain("slow.example"))
    note(world.room.tally)
    await world.next_day()
    assert world.recipients() == ["dmarc@example.org"]


async def test_who_can_be_reached_does_not_wait_and_gets_it_once() -> None:
    world = World("mailto:r@red.example,mailto:a@example.org")
    world.zone.add("example.org._report._dmarc.red.example", "TXT", "v=DMARC1")
    world.zone.servfail.add("example.org._report._dmarc.red.example")
    note(world.room.tally)
    await world.next_day()
    assert world.recipients() == ["a@example.org"]
    await world.run(3 * 3600)
    world.zone.servfail.clear()
    await world.run(12 * 3600)
    assert world.recipients() == ["a@example.org", "r@red.example"]
    assert world.store.counts == {}


async def test_a_store_that_fails_loses_nothing(world: World) -> None:
    note(world.room.tally)
    world.store.unavailable = True
    with pytest.raises(StoreUnavailable):
        await world.room.tick()
    note(world.room.tally)
    world.store.unavailable = False
    world.door.unavailable = True
    with pytest.raises(StoreUnavailable):
        await world.next_day()
    world.door.unavailable = False
    await world.run(600)
    ((_, _, xml),) = world.sent()
    assert count_of(xml) == 2


async def test_a_flood_of_domains_leaves_in_rounds(world: World) -> None:
    for number in range(2 * AT_ONCE + 7):
        name = f"d{number}.example"
        world.zone.add(f"_dmarc.{name}", "TXT", f"v=DMARC1; p=none; rua=mailto:a@{name}")
        note(world.room.tally, of_domain(name))
    world.clock.time = (TODAY + 1) * DAY + SETTLING + SPREAD
    await world.room.tick()
    counts = []
    while world.room.tally.counts.days():
        before = len(world.door.drafts)
        await world.reporter.send_due()
        counts.append(len(world.door.drafts) - before)
    assert counts == [AT_ONCE, AT_ONCE, 7]
    assert world.store.counts == {}


async def test_a_flood_of_counts_is_written_in_pieces(world: World) -> None:
    for number in range(WRITTEN_AT_ONCE + 500):
        note(world.room.tally, of_domain(f"d{number}.example"))
    await world.room.tick()
    assert world.store.saves == 2
    assert len(world.store.counts) == WRITTEN_AT_ONCE + 500
    await world.room.tick()
    assert world.store.saves == 2


async def test_days_that_are_over_are_forgotten(world: World) -> None:
    note(world.room.tally)
    world.signed.clear()
    await world.run((TALLY_KEPT + 1) * DAY, step=FORGET_EVERY)
    assert world.store.counts == {}
    assert world.room.tally.counts.days() == ()


async def test_the_end_of_a_process_writes_what_is_left(world: World) -> None:
    note(world.room.tally)
    await world.room.close()
    assert len(world.store.counts) == 1
    note(world.room.tally)
    world.store.unavailable = True
    await world.room.close()
    assert [type(report) for report in world.told] == [StoreTrouble]


ANN = Account(1, Address("ann", "us.example"), "hash", 0, True, 0.0)


@pytest.mark.parametrize(
    ("address", "known", "leads_to"),
    [
        (f"noreply-dmarc@{US}", NotLocal(), Resolved(())),
        (f"NoReply-DMARC@{US}", Unknown(), Resolved(())),
        (f"noreply-dmarc@{US}", Resolved((ANN,)), Resolved((ANN,))),
        (f"other@{US}", Unknown(), Unknown()),
        ("noreply-dmarc@elsewhere.example", NotLocal(), NotLocal()),
    ],
)
async def test_bounces_of_reports_are_taken_and_bother_nobody(
    world: World, address: str, known: Resolution, leads_to: Resolution
) -> None:
    async def resolve(_: Address) -> Resolution:
        return known

    assert await world.room.resolving(resolve)(Address.parse(address)) == leads_to


def test_without_reports_the_directory_is_asked_as_ever() -> None:
    async def resolve(_: Address) -> Resolution:
        return Unknown()

    assert World(enabled=False).room.resolving(resolve) is resolve
