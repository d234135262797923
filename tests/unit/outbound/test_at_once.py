"""Content that leaves with its commands (RFC 3030 §4.2): when, and what is made of it when something breaks."""

from typing import Any

import pytest
from tests.fakes.peer import ALL_EXTENSIONS, ScriptedPeer
from tests.unit.outbound.making import CONTENT, PREFIX, make_carrier, make_request

from postroom.mail.delivery import Deferred, Delivered, DeliveryRequest, Failed, Outcome
from postroom.outbound.carrier import SmtpCarrier
from postroom.outbound.fitting import AT_ONCE

CHUNKING = (*ALL_EXTENSIONS, "CHUNKING")
WHOLE = PREFIX + CONTENT


async def smooth(peer: ScriptedPeer) -> SmtpCarrier:
    """A carrier with an idle session on which a message has just gone well."""
    carrier = make_carrier(peer)
    (outcome,) = (await carrier.deliver(make_request())).values()
    assert isinstance(outcome, Delivered)
    peer.writes.clear()
    peer.commands.clear()
    peer.taken.clear()
    return carrier


async def deliver(carrier: SmtpCarrier, request: DeliveryRequest) -> list[Outcome]:
    outcomes = await carrier.deliver(request)
    return [outcomes[recipient.number] for recipient in request.recipients]


async def test_one_write_a_message_once_one_has_gone_well() -> None:
    peer = ScriptedPeer(CHUNKING)
    carrier = await smooth(peer)
    for _ in range(2):
        outcomes = await deliver(carrier, make_request("a@example.org", "b@example.org"))
        assert [type(outcome) for outcome in outcomes] == [Delivered, Delivered]
    assert len(peer.writes) == 2
    assert [taken.content for taken in peer.taken] == [WHOLE, WHOLE]
    assert [taken.chunks for taken in peer.taken] == [(len(WHOLE),)] * 2
    assert peer.taken[0].rcpts == ["RCPT TO:<a@example.org>", "RCPT TO:<b@example.org>"]
    await carrier.close()
    assert peer.connections == 1


@pytest.mark.parametrize("extensions", [ALL_EXTENSIONS, ("CHUNKING",), (*ALL_EXTENSIONS[1:], "CHUNKING")])
async def test_not_without_both_extensions(extensions: tuple[str, ...]) -> None:
    peer = ScriptedPeer(extensions)
    carrier = await smooth(peer)
    await deliver(carrier, make_request())
    assert "DATA" in peer.commands
    await carrier.close()


@pytest.mark.parametrize("content", [b"x" * AT_ONCE + b"\r\n", b"bare\nlf\r\n"], ids=["much", "malformed"])
async def test_not_for_what_is_large_or_not_smtp(content: bytes) -> None:
    peer = ScriptedPeer(CHUNKING)
    carrier = await smooth(peer)
    (outcome,) = await deliver(carrier, make_request(content=content))
    assert "DATA" in peer.commands
    assert isinstance(outcome, Failed if b"bare" in content else Delivered)
    await carrier.close()


async def test_who_is_refused_does_not_receive_and_the_next_message_asks_first() -> None:
    peer = ScriptedPeer(CHUNKING)
    carrier = await smooth(peer)
    peer.replies = {"RCPT TO:<b@": "550 5.1.1 nobody"}
    outcomes = await deliver(carrier, make_request("a@example.org", "b@example.org"))
    assert [type(outcome) for outcome in outcomes] == [Delivered, Failed]
    assert peer.taken[0].rcpts == ["RCPT TO:<a@example.org>"]
    await deliver(carrier, make_request())
    assert "DATA" in peer.commands
    await deliver(carrier, make_request())
    assert peer.commands[-1].startswith("BDAT")  # it has gone well again
    await carrier.close()


@pytest.mark.parametrize("at", ["MAIL", "RCPT"])
async def test_nobody_takes_it(at: str) -> None:
    # RFC 3030 §2: the octets were read and thrown away; RSET makes sure of the rest
    peer = ScriptedPeer(CHUNKING)
    carrier = await smooth(peer)
    peer.replies = {at: ["550 5.7.1 not from you"]}
    (outcome,) = await deliver(carrier, make_request())
    assert isinstance(outcome, Failed)
    assert str(outcome.reply) == "550 5.7.1 not from you"
    assert not peer.taken
    peer.commands.clear()
    (outcome,) = await deliver(carrier, make_request())
    assert isinstance(outcome, Delivered)
    assert peer.commands[0] == "RSET"
    await carrier.close()
    assert peer.connections == 1


async def test_the_content_is_refused() -> None:
    peer = ScriptedPeer(CHUNKING)
    carrier = await smooth(peer)
    peer.replies = {".": ["554 5.7.1 spam"]}
    (outcome,) = await deliver(carrier, make_request())
    assert isinstance(outcome, Failed)
    await carrier.close()


@pytest.mark.parametrize(
    "trouble",
    [{"close_at": "RCPT"}, {"silent_at": "RCPT"}, {"garbage_at": "RCPT"}, {"close_at": "."}, {"silent_at": "MAIL"}],
    ids=str,
)
async def test_what_breaks_after_all_has_left_leaves_it_open(trouble: dict[str, Any]) -> None:
    # RFC 5321 §4.5.4.1: a host that buffers its replies may have taken the message before it was lost
    peer = ScriptedPeer(CHUNKING)
    carrier = await smooth(peer)
    for name, value in trouble.items():
        setattr(peer, name, value)
    (outcome,) = await deliver(carrier, make_request())
    assert isinstance(outcome, Deferred)
    assert outcome.ambiguous
    assert peer.connections == 1, "it may have the message: nobody else is asked now"
    await carrier.close()


async def test_a_reply_that_makes_no_sense_leaves_it_open() -> None:
    peer = ScriptedPeer(CHUNKING)
    carrier = await smooth(peer)
    peer.replies = {"MAIL": ["354 go on"]}
    (outcome,) = await deliver(carrier, make_request())
    assert isinstance(outcome, Deferred)
    assert outcome.ambiguous
    await carrier.close()


async def test_a_host_that_closes_before_the_content_is_left_for_a_fresh_connection() -> None:
    peer = ScriptedPeer(CHUNKING)
    carrier = await smooth(peer)
    peer.replies = {"MAIL": ["421 4.7.0 enough for one connection"]}
    (outcome,) = await deliver(carrier, make_request())
    assert isinstance(outcome, Delivered)
    assert peer.connections == 2
    await carrier.close()


async def test_replies_that_came_stand_when_the_rest_is_lost() -> None:
    peer = ScriptedPeer(CHUNKING)
    carrier = await smooth(peer)
    peer.replies = {"RCPT TO:<a@": "550 5.1.1 nobody", "RCPT TO:<b@": "550 5.1.1 nobody either"}
    peer.close_at = "."
    outcomes = await deliver(carrier, make_request("a@example.org", "b@example.org"))
    assert [str(outcome.reply) for outcome in outcomes] == ["550 5.1.1 nobody", "550 5.1.1 nobody either"]
    await carrier.close()


async def test_a_session_that_has_gone_stale_is_not_written_to() -> None:
    peer = ScriptedPeer(CHUNKING)
    peer.closes_idle = True
    carrier = await smooth(peer)
    (outcome,) = await deliver(carrier, make_request())
    assert isinstance(outcome, Delivered)
    assert peer.connections == 2
    await carrier.close()
