"""POP3 sessions over a stream and stores in memory (RFC 1939, RFC 2449 §8, RFC 3206)."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from tests.fakes.clock import settle
from tests.fakes.pop3_house import NAME, PASSWORD, Pop3House
from tests.fakes.stream import TLS_FACTS, MemoryStream

from postroom.access.session import MOST_FROM_STRANGERS
from postroom.directory.checker import Asker, Unavailable
from postroom.mail.session import Role
from postroom.net.tls import TlsError
from postroom.report.events import (
    AbuseSeen,
    CommandRefused,
    InternalError,
    LoginFailed,
    LoginSucceeded,
    MailboxClosed,
    MailboxOpened,
    SessionClosed,
    SessionOpened,
    TlsFailed,
)

ONE = b"From: a\r\n\r\none\r\n"
TWO = b"From: b\r\n\r\n.\r\ntwo\r\n"


@pytest.fixture
async def house() -> AsyncIterator[Pop3House]:
    house = Pop3House()
    yield house
    await house.close()


@pytest.fixture
async def plain_house() -> AsyncIterator[Pop3House]:
    """The port that begins in the clear."""
    house = Pop3House(role=Role.POP3)
    yield house
    await house.close()


async def say(stream: MemoryStream, line: str) -> str:
    """One command with an answer of one line."""
    stream.feed(f"{line}\r\n".encode())
    return (await stream.read_line()).decode()


def closed(house: Pop3House) -> SessionClosed:
    (report,) = house.told(SessionClosed)
    assert isinstance(report, SessionClosed)
    return report


def mailbox_closed(house: Pop3House) -> MailboxClosed:
    (report,) = house.told(MailboxClosed)
    assert isinstance(report, MailboxClosed)
    return report


class TestWholeSession:
    async def test_collects_and_removes(self, house: Pop3House) -> None:
        ids = house.add(ONE, TWO)
        stream = await house.log_in()
        assert await say(stream, "STAT") == f"+OK 2 {len(ONE) + len(TWO)}\r\n"
        stream.feed(b"UIDL\r\n")
        listing = await stream.read_until(b"\r\n.\r\n")
        assert listing.split(b"\r\n")[1:3] == [f"1 {ids[0]}".encode(), f"2 {ids[1]}".encode()]
        stream.feed(b"RETR 2\r\n")
        assert await stream.read_line() == f"+OK {len(TWO)} octets\r\n".encode()
        assert await stream.read_until(b"\r\n.\r\n") == b"From: b\r\n\r\n..\r\ntwo\r\n.\r\n"
        stream.feed(b"TOP 1 0\r\n")
        assert (await stream.read_until(b"\r\n.\r\n")).endswith(b"octets\r\nFrom: a\r\n\r\n.\r\n")
        assert (await say(stream, "DELE 2")).startswith("+OK")
        assert house.mailboxes.ids(house.anna.account_id) == ids
        stream.feed(b"QUIT\r\n")
        assert await stream.read_all() == b"+OK bye\r\n"
        await house.ended()
        assert house.mailboxes.ids(house.anna.account_id) == ids[:1]
        assert house.mailboxes.claims == {}

    async def test_tells_it(self, house: Pop3House) -> None:
        house.add(ONE, TWO)
        stream = await house.log_in()
        stream.feed(b"RETR 1\r\nTOP 2 1\r\nDELE 1\r\nQUIT\r\n")
        await stream.read_all()
        await house.ended()
        kinds = [type(report) for report in house.reports]
        assert kinds == [SessionOpened, LoginSucceeded, MailboxOpened, MailboxClosed, SessionClosed]
        success, opened, mailbox, over = house.reports[1:]
        assert isinstance(success, LoginSucceeded)
        assert isinstance(opened, MailboxOpened)
        assert isinstance(mailbox, MailboxClosed)
        assert isinstance(over, SessionClosed)
        assert (success.mechanism, success.client.account) == ("USER", NAME)
        assert (opened.messages, opened.octets, opened.client.account) == (2, len(ONE) + len(TWO), NAME)
        assert (mailbox.retrieved, mailbox.removed, mailbox.forgotten) == (1, 1, 0)
        assert (over.reason, over.messages) == ("quit", 1)
        assert PASSWORD not in repr(house.reports)

    async def test_pipelined_answers_leave_together(self, house: Pop3House) -> None:
        house.add(ONE, TWO)
        stream = await house.log_in()
        stream.writes.clear()
        stream.feed(b"STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nRETR 2\r\nDELE 1\r\nQUIT\r\n")
        await stream.read_all()
        assert len(stream.writes) == 1

    async def test_quit_before_login(self, house: Pop3House) -> None:
        stream = house.connect()
        stream.feed(b"QUIT\r\n")
        assert (await stream.read_all()).endswith(b"+OK bye\r\n")
        await house.ended()
        assert closed(house).reason == "quit"
        assert house.told(MailboxClosed) == []


class TestLogin:
    @pytest.mark.parametrize(("name", "password"), [(NAME, "wrong"), ("bert@example.org", PASSWORD)])
    async def test_refused(self, house: Pop3House, name: str, password: str) -> None:
        stream = house.connect()
        await stream.read_line()
        await say(stream, f"USER {name}")
        assert await say(stream, f"PASS {password}") == "-ERR [AUTH] wrong name or password\r\n"
        stream.feed(f"USER {NAME}\r\nPASS {PASSWORD}\r\nQUIT\r\n".encode())
        assert b"+OK 0 messages" in await stream.read_all()
        await house.ended()
        (failed,) = house.told(LoginFailed)
        assert isinstance(failed, LoginFailed)
        assert (failed.account, failed.failures_from_address, failed.failures_for_account) == (name, 1, 1)

    async def test_the_guard_is_asked_and_told(self, house: Pop3House) -> None:
        stream = house.connect()
        stream.feed(f"USER {NAME}\r\nPASS wrong\r\nUSER {NAME}\r\nPASS {PASSWORD}\r\nQUIT\r\n".encode())
        assert b"+OK 0 messages" in await stream.read_all()
        assert house.guard.failures == {NAME: 1, stream.peer[0]: 1}
        assert house.guard.successes == [(stream.peer[0], NAME)]
        assert house.checker.asked[-1] == Asker(stream.peer[0], "pop3")

    async def test_an_outage_is_no_failure(self, house: Pop3House) -> None:
        house.checker.result = Unavailable("the store is gone")
        stream = house.connect()
        stream.feed(f"USER {NAME}\r\nPASS {PASSWORD}\r\nQUIT\r\n".encode())
        assert b"-ERR [SYS/TEMP] not possible now" in await stream.read_all()  # RFC 3206 §4
        assert not house.guard.failures

    async def test_guessing_is_shown_out(self, house: Pop3House) -> None:
        stream = house.connect()
        stream.feed(f"USER {NAME}\r\nPASS wrong\r\n".encode() * 100)
        assert (await stream.read_all()).count(b"[AUTH]") == 5
        await house.ended()
        assert closed(house).reason == "errors"

    async def test_sasl(self, house: Pop3House) -> None:
        stream = house.connect()
        stream.feed(b"AUTH PLAIN AGFubmFAZXhhbXBsZS5vcmcAdHdvICB3b3Jkcw==\r\nQUIT\r\n")
        assert b"+OK 0 messages" in await stream.read_all()
        await house.ended()
        (success,) = house.told(LoginSucceeded)
        assert isinstance(success, LoginSucceeded)
        assert success.mechanism == "PLAIN"

    async def test_acting_as_another_is_refused(self, house: Pop3House) -> None:
        stream = house.connect()
        await stream.read_line()
        message = "YmVydEBleGFtcGxlLm9yZwBhbm5hQGV4YW1wbGUub3JnAHR3byAgd29yZHM="  # bert NUL anna NUL password
        assert (await say(stream, f"AUTH PLAIN {message}")).startswith("-ERR [AUTH]")
        stream.feed_eof()

    async def test_guessing_ends(self, house: Pop3House) -> None:
        stream = house.connect()
        stream.feed(b"".join(f"USER {NAME}\r\nPASS {guess}\r\n".encode() for guess in range(20)))
        assert (await stream.read_all()).count(b"-ERR [AUTH]") == 5
        await house.ended()
        assert closed(house).reason == "errors"
        assert len(house.told(LoginFailed)) == 5

    async def test_store_trouble(self, house: Pop3House) -> None:
        house.directory_store.unavailable = True
        stream = house.connect()
        await stream.read_line()
        await say(stream, f"USER {NAME}")
        assert (await say(stream, f"PASS {PASSWORD}")).startswith("-ERR [SYS/TEMP]")
        house.directory_store.unavailable = False
        for method in ("claim", "entries"):
            house.mailboxes.unavailable = {method}
            await say(stream, f"USER {NAME}")
            assert (await say(stream, f"PASS {PASSWORD}")).startswith("-ERR [SYS/TEMP]")
            assert house.mailboxes.claims == {}
        house.mailboxes.unavailable = set()
        await say(stream, f"USER {NAME}")
        assert (await say(stream, f"PASS {PASSWORD}")).startswith("+OK 0 messages")
        stream.feed_eof()

    async def test_the_mailbox_is_for_one_session(self, house: Pop3House) -> None:
        first = await house.log_in()
        second = house.connect()
        await second.read_line()
        await say(second, f"USER {NAME}")
        assert (await say(second, f"PASS {PASSWORD}")).startswith("-ERR [IN-USE]")
        first.feed(b"QUIT\r\n")
        assert (await first.read_line()).startswith(b"+OK")  # who has been told bye may come again at once
        await say(second, f"USER {NAME}")
        assert (await say(second, f"PASS {PASSWORD}")).startswith("+OK 0 messages")
        second.feed_eof()

    async def test_what_arrives_later_is_not_seen(self, house: Pop3House) -> None:
        house.add(ONE)
        stream = await house.log_in()
        house.add(TWO)
        assert await say(stream, "STAT") == f"+OK 1 {len(ONE)}\r\n"
        assert (await say(stream, "RETR 2")).startswith("-ERR")
        stream.feed_eof()


class TestTls:
    async def test_stls(self, plain_house: Pop3House) -> None:
        stream = plain_house.connect(MemoryStream(after_tls=f"USER {NAME}\r\nPASS {PASSWORD}\r\nQUIT\r\n".encode()))
        await stream.read_line()
        assert (await say(stream, f"USER {NAME}")).startswith("-ERR")
        stream.feed(b"STLS\r\nUSER mallory\r\n")
        assert await stream.read_line() == b"+OK begin TLS\r\n"
        assert (await stream.read_all()).startswith(b"+OK now the password\r\n+OK 0 messages")
        await plain_house.ended()
        over = closed(plain_house)
        assert over.client.tls == TLS_FACTS
        assert over.reason == "quit"

    @pytest.mark.parametrize("trouble", [TlsError("no shared cipher"), TimeoutError()])
    async def test_a_handshake_that_fails(self, plain_house: Pop3House, trouble: Exception) -> None:
        stream = plain_house.connect(MemoryStream(tls_error=trouble))
        stream.feed(b"STLS\r\n")
        assert (await stream.read_all()).endswith(b"+OK begin TLS\r\n")
        await plain_house.ended()
        assert closed(plain_house).reason == "tls"
        assert len(plain_house.told(TlsFailed)) == 1

    async def test_is_not_offered_without_certificate_or_twice(self, house: Pop3House) -> None:
        for other in (house, Pop3House(role=Role.POP3, offers_tls=False)):
            stream = other.connect()
            await stream.read_line()
            stream.feed(b"CAPA\r\n")
            assert b"STLS" not in await stream.read_until(b"\r\n.\r\n")
            assert (await say(stream, "STLS")).startswith("-ERR")
            stream.feed_eof()
            await other.close()

    def test_only_pop3_roles(self) -> None:
        with pytest.raises(ValueError, match="POP3"):
            Pop3House(role=Role.MX)


class TestRemoval:
    async def test_a_lost_connection_removes_nothing(self, house: Pop3House) -> None:
        ids = house.add(ONE, TWO)
        stream = await house.log_in()
        await say(stream, "DELE 1")
        stream.feed_eof()
        await house.ended()
        assert house.mailboxes.ids(house.anna.account_id) == ids
        assert house.mailboxes.claims == {}
        assert closed(house).reason == "closed"
        assert mailbox_closed(house).forgotten == 1

    async def test_nor_does_silence(self, house: Pop3House) -> None:
        # RFC 1939 §3: the autologout says nothing
        ids = house.add(ONE)
        stream = await house.log_in()
        await say(stream, "DELE 1")
        stream.silent = True
        stream.feed(b"NOOP\r\n")
        assert await stream.read_all() == b"+OK\r\n"
        await house.ended()
        assert house.mailboxes.ids(house.anna.account_id) == ids
        assert closed(house).reason == "timeout"
        assert stream.timeout >= 600

    async def test_trouble_of_the_store_is_told_to_the_client(self, house: Pop3House) -> None:
        ids = house.add(ONE)
        stream = await house.log_in()
        house.mailboxes.unavailable = {"remove"}
        stream.feed(b"DELE 1\r\nQUIT\r\n")
        assert (await stream.read_all()).endswith(b"-ERR [SYS/TEMP] deleted messages were not removed\r\n")
        await house.ended()
        assert house.mailboxes.ids(house.anna.account_id) == ids
        assert house.mailboxes.claims == {}
        assert len(house.told(CommandRefused)) == 1
        assert mailbox_closed(house).forgotten == 1

    async def test_a_claim_that_cannot_be_given_back(self, house: Pop3House) -> None:
        house.add(ONE)
        stream = await house.log_in()
        house.mailboxes.unavailable = {"release"}
        stream.feed(b"DELE 1\r\nQUIT\r\n")
        assert (await stream.read_all()).endswith(b"+OK bye\r\n")
        await house.ended()
        assert mailbox_closed(house).removed == 1

    async def test_quit_without_deletions_asks_nothing_of_the_store(self, house: Pop3House) -> None:
        house.add(ONE)
        stream = await house.log_in()
        house.mailboxes.unavailable = {"remove"}
        stream.feed(b"QUIT\r\n")
        assert await stream.read_all() == b"+OK bye\r\n"


class TestRetrieval:
    async def test_a_message_that_is_gone(self, house: Pop3House) -> None:
        (entry_id,) = house.add(ONE)
        stream = await house.log_in()
        await house.mailboxes.remove(house.anna.account_id, [entry_id])
        assert await say(stream, "RETR 1") == "-ERR the message is gone\r\n"
        assert await say(stream, "NOOP") == "+OK\r\n"
        stream.feed_eof()

    async def test_an_empty_one(self, house: Pop3House) -> None:
        house.add(b"")
        stream = await house.log_in()
        stream.feed(b"RETR 1\r\nNOOP\r\n")
        assert await stream.read_until(b"\r\n+OK\r\n") == b"+OK 0 octets\r\n.\r\n+OK\r\n"
        stream.feed_eof()

    async def test_trouble_before_the_first_octet(self, house: Pop3House) -> None:
        house.add(ONE)
        stream = await house.log_in()
        house.mailboxes.unavailable = {"read"}
        assert (await say(stream, "RETR 1")).startswith("-ERR [SYS/TEMP]")
        house.mailboxes.unavailable = set()
        assert (await say(stream, "RETR 1")).startswith("+OK")
        stream.feed_eof()

    async def test_trouble_in_the_middle_ends_the_session_without_an_end_of_the_message(self, house: Pop3House) -> None:
        house.mailboxes.piece = 10
        house.add(ONE * 10)
        stream = await house.log_in()
        house.mailboxes.breaks_after = 3
        stream.feed(b"DELE 1\r\nRSET\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n")
        heard = await stream.read_all()
        assert heard.endswith((ONE * 10)[:30])
        await house.ended()
        assert closed(house).reason == "failure"
        assert mailbox_closed(house).retrieved == 0
        assert len(house.mailboxes.ids(house.anna.account_id)) == 1

    async def test_a_big_one_never_stands_in_memory(self, house: Pop3House) -> None:
        line = b"." + b"x" * 98 + b"\n"
        house.mailboxes.add_virtual(house.anna.account_id, line, 1_000_000)
        stream = await house.log_in(MemoryStream(window=64 * 1024))
        tracemalloc.start()
        stream.feed(b"RETR 1\r\nQUIT\r\n")
        octets = await stream.skip_all()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert octets > 101_000_000
        assert peak < 2_000_000
        assert stream.most_unread < 512 * 1024

    async def test_a_client_that_stops_reading_is_let_go(self, house: Pop3House) -> None:
        house.mailboxes.add_virtual(house.anna.account_id, b"x" * 98 + b"\r\n", 100_000)
        stream = await house.log_in(MemoryStream(window=64 * 1024))
        stream.stuck = True
        stream.feed(b"RETR 1\r\n")
        await house.ended()
        assert closed(house).reason == "timeout"
        assert house.mailboxes.claims == {}

    async def test_top_of_a_big_one_reads_little(self, house: Pop3House) -> None:
        house.mailboxes.add_virtual(house.anna.account_id, b"\r\n", 1_000_000)
        stream = await house.log_in()
        stream.feed(b"TOP 1 2\r\n")
        assert await stream.read_until(b"\r\n.\r\n") == b"+OK 2000000 octets\r\n\r\n\r\n\r\n.\r\n"
        assert house.mailboxes.pieces_read == 1
        stream.feed_eof()


class TestHostility:
    async def test_errors_end_the_session(self, house: Pop3House) -> None:
        stream = house.connect()
        stream.feed(b"GET / HTTP/1.1\r\n" * 100)
        heard = await stream.read_all()
        assert heard.count(b"-ERR") == 20
        await house.ended()
        assert closed(house).reason == "errors"

    async def test_the_log_does_not_grow_at_the_peer_s_will(self, house: Pop3House) -> None:
        stream = await house.log_in()
        stream.feed(b"RETR 9\r\n" * 1000, b"QUIT\r\n")
        await stream.read_all()
        await house.ended()
        assert len(house.told(CommandRefused)) == 100

    async def test_a_long_listing_asked_for_again_and_again_waits_for_the_reader(self, house: Pop3House) -> None:
        for _ in range(3000):
            house.add(ONE)
        stream = await house.log_in(MemoryStream(window=64 * 1024))
        stream.feed(b"LIST\r\n" * 200, b"QUIT\r\n")
        assert await stream.skip_all() > 200 * 3000 * 6
        assert stream.most_unread < 256 * 1024

    async def test_a_command_that_dribbles_in_gets_its_time_once(self, house: Pop3House) -> None:
        stream = await house.log_in()
        stream.feed(b"NOOP\r\n")
        await stream.read_line()
        stream.timeouts.clear()
        stream.feed(b"N", b"O", b"O", b"P", b"\r", b"\n")
        await stream.read_line()
        stream.feed_eof()
        await house.ended()
        assert len(stream.timeouts) == 1

    async def test_a_lost_connection(self, house: Pop3House) -> None:
        house.add(ONE)
        stream = await house.log_in()
        stream.drain_error = ConnectionResetError("reset")
        stream.feed(b"STAT\r\n")
        await house.ended()
        assert closed(house).reason == "closed"
        assert house.mailboxes.claims == {}

    async def test_a_bug_costs_one_session(self, house: Pop3House) -> None:
        stream = await house.log_in()
        stream.receive_error = RuntimeError("a bug")
        stream.feed(b"NOOP\r\n")
        await house.ended()
        assert closed(house).reason == "failure"
        assert len(house.told(InternalError)) == 1
        assert house.mailboxes.claims == {}


class TestDrain:
    async def test_idle_sessions_end(self, house: Pop3House) -> None:
        before = house.connect()
        await before.read_line()
        after = await house.log_in()
        assert house.service.sessions == 2
        await asyncio.sleep(0)
        house.service.drain()
        await house.ended()
        assert before.closed
        assert after.closed
        assert {report.reason for report in house.told(SessionClosed) if isinstance(report, SessionClosed)} == {"drain"}
        assert house.service.sessions == 0
        assert house.mailboxes.claims == {}

    async def test_marks_are_not_lost(self, house: Pop3House) -> None:
        house.add(ONE, TWO)
        stream = await house.log_in()
        await say(stream, "DELE 1")
        house.service.drain()
        assert await say(stream, "NOOP") == "+OK\r\n"
        stream.feed(b"QUIT\r\n")
        assert await stream.read_all() == b"+OK bye\r\n"
        await house.ended()
        assert len(house.mailboxes.ids(house.anna.account_id)) == 1

    async def test_a_message_on_its_way_arrives(self, house: Pop3House) -> None:
        house.mailboxes.add_virtual(house.anna.account_id, b"x" * 98 + b"\r\n", 10_000)
        stream = await house.log_in(MemoryStream(window=64 * 1024))
        stream.feed(b"RETR 1\r\n")
        await stream.read_line()
        house.service.drain()
        assert await stream.skip_all() == 10_000 * 100 + len(".\r\n")
        await house.ended()
        assert closed(house).reason == "drain"
        assert mailbox_closed(house).retrieved == 1

    async def test_who_comes_now_is_sent_away(self, house: Pop3House) -> None:
        house.service.drain()
        stream = house.connect()
        assert (await stream.read_all()).startswith(b"-ERR [SYS/TEMP]")
        await house.ended()
        assert closed(house).reason == "drain"

    async def test_an_answer_that_is_held_back_does_not_hold_the_drain(self, house: Pop3House) -> None:
        house.guard.delay = 3600
        stream = house.connect()
        stream.feed(f"USER {NAME}\r\nPASS wrong\r\n".encode())
        await stream.read_until(b"password\r\n")
        await settle()
        assert not stream.unread
        house.service.drain()
        assert await stream.read_all() == b"-ERR [AUTH] wrong name or password\r\n"
        await house.ended()
        assert closed(house).reason == "drain"

    async def test_cut_off_at_the_end(self, house: Pop3House) -> None:
        house.add(ONE)
        stream = await house.log_in()
        await say(stream, "DELE 1")
        (task,) = house.tasks
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        house.tasks.clear()
        assert closed(house).reason == "drain"
        assert mailbox_closed(house).forgotten == 1
        assert house.mailboxes.claims == {}


def test_busy_line_and_role(house: Pop3House) -> None:
    assert house.service.role is Role.POP3S
    assert house.service.busy_line.startswith(b"-ERR [SYS/TEMP] ")


async def test_a_stranger_may_not_go_on_for_ever(house: Pop3House) -> None:
    stream = house.connect()
    stream.feed(b"CAPA\r\n" * (MOST_FROM_STRANGERS + 50))
    said = await stream.read_all()
    await house.ended()
    assert said.count(b"\r\n.\r\n") == MOST_FROM_STRANGERS + 1
    assert said.splitlines()[-1].startswith(b"-ERR ")
    assert closed(house).reason == "errors"
    (seen,) = house.told(AbuseSeen)
    assert isinstance(seen, AbuseSeen)
    assert seen.kind == "commands"
