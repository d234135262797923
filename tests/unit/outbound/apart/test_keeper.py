"""The keeper with real processes: started, replaced when they die, ended in good order."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.fakes.apart import rule_of
from tests.unit.outbound.making import make_request

from postroom.clock import SystemClock
from postroom.mail.delivery import Deferred, Delivered, Outcome
from postroom.net.apart.keeper import Keeper
from postroom.outbound.apart.fleet import Fleet
from postroom.outbound.apart.remote import RemoteCarrier
from postroom.report.events import Report
from postroom.report.road import CarriersEnded, CarriersReady

# Ready when it has been told "go", delivers everything, and says its process id; ignores SIGTERM as the real one does.
CHILD = """
import asyncio, os, signal, socket, sys
from postroom.mail.delivery import Delivered
from postroom.mail.reply import Reply
from postroom.outbound.apart.events import Ready
from postroom.net.apart.frames import FrameReader
from postroom.outbound.apart.serving import Serving

async def carry(request, rule):
    if request.source == "hang":
        await asyncio.Event().wait()
    if request.source == "die":
        os._exit(3)
    reply = Reply.of(250, "2.0.0", f"{os.getpid()} {sorted(os.environ)}")
    return {one.number: Delivered(reply) for one in request.recipients}

async def main(end):
    reader, setup = FrameReader(), []
    while not setup:
        setup = reader.feed(end.recv(65536))
    serving = Serving(carry)
    await serving.link.open(end)
    word = bytes(setup[0][1]).decode()
    if word != "go":
        serving.tell(Ready(word))
        return await serving.close()
    serving.ready()
    await serving.ended
    await serving.close()

signal.signal(signal.SIGTERM, signal.SIG_IGN)
asyncio.run(main(socket.socket(fileno=int(sys.argv[1]))))
"""


class House:
    """A keeper and what it told."""

    def __init__(self, setup: str = "go", command: tuple[str, ...] = (sys.executable, "-c", CHILD)) -> None:
        self.reports: list[Report] = []
        self.told = asyncio.Event()
        self.remote = RemoteCarrier(rule_of, lambda _: None)
        self.keeper = Keeper(self.remote, command, setup.encode(), SystemClock(), self._tell, what="the carriers")

    def _tell(self, report: Report) -> None:
        self.reports.append(report)
        if isinstance(report, CarriersReady):
            self.told.set()

    async def deliver(self, source: str = "") -> Outcome:
        request = make_request()
        request.source = source  # type: ignore[misc] # plain at run time
        (outcome,) = (await self.remote.deliver(request)).values()
        return outcome

    async def pid(self) -> int:
        outcome = await self.deliver()
        assert isinstance(outcome, Delivered)
        return int(outcome.reply.text.split()[0])


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    one = House()
    await one.keeper.start()
    try:
        yield one
    finally:
        await one.keeper.close()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_process_of_its_own_that_ends_with_the_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_SMARTHOST__0__PASSWORD", "secret")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    async with house() as one:
        pid = await one.pid()
        assert pid != os.getpid()
        assert os.getsid(pid) == pid  # ^C at the terminal is the node's
        outcome = await one.deliver()
        assert "POSTROOM_" not in outcome.reply.text
        assert "NOTIFY_SOCKET" not in outcome.reply.text
    assert not is_alive(pid)
    assert one.reports == []


async def test_another_one_takes_its_place_when_it_is_killed() -> None:
    async with house() as one:
        first = await one.pid()
        lost = asyncio.create_task(one.deliver("hang"))
        await asyncio.sleep(0)
        assert await one.pid() == first  # so that the one before has arrived too
        os.kill(first, signal.SIGKILL)
        outcome = await lost
        assert isinstance(outcome, Deferred)
        assert outcome.ambiguous
        second = await one.pid()
        assert second not in {first, os.getpid()}
        ended, ready = one.reports
        assert isinstance(ended, CarriersEnded)
        assert (ended.status, ended.under_way) == ("signal 9", 1)
        assert ready == CarriersReady(second)


async def test_one_that_does_not_end_is_killed_and_that_is_told() -> None:
    one = House()
    one.keeper._farewell = 0.0
    await one.keeper.start()
    pid = await one.pid()
    os.kill(pid, signal.SIGSTOP)
    await one.keeper.close()
    assert not is_alive(pid)
    assert one.reports == [CarriersEnded("signal 9", 0, 0.0, "it did not end when it was asked to")]


async def test_a_request_that_kills_it_is_not_tried_on_the_next_one() -> None:
    async with house() as one:
        outcome = await one.deliver("die")
        assert isinstance(outcome, Deferred)
        await one.pid()
        assert [report.status for report in one.reports if isinstance(report, CarriersEnded)] == ["exit 3"]


@pytest.mark.parametrize(
    ("setup", "command", "why"),
    [
        ("no password file", (sys.executable, "-c", CHILD), "no password file"),
        ("go", (sys.executable, "-c", "raise SystemExit(4)"), "did not get ready"),
        ("go", ("/nonexistent/python",), "cannot be started: /nonexistent/python: No such file"),
    ],
)
async def test_one_that_does_not_get_ready_says_why(setup: str, command: tuple[str, ...], why: str) -> None:
    one = House(setup, command)
    with pytest.raises(OSError, match=why):
        await one.keeper.start()
    await one.keeper.close()


async def test_when_no_other_one_gets_up_mail_is_deferred() -> None:
    async with house() as one:
        pid = await one.pid()
        one.keeper._command = ("/nonexistent/python",)
        os.kill(pid, signal.SIGKILL)
        outcome = await one.deliver()
        while isinstance(outcome, Deferred) and outcome.ambiguous:  # it had not noticed yet
            outcome = await one.deliver()
        assert isinstance(outcome, Deferred)
        assert "cannot be started" in outcome.detail
        one.keeper._command = (sys.executable, "-c", CHILD)
        await one.told.wait()
        assert await one.pid() != pid


async def test_a_fleet_keeps_a_site_with_one_of_them() -> None:
    houses = [House(), House()]
    fleet = Fleet([one.remote for one in houses], [one.keeper for one in houses])
    await fleet.start()
    try:
        pids = set()
        for number in range(20):
            site = make_request().site
            request = make_request(site=type(site)(f"mx{number}.example", site.kind, site.hosts))
            both = [(await fleet.deliver(request))[1].reply.text.split()[0] for _ in range(2)]
            assert both[0] == both[1]
            pids.add(both[0])
        assert len(pids) == 2
    finally:
        await fleet.close()


async def test_a_fleet_of_which_one_fails_does_not_start() -> None:
    houses = [House(), House("no password file")]
    fleet = Fleet([one.remote for one in houses], [one.keeper for one in houses])
    with pytest.raises(OSError, match="no password file"):
        await fleet.start()
    assert all(one.keeper._process is None for one in houses)


async def test_another_one_is_started_although_files_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    make, failures = socket.socketpair, iter([OSError(24, "Too many open files")])

    def socketpair() -> tuple[socket.socket, socket.socket]:
        for error in failures:
            raise error
        return make()

    async with house() as one:
        first = await one.pid()
        monkeypatch.setattr("postroom.net.apart.keeper.socket.socketpair", socketpair)
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(30):
            await one.told.wait()
        assert await one.pid() != first
        assert "Too many open files" in [one.trouble for one in one.reports if isinstance(one, CarriersEnded)][-1]
