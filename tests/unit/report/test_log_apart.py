"""Lines of a process that does not write itself: they look as the node's do, and come whole, in order, and all."""

import asyncio
import json
import logging
import pickle
import threading
from pathlib import Path

import pytest
from tests.fakes.reports import ATTEMPTS, MESSAGE, REPORTS

from postroom.report.events import InternalError, MessageAccepted, ServerDraining, ServerReady, StoreTrouble
from postroom.report.log import LibraryHandler, Log, LogForm, open_log, open_log_to
from postroom.report.writer import FLUSH_SIZE, LineSender, LineWriter

FORMS = [LogForm("debug"), LogForm("debug", console=True), LogForm("debug", console=True, colors=True)]


class Wire:
    """Keeps what it is given, and where; fails while ``broken``."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.threads: set[int] = set()
        self.arrived = asyncio.Event()
        self.broken = False

    def __call__(self, data: bytes) -> None:
        self.threads.add(threading.get_ident())
        if self.broken:
            raise OSError("the link is full")
        self.chunks.append(data)
        self.arrived.set()

    @property
    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in b"".join(self.chunks).splitlines()]


class TestForm:
    def test_of_a_file(self, tmp_path: Path) -> None:
        with (tmp_path / "log").open("w") as stream:
            assert open_log("warning", "auto", stream).form == LogForm("warning")
            assert open_log("info", "console", stream).form == LogForm("info", console=True)

    def test_follows_the_level(self) -> None:
        log = Log(LogForm(console=True), print)
        log.set_level("debug")
        assert log.form == LogForm("debug", console=True)

    @pytest.mark.parametrize("form", FORMS)
    def test_survives_the_wire(self, form: LogForm) -> None:
        assert pickle.loads(pickle.dumps(form)) == form

    @pytest.mark.parametrize("form", FORMS)
    async def test_looks_the_same_here_and_there(self, form: LogForm) -> None:
        here: list[bytes] = []
        there: list[bytes] = []
        for log in (
            Log(form, here.append, lambda: 1_800_000_000.25),
            Log(form, there.append, lambda: 1_800_000_000.25, through=LineSender),
        ):
            for report in REPORTS:
                log.tell(report)
            log.close()
        assert b"".join(here) == b"".join(there)
        assert (b"\x1b[" in b"".join(there)) is form.colors


class TestSending:
    async def test_lines_are_gathered_then_sent_soon_in_the_loops_thread(self) -> None:
        wire = Wire()
        log = open_log_to(LogForm(), wire)
        log.tell(ServerDraining(1))
        log.tell(ServerDraining(2))
        assert not wire.chunks
        await asyncio.wait_for(wire.arrived.wait(), 5)
        assert len(wire.chunks) == 1
        assert wire.events == ["server_draining"] * 2
        assert wire.threads == {threading.get_ident()}
        log.close()

    async def test_only_what_the_level_shows(self) -> None:
        wire = Wire()
        log = open_log_to(LogForm("error"), wire)
        log.tell(ServerDraining(1))
        log.tell(StoreTrouble("disk"))
        log.set_level("info")
        log.tell(ServerDraining(2))
        log.close()
        assert wire.events == ["store_trouble", "server_draining"]

    @pytest.mark.parametrize("report", [StoreTrouble("disk"), ServerReady(()), ATTEMPTS[1]])
    async def test_what_must_not_be_lost_does_not_wait(self, report: StoreTrouble) -> None:
        wire = Wire()
        log = open_log_to(LogForm(), wire)
        log.tell(ServerDraining(1))
        log.tell(report)
        assert wire.events[0] == "server_draining"
        assert len(wire.events) == 2

    async def test_much_does_not_wait(self) -> None:
        wire = Wire()
        log = open_log_to(LogForm(), wire)
        for _ in range(FLUSH_SIZE // 100):
            log.tell(MessageAccepted(MESSAGE, None, (), (), 0))
        assert FLUSH_SIZE < len(wire.chunks[0]) < 2 * FLUSH_SIZE
        log.close()

    @pytest.mark.parametrize("end", [Log.flush, Log.close])
    async def test_all_is_sent_when_it_returns(self, end: object) -> None:
        assert callable(end)
        wire = Wire()
        log = open_log_to(LogForm(), wire)
        log.tell(ServerDraining(1))
        end(log)
        assert wire.events == ["server_draining"]
        end(log)
        assert len(wire.chunks) == 1

    async def test_lines_that_the_wire_does_not_take_are_counted(self) -> None:
        wire = Wire()
        log = open_log_to(LogForm(), wire)
        wire.broken = True
        for _ in range(2):
            log.tell(ServerDraining(1))
            log.tell(StoreTrouble("disk"))
        wire.broken = False
        log.tell(StoreTrouble("disk"))
        log.tell(StoreTrouble("disk"))
        assert wire.events == ["log_lines_lost", "store_trouble", "store_trouble"]
        assert json.loads(wire.chunks[0].splitlines()[0])["count"] == 4

    async def test_libraries_may_say_something_in_their_own_threads(self) -> None:
        wire = Wire()
        handler = LibraryHandler(open_log_to(LogForm(), wire))
        logger = logging.Logger("library")
        logger.addHandler(handler)
        await asyncio.to_thread(logger.error, "here")
        await asyncio.wait_for(wire.arrived.wait(), 5)
        assert wire.events == ["library"]
        assert wire.threads == {threading.get_ident()}

    def test_after_the_loop_there_is_nobody_to_send_to(self) -> None:
        chunks: list[bytes] = []

        async def begin() -> LineSender:
            return LineSender(chunks.append, str)

        sender = asyncio.run(begin())
        thread = threading.Thread(target=sender.write, args=("late",))
        thread.start()
        thread.join()
        sender.close()
        assert chunks == []


class TestPassingOn:
    async def test_unchanged_and_in_order_with_our_own(self) -> None:
        chunks: list[bytes] = []
        writer = LineWriter(chunks.append, str)
        writer.write("one")
        writer.pass_on(b"two \xff\xfe\nthree\n")
        writer.write("four")
        writer.pass_on(b"")
        writer.pass_on(b"five\n")
        writer.close()
        assert b"".join(chunks) == b"one\ntwo \xff\xfe\nthree\nfour\nfive\n"

    async def test_from_one_log_to_the_other(self) -> None:
        chunks: list[bytes] = []
        node = Log(LogForm(console=True), chunks.append)
        child = open_log_to(node.form, node.pass_on)
        node.tell(ServerDraining(1))
        child.tell(InternalError("here", "bad", "Traceback:\n  a\x1b line"))
        node.tell(ServerDraining(2))
        child.close()
        node.close()
        lines = b"".join(chunks).decode().splitlines()
        assert [line for line in lines if line.startswith(" ")] == ["  a\\x1b line"]
        assert [lines.index(line) for line in lines if "sessions=" in line] == [0, 4]

    def test_what_is_lost_is_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("postroom.report.writer.MOST_WAITING", 0)
        chunks: list[bytes] = []
        go_on = threading.Event()

        def stuck(data: bytes) -> None:
            go_on.wait(10)
            chunks.append(data)

        writer = LineWriter(stuck, lambda count: f"lost {count}")
        writer.pass_on(b"one\n")
        writer.pass_on(b"two\nthree\n")
        writer.write("four")
        go_on.set()
        writer.close()
        writer.pass_on(b"five\n")
        writer.close()
        assert b"".join(chunks) == b"one\nlost 3\nfive\n"
