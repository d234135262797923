"""AUTH in the words of SMTP (RFC 4954 §4, §6)."""

import asyncio

import pytest
from tests.fakes.clock import ManualClock, settle
from tests.fakes.directory_store import MemoryDirectoryStore
from tests.fakes.login_house import FakeChecker, FakeGuard

from postroom.config.model import DeliverySettings
from postroom.directory.checker import Unavailable
from postroom.directory.directory import Directory
from postroom.directory.login import LoginDesk
from postroom.inbound.login import SmtpLogin
from postroom.mail.session import Client, Role
from postroom.net.pause import Pause
from postroom.report.reporter import Reporter

ANNA = "anna@example.org"
RIGHT, WRONG = b"\0anna@example.org\0secret", b"\0anna@example.org\0wrong"


class House:
    def __init__(self) -> None:
        store = MemoryDirectoryStore()
        store.add_account(ANNA, password="set")
        self.clock = ManualClock()
        self.checker = FakeChecker(Directory(store, DeliverySettings(), self.clock), {ANNA: "secret"})
        self.guard = FakeGuard()
        self.pause = Pause(self.clock)

    def login(self, mechanism: str = "PLAIN") -> SmtpLogin:
        client = Client(1, Role.SUBMISSIONS, "192.0.2.1", 4711)
        return SmtpLogin(LoginDesk(self.checker, self.guard, Reporter([])), client, mechanism, self.pause)


@pytest.fixture
def house() -> House:
    return House()


async def test_success(house: House) -> None:
    login = house.login()
    assert (await login.step(None)).to_bytes() == b"334 \r\n"  # RFC 4954 §4: the space stands
    assert (await login.step(RIGHT)).code == 235
    assert login.account == ANNA


@pytest.mark.parametrize(
    ("data", "code", "status"), [(WRONG, 535, "5.7.8"), (b"\0nobody\0secret", 535, "5.7.8"), (b"x", 501, "5.5.2")]
)
async def test_failures(house: House, data: bytes, code: int, status: str) -> None:
    login = house.login()
    reply = await login.step(data)
    assert (reply.code, reply.status, login.account) == (code, status, "")


async def test_trouble_and_lockout_are_for_a_time(house: House) -> None:
    house.checker.result = Unavailable("the store is gone")
    outage = await house.login().step(RIGHT)
    house.guard.locked.add(ANNA)
    locked = await house.login().step(RIGHT)
    assert (outage.code, locked.code, outage.status, locked.status) == (454, 454, "4.7.0", "4.7.0")
    assert outage != locked


async def test_what_was_not_offered_is_not_there(house: House) -> None:
    for mechanism in ("SCRAM-SHA-256-PLUS", "EXTERNAL", "CRAM-MD5"):
        assert (await house.login(mechanism).step(b"")).code == 504


@pytest.mark.parametrize(("mechanism", "data"), [("PLAIN", WRONG), ("XOAUTH2", b"user=x\x01auth=Bearer bad\x01\x01")])
async def test_a_failure_is_answered_late(house: House, mechanism: str, data: bytes) -> None:
    house.guard.delay = 4
    answer = asyncio.create_task(house.login(mechanism).step(data))
    await house.clock.pass_time(3.9)
    assert not answer.done()
    await house.clock.pass_time(0.1)
    assert (await answer).code in {334, 535}


async def test_but_not_where_the_session_must_end(house: House) -> None:
    house.guard.delay = 4
    answer = asyncio.create_task(house.login().step(WRONG))
    await settle()
    house.pause.end()
    assert (await answer).code == 535
