"""From and Sender of what is submitted (RFC 6409 §8.1, RFC 5322 §3.6.2)."""

from typing import Literal

import pytest
from tests.fakes.queue_store import MemoryQueueStore
from tests.fakes.smtp_house import SmtpHouse

from postroom.inbound.content import ContentSpool
from postroom.inbound.heading import MAX_HEADER
from postroom.inbound.originator import Originator
from postroom.inbound.submitted import SubmittedSpool
from postroom.mail.envelope import Envelope
from postroom.mail.message import QueueIds
from postroom.policy.verdict import Refuse

LOGIN = "bob@local.example"
OWN, OTHER = "From: Bob <bob@local.example>", "From: The President <p@elsewhere.example>"


async def settle(
    mode: Literal["off", "sender", "refuse"], *lines: str, login: str = LOGIN, smtputf8: bool = False
) -> str:
    """The fields that are added, or the reply that refuses."""
    house = SmtpHouse()
    house.people.add_account(LOGIN, password="set")
    house.people.add_alias("sales@local.example", LOGIN)
    spool = SubmittedSpool(ContentSpool(MemoryQueueStore(), QueueIds(house.clock.now).next))
    await spool.add("".join(f"{line}\r\n" for line in (*lines, "", "text")).encode())
    settled = await Originator(house.directory, mode).settle(spool, login, Envelope(None, smtputf8=smtputf8))
    if isinstance(settled, Refuse):
        return str(settled.reply)
    return settled.decode()


@pytest.mark.parametrize("mode", ["off", "sender", "refuse"])
async def test_a_missing_from_is_added(mode: Literal["off", "sender", "refuse"]) -> None:
    """RFC 5322 §3.6: From must be there."""
    assert await settle(mode, "Subject: hi") == "From: bob@local.example\r\n"


@pytest.mark.parametrize("mode", ["off", "sender", "refuse"])
@pytest.mark.parametrize(
    "line", [OWN, "From: sales@local.example", "FROM : bob+tag@local.example", "From: (x)\r\n <BOB@Local.Example>"]
)
async def test_ones_own_address_is_left_alone(mode: Literal["off", "sender", "refuse"], line: str) -> None:
    assert await settle(mode, line) == ""


@pytest.mark.parametrize(
    "lines",
    [
        (OTHER,),
        ("From: nobody",),
        ("From: Undisclosed:;",),
        ("From: bob@local.example, p@elsewhere.example",),  # RFC 5322 §3.6.2: several need a Sender
        ("From: bob@local.example, sales@local.example",),
        ("From: bob@local.example <p@elsewhere.example>",),
    ],
)
async def test_a_sender_is_added(lines: tuple[str, ...]) -> None:
    assert await settle("sender", *lines) == "Sender: bob@local.example\r\n"
    assert await settle("off", *lines) == ""


@pytest.mark.parametrize(
    "lines",
    [
        (OTHER, "Sender: bob@local.example"),
        ("From: bob@local.example, p@elsewhere.example", "Sender: p@elsewhere.example"),
        (OWN, "Sender: p@elsewhere.example"),
    ],
)
async def test_a_sender_that_is_there_stays(lines: tuple[str, ...]) -> None:
    assert await settle("sender", *lines) == ""


@pytest.mark.parametrize("sender", ["p@elsewhere.example", "bob@local.example, p@elsewhere.example", "nobody", ""])
async def test_a_foreign_sender_cannot_be_replaced(sender: str) -> None:
    assert (
        await settle("sender", OTHER, f"Sender: {sender}") == "550 5.7.1 Sender must be an address of bob@local.example"
    )
    assert await settle("off", OTHER, f"Sender: {sender}") == ""


@pytest.mark.parametrize(
    "lines",
    [
        (OTHER,),
        (OTHER, "Sender: bob@local.example"),
        ("From: bob@local.example, p@elsewhere.example",),
        ("From: nobody",),
        ("From:",),
    ],
)
async def test_strangers_are_refused(lines: tuple[str, ...]) -> None:
    assert await settle("refuse", *lines) == "550 5.7.1 From must be an address of bob@local.example"


async def test_several_own_addresses_need_a_sender_too() -> None:
    lines = ("From: bob@local.example, sales@local.example",)
    assert await settle("refuse", *lines) == "Sender: bob@local.example\r\n"


@pytest.mark.parametrize("lines", [(OWN, OTHER), (OWN, "Sender: bob@local.example", "sender: p@elsewhere.example")])
async def test_what_readers_would_read_differently_is_refused(lines: tuple[str, ...]) -> None:
    assert (await settle("refuse", *lines)).startswith("550 5.6.0")
    assert (await settle("sender", *lines)).startswith("550 5.6.0")
    assert await settle("off", *lines) == ""


async def test_a_from_behind_a_broken_line_is_refused() -> None:
    assert (await settle("refuse", OWN, "no field", OTHER)).startswith("550 5.6.0")
    assert await settle("off", OWN, "no field", OTHER) == ""


async def test_a_header_without_end_is_refused() -> None:
    assert (await settle("off", OWN, "X: " + "y" * MAX_HEADER)).startswith("552 5.3.4")


async def test_a_login_beyond_ascii_is_written_where_it_may_be() -> None:
    """RFC 6531 §3.2: UTF-8 in a header needs SMTPUTF8."""
    assert await settle("sender", OTHER, login="jürgen@local.example") == ""
    added = await settle("sender", OTHER, login="jürgen@local.example", smtputf8=True)
    assert added == "Sender: jürgen@local.example\r\n"
    refused = await settle("refuse", OTHER, login="jürgen@local.example")
    assert refused == "550 5.7.1 From must be an address of yours"


@pytest.mark.parametrize("mode", ["off", "sender", "refuse"])
@pytest.mark.parametrize(
    "line", [" , p@elsewhere.example", "\t<p@elsewhere.example>", " ", " x\r\nFrom: p@elsewhere.example"]
)
async def test_what_would_go_on_in_a_field_of_ours_is_refused(
    mode: Literal["off", "sender", "refuse"], line: str
) -> None:
    """From is added in front, as none is there: the first line would be a part of it."""
    assert (await settle(mode, line, "Subject: hi")).startswith("550 5.6.0")


@pytest.mark.parametrize("mode", ["sender", "refuse"])
async def test_a_from_that_some_readers_see_is_refused(mode: Literal["sender", "refuse"]) -> None:
    for name in ("From\x00", "\x01From", "From\r\n "):
        assert (await settle(mode, OWN, f"{name}: p@elsewhere.example")).startswith("550 5.6.0")
