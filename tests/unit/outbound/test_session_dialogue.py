"""What one session says, and what it makes of the answers."""

import pytest
from tests.fakes.peer import ALL_EXTENSIONS, ScriptedPeer
from tests.unit.outbound.making import CONTENT, PREFIX, StoredContent, make_carrier, make_request

from postroom.mail.delivery import Deferred, Delivered, DeliveryRequest, Failed, Outcome, RouteKind, Site
from postroom.mail.envelope import Body
from postroom.mail.trouble import StoreUnavailable
from postroom.outbound.job import ONE_WRITE

NO_PIPELINING = tuple(word for word in ALL_EXTENSIONS if word != "PIPELINING")
LMTP_SITE = Site("lmtp:store", RouteKind.LMTP, (("192.0.2.1",),), 24)

both_ways = pytest.mark.parametrize("extensions", [ALL_EXTENSIONS, NO_PIPELINING])


async def deliver(peer: ScriptedPeer, request: DeliveryRequest, source: StoredContent | None = None) -> list[Outcome]:
    carrier = make_carrier(peer, source=source)
    outcomes = await carrier.deliver(request)
    await carrier.close()
    assert peer.open == 0
    assert list(outcomes) == sorted(outcomes) or set(outcomes) == {r.number for r in request.recipients}
    return [outcomes[recipient.number] for recipient in request.recipients]


@both_ways
async def test_a_message_arrives_byte_for_byte(extensions: tuple[str, ...]) -> None:
    peer = ScriptedPeer(extensions)
    (outcome,) = await deliver(peer, make_request())
    assert isinstance(outcome, Delivered)
    assert str(outcome.reply) == "250 2.0.0 taken"
    assert (outcome.peer.host, outcome.peer.address, outcome.peer.port) == ("mx.example.org", "192.0.2.1", 25)
    assert peer.taken[0].content == PREFIX + CONTENT
    assert peer.taken[0].mail.startswith("MAIL FROM:<from@example.net>")
    assert peer.taken[0].rcpts == ["RCPT TO:<to@example.org>"]
    assert peer.commands[0] == "EHLO us.example.net"
    assert peer.commands[-1] == "QUIT"


async def test_pipelining_takes_two_writes_a_message() -> None:
    peer = ScriptedPeer()
    carrier = make_carrier(peer)
    await carrier.deliver(make_request())
    peer.writes.clear()
    await carrier.deliver(make_request("a@example.org", "b@example.org"))
    assert [write.count(b"\r\n") for write in peer.writes] == [4, PREFIX.count(b"\n") + CONTENT.count(b"\n") + 1]
    await carrier.close()


async def test_without_pipelining_each_command_waits() -> None:
    peer = ScriptedPeer(NO_PIPELINING)
    await deliver(peer, make_request("a@example.org", "b@example.org"))
    assert all(write.count(b"\r\n") == 1 for write in peer.writes if PREFIX not in write)


async def test_the_null_sender_and_declared_parameters() -> None:
    peer = ScriptedPeer()
    await deliver(peer, make_request(sender=None, body=Body.EIGHT_BIT))
    assert peer.taken[0].mail == f"MAIL FROM:<> SIZE={len(PREFIX + CONTENT)} BODY=8BITMIME"


async def test_eight_bit_content_is_declared_where_possible_and_sent_in_any_case() -> None:
    content = "Subject: x\r\n\r\ngrüße\r\n".encode()
    peer, old = ScriptedPeer(), ScriptedPeer(("PIPELINING",))
    await deliver(peer, make_request(content=content))
    await deliver(old, make_request(content=content))
    assert "BODY=8BITMIME" in peer.taken[0].mail
    assert "BODY" not in old.taken[0].mail
    assert old.taken[0].content == PREFIX + content


@both_ways
async def test_each_recipient_has_its_own_outcome(extensions: tuple[str, ...]) -> None:
    peer = ScriptedPeer(extensions, {"RCPT TO:<b@": "550 5.1.1 nobody", "RCPT TO:<c@": "450 4.2.1 busy"})
    outcomes = await deliver(peer, make_request("a@example.org", "b@example.org", "c@example.org"))
    assert [type(outcome) for outcome in outcomes] == [Delivered, Failed, Deferred]
    assert [str(outcome.reply) for outcome in outcomes] == ["250 2.0.0 taken", "550 5.1.1 nobody", "450 4.2.1 busy"]
    assert peer.taken[0].rcpts == ["RCPT TO:<a@example.org>"]


@both_ways
@pytest.mark.parametrize(
    ("step", "reply", "kind"),
    [
        ("MAIL", "550 5.7.1 not you", Failed),
        ("MAIL", "451 4.3.0 later", Deferred),
        ("RCPT", "550 5.1.1 nobody", Failed),
        ("RCPT", "451 4.7.1 greylisted", Deferred),
        ("DATA", "554 5.3.0 no", Failed),
        ("DATA", "451 4.3.0 later", Deferred),
        (".", "554 5.7.1 spam", Failed),
        (".", "452 4.3.1 full", Deferred),
        (".", "552 5.3.4 too big after all", Failed),
        (".", "421 4.3.2 going down", Deferred),
    ],
)
async def test_a_refusal_is_the_outcome_of_all(
    extensions: tuple[str, ...], step: str, reply: str, kind: type[Outcome]
) -> None:
    peer = ScriptedPeer(extensions, {step: reply})
    outcomes = await deliver(peer, make_request("a@example.org", "b@example.org"))
    for outcome in outcomes:
        assert isinstance(outcome, kind)
        assert str(outcome.reply) == reply
        assert not isinstance(outcome, Deferred) or not outcome.ambiguous
    assert not peer.taken


async def test_a_go_ahead_with_nobody_left_gets_a_lone_dot() -> None:
    peer = ScriptedPeer(replies={"RCPT": ["550 5.1.1 nobody"], "DATA": ["354 go all the same"]})
    carrier = make_carrier(peer)
    outcomes = await carrier.deliver(make_request())
    assert str(outcomes[1].reply) == "550 5.1.1 nobody"
    assert peer.writes[-1] == b".\r\n"
    assert isinstance((await carrier.deliver(make_request()))[1], Delivered)  # and goes on in sync
    assert peer.connections == 1
    await carrier.close()


async def test_a_lone_dot_on_a_connection_that_breaks_changes_nothing() -> None:
    peer = ScriptedPeer(replies={"MAIL": "550 5.7.1 not you", "DATA": "354 go"}, close_at=".")
    (outcome,) = await deliver(peer, make_request())
    assert str(outcome.reply) == "550 5.7.1 not you"


@both_ways
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
async def test_after_a_refusal_the_connection_goes_on(extensions: tuple[str, ...], step: str) -> None:
    peer = ScriptedPeer(extensions, {step: ["550 5.0.0 no"]})
    carrier = make_carrier(peer)
    assert isinstance((await carrier.deliver(make_request()))[1], Failed)
    assert isinstance((await carrier.deliver(make_request()))[1], Delivered)
    assert peer.connections == 1
    assert peer.commands.count("RSET") == 1
    await carrier.close()


async def test_what_was_answered_before_the_connection_broke_stands() -> None:
    peer = ScriptedPeer(replies={"MAIL": "550 5.7.1 not you"}, close_at="RCPT")
    (outcome,) = await deliver(peer, make_request())
    assert str(outcome.reply) == "550 5.7.1 not you"
    peer = ScriptedPeer(replies={"RCPT": "550 5.1.1 nobody"}, close_at="DATA")
    (outcome,) = await deliver(peer, make_request())
    assert str(outcome.reply) == "550 5.1.1 nobody"


async def test_too_big_fails_before_mail() -> None:
    peer = ScriptedPeer(("PIPELINING", "SIZE 50"))
    (outcome,) = await deliver(peer, make_request())
    assert isinstance(outcome, Failed)
    assert (outcome.reply.code, outcome.reply.status) == (552, "5.3.4")
    assert not any(command.startswith("MAIL") for command in peer.commands)


@pytest.mark.parametrize("size", ["SIZE", "SIZE 0", "SIZE lots"])
async def test_a_size_without_a_limit_is_none(size: str) -> None:
    peer = ScriptedPeer(("PIPELINING", size))
    assert isinstance((await deliver(peer, make_request()))[0], Delivered)


NO_UTF8 = ("PIPELINING", "8BITMIME")


async def test_smtputf8_is_asked_for_where_an_address_needs_it() -> None:
    peer = ScriptedPeer()
    assert isinstance((await deliver(peer, make_request("grüße@example.org")))[0], Delivered)
    assert "SMTPUTF8" in peer.taken[0].mail


async def test_addresses_that_need_smtputf8_fail_without_it() -> None:
    peer = ScriptedPeer(NO_UTF8)
    outcomes = await deliver(peer, make_request("grüße@example.org", "a@example.org"))
    assert isinstance(outcomes[0], Failed)
    assert outcomes[0].reply.status == "5.6.7"
    assert isinstance(outcomes[1], Delivered)
    outcomes = await deliver(ScriptedPeer(NO_UTF8), make_request("grüße@example.org"))
    assert outcomes[0].reply.status == "5.6.7"
    outcomes = await deliver(ScriptedPeer(NO_UTF8), make_request(sender="grüße@example.net"))
    assert outcomes[0].reply.status == "5.6.7"


async def test_an_ascii_message_needs_no_smtputf8_whatever_was_declared() -> None:
    peer = ScriptedPeer(NO_UTF8)
    content = "Subject: x\r\n\r\ngrüße\r\n".encode()
    assert isinstance((await deliver(peer, make_request(content=content, smtputf8=True)))[0], Delivered)
    assert "SMTPUTF8" not in peer.taken[0].mail


@pytest.mark.parametrize("inline", [True, False])
async def test_a_header_in_utf8_needs_it(inline: bool) -> None:
    content = "Subject: grüße\r\n\r\nbody\r\n".encode() + (b"" if inline else b"x" * 70 + b"\r\n") * 5000
    source = StoredContent([content[:ONE_WRITE], content[ONE_WRITE:]])
    request = make_request(content=content if inline else None, size=len(content), smtputf8=True)
    (outcome,) = await deliver(ScriptedPeer(NO_UTF8), request, source)
    assert isinstance(outcome, Failed)
    assert outcome.reply.status == "5.6.9"


async def test_large_content_is_streamed_and_whole() -> None:
    line = b".a line with a dot in front\r\n"
    content = line * 40_000
    pieces = [content[at : at + 100_001] for at in range(0, len(content), 100_001)]
    peer = ScriptedPeer()
    (outcome,) = await deliver(peer, make_request(content=None, size=len(content)), StoredContent(pieces))
    assert isinstance(outcome, Delivered)
    assert peer.taken[0].content == PREFIX + content
    assert max(map(len, peer.writes)) < ONE_WRITE


async def test_large_content_at_hand_leaves_in_pieces() -> None:
    content = b"a line\r\n" * 100_000
    peer = ScriptedPeer()
    (outcome,) = await deliver(peer, make_request(content=content))
    assert isinstance(outcome, Delivered)
    assert peer.taken[0].content == PREFIX + content
    assert max(map(len, peer.writes)) < 2 * ONE_WRITE


@pytest.mark.parametrize("size", [100, 3 * ONE_WRITE])
async def test_content_that_the_store_does_not_give_is_deferred(size: int) -> None:
    source = StoredContent([b"x" * 98 + b"\r\n"] * (size // 100), StoreUnavailable("disk on fire"), 1)
    peer = ScriptedPeer()
    (outcome,) = await deliver(peer, make_request(content=None, size=size), source)
    assert isinstance(outcome, Deferred)
    assert outcome.reply.status == "4.3.0"
    assert "disk on fire" in outcome.detail
    assert not outcome.ambiguous
    assert not peer.taken


async def test_half_a_content_never_gets_its_dot() -> None:
    source = StoredContent([b"x" * 98 + b"\r\n"] * 10)
    peer = ScriptedPeer()
    (outcome,) = await deliver(peer, make_request(content=None, size=3 * ONE_WRITE), source)
    assert isinstance(outcome, Deferred)
    assert not peer.taken


@pytest.mark.parametrize("content", [b"bare\nnewline\r\n", b"bare\rreturn\r\n", b"smuggled\n.\r\nMAIL FROM:<>\r\n"])
@pytest.mark.parametrize("repeat", [1, 60_000])
async def test_a_bare_newline_fails_and_is_not_sent(content: bytes, repeat: int) -> None:
    peer = ScriptedPeer()
    outcomes = await deliver(peer, make_request("a@example.org", "b@example.org", content=content * repeat))
    for outcome in outcomes:
        assert isinstance(outcome, Failed)
        assert outcome.reply.status == "5.6.0"
    assert not peer.taken
    assert peer.connections == 1


async def test_a_connection_lost_after_the_final_dot_is_ambiguous() -> None:
    peer = ScriptedPeer(close_at=".", replies={"RCPT TO:<b@": "550 5.1.1 nobody"})
    first, second = await deliver(peer, make_request("a@example.org", "b@example.org"))
    assert isinstance(first, Deferred)
    assert first.ambiguous
    assert first.reply.status == "4.4.2"
    assert isinstance(second, Failed)  # what was answered stands
    assert peer.connections == 1


@pytest.mark.parametrize(("field", "status"), [("silent_at", "4.4.2"), ("garbage_at", "4.5.0")])
async def test_silence_and_garbage_after_the_final_dot_are_ambiguous(field: str, status: str) -> None:
    peer = ScriptedPeer(**{field: "."})  # type: ignore[arg-type]
    (outcome,) = await deliver(peer, make_request())
    assert isinstance(outcome, Deferred)
    assert outcome.ambiguous
    assert outcome.reply.status == status


async def test_an_odd_reply_to_the_final_dot_is_ambiguous() -> None:
    (outcome,) = await deliver(ScriptedPeer(replies={".": "354 more"}), make_request())
    assert isinstance(outcome, Deferred)
    assert outcome.ambiguous


@both_ways
@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("field", ["close_at", "silent_at", "garbage_at"])
async def test_what_breaks_before_the_content_is_deferred(extensions: tuple[str, ...], step: str, field: str) -> None:
    peer = ScriptedPeer(extensions, **{field: step})  # type: ignore[arg-type]
    (outcome,) = await deliver(peer, make_request())
    assert isinstance(outcome, Deferred)
    assert not outcome.ambiguous
    assert outcome.reply.status in {"4.4.2", "4.5.0"}
    assert outcome.peer.host == "mx.example.org"
    assert outcome.detail


@both_ways
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
async def test_replies_that_make_no_sense_are_deferred(extensions: tuple[str, ...], step: str) -> None:
    reply = "250 2.0.0 ok" if step == "DATA" else "354 go"
    peer = ScriptedPeer(extensions, {step: reply})
    (outcome,) = await deliver(peer, make_request())
    assert isinstance(outcome, Deferred)
    assert not peer.taken


@both_ways
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
async def test_421_in_the_midst_is_deferred_with_the_hosts_words(extensions: tuple[str, ...], step: str) -> None:
    (outcome,) = await deliver(ScriptedPeer(extensions, {step: "421 4.3.2 shutting down"}), make_request())
    assert isinstance(outcome, Deferred)
    assert str(outcome.reply) == "421 4.3.2 shutting down"


@pytest.mark.parametrize(
    ("said", "kind", "reply"),
    [
        ("552 5.3.4 too big", Failed, "552 5.3.4 too big"),
        ("421 4.3.0 overloaded", Deferred, "421 4.3.0 overloaded"),
        (None, Deferred, "451 4.4.2 mx.example.org[192.0.2.1] lost the connection while sending the content"),
    ],
)
async def test_a_host_that_breaks_off_the_content(said: str | None, kind: type[Outcome], reply: str) -> None:
    peer = ScriptedPeer(content_limit=300_000, replies={"content": said} if said else {})
    (outcome,) = await deliver(peer, make_request(content=b"a line\r\n" * 100_000))
    assert isinstance(outcome, kind)
    assert str(outcome.reply) == reply
    assert not isinstance(outcome, Deferred) or not outcome.ambiguous


async def test_recipients_beyond_the_hosts_limit_go_in_another_transaction() -> None:
    peer = ScriptedPeer(replies={"RCPT TO:<c@": ["452 4.5.3 too many"], "RCPT TO:<d@": ["552 too many recipients"]})
    request = make_request(*[f"{name}@example.org" for name in "abcd"])
    outcomes = await deliver(peer, request)
    assert [type(outcome) for outcome in outcomes] == [Delivered] * 4
    assert [len(taken.rcpts) for taken in peer.taken] == [2, 2]
    assert peer.connections == 1


async def test_a_limit_that_lets_nobody_through_is_no_loop() -> None:
    peer = ScriptedPeer(replies={"RCPT": "452 4.5.3 too many"})
    (outcome,) = await deliver(peer, make_request())
    assert isinstance(outcome, Deferred)
    peer = ScriptedPeer(replies={"RCPT TO:<b@": "552 5.2.2 mailbox full"})
    assert isinstance((await deliver(peer, make_request("a@example.org", "b@example.org")))[1], Failed)


async def test_lmtp_has_a_reply_for_each_recipient() -> None:
    peer = ScriptedPeer(
        replies={
            "RCPT TO:<b@": "550 5.1.1 nobody",
            ".": ["250 2.0.0 placed", "452 4.2.2 full", "550 5.2.0 no"],
        },
        lmtp=True,
    )
    request = make_request(*[f"{name}@example.org" for name in "abcd"], site=LMTP_SITE)
    outcomes = await deliver(peer, request)
    assert [str(outcome.reply) for outcome in outcomes] == [
        "250 2.0.0 placed",
        "550 5.1.1 nobody",
        "452 4.2.2 full",
        "550 5.2.0 no",
    ]
    assert peer.commands[0].startswith("LHLO ")


async def test_lmtp_that_breaks_between_its_replies_leaves_only_the_others_open() -> None:
    # RFC 2033 §5
    peer = ScriptedPeer(replies={".": ["250 2.0.0 placed", "421 4.3.0 dying"]}, lmtp=True)
    outcomes = await deliver(peer, make_request(*[f"{name}@example.org" for name in "abc"], site=LMTP_SITE))
    assert isinstance(outcomes[0], Delivered)
    assert isinstance(outcomes[1], Deferred)
    assert not outcomes[1].ambiguous
    assert isinstance(outcomes[2], Deferred)
    assert outcomes[2].ambiguous


async def test_lmtp_with_a_go_ahead_for_nobody() -> None:
    peer = ScriptedPeer(replies={"RCPT": "550 5.1.1 nobody", "DATA": "354 go"}, lmtp=True)
    (outcome,) = await deliver(peer, make_request(site=LMTP_SITE))
    assert isinstance(outcome, Failed)


async def test_helo_for_a_host_that_knows_no_ehlo() -> None:
    # RFC 5321 §3.2
    peer = ScriptedPeer(replies={"EHLO": "502 5.5.1 what?"})
    assert isinstance((await deliver(peer, make_request()))[0], Delivered)
    assert peer.commands[:2] == ["EHLO us.example.net", "HELO us.example.net"]
    assert peer.taken[0].mail == "MAIL FROM:<from@example.net>"


async def test_lmtp_has_no_helo() -> None:
    peer = ScriptedPeer(replies={"LHLO": "502 5.5.1 what?"}, lmtp=True)
    await deliver(peer, make_request(site=LMTP_SITE))
    assert not any(command.startswith("HELO") for command in peer.commands)


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        ({"greeting": "554 5.7.1 no service"}, Failed),
        ({"greeting": "521 no mail here"}, Failed),  # RFC 7504 §3
        ({"greeting": "421 4.3.2 busy"}, Deferred),
        ({"greeting": "450 later"}, Deferred),
        ({"greeting": "250 odd"}, Deferred),
        ({"EHLO": "450 later"}, Deferred),
        ({"EHLO": "421 later"}, Deferred),
        ({"EHLO": "550 no", "HELO": "550 not you"}, Failed),
    ],
)
async def test_hosts_that_do_not_let_us_in(replies: dict[str, str | list[str]], kind: type[Outcome]) -> None:
    (outcome,) = await deliver(ScriptedPeer(replies=replies), make_request())
    assert isinstance(outcome, kind)
