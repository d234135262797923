"""The log tells every report in one line that machines can read and nobody can forge."""

import asyncio
import json
import logging
import os
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.reports import ATTEMPTS, CLIENT, MESSAGE, PEER, REPORTS, SHOWN_ID

from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred
from postroom.mail.reply import Reply
from postroom.mail.session import Client, Role, TlsFacts
from postroom.report.events import (
    InternalError,
    LoginFailed,
    MessageAccepted,
    Report,
    ServerDraining,
    SessionOpened,
    SessionRefused,
    StoreTrouble,
)
from postroom.report.log import LibraryHandler, Log, LogForm, escape, open_log
from postroom.report.writer import LineWriter, file_sink


class Kept:
    """A sink that keeps what it is given; fails while ``broken``."""

    def __init__(self) -> None:
        self.data = b""
        self.broken = False

    def __call__(self, data: bytes) -> None:
        if self.broken:
            raise OSError("disk full")
        self.data += data

    @property
    def lines(self) -> list[str]:
        return self.data.decode().splitlines()

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


def told(*reports: Report, level: str = "debug") -> list[dict[str, Any]]:
    kept = Kept()
    log = Log(LogForm(level), kept, lambda: 1_800_000_000.25)
    for report in reports:
        log.tell(report)
    log.close()
    return kept.rows


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_every_report_is_one_line(report: Report) -> None:
    (row,) = told(report)
    assert list(row)[:3] == ["time", "level", "event"]
    assert row["time"] == "2027-01-15T08:00:00.250Z"


def test_event_names_are_stable() -> None:
    assert {row["event"] for row in told(*REPORTS)} == {
        "server_ready",
        "server_draining",
        "mail_checked",
        "carriers_ended",
        "carriers_ready",
        "queue_ended",
        "queue_back",
        "site_blocked",
        "site_reopened",
        "site_shaped",
        "warmup_full",
        "tls_downgraded",
        "sts_policy_fetched",
        "dns_broken",
        "dns_mended",
        "dns_looked",
        "sts_policy_trouble",
        "tls_report_sent",
        "dmarc_report_sent",
        "dmarc_report_failed",
        "tls_report_failed",
        "bounce_returned",
        "complaint_returned",
        "address_suppressed",
        "queue_paused",
        "queue_resumed",
        "report_received",
        "report_unreadable",
        "settings_reloaded",
        "settings_not_reloaded",
        "session_opened",
        "session_closed",
        "session_refused",
        "listener_paused",
        "tls_failed",
        "command_refused",
        "login_succeeded",
        "login_failed",
        "locked_out",
        "lockout_lifted",
        "abuse_seen",
        "limit_near",
        "limit_reached",
        "certificate_expiring",
        "certificate_renewed",
        "certificate_trouble",
        "dkim_key",
        "dkim_key_waits",
        "dkim_trouble",
        "alert_raised",
        "alert_failed",
        "source_trouble",
        "recipient_refused",
        "sender_refused",
        "message_refused",
        "message_accepted",
        "attempt_made",
        "lease_lost",
        "dsn_made",
        "queue_acted",
        "store_trouble",
        "store_recovered",
        "mailbox_opened",
        "mailbox_closed",
        "internal_error",
    }


def test_levels() -> None:
    levels = {row["event"]: row["level"] for row in told(*REPORTS)}
    assert levels["session_opened"] == levels["session_closed"] == "debug"
    assert levels["message_accepted"] == levels["attempt_made"] == levels["login_succeeded"] == "info"
    assert levels["recipient_refused"] == levels["login_failed"] == levels["command_refused"] == "warning"
    assert levels["store_trouble"] == levels["internal_error"] == levels["settings_not_reloaded"] == "error"
    assert levels["store_recovered"] == "info"


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_only_what_is_asked_for(level: str) -> None:
    order = ["debug", "info", "warning", "error"]
    shown = {row["level"] for row in told(*REPORTS, level=level)}
    assert shown == set(order[order.index(level) :])


def test_level_can_change_while_running() -> None:
    kept = Kept()
    log = Log(LogForm("error"), kept)
    log.tell(SessionOpened(CLIENT))
    log.set_level("debug")
    log.tell(SessionOpened(CLIENT))
    log.close()
    assert len(kept.lines) == 1


def test_one_queue_id_from_accept_to_the_final_outcome() -> None:
    about_the_message = [r for r in REPORTS if hasattr(r, "queue_id") or isinstance(r, MessageAccepted)]
    assert {row["queue_id"] for row in told(*about_the_message)} == {SHOWN_ID}


def test_accepted_says_who_and_where_to() -> None:
    (row,) = told(MessageAccepted(MESSAGE, CLIENT, ("carol@example.org",), ("bob@example.net",), 0.00123))
    assert row["sender"] == "alice@example.org"
    assert row["size"] == MESSAGE.size
    assert row["placed"] == ["carol@example.org"]
    assert row["queued"] == ["bob@example.net"]
    assert (row["address"], row["account"], row["tls"]) == ("192.0.2.7", "alice@example.org", "TLSv1.3")
    assert row["seconds"] == 0.0012


def test_many_recipients_are_counted_not_listed() -> None:
    (row,) = told(MessageAccepted(MESSAGE, None, tuple(f"u{n}@example.org" for n in range(1000)), (), 0))
    assert len(row["placed"]) == 20
    assert row["placed_more"] == 980


def test_attempts_tell_reply_host_and_next_time() -> None:
    done, later, failed = told(*ATTEMPTS)
    assert (done["outcome"], done["state"], done["reply"]) == ("delivered", "relayed", "250 2.0.0 Accepted")
    assert (done["host"], done["host_address"], done["tls"]) == ("mx.example.net", "192.0.2.25", "TLSv1.3 AES")
    assert later["ambiguous"] is True
    assert later["next_attempt"] == 1_800_000_300.0
    assert (failed["outcome"], failed["detail"]) == ("failed", "null MX")
    assert "next_attempt" not in failed


def test_attempts_tell_what_stood_in_the_way_and_how_they_went_out() -> None:
    done, later, failed = told(*ATTEMPTS)
    assert "cause" not in done
    assert "cause" not in failed  # nobody knows
    peer = replace(PEER, policy="dane", source="out-a")
    outcome = Deferred(Reply.of(450, "4.7.28", "too fast"), peer, cause=Cause.RATE_LIMIT)
    (row,) = told(replace(ATTEMPTS[1], outcome=outcome))
    assert (row["cause"], row["policy"], row["source"]) == ("rate_limit", "dane", "out-a")
    assert not {"policy", "source"} & later.keys()


def test_fail2ban_finds_the_address_after_the_event() -> None:
    kept = Kept()
    log = Log(LogForm(), kept)
    log.tell(LoginFailed(Client(1, Role.SUBMISSION, "192.0.2.66", 1), "PLAIN", 'x","address":"1.2.3.4', "no", 1, 1))
    log.close()
    assert '"level":"warning","event":"login_failed","address":"192.0.2.66",' in kept.lines[0]
    assert '"address":"1.2.3.4"' not in kept.lines[0]


HOSTILE = 'evil\r\n{"event":"fake"}\x1b[2J\x00\u2028\u202e\x9b\ud800' + "x" * 5000


@pytest.mark.parametrize("form", ["json", "console"])
def test_hostile_text_is_escaped_and_cut(form: str) -> None:
    kept = Kept()
    log = Log(LogForm("debug", console=form == "console"), kept)
    log.tell(LoginFailed(Client(1, Role.MX, "192.0.2.66", 1, HOSTILE), "PLAIN", HOSTILE, HOSTILE, 1, 1))
    log.close()
    text = kept.data.decode()
    assert text.count("\n") == 1
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u202e" for c in text.rstrip("\n"))
    assert len(text) < 2500


def test_console_lines_are_readable() -> None:
    kept = Kept()
    log = Log(LogForm("debug", console=True), kept, lambda: 1_800_000_000)
    for report in REPORTS:
        log.tell(report)
    log.tell(InternalError("here", "bad", "Traceback:\n  a\x1b line"))
    log.close()
    accepted = next(line for line in kept.lines if "message_accepted" in line)
    assert accepted.startswith("2027-01-15T08:00:00.000Z [info")
    assert f"queue_id={SHOWN_ID}" in accepted
    assert "sender=alice@example.org" in accepted
    assert kept.lines[-2:] == ["Traceback:", "  a\\x1b line"]


def test_escape_keeps_letters() -> None:
    assert escape("Grüße\t\x07") == "Grüße\t\\x07"


def test_libraries_log_to_the_same_place() -> None:
    kept = Kept()
    log = Log(LogForm(), kept)
    logger = logging.Logger("uvicorn.error")
    logger.addHandler(LibraryHandler(log))
    logger.info("not this")
    logger.warning("port %d", 8025)
    try:
        raise ValueError("boom")
    except ValueError:
        logger.exception("failed")
    log.close()
    first, second = kept.rows
    assert (first["event"], first["level"], first["library"], first["text"]) == (
        "library",
        "warning",
        "uvicorn.error",
        "port 8025",
    )
    assert "ValueError: boom" in second["trace"]


class TestWriter:
    async def test_lines_are_gathered_then_written_soon(self) -> None:
        written = asyncio.Event()
        loop = asyncio.get_running_loop()
        kept = Kept()

        def sink(data: bytes) -> None:
            kept(data)
            loop.call_soon_threadsafe(written.set)

        log = Log(LogForm(), sink)
        log.tell(ServerDraining(1))
        log.tell(ServerDraining(2))
        assert kept.data == b""
        await asyncio.wait_for(written.wait(), 5)
        assert len(kept.lines) == 2
        log.close()

    async def test_errors_do_not_wait(self) -> None:
        kept = Kept()
        log = Log(LogForm(), kept)
        log.tell(ServerDraining(1))
        log.tell(StoreTrouble("disk"))
        log.flush()  # nothing left to hand over
        log.close()
        assert [row["event"] for row in kept.rows] == ["server_draining", "store_trouble"]

    async def test_much_is_handed_over_before_the_timer(self) -> None:
        kept = Kept()
        writer = LineWriter(kept, str)
        writer.write("x" * 70_000)
        assert writer._size == 0
        writer.close()
        assert len(kept.data) == 70_001

    def test_a_broken_sink_costs_lines_not_the_server(self) -> None:
        kept = Kept()
        kept.broken = True
        writer = LineWriter(kept, lambda count: f"lost {count}")
        writer.write("one")
        writer.write("two")
        writer.close()
        kept.broken = False
        writer.write("three")
        writer.close()
        assert kept.lines == ["lost 2", "three"]

    def test_a_sink_that_hangs_fills_no_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("postroom.report.writer.MOST_WAITING", 100)
        kept = Kept()
        writer = LineWriter(kept, lambda count: f"lost {count}")
        writer._waiting = 101
        writer.write("dropped")
        assert writer._chunks.empty()
        writer._waiting = 0
        writer.write("kept")
        writer.close()
        assert kept.lines == ["lost 1", "kept"]

    def test_a_full_pipe_that_does_not_block(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        data = b"x" * 300_000
        lines = LineWriter(file_sink(writer), str)
        lines.write(data.decode())
        received = b""
        while len(received) < len(data):
            received += os.read(reader, 65536)
        lines.close()
        os.close(reader)
        os.close(writer)
        assert received.startswith(data)


class TestOpen:
    @pytest.mark.parametrize(("form", "is_json"), [("auto", True), ("json", True), ("console", False)])
    def test_a_file_gets_json_unless_asked(self, tmp_path: Path, form: str, is_json: bool) -> None:
        with (tmp_path / "log").open("w") as stream:
            log = open_log("info", form, stream)
            log.tell(ServerDraining(1))
            log.close()
        line = (tmp_path / "log").read_text()
        assert line.startswith("{") is is_json

    def test_a_terminal_gets_readable_lines(self) -> None:
        leader, follower = os.openpty()
        with open(follower, "w") as stream:
            log = open_log("info", "auto", stream)
            log.tell(ServerDraining(1))
            log.close()
            assert b"server_draining" in os.read(leader, 4096)
        os.close(leader)

    def test_needs_a_real_stream(self) -> None:
        with pytest.raises(OSError, match="fileno"):
            open_log(stream=StringIO())


def test_a_flood_is_told_by_its_count_and_a_balancers_mistake_in_words() -> None:
    one, many, odd = told(
        SessionRefused("mx", "192.0.2.1", "rate"),
        SessionRefused("mx", "192.0.2.1", "rate", 497),
        SessionRefused("mx", "192.0.2.9", "proxy", detail="the PROXY line is malformed"),
    )
    assert "count" not in one
    assert many["count"] == 497
    assert odd["detail"] == "the PROXY line is malformed"


def test_a_client_is_told_with_its_balancer_and_what_is_wrong_with_its_certificate() -> None:
    facts = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", peer_trouble="certificate has expired")
    (row,) = told(SessionOpened(Client(7, Role.MX, "192.0.2.1", 4711, tls=facts, proxy="10.0.0.1")))
    assert row["client_certificate"] == "certificate has expired"
    assert row["proxy"] == "10.0.0.1"
