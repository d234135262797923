"""What follows from mail that came back: bounces and complaints, honest and forged, in standard and odd forms."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest
from tests.fakes.hand_clock import HandClock
from tests.fakes.memory_house import MemoryHistory
from tests.fakes.returned_store import MemoryReturnedStore

from postroom.config.replyrules import reply_classifier
from postroom.config.reports import ReportsSettings
from postroom.config.road import ReturnsSettings, SuppressionSettings
from postroom.mail.address import Address
from postroom.mail.bounces.model import Bounce, Complaint
from postroom.mail.bounces.read import read_bounce
from postroom.mail.cause import Cause
from postroom.mail.message import QueueId, show_queue_id
from postroom.mail.returnpath import ReturnPaths
from postroom.mailauth.reports.model import ComplaintReport
from postroom.queue.returned import ReturnDesk
from postroom.queue.returnmodel import ReturnedMail
from postroom.report.events import InternalError, Report
from postroom.report.history import HistoryRow
from postroom.report.reporter import Reporter
from postroom.report.road import AddressSuppressed, BounceReturned, ComplaintReturned
from postroom.reputation.model import Origin

NOW = 1_800_000_000.0
DAY = 86400.0
HOST = "mx.ours.example"
ANN = "ann@ours.example"
RITA = "rita@far.example"
SENT = QueueId(1 << 50)
CAME = QueueId((1 << 50) + 1000)
PATHS = ReturnPaths(b"s" * 32, 14 * DAY)
READ = partial(read_bounce, classifier=reply_classifier())

HEAD = b"From: Mail Delivery System <MAILER-DAEMON@far.example>\r\nTo: <ann@ours.example>\r\nSubject: %s\r\n"


def dsn(
    status: str = "5.1.1",
    diagnostic: str = "550 5.1.1 <rita@far.example>: no such user",
    recipient: str = RITA,
    action: str = "failed",
    returned: str = "",
    envid: str = "",
) -> bytes:
    """A bounce in the form of RFC 3464."""
    envelope = f"Original-Envelope-Id: {envid}\r\n" if envid else ""
    text = (
        'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\n\r\nYour message could not be delivered.\r\n"
        f"--b\r\nContent-Type: message/delivery-status\r\n\r\n{envelope}Reporting-MTA: dns; mx.far.example\r\n\r\n"
        f"Final-Recipient: rfc822; {recipient}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; {diagnostic}\r\n\r\n"
        "--b\r\nContent-Type: text/rfc822-headers\r\n\r\n"
        f"{returned}From: ann@ours.example\r\nSubject: hi\r\n\r\n--b--\r\n"
    )
    return HEAD % b"Undelivered Mail Returned to Sender" + text.encode()


def arf(recipient: str = RITA, kind: str = "abuse", returned: str = "", mail_from: str = ANN) -> bytes:
    """A complaint (RFC 5965)."""
    named = f"Original-Rcpt-To: {recipient}\r\n" if recipient else ""
    text = (
        'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary="b"\r\n\r\n'
        "--b\r\n\r\nThis is a complaint.\r\n"
        "--b\r\nContent-Type: message/feedback-report\r\n\r\n"
        f"Feedback-Type: {kind}\r\nUser-Agent: x/1\r\nVersion: 1\r\n"
        f"Original-Mail-From: <{mail_from}>\r\n{named}\r\n"
        f"--b\r\nContent-Type: message/rfc822\r\n\r\n{returned}From: ann@ours.example\r\n\r\nhi\r\n--b--\r\n"
    )
    return b"From: feedback@isp.example\r\nSubject: complaint\r\n" + text.encode()


WORDS = HEAD % b"failure notice" + (
    b"\r\nHi. This is the qmail-send program at far.example.\r\nI'm afraid I wasn't able to deliver your message to "
    b"the following addresses.\r\n\r\n<rita.new@inner.far.example>:\r\n"
    b"Sorry, no mailbox here by that name. (#5.1.1)\r\n\r\n"
    b"--- Below this line is a copy of the message.\r\n\r\nSubject: hi\r\n\r\nhello\r\n"
)
VACATION = (
    b"From: rita@far.example\r\nSubject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\nI am away: 550.\r\n"
)


class Contents:
    """Contents by queue id."""

    def __init__(self) -> None:
        self.of: dict[QueueId, bytes] = {}

    async def read_content(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        content = self.of[queue_id]
        for at in range(0, len(content), 1000):
            yield content[at : at + 1000]


class World:
    """One message from Ann to Rita was relayed yesterday; what comes back is looked at."""

    def __init__(self, **suppression: object) -> None:
        self.clock = HandClock(NOW)
        self.store = MemoryReturnedStore()
        self.contents = Contents()
        self.reports: list[Report] = []
        self.settings = SuppressionSettings(**suppression)
        self.history = self.store.history
        self.read = READ
        self.desk: ReturnDesk | None = None
        self.accepted()
        self.relayed(RITA)

    def accepted(self, sender: str = ANN, account: str = ANN) -> None:
        detail = {"from": sender, "to": [RITA], "account": account}
        row = HistoryRow(SENT, NOW - DAY, "accepted", RITA, "ours.example", "<1@ours.example>", json.dumps(detail))
        self.history[:] = [row, *[one for one in self.history if one.kind != "accepted"]]

    def relayed(self, recipient: str, at: float = NOW - DAY, path: object = "") -> None:
        detail = {"host": "mx.far.example", **({"return_path": str(path)} if path else {})}
        domain = recipient.partition("@")[2]
        self.history.append(HistoryRow(SENT, at, "relayed", recipient, domain, "", json.dumps(detail)))

    def verp(self, recipient: str = RITA) -> str:
        path = PATHS.verp(SENT, Address.parse(recipient), "ours.example", NOW - DAY)
        self.history[:] = [row for row in self.history if row.recipient != recipient or row.kind == "accepted"]
        self.relayed(recipient, path=path)
        return str(path)

    def comes(self, content: bytes, to: str = ANN, number: int = 0, *, null_sender: bool = True) -> None:
        queue_id = QueueId(CAME + number)
        self.contents.of[queue_id] = content
        self.store.noted.append(ReturnedMail(queue_id, self.clock.now(), (to,), null_sender))

    async def look(self) -> int:
        desk = self.desk = self.desk or ReturnDesk(
            store=self.store,
            contents=self.contents,
            history=MemoryHistory(self.history),
            paths=PATHS,
            read=self.read,
            hostname=HOST,
            returns=ReturnsSettings(),
            reports=ReportsSettings(),
            suppression=self.settings,
            clock=self.clock,
            reporter=Reporter([self.reports.append]),
        )
        return await desk.work()

    async def back(self, content: bytes, to: str = ANN, number: int = 0) -> list[HistoryRow]:
        """The rows that one returned mail makes."""
        before = len(self.history)
        self.comes(content, to, number)
        await self.look()
        return self.history[before:]


BY_ID = "Message-ID: <1@ours.example>\r\n"
BY_RECEIVED = (
    f"Received: from client (client [192.0.2.1])\r\n\tby {HOST} with ESMTPSA (TLSv1.3 X)\r\n"
    f"\tid {show_queue_id(SENT)}\r\n\tfor <{RITA}>;\r\n\tFri, 15 Jan 2027 08:00:00 +0000\r\n"
)


async def test_a_bounce_to_a_token_is_noted_at_the_message_and_suppresses() -> None:
    world = World()
    (row,) = await world.back(dsn(), world.verp())
    assert (row.queue_id, row.kind, row.recipient, row.domain, row.at) == (SENT, "bounced", RITA, "far.example", NOW)
    assert json.loads(row.detail) == {
        "by": "verp",
        "returned": show_queue_id(CAME),
        "cause": "mailbox_unknown",
        "reply": "550 5.1.1 <rita@far.example>: no such user",
    }
    (event,) = world.store.suppressions
    assert (event.key, event.origin, event.cause) == (("ours.example", RITA), Origin.BOUNCE, "mailbox_unknown")
    assert event.until == NOW + 90 * DAY
    assert world.reports == [
        BounceReturned(SENT, RITA, Cause.MAILBOX_UNKNOWN, True, "verp"),
        AddressSuppressed("ours.example", RITA, "mailbox_unknown", NOW + 90 * DAY),
    ]
    assert world.store.noted == []


async def test_a_token_tells_who_it_is_about_where_the_bounce_does_not() -> None:
    world = World()
    (row,) = await world.back(WORDS, world.verp())
    assert row.recipient == RITA
    assert json.loads(row.detail)["cause"] == "mailbox_unknown"
    assert [event.recipient for event in world.store.suppressions] == [Address.parse(RITA)]


async def test_the_token_decides_and_not_what_the_bounce_says() -> None:
    world = World()
    world.relayed("victim@far.example")
    (row,) = await world.back(dsn(recipient="victim@far.example", returned=BY_ID), world.verp())
    assert row.recipient == RITA


@pytest.mark.parametrize(
    ("bounce", "by"),
    [
        (dsn(returned=BY_ID), "message_id"),
        (dsn(returned=BY_RECEIVED), "queue_id"),
        (dsn(envid=show_queue_id(SENT)), "envid"),
    ],
)
async def test_without_a_token_the_history_vouches(bounce: bytes, by: str) -> None:
    world = World()
    (row,) = await world.back(bounce)
    assert (row.queue_id, row.recipient) == (SENT, RITA)
    assert json.loads(row.detail)["by"] == by
    assert len(world.store.suppressions) == 1


@pytest.mark.parametrize(
    ("bounce", "to"),
    [
        (dsn(returned=BY_ID, recipient="bob@far.example"), ANN),  # nobody whom it went to
        (dsn(returned=BY_ID), "ben@ours.example"),  # not back to whoever sent it
        (dsn(returned="Message-ID: <2@ours.example>\r\n"), ANN),  # no message of ours
        (dsn(), ANN),  # no message at all
        (dsn(returned=BY_RECEIVED.replace(HOST, "mx.other.example")), ANN),
        (dsn(returned=BY_RECEIVED.replace(show_queue_id(SENT), show_queue_id(SENT + 5))), ANN),
        (dsn(), f"b-{'a' * 32}@ours.example"),  # a forged token
        (VACATION, ANN),
        (b"", ANN),
    ],
)
async def test_what_is_forged_or_says_nothing_counts_for_nothing(bounce: bytes, to: str) -> None:
    world = World()
    assert await world.back(bounce, to) == []
    assert world.store.suppressions == []
    assert world.reports == []
    assert world.store.noted == []


async def test_a_bounce_without_a_token_is_not_believed_where_there_was_one() -> None:
    world = World()
    world.verp()
    assert await world.back(dsn(returned=BY_ID)) == []


async def test_a_bounce_for_what_went_long_ago_counts_for_nothing() -> None:
    world = World()
    world.history[:] = world.history[:1]
    world.relayed(RITA, at=NOW - 15 * DAY)
    assert await world.back(dsn(returned=BY_ID)) == []


async def test_a_vacation_note_to_a_token_is_no_bounce() -> None:
    world = World()
    assert await world.back(VACATION, world.verp()) == []


async def test_the_same_bounce_twice_counts_once() -> None:
    world = World()
    path = world.verp()
    world.comes(dsn(), path, 0)
    world.comes(dsn(), path, 1)
    assert await world.look() == 2
    assert await world.back(dsn(), path, 2) == []
    assert len(world.store.suppressions) == 1


async def test_a_delay_is_noted_and_suppresses_nothing_and_the_failure_after_it_does() -> None:
    world = World()
    path = world.verp()
    (row,) = await world.back(dsn("4.2.2", "452 4.2.2 mailbox full", action="delayed"), path)
    assert row.kind == "delayed"
    assert world.store.suppressions == []
    (row,) = await world.back(dsn(), path, 1)
    assert row.kind == "bounced"
    assert await world.back(dsn("4.2.2", "452 4.2.2 mailbox full", action="delayed"), path, 2) == []
    assert len(world.store.suppressions) == 1


async def test_a_dsn_of_success_is_no_bounce() -> None:
    world = World()
    assert await world.back(dsn("2.0.0", "250 2.0.0 ok", action="delivered"), world.verp()) == []


@pytest.mark.parametrize(
    ("status", "diagnostic"),
    [
        ("5.7.1", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using Spamhaus"),
        ("5.2.2", "552 5.2.2 mailbox is full"),
        ("5.7.26", "550 5.7.26 This mail is unauthenticated: SPF and DKIM did not pass"),
    ],
)
async def test_what_is_about_us_or_passes_suppresses_nobody(status: str, diagnostic: str) -> None:
    world = World()
    (row,) = await world.back(dsn(status, diagnostic), world.verp())
    assert row.kind == "bounced"
    assert world.store.suppressions == []


async def test_mail_that_no_account_sent_suppresses_nobody() -> None:
    world = World()
    world.accepted(sender="sam@sender.example", account="")
    path = PATHS.srs(Address.parse("sam@sender.example"), "ours.example", NOW - DAY)
    (row,) = await world.back(dsn(returned=BY_ID), str(path))
    assert row.kind == "bounced"
    assert world.store.suppressions == []


async def test_several_bounces_may_be_asked_for() -> None:
    world = World(bounces=2)
    await world.back(dsn(), world.verp())
    assert len(world.store.suppressions) == 1
    assert not [report for report in world.reports if isinstance(report, AddressSuppressed)]


async def test_with_suppression_off_bounces_are_noted_all_the_same() -> None:
    world = World(enabled=False)
    assert len(await world.back(dsn(), world.verp())) == 1
    assert world.store.suppressions == []


@pytest.mark.parametrize("recipient", [RITA, ""])
async def test_a_complaint_is_noted_and_suppresses_for_long(recipient: str) -> None:
    world = World()
    (row,) = await world.back(arf(recipient, returned=BY_ID), "fbl@ours.example")
    assert (row.queue_id, row.kind, row.recipient) == (SENT, "complained", RITA)
    assert json.loads(row.detail)["type"] == "abuse"
    (event,) = world.store.suppressions
    assert (event.origin, event.cause, event.until) == (Origin.COMPLAINT, "abuse", NOW + 730 * DAY)
    assert world.reports[0] == ComplaintReturned(SENT, RITA, "abuse")
    assert await world.back(arf(recipient, returned=BY_ID), "fbl@ours.example", 1) == []
    first, _ = world.store.complaints  # each is listed among the reports of others
    assert isinstance(first.report, ComplaintReport)
    assert (first.report.reporter, first.report.domain, first.came_to) == (
        "isp.example",
        "ours.example",
        "ours.example",
    )
    assert (first.report.complaint, first.report.about) == ("abuse", show_queue_id(SENT))


async def test_a_complaint_names_its_message_by_the_token_inside() -> None:
    world = World()
    world.relayed("bob@far.example")
    path = world.verp()
    (row,) = await world.back(arf("", returned=f"Return-Path: <{path}>\r\n", mail_from=path), "fbl@ours.example")
    assert row.recipient == RITA
    assert json.loads(row.detail)["by"] == "verp"


async def test_a_complaint_that_somebody_takes_back_suppresses_nobody() -> None:
    world = World()
    (row,) = await world.back(arf(kind="not-spam", returned=BY_ID), "fbl@ours.example")
    assert row.kind == "complained"
    assert world.store.suppressions == []


@pytest.mark.parametrize("complaint", [arf(), arf("bob@far.example", returned=BY_ID)])
async def test_a_complaint_that_matches_nothing_is_told_and_no_more(complaint: bytes) -> None:
    world = World()
    assert await world.back(complaint, "fbl@ours.example") == []
    (report,) = world.reports
    assert isinstance(report, ComplaintReturned)
    assert report.queue_id == 0


async def test_a_bounce_that_overtakes_our_own_note_waits_for_it() -> None:
    world = World()
    path = world.verp()
    relayed = world.history.pop()
    world.comes(dsn(), path)
    assert await world.look() == 0
    world.history.append(relayed)
    assert await world.look() == 0  # not at once
    world.clock.advance(2)
    assert await world.look() == 1
    assert world.history[-1].kind == "bounced"


@pytest.mark.parametrize("to", ["token", ANN])
async def test_but_not_for_ever(to: str) -> None:
    world = World()
    path = world.verp()
    world.history.pop()
    world.comes(dsn(returned=BY_ID), path if to == "token" else ANN)
    assert await world.look() == 0
    world.clock.advance(61)
    assert await world.look() == 1


async def test_more_mail_than_one_batch_and_what_must_wait_stops_nobody() -> None:
    world = World()
    world.history.pop()  # not relayed yet
    for number in range(120):
        world.comes(dsn(returned=BY_ID) if number % 2 else VACATION, ANN, number)
    assert await world.look() == 60
    assert len(world.store.noted) == 60


async def test_a_flood_of_bounces_is_looked_at_piece_by_piece() -> None:
    world = World()
    for number in range(450):
        world.comes(VACATION, ANN, number)
    assert [await world.look() for _ in range(4)] == [200, 200, 50, 0]


async def test_what_goes_on_without_a_mailbox_brings_its_content_along() -> None:
    world = World()
    world.comes(b"", world.verp())
    world.contents.of.clear()
    world.store.noted[0] = replace(world.store.noted[0], content=dsn())
    await world.look()
    assert world.history[-1].kind == "bounced"


async def test_only_the_start_is_read() -> None:
    seen: list[int] = []

    def read(content: bytes) -> Bounce | Complaint | None:
        seen.append(len(content))
        return None

    world = World()
    world.read = read  # type: ignore[assignment] # of the same shape
    world.comes(b"x" * 1_000_000, null_sender=False)
    await world.look()
    assert seen == [256 * 1024]


async def test_a_fault_of_ours_is_told_and_stops_nobody() -> None:
    def read(content: bytes) -> Bounce | Complaint | None:
        if b"poison" in content:
            raise RuntimeError("a bug")
        return READ(content)

    world = World()
    world.read = read  # type: ignore[assignment] # of the same shape
    path = world.verp()
    world.comes(b"poison", path, 0)
    world.comes(dsn(), path, 1)
    assert await world.look() == 2
    assert isinstance(world.reports[0], InternalError)
    assert world.history[-1].kind == "bounced"


async def test_content_that_is_gone() -> None:
    world = World()
    world.comes(dsn(), world.verp())
    world.contents.of.clear()
    assert await world.look() == 1
    assert world.reports == []
