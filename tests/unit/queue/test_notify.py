"""NOTIFY and RET, each wish with each fate: which reports there are, and what of the message comes back (RFC 3461)."""

import email

import pytest
from tests.fakes.carrier import ACCEPTED, GREYLISTED, REFUSED
from tests.fakes.house import CONTENT, House

from postroom.mail.delivery import Outcome
from postroom.mail.envelope import Notify, Ret
from postroom.report.events import DsnMade

DAY = 86400.0
F, D, S = Notify.FAILURE, Notify.DELAY, Notify.SUCCESS

ALL_FATES = [(ACCEPTED, "success"), (REFUSED, "failure"), (GREYLISTED, "expiry")]
EXPECTED: dict[Notify | None, dict[str, list[str]]] = {
    # RFC 3461 §4.1: without NOTIFY as with FAILURE,DELAY
    None: {"success": [], "failure": ["failed"], "expiry": ["delayed", "failed"]},
    Notify.NEVER: {"success": [], "failure": [], "expiry": []},
    F: {"success": [], "failure": ["failed"], "expiry": ["failed"]},
    D: {"success": [], "failure": [], "expiry": ["delayed"]},
    S: {"success": ["relayed"], "failure": [], "expiry": []},
    F | D: {"success": [], "failure": ["failed"], "expiry": ["delayed", "failed"]},
    S | F: {"success": ["relayed"], "failure": ["failed"], "expiry": ["failed"]},
    S | D: {"success": ["relayed"], "failure": [], "expiry": ["delayed"]},
    S | F | D: {"success": ["relayed"], "failure": ["failed"], "expiry": ["delayed", "failed"]},
}


@pytest.mark.parametrize("notify", list(EXPECTED), ids=str)
@pytest.mark.parametrize(("outcome", "fate"), ALL_FATES, ids=[fate for _, fate in ALL_FATES])
async def test_the_sender_hears_what_notify_says(outcome: Outcome, fate: str, notify: Notify | None) -> None:
    """RFC 3461 §4.1, §5.2.2, §5.2.5, §5.2.6."""
    house = House(lifetime=DAY)
    house.carrier.outcome = outcome
    async with house.running():
        await house.send("bob@far.example", notify=notify)
        await house.clock.pass_time(2 * DAY)
        assert [made.kind for made in house.told(DsnMade)] == EXPECTED[notify][fate]
        assert len(house.inbox(1)) == len(EXPECTED[notify][fate])


@pytest.mark.parametrize("ret", [None, Ret.FULL, Ret.HDRS])
@pytest.mark.parametrize(("outcome", "fate"), ALL_FATES, ids=[fate for _, fate in ALL_FATES])
async def test_what_comes_back(outcome: Outcome, fate: str, ret: Ret | None) -> None:
    """RFC 3461 §4.3, §6.2: RET is about failures alone; the others bring the header."""
    house = House(lifetime=DAY)
    house.carrier.outcome = outcome
    async with house.running():
        await house.send("bob@far.example", notify=S | F | D, asks={"ret": ret})
        await house.clock.pass_time(2 * DAY)
        for dsn in house.inbox(1):
            action = email.message_from_bytes(dsn).get_payload(1).get_payload(1)["Action"]  # type: ignore[union-attr,index] # as the standard has it
            whole = action == "failed" and ret is not Ret.HDRS
            assert (CONTENT in dsn) is whole, action
            assert b"Subject: hi\r\n" in dsn
            assert (b"\r\nHello\r\n" in dsn) is whole


async def test_a_report_about_a_report_is_never_asked_for() -> None:
    """RFC 3461 §6.1: the null sender, no RET; the sender of the message and nobody else."""
    house = House()
    house.carrier.by_domain["far.example"] = REFUSED
    async with house.running():
        await house.send("bob@far.example", sender="eve@elsewhere.example", notify=F, asks={"ret": Ret.FULL})
        await house.clock.pass_time(1)
    report = house.carrier.requests[-1].message.envelope
    assert (report.reverse_path, report.ret) == (None, None)
    assert [str(one.address) for one in report.recipients] == ["eve@elsewhere.example"]
