"""A session survives whatever the peer, the store and the machine do, and says the right thing to it."""

import asyncio

import pytest
from tests.fakes.clock import settle
from tests.fakes.smtp_house import SmtpHouse
from tests.fakes.stream import MemoryStream
from tests.unit.inbound.conftest import Starter

from postroom.config.guard import FloodSettings
from postroom.config.model import SmtpSettings
from postroom.directory.credentials import Unavailable
from postroom.mail.reply import Reply
from postroom.mail.session import Client, Role
from postroom.mail.trouble import ResolverUnavailable, StoreUnavailable
from postroom.net.tls import TlsError
from postroom.policy.chain import Chain
from postroom.policy.stage import AtMessage, AtRcpt, Stage
from postroom.policy.verdict import ACCEPT, Defer, Refuse, Verdict
from postroom.report.events import (
    CommandRefused,
    InternalError,
    LoginFailed,
    LoginSucceeded,
    MessageRefused,
    RecipientRefused,
    SenderRefused,
    SessionClosed,
    SessionOpened,
    TlsFailed,
)

BOB_PLAIN = "AUTH PLAIN AGJvYkBsb2NhbC5leGFtcGxlAHNlY3JldA=="


def put_stage(house: SmtpHouse, service: object, stage: Stage) -> None:
    """Let the sessions of a service ask this stage alone."""
    rooms = service._setup.rooms  # type: ignore[attr-defined] # the chain is built from the settings; this one is not
    object.__setattr__(rooms, "chain", Chain([stage]))


async def test_a_session_is_told_from_end_to_end(start: Starter) -> None:
    talk = start()
    await talk.open()
    assert "250 2.0.0 queued as" in await talk.say("Subject: hi", "", ".")
    talk.house.clock.advance(2)
    await talk.say("QUIT")
    await talk.over()
    (opened,) = talk.house.told(SessionOpened)
    assert opened.client == Client(1, Role.MX, "192.0.2.1", 4711)
    (closed,) = talk.house.told(SessionClosed)
    assert (closed.reason, closed.duration, closed.messages) == ("quit", 2, 1)
    assert closed.client.helo == "client.example"
    (draft,) = talk.house.door.drafts
    assert draft.client is not None
    assert draft.client.helo == "client.example"
    assert draft.content == b"Subject: hi\r\n\r\n"
    assert len(draft.resolutions) == 1


async def test_pipelined_replies_leave_in_one_write(start: Starter) -> None:
    talk = start()
    await talk.say("EHLO client.example")
    before = len(talk.stream.writes)
    said = await talk.say("MAIL FROM:<>", "RCPT TO:<bob@local.example>", "RCPT TO:<x@local.example>", "NOOP", "DATA")
    assert [line[:3] for line in said.splitlines()] == ["250", "250", "550", "250", "354"]
    assert len(talk.stream.writes) == before + 1


async def test_a_silent_client_gets_421(start: Starter) -> None:
    talk = start(stream=MemoryStream(silent=True))
    said = await talk.over()
    assert said.splitlines()[-1].startswith("421 4.4.2 ")
    assert talk.house.told(SessionClosed)[0].reason == "timeout"


async def test_a_client_silent_within_content_gets_421_and_nothing_comes_of_it(start: Starter) -> None:
    talk = start()
    await talk.open()
    talk.stream.feed(b"Subject: half a mess")
    talk.stream.silent = True
    talk.stream.feed(b"age\r\n")
    assert (await talk.over()).startswith("421 4.4.2 ")
    assert talk.house.door.drafts == []
    assert talk.stream.timeout == 180


async def test_a_command_that_dribbles_in_does_not_restart_the_clock(start: Starter) -> None:
    talk = start()
    await settle(5)
    restarts = len(talk.stream.timeouts)
    for octet in b"EHLO client.example":
        await talk.send(bytes([octet]))
    assert len(talk.stream.timeouts) == restarts
    await talk.send(b"\r\n")
    assert len(talk.stream.timeouts) == restarts + 1


async def test_a_client_that_never_reads_is_let_go(start: Starter) -> None:
    stream = MemoryStream(window=64 * 1024, stuck=True)
    talk = start(stream=stream, house=SmtpHouse(flood=FloodSettings(pregreet=False, max_idle_commands=1_000_000)))
    for _ in range(100):
        stream.feed(b"NOOP\r\n" * 2000)
    await talk.task
    assert talk.house.told(SessionClosed)[0].reason == "timeout"
    assert stream.most_unread < 64 * 1024 + 40 * 1024


async def test_a_client_that_vanishes(start: Starter) -> None:
    talk = start(stream=MemoryStream(receive_error=ConnectionResetError("gone")))
    await talk.over()
    assert talk.house.told(SessionClosed)[0].reason == "closed"
    assert not talk.house.told(InternalError)


async def test_an_endless_command_line_ends_the_session(start: Starter) -> None:
    talk = start()
    for _ in range(48):
        talk.stream.feed(b"A" * 65536)
    talk.stream.feed(b"\r\nQUIT\r\n")
    talk.stream.feed_eof()
    said = await talk.over()
    assert "\r\n500 5.5.2 " in said
    (refused,) = talk.house.told(CommandRefused)
    assert len(refused.line) <= 200


async def test_ten_thousand_recipients(start: Starter) -> None:
    talk = start(SmtpSettings(max_recipients=100))
    await talk.say("EHLO client.example", "MAIL FROM:<>")
    counts = {"250": 0, "452": 0}
    for _ in range(100):
        said = await talk.say(*["RCPT TO:<bob@local.example>"] * 100)
        for line in said.splitlines():
            counts[line[:3]] += 1
    assert counts == {"250": 100, "452": 9900}
    assert len(talk.house.told(CommandRefused)) == 100


@pytest.mark.parametrize(("full", "reply"), [(True, "452 4.3.1 "), (False, "451 4.3.0 ")])
async def test_a_store_that_fails_at_the_end_of_content(start: Starter, full: bool, reply: str) -> None:
    talk = start()
    await talk.open()
    talk.house.door.error = StoreUnavailable("disk", full=full)
    assert (await talk.say("Subject: hi", "", ".")).startswith(reply)
    (refused,) = talk.house.told(MessageRefused)
    assert (refused.reason, refused.recipients, refused.size) == ("disk", 1, 15)
    talk.house.door.error = None
    said = await talk.say("MAIL FROM:<>", "RCPT TO:<bob@local.example>", "DATA", "Subject: again", ".")
    assert "250 2.0.0 queued as" in said


async def test_a_directory_that_fails_at_rcpt(start: Starter) -> None:
    talk = start()
    await talk.say("EHLO client.example", "MAIL FROM:<>")
    talk.house.people.unavailable = True
    assert (await talk.say("RCPT TO:<bob@local.example>")).startswith("45")
    (refused,) = talk.house.told(CommandRefused)
    assert refused.command == "RCPT"
    talk.house.people.unavailable = False
    assert (await talk.say("RCPT TO:<bob@local.example>")).startswith("250 ")


async def test_a_bug_costs_one_reply(start: Starter) -> None:
    talk = start()
    await talk.open()
    talk.house.door.error = ZeroDivisionError("oops")
    assert (await talk.say("Subject: hi", "", ".")).startswith("451 4.3.0 ")
    (error,) = talk.house.told(InternalError)
    assert "ZeroDivisionError" in error.trace
    assert "Subject" not in error.trace
    assert (await talk.say("NOOP")).startswith("250 ")


@pytest.mark.parametrize("error", [TimeoutError("database"), ConnectionResetError("database"), OSError("disk")])
async def test_trouble_below_is_not_taken_for_the_peers(start: Starter, error: Exception) -> None:
    talk = start()
    await talk.open()
    talk.house.door.error = error
    assert (await talk.say("Subject: hi", "", ".")).startswith("451 4.3.0 ")
    assert len(talk.house.told(InternalError)) == 1
    assert not talk.stream.closed


async def test_a_bug_while_dropping_content_is_heard_of(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    talk = start()
    await talk.open()

    async def drop_chunks(_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(talk.house.store, "drop_chunks", drop_chunks)
    for _ in range(40):
        talk.stream.feed((b"y" * 70 + b"\r\n") * 200)
    await settle(200)
    talk.stream.feed_eof()
    await talk.over()
    assert len(talk.house.told(InternalError)) == 1
    assert len(talk.house.told(SessionClosed)) == 1


async def test_content_far_beyond_the_limit_ends_the_session(start: Starter) -> None:
    talk = start(SmtpSettings(max_size=65536))
    await talk.open()
    for _ in range(100):
        talk.stream.feed((b"y" * 70 + b"\r\n") * 200)
    assert "552 5.3.4 " in await talk.over()
    assert talk.house.told(SessionClosed)[0].reason == "errors"
    assert len(talk.house.told(MessageRefused)) == 1


async def test_a_lookup_that_fails_in_policy(start: Starter) -> None:
    talk = start()

    async def on_rcpt(_: AtRcpt) -> Verdict:
        raise ResolverUnavailable("no DNS")

    put_stage(talk.house, talk.service, Stage(name="lookup", on_rcpt=on_rcpt))
    await talk.say("EHLO client.example", "MAIL FROM:<>")
    assert (await talk.say("RCPT TO:<bob@local.example>")).startswith("451 4.4.3 ")


async def test_a_bug_in_the_stream_costs_one_session(start: Starter) -> None:
    talk = start(stream=MemoryStream(receive_error=ZeroDivisionError("oops")))
    assert (await talk.over()).splitlines()[-1].startswith("421 4.3.0 ")
    assert talk.house.told(SessionClosed)[0].reason == "failure"


async def test_policy_at_every_moment(start: Starter) -> None:
    asked: list[object] = []

    async def on_client(client: Client) -> Verdict:
        asked.append(client.helo)
        bad = Refuse(Reply.of(550, "5.7.1", "Bad name"), "listed")
        return bad if client.helo == "bad.example" else ACCEPT

    async def on_message(moment: AtMessage) -> Verdict:
        asked.append((moment.size, moment.start, moment.glance.message_id))
        return Defer(Reply.of(450, "4.7.1", "Later"), "greylisted")

    talk = start()
    stage = Stage(name="all", on_connect=on_client, on_hello=on_client, on_message=on_message)
    put_stage(talk.house, talk.service, stage)
    await settle(5)
    assert (await talk.say("EHLO bad.example")).endswith("\r\n550 5.7.1 Bad name\r\n")
    await talk.open()
    assert (await talk.say("Message-ID: <a@b>", "", ".")).startswith("450 4.7.1 Later")
    assert asked == ["", "bad.example", "client.example", (21, b"Message-ID: <a@b>\r\n\r\n", "<a@b>")]
    assert talk.house.told(MessageRefused)[0].reason == "greylisted"
    assert talk.house.told(CommandRefused)[0].line == "listed"


async def test_a_client_that_policy_does_not_greet(start: Starter) -> None:
    async def on_connect(_: Client) -> Verdict:
        return Refuse(Reply.of(554, "5.7.1", "Go away"), "listed")

    talk = start()
    put_stage(talk.house, talk.service, Stage(name="list", on_connect=on_connect))
    said = await talk.say("EHLO a.example", "QUIT")
    assert [line[:3] for line in said.splitlines()] == ["554", "503", "221"]


async def test_refusals_name_sender_recipient_and_reason(start: Starter) -> None:
    talk = start(role=Role.SUBMISSION)
    talk.house.checker.passwords["bob@local.example"] = "secret"
    await talk.say("EHLO laptop.example", "STARTTLS")
    await talk.say("EHLO laptop.example", BOB_PLAIN)
    await talk.say("MAIL FROM:<carol@remote.example>")
    (sender,) = talk.house.told(SenderRefused)
    assert (sender.reverse_path, sender.reply.code) == ("carol@remote.example", 550)
    await talk.say("MAIL FROM:<bob@local.example>", "RCPT TO:<no@local.example>")
    (recipient,) = talk.house.told(RecipientRefused)
    assert (recipient.reverse_path, recipient.recipient) == ("bob@local.example", "no@local.example")
    assert recipient.reason == "no such account or alias"
    assert recipient.client.account == "bob@local.example"


async def test_logins_are_told_without_passwords(start: Starter) -> None:
    talk = start(role=Role.SUBMISSION)
    talk.house.checker.passwords["bob@local.example"] = "secret"
    await talk.say("EHLO laptop.example", "STARTTLS")
    said = await talk.say("EHLO laptop.example", "AUTH PLAIN AGJvYkBsb2NhbC5leGFtcGxlAHdyb25n")
    assert "535 5.7.8 " in said
    (failed,) = talk.house.told(LoginFailed)
    assert (failed.account, failed.mechanism) == ("bob@local.example", "PLAIN")
    assert (failed.failures_from_address, failed.failures_for_account) == (1, 1)
    talk.house.checker.result = Unavailable("busy")
    assert (await talk.say(BOB_PLAIN)).startswith("454 4.7.0 ")
    talk.house.checker.result = None
    assert (await talk.say(BOB_PLAIN)).startswith("235 2.7.0 ")
    assert len(talk.house.told(LoginSucceeded)) == 1
    assert "secret" not in repr(talk.house.reports)
    assert "wrong" not in repr([each.account for each in talk.house.told(LoginFailed)])


async def test_passwords_are_not_guessed_for_ever(start: Starter) -> None:
    talk = start(SmtpSettings(max_errors=3), role=Role.SUBMISSION)
    await talk.say("EHLO laptop.example", "STARTTLS")
    await talk.say("EHLO laptop.example", BOB_PLAIN, BOB_PLAIN)
    assert (await talk.say(BOB_PLAIN)).startswith("421 4.7.0 ")
    assert talk.stream.closed
    await talk.over()
    assert talk.house.told(SessionClosed)[0].reason == "errors"


@pytest.mark.parametrize("error", [TlsError("no shared cipher"), TimeoutError()])
async def test_a_handshake_that_fails_ends_the_session(start: Starter, error: Exception) -> None:
    talk = start(stream=MemoryStream(tls_error=error))
    said = await talk.say("EHLO client.example", "STARTTLS")
    assert "220 2.0.0 Ready" in said
    await talk.over()
    (failed,) = talk.house.told(TlsFailed)
    assert failed.reason
    assert talk.house.told(SessionClosed)[0].reason == "tls"


async def test_tls_has_its_own_timeout_and_drops_what_came_before(start: Starter) -> None:
    talk = start(stream=MemoryStream(after_tls=b"NOOP\r\n"))
    said = await talk.say("EHLO client.example", "STARTTLS", "MAIL FROM:<injected@remote.example>")
    assert said.splitlines()[-1].startswith("250 2.0.0 OK")
    assert 30 in talk.stream.timeouts
    assert (await talk.say("MAIL FROM:<>")).startswith("503 ")


async def test_an_idle_session_drains_at_once(start: Starter) -> None:
    talk = start()
    await talk.say("EHLO client.example")
    talk.service.drain()
    assert (await talk.over()).startswith("421 4.3.2 ")
    assert talk.house.told(SessionClosed)[0].reason == "drain"
    assert talk.service.sessions == 0


async def test_a_transaction_is_finished_before_the_drain(start: Starter) -> None:
    talk = start()
    await talk.open()
    talk.service.drain()
    await settle(5)
    assert not talk.stream.closed
    said = await talk.say("Subject: hi", "", ".")
    assert said.startswith("250 2.0.0 queued as ")
    assert "\r\n421 4.3.2 " in said
    await talk.over()


async def test_a_drain_begins_no_further_transaction(start: Starter) -> None:
    talk = start()
    await talk.open()
    talk.service.drain()
    said = await talk.say("Subject: hi", "", ".", "MAIL FROM:<>", "RCPT TO:<bob@local.example>")
    assert [line[:9] for line in said.splitlines()] == ["250 2.0.0", "421 4.3.2"]
    await talk.over()


async def test_a_session_that_comes_during_the_drain(start: Starter) -> None:
    talk = start()
    talk.service.drain()
    assert (await talk.over()).startswith("421 4.3.2 ")


async def test_a_session_that_is_cut_off_leaves_nothing(start: Starter) -> None:
    talk = start()
    await talk.open()
    talk.stream.feed(b"x" * 70 + b"\r\n")
    for _ in range(40):
        talk.stream.feed((b"y" * 70 + b"\r\n") * 200)
    await settle(300)
    assert talk.house.store.chunks
    talk.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await talk.task
    assert talk.house.store.chunks == {}
    assert talk.stream.closed
    assert len(talk.house.told(SessionClosed)) == 1
