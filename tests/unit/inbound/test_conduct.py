"""What a client that does not behave itself meets: early talk, floods, garbage, slow content, sessions without end."""

from ipaddress import IPv4Network

import pytest
from tests.fakes.clock import settle
from tests.fakes.smtp_house import SmtpHouse
from tests.fakes.stream import MemoryStream
from tests.unit.inbound.conftest import Starter

from postroom.config.guard import FloodSettings, LockoutSettings
from postroom.config.model import SmtpSettings
from postroom.inbound.conduct import FREE_REFUSALS, PACE_WINDOW, POINTS
from postroom.mail.session import Role
from postroom.policy.lockout import Lockout
from postroom.report.events import AbuseSeen, LockedOut, SessionClosed


def house_with(flood: FloodSettings | None = None, *, abuse: int = 50) -> SmtpHouse:
    """A house that counts abuse."""
    house = SmtpHouse(SmtpSettings(max_errors=1000), flood=flood or FloodSettings())
    lockout = Lockout(LockoutSettings(abuse=abuse), house.clock, house.house.reporter)
    object.__setattr__(house.house, "lockout", lockout)
    return house


async def test_who_talks_before_the_greeting_is_refused(start: Starter) -> None:
    """RFC 5321 §4.3.1: the client must wait for the greeting."""
    stream = MemoryStream()
    stream.feed(b"EHLO early.example\r\nMAIL FROM:<x@y.example>\r\n")
    talk = start(house=house_with(abuse=POINTS), stream=stream)
    await settle(5)
    assert stream.take_sent().startswith(b"554 5.5.1 ")
    assert (await talk.say("MAIL FROM:<x@y.example>")).startswith("503 "), "only QUIT is left (RFC 5321 §3.1)"
    (seen,) = talk.house.told(AbuseSeen)
    assert (seen.kind, seen.detail) == ("pregreet", "EHLO early.example")
    (banned,) = talk.house.told(LockedOut)
    assert (banned.scope, banned.subject) == ("address", "192.0.2.1")


@pytest.mark.parametrize("role", [Role.SUBMISSION, Role.LMTP])
async def test_only_mx_watches_the_greeting(start: Starter, role: Role) -> None:
    stream = MemoryStream()
    stream.feed(b"NOOP\r\n")
    start(house=house_with(), stream=stream, role=role)
    await settle(5)
    assert stream.take_sent().startswith(b"220 ")


async def test_the_greeting_waits_for_early_talkers_once(start: Starter) -> None:
    house = house_with(FloodSettings(greet_delay=5))
    stream = MemoryStream(silent=True)
    await start(house=house, stream=stream).over()
    assert stream.timeouts[0] == 5
    again = MemoryStream(silent=True)
    talk = start(house=house, stream=again)
    service = talk.service
    await talk.over()
    assert again.timeouts[0] == 5, "another service is another role"
    third = MemoryStream(silent=True)
    await service.run(third, talk.house.told(SessionClosed)[0].client)
    assert 5 not in third.timeouts, "who has passed is not kept waiting again"


async def test_who_talks_while_the_greeting_waits_is_refused(start: Starter) -> None:
    talk = start(house=house_with(FloodSettings(greet_delay=5)))
    await settle(5)
    assert (await talk.say("EHLO early.example")).startswith("554 5.5.1 ")
    assert [seen.kind for seen in talk.house.told(AbuseSeen)] == ["pregreet"]


@pytest.mark.parametrize("command", ["NOOP", "RSET", "VRFY bob", "EHLO client.example", "HELP"])
async def test_a_flood_of_commands_that_bring_no_mail_ends(start: Starter, command: str) -> None:
    talk = start(house=house_with(FloodSettings(max_idle_commands=10)))
    await settle(5)
    talk.stream.take_sent()
    said = await talk.say(*[command] * 200)
    assert said.splitlines()[-1].startswith("421 4.7.0 ")
    assert said.count("\r\n") < 200
    await talk.over()
    assert [seen.kind for seen in talk.house.told(AbuseSeen)] == ["commands"]
    assert talk.house.told(SessionClosed)[0].reason == "errors"


async def test_a_message_makes_room_for_more_commands(start: Starter) -> None:
    talk = start(house=house_with(FloodSettings(max_idle_commands=10)))
    await settle(5)
    for _ in range(3):
        assert "421" not in await talk.say(*["NOOP"] * 8)
        await talk.open()
        assert "250 2.0.0 queued" in await talk.say("Subject: x", "", ".")
    assert talk.house.told(AbuseSeen) == []


async def test_refused_commands_are_answered_late(start: Starter) -> None:
    talk = start(house=house_with(FloodSettings(tarpit=2)))
    await settle(5)
    begun = talk.house.clock.now()
    await talk.say(*["WHAT"] * FREE_REFUSALS)
    assert talk.house.clock.now() == begun
    await talk.say("WHAT", "WHAT")
    assert talk.house.clock.now() == begun + 4
    await talk.say("EHLO client.example", "MAIL FROM:<>", "RCPT TO:<nobody@local.example>")
    assert talk.house.clock.now() == begun + 6, "a refused recipient counts as well"


async def test_garbage_ends_the_session_and_counts(start: Starter) -> None:
    house = house_with()
    object.__setattr__(house.house, "settings", SmtpSettings(max_errors=5))
    talk = start(house=house)
    await settle(5)
    said = await talk.send(b"\x00\x01garbage\r\n" * 50)
    assert said.splitlines()[-1].startswith("421 4.7.0 ")
    assert [(seen.kind) for seen in talk.house.told(AbuseSeen)] == ["garbage"]


async def test_guessing_recipients_ends_the_session(start: Starter) -> None:
    house = house_with()
    object.__setattr__(house.house, "settings", SmtpSettings(max_errors=5))
    talk = start(house=house)
    await settle(5)
    await talk.say("EHLO client.example", "MAIL FROM:<>")
    said = await talk.say(*[f"RCPT TO:<guess{n}@local.example>" for n in range(10)])
    assert said.splitlines()[-1].startswith("421 4.7.0 ")
    assert [seen.kind for seen in talk.house.told(AbuseSeen)] == ["guessing"]


async def test_content_that_comes_too_slowly_ends_the_session(start: Starter) -> None:
    talk = start(house=house_with(FloodSettings(min_content_rate=50)))
    await talk.open()
    assert await talk.send(b"Subject: slow\r\n") == ""
    talk.house.clock.advance(PACE_WINDOW - 1)
    assert await talk.send(b"x") == "", "a minute is what it has"
    talk.house.clock.advance(1)
    assert (await talk.send(b"x")).startswith("421 4.4.2 ")
    await talk.over()
    assert [seen.kind for seen in talk.house.told(AbuseSeen)] == ["slow"]
    assert talk.house.door.drafts == []


async def test_content_at_its_pace_goes_on(start: Starter) -> None:
    talk = start(house=house_with(FloodSettings(min_content_rate=50)))
    await talk.open()
    for _ in range(5):
        talk.house.clock.advance(PACE_WINDOW)
        assert await talk.send((b"x" * 98 + b"\r\n") * 30) == ""
    assert "250 2.0.0 queued" in await talk.send(b".\r\n")


async def test_a_session_without_a_login_may_not_last_for_ever(start: Starter) -> None:
    talk = start(house=house_with(FloodSettings(max_session=600)))
    await settle(5)
    assert "421" not in await talk.say("NOOP")
    talk.house.clock.advance(600)
    assert "421 4.4.2 " in await talk.say("NOOP")


async def test_a_proxy_that_introduces_its_client_has_waited_already(start: Starter) -> None:
    """XCLIENT: the greeting that follows answers the proxy; what it pipelined is no early talk of the client's."""
    house = SmtpHouse(SmtpSettings(xclient_networks=(IPv4Network("192.0.2.1/32"),)), flood=FloodSettings())
    talk = start(house=house)
    await settle(5)
    await talk.say("EHLO proxy.example")
    talk.stream.feed(b"XCLIENT ADDR=198.51.100.7\r\n", b"EHLO client.example\r\n")
    await settle(60)
    assert talk.stream.take_sent().startswith(b"220 ")
    assert talk.house.told(AbuseSeen) == []
