"""Reports leave once a day, by mail and HTTPS, in the form of RFC 8460 §4.4 and §5."""

import email
import email.policy
import gzip
import json
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from typing import Any

import pytest
from tests.fakes.hand_clock import HandClock
from tests.fakes.tls_store import MemoryTlsStore

from postroom.config.road import TlsrptSettings
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.delivery import Peer
from postroom.mail.message import Message, QueueIds
from postroom.outbound.daily.counts import DAY
from postroom.outbound.daily.door import ReportPost
from postroom.outbound.daily.rounds import AT_ONCE, GIVEN_UP_AFTER
from postroom.outbound.https import HttpsFailed
from postroom.outbound.mxtls import TLS_REQUIRED_NO
from postroom.outbound.tlsmet import NO_POLICY, AppliedPolicy, TlsMet
from postroom.outbound.tlsrpt.sending import JITTER, ReportRooms, TlsReporter
from postroom.outbound.tlsrpt.tally import TlsTally
from postroom.outbound.tlsstore import TlsLevel, TlsRecord
from postroom.queue.model import Draft
from postroom.report.events import Report
from postroom.report.road import TlsReportSent

STS = AppliedPolicy("sts", ("version: STSv1", "mode: testing"), ("*.example.org",))
PEER = Peer("mx.example.org", "192.0.2.1", 25, "TLSv1.3 AES", "sts testing", "198.51.100.7")
GOOD = TlsMet("site", ("example.org",), STS, PEER, TlsLevel.VERIFIED)
BAD = replace(GOOD, failure="certificate-expired", reason="it has expired")


@dataclass
class Doors:
    """Door and poster; ``failure`` and ``status`` are what posting gives."""

    failure: HttpsFailed | None = None
    status: int = 201
    drafts: list[Draft] = field(default_factory=list)
    posted: list[tuple[str, bytes, str]] = field(default_factory=list)

    async def accept(self, draft: Draft) -> Message:
        self.drafts.append(draft)
        assert draft.content is not None
        return Message(draft.queue_id, draft.received_at, draft.envelope, b"", len(draft.content))

    async def post(self, url: str, body: bytes, media_type: str, *, seconds: float) -> int:
        self.posted.append((url, body, media_type))
        if self.failure is not None:
            raise self.failure
        return self.status


class World:
    def __init__(self, record: str = "v=TLSRPTv1; rua=mailto:tls@example.org") -> None:
        self.zone = Zone.of({"_smtp._tls.example.org": {"TXT": [record]}} if record else {})
        self.clock = HandClock(20_000 * DAY + 50_000.0)
        self.tally = TlsTally(self.clock, enabled=True)
        self.store = MemoryTlsStore()
        self.doors = Doors()
        self.told: list[Report] = []
        settings = TlsrptSettings(enabled=True, organization="Us, Inc.", contact="tls@us.example")
        rooms = ReportRooms(
            tally=self.tally,
            store=self.store,
            resolver=ZoneResolver(self.zone),
            https=self.doors,
            post=ReportPost(self.doors, QueueIds(self.clock.now).next, self.clock, "mail.us.example"),
            clock=self.clock,
            tell=self.told.append,
            chance=lambda: 0.5,
        )
        self.reporter = TlsReporter(settings, "mail.us.example", rooms)

    async def next_day(self) -> None:
        """What was counted is written; it is time to report."""
        await self.store.save(TlsRecord(tallies=self.tally.changed()))
        self.clock.time = 20_001 * DAY + JITTER / 2
        await self.reporter.send_due()

    def report(self) -> dict[str, Any]:
        (draft,) = self.doors.drafts
        return unpack(parse(draft))


def parse(draft: Draft) -> EmailMessage:
    assert draft.content is not None
    return email.message_from_bytes(draft.content, policy=email.policy.default)


def unpack(message: EmailMessage) -> dict[str, Any]:
    part = list(message.iter_parts())[1]
    return json.loads(gzip.decompress(part.get_content()))  # type: ignore[no-any-return]


@pytest.fixture
def world() -> World:
    return World()


async def test_the_report_of_a_day(world: World) -> None:
    # RFC 8460 §4.4, §4.5
    for met in (GOOD, GOOD, BAD, replace(GOOD, applied=NO_POLICY)):
        world.tally.note(met)
    await world.next_day()
    report = world.report()
    assert report["organization-name"] == "Us, Inc."
    assert report["contact-info"] == "tls@us.example"
    assert report["date-range"] == {
        "start-datetime": "2024-10-04T00:00:00Z",
        "end-datetime": "2024-10-04T23:59:59Z",
    }
    nothing, sts = sorted(report["policies"], key=lambda each: str(each["policy"]["policy-type"]))
    assert nothing == {
        "policy": {"policy-type": "no-policy-found", "policy-domain": "example.org"},
        "summary": {"total-successful-session-count": 1, "total-failure-session-count": 0},
    }
    assert sts == {
        "policy": {
            "policy-type": "sts",
            "policy-string": ["version: STSv1", "mode: testing"],
            "policy-domain": "example.org",
            "mx-host": ["*.example.org"],
        },
        "summary": {"total-successful-session-count": 2, "total-failure-session-count": 1},
        "failure-details": [
            {
                "result-type": "certificate-expired",
                "sending-mta-ip": "198.51.100.7",
                "receiving-mx-hostname": "mx.example.org",
                "receiving-ip": "192.0.2.1",
                "failed-session-count": 1,
                "failure-reason-code": "it has expired",
            }
        ],
    }


async def test_the_mail_that_carries_it(world: World) -> None:
    # RFC 8460 §5.1, §5.3
    world.tally.note(GOOD)
    await world.next_day()
    (draft,) = world.doors.drafts
    assert draft.envelope.reverse_path is None
    assert [str(one.address) for one in draft.envelope.recipients] == ["tls@example.org"]
    assert draft.tags == (TLS_REQUIRED_NO,)
    message = parse(draft)
    assert message.get_content_type() == "multipart/report"
    assert message["Content-Type"].params["report-type"] == "tlsrpt"
    assert message["TLS-Report-Domain"] == "example.org"
    assert message["TLS-Report-Submitter"] == "us.example"
    assert message["TLS-Required"] == "No"
    report_id = unpack(message)["report-id"]
    assert message["Subject"] == f"Report Domain: example.org Submitter: us.example Report-ID: <{report_id}>"
    text, attached = message.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert attached.get_content_type() == "application/tlsrpt+gzip"
    name = attached.get_filename()
    assert name is not None
    sender, domain, start, end, rest = name.split("!")
    assert (sender, domain, int(start), int(end)) == ("us.example", "example.org", 20_000 * DAY, 20_001 * DAY - 1)
    mark, _, extension = rest.partition(".")
    assert mark.isalnum()
    assert extension == "json.gz"
    assert draft.content is not None
    assert draft.content.isascii()
    assert all(len(line) <= 78 or b"filename" in line for line in draft.content.split(b"\r\n"))
    assert b"\n" not in draft.content.replace(b"\r\n", b"")


async def test_it_is_sent_once_and_not_before_its_time(world: World) -> None:
    world.tally.note(GOOD)
    await world.store.save(TlsRecord(tallies=world.tally.changed()))
    await world.reporter.send_due()
    world.clock.time = 20_001 * DAY + JITTER / 2 - 1
    await world.reporter.send_due()
    assert world.doors.drafts == []
    await world.next_day()
    await world.reporter.send_due()
    assert len(world.doors.drafts) == 1
    assert world.told == [TlsReportSent("example.org", "mailto:tls@example.org", 1, 0)]
    assert world.store.tallies == {}


@pytest.mark.parametrize("record", ["", "v=TLSRPTv1; rua=http://plain.example/", "v=spf1 -all"])
async def test_who_does_not_ask_gets_none(record: str) -> None:
    world = World(record)
    world.tally.note(GOOD)
    await world.next_day()
    assert world.doors.drafts == []
    assert world.told == []
    assert world.tally.counts.days() == ()
    assert world.store.tallies == {}


async def test_by_https() -> None:
    # RFC 8460 §5.4
    world = World("v=TLSRPTv1; rua=https://r.example.org/v1")
    world.tally.note(BAD)
    await world.next_day()
    ((url, body, media_type),) = world.doors.posted
    assert (url, media_type) == ("https://r.example.org/v1", "application/tlsrpt+gzip")
    assert json.loads(gzip.decompress(body))["policies"][0]["summary"]["total-failure-session-count"] == 1
    assert world.told == [TlsReportSent("example.org", url, 1, 1)]


@pytest.mark.parametrize("doors", [{"failure": HttpsFailed("refused")}, {"status": 503}, {"status": 302}])
async def test_what_nobody_takes_is_tried_again_for_a_day(doors: dict[str, Any]) -> None:
    # RFC 8460 §5.5
    world = World("v=TLSRPTv1; rua=https://r.example.org/v1")
    for name, given in doors.items():
        setattr(world.doors, name, given)
    world.tally.note(GOOD)
    await world.next_day()
    started = world.clock.now()
    while world.tally.counts.days() and world.clock.now() < started + 2 * DAY:
        world.clock.advance(60)
        await world.reporter.send_due()
    assert 5 <= len(world.doors.posted) <= 10
    assert world.clock.now() <= started + GIVEN_UP_AFTER
    assert len({body for _, body, _ in world.doors.posted}) == 1
    (told,) = world.told
    assert isinstance(told, TlsReportSent)
    assert told.trouble


async def test_a_retry_that_works_is_the_end_of_it() -> None:
    world = World("v=TLSRPTv1; rua=https://r.example.org/v1")
    world.doors.status = 500
    world.tally.note(GOOD)
    await world.next_day()
    world.doors.status = 200
    world.clock.advance(3600)
    await world.reporter.send_due()
    await world.reporter.send_due()
    assert len(world.doors.posted) == 2
    assert world.told == [TlsReportSent("example.org", "https://r.example.org/v1", 1, 0)]


async def test_one_endpoint_that_takes_it_is_enough() -> None:
    world = World("v=TLSRPTv1; rua=https://r.example.org/v1,mailto:tls@example.org")
    world.doors.status = 500
    world.tally.note(GOOD)
    await world.next_day()
    assert len(world.doors.drafts) == 1
    assert world.tally.counts.days() == ()
    assert [bool(report.trouble) for report in world.told if isinstance(report, TlsReportSent)] == [True, False]


async def test_a_dns_that_fails_puts_it_off(world: World) -> None:
    world.zone.servfail.add("_smtp._tls.example.org")
    world.tally.note(GOOD)
    await world.next_day()
    world.zone.servfail.clear()
    world.clock.advance(3600)
    await world.reporter.send_due()
    assert len(world.doors.drafts) == 1


async def test_many_domains_take_several_rounds() -> None:
    world = World("")
    world.zone.records["*._tls.x"] = {}
    for number in range(AT_ONCE + 5):
        name = f"d{number}.example"
        world.zone.add(f"_smtp._tls.{name}", "TXT", f"v=TLSRPTv1; rua=mailto:a@{name}")
        world.tally.note(replace(GOOD, domains=(name,)))
    await world.next_day()
    assert len(world.doors.drafts) == AT_ONCE
    await world.reporter.send_due()
    assert len(world.doors.drafts) == AT_ONCE + 5


def test_a_contact_that_is_no_address_is_told_at_once(world: World) -> None:
    rooms = world.reporter._rooms
    with pytest.raises(ValueError, match=r".+"):
        TlsReporter(TlsrptSettings(contact="nobody"), "mail.us.example", rooms)
    default = TlsReporter(TlsrptSettings(), "mail.us.example", rooms)
    assert str(default._reporting.contact) == "postmaster@mail.us.example"
