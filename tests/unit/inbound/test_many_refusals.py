"""Refusals without end: a session ends, the log does not grow with it, and others have their turn meanwhile."""

import asyncio
import gc

import pytest
from tests.fakes.clock import settle
from tests.fakes.smtp_house import SmtpHouse
from tests.fakes.stream import TLS_FACTS
from tests.unit.inbound.conftest import Starter, Talk

from postroom.config.guard import FloodSettings
from postroom.config.model import SmtpSettings
from postroom.inbound.session import SmtpSession
from postroom.mail.reply import Reply
from postroom.mail.session import Client, Role
from postroom.policy.chain import Chain
from postroom.policy.limits import MOST_DEFERRED
from postroom.policy.stage import AtMail, AtRcpt, Stage
from postroom.policy.verdict import Defer, Refuse, Verdict
from postroom.report.events import AbuseSeen, CommandRefused, MessageRefused, RecipientRefused, SenderRefused

LATER = Defer(Reply.of(450, "4.7.1", "Not now"), "a rate")
NEVER = Refuse(Reply.of(550, "5.7.1", "Never"), "a rule")
TOLD = 100


def ask_only(talk: Talk, stage: Stage) -> None:
    """Let the session ask this stage alone."""
    rooms = talk.service._setup.rooms  # the chain is built from the settings; this one is not
    object.__setattr__(rooms, "chain", Chain([stage]))


def answers(said: str) -> dict[str, int]:
    """How often each code was answered."""
    codes = [line[:3] for line in said.splitlines()]
    return {code: codes.count(code) for code in codes}


async def until_over(talk: Talk, line: str) -> dict[str, int]:
    """The same line over and over in one go, far more often than anybody may; what was answered."""
    talk.stream.feed(f"{line}\r\n".encode() * (MOST_DEFERRED * 2))
    return answers(await talk.over())


async def test_recipients_that_are_deferred(start: Starter) -> None:
    async def on_rcpt(_: AtRcpt) -> Verdict:
        return LATER

    talk = start()
    ask_only(talk, Stage(name="rate", on_rcpt=on_rcpt))
    await talk.say("EHLO client.example", "MAIL FROM:<>")
    assert await until_over(talk, "RCPT TO:<bob@local.example>") == {"450": MOST_DEFERRED, "421": 1}
    assert len(talk.house.told(RecipientRefused)) == TOLD
    (seen,) = talk.house.told(AbuseSeen)
    assert seen.kind == "refusals"


async def test_senders_that_are_deferred(start: Starter) -> None:
    async def on_mail(_: AtMail) -> Verdict:
        return LATER

    talk = start()
    ask_only(talk, Stage(name="rate", on_mail=on_mail))
    await talk.say("EHLO client.example")
    assert await until_over(talk, "MAIL FROM:<>") == {"450": MOST_DEFERRED, "421": 1}
    assert len(talk.house.told(SenderRefused)) == TOLD


async def test_senders_that_are_refused(start: Starter) -> None:
    async def on_mail(_: AtMail) -> Verdict:
        return NEVER

    talk = start(SmtpSettings(max_errors=5))
    ask_only(talk, Stage(name="rule", on_mail=on_mail))
    await talk.say("EHLO client.example")
    assert await until_over(talk, "MAIL FROM:<>") == {"550": 4, "421": 1}


async def test_what_is_too_big_from_the_start(start: Starter) -> None:
    """RFC 1870 §6.1: it is no error to ask, but not for ever."""
    talk = start()
    await talk.say("EHLO client.example")
    assert await until_over(talk, f"MAIL FROM:<> SIZE={10**12}") == {"552": MOST_DEFERRED + 1, "421": 1}
    assert len(talk.house.told(CommandRefused)) == TOLD


async def test_a_message_begins_the_count_anew(start: Starter) -> None:
    talk = start(SmtpSettings(max_recipients=100))
    await settle(5)
    recipient, most = "RCPT TO:<bob@local.example>", MOST_DEFERRED - 10
    await talk.say("EHLO client.example")
    for _ in range(2):
        await talk.say("MAIL FROM:<>")
        talk.stream.feed(f"{recipient}\r\n".encode() * (100 + most))
        await settle(2000)
        said = answers(await talk.say("DATA", "Subject: to many", "", "."))
        assert said == {"250": 101, "452": most, "354": 1}
    assert len(talk.house.told(CommandRefused)) == 2 * TOLD


async def test_what_follows_a_refused_sender_is_answered_at_once(start: Starter) -> None:
    """RFC 2920 §3.1: a client that pipelines has sent it before it could know."""

    async def on_mail(_: AtMail) -> Verdict:
        return NEVER

    talk = start(house=SmtpHouse(flood=FloodSettings(tarpit=2)))
    ask_only(talk, Stage(name="rule", on_mail=on_mail))
    await settle(5)
    begun = talk.house.clock.now()
    said = await talk.say("EHLO client.example", "MAIL FROM:<>", *["RCPT TO:<bob@local.example>"] * 50, "DATA")
    assert answers(said)["503"] == 51
    assert talk.house.clock.now() == begun


async def test_refused_contents_are_answered_late(start: Starter) -> None:
    talk = start(house=SmtpHouse(SmtpSettings(max_hops=10), flood=FloodSettings(tarpit=2)))
    await settle(5)
    loop = ["Received: from here"] * 11
    await talk.say("EHLO client.example")
    begun = talk.house.clock.now()
    for _ in range(5):
        await talk.say("MAIL FROM:<>", "RCPT TO:<bob@local.example>", "DATA")
        assert (await talk.say(*loop, "", ".")).startswith("554 5.4.6 ")
    assert talk.house.clock.now() == begun + 2 * 2
    assert len(talk.house.told(MessageRefused)) == 5


async def test_who_is_locked_may_not_ask_for_ever(start: Starter) -> None:
    client = Client(1, Role.SUBMISSIONS, "192.0.2.1", 4711, tls=TLS_FACTS)
    talk = start(SmtpSettings(max_errors=5), role=Role.SUBMISSIONS, client=client)
    talk.house.guard.locked.add("bob@local.example")
    await talk.say("EHLO client.example")
    said = ""
    while not talk.task.done():
        said += await talk.say("AUTH PLAIN AGJvYkBsb2NhbC5leGFtcGxlAHNlY3JldA==")
    assert answers(said) == {"454": 4, "421": 1}


async def test_what_is_answered_already_does_not_wait_for_what_is_held_back(start: Starter) -> None:
    talk = start(house=SmtpHouse(flood=FloodSettings(tarpit=2)))
    await settle(5)
    talk.stream.take_sent()
    talk.stream.writes.clear()
    said = await talk.say("NOOP", *["WHAT"] * 5)
    lines = said.splitlines(keepends=True)
    assert talk.stream.writes == [len("".join(lines[:4])), len(lines[4]), len(lines[5])], "the last two are held back"


def sessions() -> set[int]:
    """The session objects that there are, of whatever test."""
    return {id(thing) for thing in gc.get_objects() if isinstance(thing, SmtpSession)}


async def test_a_session_that_is_over_is_gone_before_any_collection(start: Starter) -> None:
    """The collector seldom looks, and a client of this kind leaves a buffer behind each time."""
    gc.collect()
    gc.disable()
    try:
        others = sessions()
        talk = start(SmtpSettings(max_errors=5))
        await settle(5)
        assert len(sessions() - others) == 1
        await until_over(talk, "WHAT")
        assert not sessions() - others
    finally:
        gc.enable()


@pytest.mark.parametrize("line", ["NOOP", "RCPT TO:<bob@local.example>"])
async def test_others_have_their_turn(start: Starter, line: str) -> None:
    talk = start(SmtpSettings(max_recipients=100))
    await talk.say("EHLO client.example", "MAIL FROM:<>")
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    talk.stream.feed(f"{line}\r\n".encode() * 5000)
    await settle(20)
    assert not talk.stream.held
    beside.cancel()
    assert turns > 1
