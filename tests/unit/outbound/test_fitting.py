"""What is sent to hosts that lack an extension, and what is told to those that have it."""

import email
import ssl
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import trustme
from tests.fakes.hand_clock import HandClock
from tests.fakes.peer import ALL_EXTENSIONS, Network, ScriptedPeer, broken_tls
from tests.unit.outbound.making import CONTENT, PREFIX, SITE, StoredContent, make_carrier, make_request, make_zone

from postroom.config.road import SmarthostSettings
from postroom.dns.zone import Zone
from postroom.mail.delivery import Deferred, Delivered, DeliveryRequest, Failed, Outcome, RouteKind, Site
from postroom.mail.envelope import Body, ByMode, DeliverBy, Notify, Ret
from postroom.mail.trouble import StoreUnavailable
from postroom.outbound.job import ONE_WRITE
from postroom.outbound.opening import SocketConnect

UMLAUTS = "grüße".encode()
MIME = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
EIGHT = MIME + b"Content-Transfer-Encoding: 8bit\r\n\r\n" + UMLAUTS + b"\r\n"
BINARY = MIME + b"Content-Transfer-Encoding: binary\r\n\r\nbare\nline\0" + UMLAUTS
SEVEN_HOST = ("PIPELINING", "SIZE 10000000")
BINARY_HOST = (*ALL_EXTENSIONS, "BINARYMIME", "CHUNKING")
LMTP_SITE = Site("lmtp:store", RouteKind.LMTP, (("192.0.2.1",),), 24)


async def deliver(
    peer: ScriptedPeer | Network, request: DeliveryRequest, source: StoredContent | None = None, **options: Any
) -> list[Outcome]:
    carrier = make_carrier(peer, source=source, **options)
    outcomes = await carrier.deliver(request)
    await carrier.close()
    assert carrier.pool.places == 0
    return [outcomes[recipient.number] for recipient in request.recipients]


def decoded(content: bytes) -> bytes:
    payload = email.message_from_bytes(content).get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


def stored(content: bytes, size: int) -> StoredContent:
    return StoredContent([content[at : at + size] for at in range(0, len(content), size)])


# 8-bit content.


@pytest.mark.parametrize("extensions", [SEVEN_HOST, SEVEN_HOST[1:]])
async def test_eight_bit_content_is_converted_for_a_host_without_8bitmime(extensions: tuple[str, ...]) -> None:
    # RFC 6152 §3: must not, under any circumstances, be sent as it is
    peer = ScriptedPeer(extensions)
    (outcome,) = await deliver(peer, make_request(content=EIGHT, body=Body.EIGHT_BIT))
    assert isinstance(outcome, Delivered)
    assert outcome.detail == "converted to 7bit: the peer lacks 8BITMIME"
    (taken,) = peer.taken
    assert taken.mail == "MAIL FROM:<from@example.net>"  # SIZE is not known before, BODY not announced
    assert taken.content.startswith(PREFIX + MIME)
    assert taken.content.isascii()
    assert decoded(taken.content) == UMLAUTS + b"\r\n"


async def test_large_content_is_converted_as_it_streams() -> None:
    line = UMLAUTS + b" in a line, and a dot:\r\n.\r\n"
    content = EIGHT + line * 40_000
    peer = ScriptedPeer(SEVEN_HOST)
    request = make_request(content=None, size=len(content), body=Body.EIGHT_BIT)
    (outcome,) = await deliver(peer, request, stored(content, 100_001))
    assert isinstance(outcome, Delivered)
    assert decoded(peer.taken[0].content) == UMLAUTS + b"\r\n" + line * 40_000
    assert max(map(len, peer.writes)) < 2 * ONE_WRITE


@pytest.mark.parametrize("inline", [True, False])
async def test_seven_bits_that_were_declared_eight_stay_as_they_are(inline: bool) -> None:
    content = CONTENT if inline else CONTENT + b"a line\r\n" * 50_000
    peer = ScriptedPeer(SEVEN_HOST)
    request = make_request(content=content if inline else None, size=len(content), body=Body.EIGHT_BIT)
    (outcome,) = await deliver(peer, request, stored(content, ONE_WRITE))
    assert isinstance(outcome, Delivered)
    assert not outcome.detail
    assert peer.taken[0].content == PREFIX + content
    assert f"SIZE={len(PREFIX + content)}" in peer.taken[0].mail


async def test_a_host_with_8bitmime_gets_what_came() -> None:
    peer = ScriptedPeer()
    (outcome,) = await deliver(peer, make_request(content=EIGHT, body=Body.EIGHT_BIT))
    assert isinstance(outcome, Delivered)
    assert not outcome.detail
    assert peer.taken[0].content == PREFIX + EIGHT


SIGNED = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n" + UMLAUTS + b"\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    ("content", "why"), [(SIGNED, "signed"), (b"Subject: " + UMLAUTS + b"\r\n\r\n", "not in ASCII")]
)
async def test_what_cannot_be_converted_fails_before_anything_is_sent(content: bytes, why: str) -> None:
    peer = ScriptedPeer(SEVEN_HOST)
    outcomes = await deliver(peer, make_request("a@example.org", "b@example.org", content=content, body=Body.EIGHT_BIT))
    for outcome in outcomes:
        assert isinstance(outcome, Failed)
        assert (outcome.reply.code, outcome.reply.status) == (554, "5.6.3")  # RFC 3463 §3.7
        assert why in outcome.detail
    assert not any(command.startswith("MAIL") for command in peer.commands)


async def test_what_the_store_does_not_give_is_no_reason_to_fail() -> None:
    request = make_request(content=None, size=3 * ONE_WRITE, body=Body.EIGHT_BIT)
    for source in (stored(EIGHT, 100), StoredContent([EIGHT], StoreUnavailable("disk on fire"), 1)):
        (outcome,) = await deliver(ScriptedPeer(SEVEN_HOST), request, source)
        assert isinstance(outcome, Deferred)
        assert outcome.reply.status == "4.3.0"


@pytest.mark.parametrize("body", [b"smuggled\n.\r\nMAIL FROM:<>\r\n" + UMLAUTS, b"\r.\r\n" + UMLAUTS + b"\r\n"])
async def test_a_conversion_smuggles_nothing_out(body: bytes) -> None:
    peer = ScriptedPeer(SEVEN_HOST)
    head = MIME + b"Content-Type-Ignored: x\r\n\r\n"
    (outcome,) = await deliver(peer, make_request(content=head + body, body=Body.EIGHT_BIT))
    assert isinstance(outcome, Delivered)  # the bare newlines are octets of the part, and encoded
    assert decoded(peer.taken[0].content) == body
    assert len(peer.taken) == 1


async def test_a_refusal_after_a_conversion_says_so_too() -> None:
    peer = ScriptedPeer(SEVEN_HOST, replies={".": "554 5.7.1 no"})
    (outcome,) = await deliver(peer, make_request(content=EIGHT, body=Body.EIGHT_BIT))
    assert isinstance(outcome, Failed)
    assert "converted to 7bit" in outcome.detail


# Binary content.


@pytest.mark.parametrize("extensions", [BINARY_HOST, BINARY_HOST[1:]])
async def test_binary_content_goes_in_chunks(extensions: tuple[str, ...]) -> None:
    # RFC 3030 §2, §3
    peer = ScriptedPeer(extensions, {"RCPT TO:<b@": "550 5.1.1 nobody"})
    request = make_request("a@example.org", "b@example.org", content=BINARY, body=Body.BINARY)
    outcomes = await deliver(peer, request)
    assert [type(outcome) for outcome in outcomes] == [Delivered, Failed]
    (taken,) = peer.taken
    assert taken.mail == f"MAIL FROM:<from@example.net> SIZE={len(PREFIX + BINARY)} BODY=BINARYMIME"
    assert taken.content == PREFIX + BINARY
    assert taken.chunks == (len(PREFIX + BINARY),)
    assert not any(command.startswith("DATA") for command in peer.commands)


async def test_large_binary_content_goes_in_chunks_of_bounded_size() -> None:
    content = BINARY + bytes(range(256)) * 4000
    peer = ScriptedPeer(BINARY_HOST)
    request = make_request(content=None, size=len(content), body=Body.BINARY)
    (outcome,) = await deliver(peer, request, stored(content, 100_001))
    assert isinstance(outcome, Delivered)
    assert peer.taken[0].content == PREFIX + content
    assert len(peer.taken[0].chunks) > 3
    assert max(peer.taken[0].chunks) <= ONE_WRITE


async def test_a_refused_chunk_is_the_end_of_the_transaction() -> None:
    # RFC 3030 §2: no chunk follows, RSET does
    content = BINARY + bytes(2 * ONE_WRITE)
    peer = ScriptedPeer(BINARY_HOST, {"BDAT": ["452 4.3.1 full"]})
    carrier = make_carrier(peer, source=stored(content, 100_000))
    request = make_request(content=None, size=len(content), body=Body.BINARY)
    outcome = (await carrier.deliver(request))[1]
    assert isinstance(outcome, Deferred)
    assert str(outcome.reply) == "452 4.3.1 full"
    assert sum(command.startswith("BDAT") for command in peer.commands) == 1
    assert isinstance((await carrier.deliver(request))[1], Delivered)
    assert (peer.connections, peer.commands.count("RSET")) == (1, 1)
    await carrier.close()


@pytest.mark.parametrize("reply", ["550 5.1.1 nobody", "451 4.3.0 later"])
async def test_no_chunk_without_a_recipient(reply: str) -> None:
    peer = ScriptedPeer(BINARY_HOST, {"RCPT": [reply]})
    carrier = make_carrier(peer)
    request = make_request(content=BINARY, body=Body.BINARY)
    assert str((await carrier.deliver(request))[1].reply) == reply
    assert not any(command.startswith("BDAT") for command in peer.commands)
    assert isinstance((await carrier.deliver(request))[1], Delivered)
    await carrier.close()


async def test_half_of_a_binary_content_never_gets_its_last_chunk() -> None:
    request = make_request(content=None, size=3 * ONE_WRITE, body=Body.BINARY)
    peer = ScriptedPeer(BINARY_HOST)
    (outcome,) = await deliver(peer, request, stored(BINARY + bytes(2 * ONE_WRITE), 1000))
    assert isinstance(outcome, Deferred)
    assert not peer.taken


@pytest.mark.parametrize("field", ["close_at", "silent_at", "garbage_at"])
async def test_a_connection_that_breaks_between_chunks(field: str) -> None:
    content = BINARY + bytes(2 * ONE_WRITE)
    peer = ScriptedPeer(BINARY_HOST, **{field: "BDAT"})  # type: ignore[arg-type]
    request = make_request(content=None, size=len(content), body=Body.BINARY)
    (outcome,) = await deliver(peer, request, stored(content, 100_000))
    assert isinstance(outcome, Deferred)
    assert not outcome.ambiguous


async def test_the_reply_to_the_last_chunk_may_be_lost() -> None:
    (outcome,) = await deliver(ScriptedPeer(BINARY_HOST, close_at="."), make_request(content=BINARY, body=Body.BINARY))
    assert isinstance(outcome, Deferred)
    assert outcome.ambiguous


async def test_binary_content_by_lmtp_has_a_reply_for_each_recipient() -> None:
    # RFC 2033 §4.3
    peer = ScriptedPeer(BINARY_HOST, {".": ["250 2.0.0 placed", "452 4.2.2 full"]}, lmtp=True)
    request = make_request("a@example.org", "b@example.org", content=BINARY, body=Body.BINARY, site=LMTP_SITE)
    assert [str(outcome.reply) for outcome in await deliver(peer, request)] == ["250 2.0.0 placed", "452 4.2.2 full"]


@pytest.mark.parametrize(
    ("extensions", "lacking"), [(ALL_EXTENSIONS, "to 8bit"), (SEVEN_HOST, "to 7bit"), ((), "to 7bit")]
)
async def test_binary_content_is_converted_for_others(extensions: tuple[str, ...], lacking: str) -> None:
    peer = ScriptedPeer(extensions)
    (outcome,) = await deliver(peer, make_request(content=BINARY, body=Body.BINARY))
    assert isinstance(outcome, Delivered)
    assert outcome.detail == f"converted {lacking}: the peer lacks BINARYMIME"
    assert decoded(peer.taken[0].content) == decoded(BINARY)
    assert ("BODY=8BITMIME" in peer.taken[0].mail) == (extensions == ALL_EXTENSIONS)


async def test_binary_content_that_is_none_goes_as_text() -> None:
    peer = ScriptedPeer()
    (outcome,) = await deliver(peer, make_request(content=EIGHT, body=Body.BINARY))
    assert isinstance(outcome, Delivered)
    assert peer.taken[0].content == PREFIX + EIGHT
    assert "BODY=8BITMIME" in peer.taken[0].mail


# Internationalised mail.


@pytest.mark.parametrize("extensions", [("PIPELINING", "8BITMIME"), SEVEN_HOST])
@pytest.mark.parametrize("size", [0, 50_000])
async def test_a_part_with_a_header_in_utf8_needs_smtputf8(extensions: tuple[str, ...], size: int) -> None:
    # RFC 6532 §3.2, RFC 6531 §3.5
    content = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; name=" + UMLAUTS + b"\r\n"
        b"\r\n--b--\r\n" + b"epilogue\r\n" * size
    )
    request = make_request(content=None, size=len(content), smtputf8=True, body=Body.EIGHT_BIT)
    (outcome,) = await deliver(ScriptedPeer(extensions), request, stored(content, 100_000))
    assert isinstance(outcome, Failed)
    assert (outcome.reply.code, outcome.reply.status) == (554, "5.6.9")


async def test_without_headers_in_utf8_the_message_goes_as_any_other() -> None:
    for extensions in (("PIPELINING", "8BITMIME"), SEVEN_HOST):
        peer = ScriptedPeer(extensions)
        request = make_request("a@grüße.example", content=EIGHT, smtputf8=True, body=Body.EIGHT_BIT)
        assert isinstance((await deliver(peer, request))[0], Delivered)
        assert peer.taken[0].rcpts == ["RCPT TO:<a@xn--gre-6ka8l.example>"]


async def test_structure_in_doubt_is_no_reason_to_fail_where_nothing_is_converted() -> None:
    content = b"Content-Type: multipart/mixed\r\n\r\n" + UMLAUTS + b"\r\n"
    peer = ScriptedPeer(("PIPELINING", "8BITMIME"))
    request = make_request(content=content, smtputf8=True, body=Body.EIGHT_BIT)
    assert isinstance((await deliver(peer, request))[0], Delivered)
    request = make_request(content=b"Subject: " + UMLAUTS + b"\r\nno field\r\n\r\n", smtputf8=True)
    assert (await deliver(ScriptedPeer(("8BITMIME",)), request))[0].reply.status == "5.6.9"


async def test_our_own_fields_in_utf8_need_it_too() -> None:
    request = make_request(content=EIGHT, body=Body.EIGHT_BIT, smtputf8=True)
    request = replace(request, message=replace(request.message, prefix="Received: from grüße\r\n".encode()))
    for extensions in (SEVEN_HOST, ("8BITMIME",)):
        assert (await deliver(ScriptedPeer(extensions), request))[0].reply.status == "5.6.9"


# Limits.


async def test_recipients_are_spread_over_transactions_as_the_host_wants_them() -> None:
    # RFC 9422 §4
    peer = ScriptedPeer((*ALL_EXTENSIONS, "LIMITS RCPTMAX=2"))
    outcomes = await deliver(peer, make_request(*[f"{name}@example.org" for name in "abcde"]))
    assert {type(outcome) for outcome in outcomes} == {Delivered}
    assert [len(taken.rcpts) for taken in peer.taken] == [2, 2, 1]
    assert peer.connections == 1


async def test_domains_are_spread_too() -> None:
    peer = ScriptedPeer((*ALL_EXTENSIONS, "LIMITS RCPTDOMAINMAX=1"))
    outcomes = await deliver(peer, make_request("a@one.example", "b@two.example", "c@one.example"))
    assert {type(outcome) for outcome in outcomes} == {Delivered}
    assert [[rcpt[9] for rcpt in taken.rcpts] for taken in peer.taken] == [["a", "c"], ["b"]]


async def test_a_connection_ends_after_as_many_messages_as_the_host_wants() -> None:
    peer = ScriptedPeer((*ALL_EXTENSIONS, "LIMITS MAILMAX=2"))
    carrier = make_carrier(peer)
    for _ in range(5):
        assert isinstance((await carrier.deliver(make_request()))[1], Delivered)
    assert peer.connections == 3
    await carrier.close()


async def test_limits_that_make_no_sense_are_none() -> None:
    peer = ScriptedPeer((*ALL_EXTENSIONS, "LIMITS RCPTMAX=0 MAILMAX=99999999"))
    assert len(await deliver(peer, make_request("a@example.org", "b@example.org"))) == 2
    assert len(peer.taken) == 1


# DSN.


async def test_wishes_for_reports_are_handed_on() -> None:
    # RFC 3461 §5.2.1 a to d
    peer = ScriptedPeer()
    request = make_request("a@example.org", "b@example.org", ret=Ret.HDRS, envid="QQ+1")
    first, second = request.recipients
    asked = replace(first.recipient, notify=Notify.SUCCESS | Notify.FAILURE, orcpt="rfc822;List@Home.Example")
    await deliver(peer, replace(request, recipients=(replace(first, recipient=asked), second)))
    assert peer.taken[0].mail.endswith(" RET=HDRS ENVID=QQ+2B1")
    assert peer.taken[0].rcpts == [
        "RCPT TO:<a@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;List@Home.Example",
        "RCPT TO:<b@example.org>",
    ]
    plain = ScriptedPeer()
    await deliver(plain, make_request())
    assert not any(word in plain.taken[0].mail for word in ("RET", "ENVID"))


async def test_a_host_without_dsn_is_told_of_no_wishes() -> None:
    # RFC 3461 §5.2.2 a
    peer = ScriptedPeer(SEVEN_HOST)
    request = make_request(ret=Ret.HDRS, envid="QQ")
    (only,) = request.recipients
    wishing = replace(only, recipient=replace(only.recipient, notify=Notify.NEVER, orcpt="rfc822;x@y.example"))
    (outcome,) = await deliver(peer, replace(request, recipients=(wishing,)))
    assert isinstance(outcome, Delivered)
    assert not outcome.notifies
    assert not any(word in peer.taken[0].mail for word in ("RET", "ENVID"))
    assert peer.taken[0].rcpts == ["RCPT TO:<to@example.org>"]


# Priority and time.


@pytest.mark.parametrize(("extensions", "said"), [(("MT-PRIORITY",), True), ((), False)])
async def test_the_priority_is_handed_on(extensions: tuple[str, ...], said: bool) -> None:
    # RFC 6710 §4.2, §4.3
    peer = ScriptedPeer(extensions)
    assert isinstance((await deliver(peer, make_request(priority=4)))[0], Delivered)
    assert ("MT-PRIORITY=4" in peer.taken[0].mail) == said


def by(seconds: int, mode: ByMode, *names: str, notify: Sequence[Notify | None] = (None,), **fields: Any) -> Any:
    """A request with DELIVERBY, received at 1000."""
    request = make_request(*names, deliver_by=DeliverBy(seconds, mode), **fields)
    recipients = tuple(
        replace(one, recipient=replace(one.recipient, notify=wish))
        for one, wish in zip(request.recipients, notify, strict=True)
    )
    return replace(request, recipients=recipients)


def at(now: float) -> HandClock:
    clock = HandClock()
    clock.advance(now - clock.now())
    return clock


@pytest.mark.parametrize("mode", list(ByMode))
@pytest.mark.parametrize("announced", ["DELIVERBY", "DELIVERBY 30"])
async def test_the_time_that_is_left_is_handed_on(mode: ByMode, announced: str) -> None:
    # RFC 2852 §4.1.4
    peer = ScriptedPeer((*ALL_EXTENSIONS, announced))
    (outcome,) = await deliver(peer, by(120, mode), clock=at(1022.5))
    assert isinstance(outcome, Delivered)
    assert outcome.keeps_time
    assert peer.taken[0].mail.endswith(f" BY=97;{mode.value}")


@pytest.mark.parametrize(
    ("seconds", "announced", "status"),
    [(120, (), "5.3.3"), (120, ("DELIVERBY 240",), "5.3.3"), (20, ("DELIVERBY",), "5.4.7")],
)
async def test_what_cannot_be_promised_is_returned(seconds: int, announced: tuple[str, ...], status: str) -> None:
    # RFC 2852 §4.1.4.1, §4.1.3; §7: no other host is asked
    peers = [ScriptedPeer((*ALL_EXTENSIONS, *announced)) for _ in range(2)]
    network = Network({"192.0.2.1": peers[0], "192.0.2.2": peers[1]})
    site = Site("two", RouteKind.MX, (("mx.example.org",), ("b.example.org",)))
    (outcome,) = await deliver(network, by(seconds, ByMode.RETURN, site=site), clock=at(1022))
    assert isinstance(outcome, Failed)
    assert outcome.reply.status == status
    assert network.tried == ["192.0.2.1"]
    assert not any(command.startswith("MAIL") for command in peers[0].commands)


async def test_mode_notify_goes_on_without_and_a_delay_is_to_be_told() -> None:
    # RFC 2852 §4.1.4.2
    peer = ScriptedPeer()
    wishes = (None, Notify.SUCCESS, Notify.NEVER)
    request = by(120, ByMode.NOTIFY, "a@example.org", "b@example.org", "c@example.org", notify=wishes)
    outcomes = await deliver(peer, request, clock=at(1022))
    assert not any(isinstance(outcome, Delivered) and outcome.keeps_time for outcome in outcomes)
    assert "BY=" not in peer.taken[0].mail
    said = [set(rcpt.partition("NOTIFY=")[2].split(",")) for rcpt in peer.taken[0].rcpts]
    assert said == [{"FAILURE", "DELAY"}, {"SUCCESS", "DELAY"}, {"NEVER"}]


async def test_mode_notify_says_how_long_the_time_has_been_up() -> None:
    peer = ScriptedPeer((*ALL_EXTENSIONS, "DELIVERBY"))
    await deliver(peer, by(120, ByMode.NOTIFY), clock=at(1200))
    assert peer.taken[0].mail.endswith(" BY=-80;N")
    late = ScriptedPeer()
    await deliver(late, by(120, ByMode.NOTIFY), clock=at(1200))
    assert "NOTIFY" not in late.taken[0].rcpts[0]


async def test_lmtp_is_the_delivery_itself() -> None:
    peer = ScriptedPeer(lmtp=True)
    (outcome,) = await deliver(peer, by(120, ByMode.RETURN, site=LMTP_SITE), clock=at(1022))
    assert isinstance(outcome, Delivered)


# REQUIRETLS.

SAFE = (*ALL_EXTENSIONS, "REQUIRETLS")
VOUCHED = replace(SITE, dnssec=True)  # RFC 8689 §4.2.1: DNSSEC or MTA-STS vouches for the name


async def test_requiretls_is_handed_on() -> None:
    # RFC 8689 §4.2.1
    peer = ScriptedPeer(SAFE, tls=True)
    assert isinstance((await deliver(peer, make_request(site=VOUCHED, require_tls=True)))[0], Delivered)
    assert peer.taken[0].tls
    assert peer.taken[0].mail.endswith(" REQUIRETLS")


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        (ScriptedPeer(SAFE), "5.7.10"),
        (ScriptedPeer(SAFE, tls=True, tls_error=broken_tls()), "5.7.10"),
        (ScriptedPeer(tls=True), "5.7.30"),
    ],
)
async def test_without_it_the_message_does_not_leave(peer: ScriptedPeer, status: str) -> None:
    # RFC 8689 §4.2.1: no TLS 5.7.10, no REQUIRETLS 5.7.30
    (outcome,) = await deliver(peer, make_request(site=VOUCHED, require_tls=True))
    assert isinstance(outcome, Failed)
    assert (outcome.reply.code, outcome.reply.status) == (550, status)
    assert not any(command.startswith("MAIL") for command in peer.commands)


@pytest.mark.parametrize(
    "peer",
    [
        ScriptedPeer(SAFE, tls=True, tls_error=TimeoutError("slow")),
        ScriptedPeer(SAFE, tls=True, replies={"STARTTLS": "454 4.7.0 not now"}),
        ScriptedPeer(SAFE, refuse=ConnectionRefusedError(111, "refused")),
    ],
)
async def test_what_may_be_better_later_is_deferred(peer: ScriptedPeer) -> None:
    (outcome,) = await deliver(peer, make_request(site=VOUCHED, require_tls=True))
    assert isinstance(outcome, Deferred)


async def test_the_next_host_may_do() -> None:
    first, second = ScriptedPeer(tls=True), ScriptedPeer(SAFE, tls=True)
    network = Network({"192.0.2.1": first, "192.0.2.2": second})
    site = Site("two", RouteKind.MX, (("mx.example.org",), ("b.example.org",)), dnssec=True)
    (outcome,) = await deliver(network, make_request(site=site, require_tls=True))
    assert isinstance(outcome, Delivered)
    assert first.commands[-1] == "QUIT"
    assert second.taken[0].mail.endswith(" REQUIRETLS")


async def test_a_connection_with_any_certificate_is_not_reused() -> None:
    peer = ScriptedPeer(SAFE, tls=True)
    carrier = make_carrier(peer)
    await carrier.deliver(make_request(site=VOUCHED))
    await carrier.deliver(make_request(site=VOUCHED, require_tls=True))
    await carrier.deliver(make_request(site=VOUCHED, require_tls=True))
    assert peer.connections == 2
    assert ["REQUIRETLS" in taken.mail for taken in peer.taken] == [False, True, True]
    await carrier.close()


async def test_a_bounce_goes_on_without_requiretls() -> None:
    # RFC 8689 §5
    peer = ScriptedPeer(tls=True)
    (outcome,) = await deliver(peer, make_request(site=VOUCHED, sender=None, require_tls=True))
    assert isinstance(outcome, Delivered)
    assert outcome.detail == "sent without REQUIRETLS, as a bounce may be"
    assert "REQUIRETLS" not in peer.taken[0].mail
    safe = ScriptedPeer(SAFE, tls=True)
    assert isinstance((await deliver(safe, make_request(site=VOUCHED, sender=None, require_tls=True)))[0], Delivered)
    assert "REQUIRETLS" in safe.taken[0].mail


async def test_a_smarthost_needs_tls_for_it_whatever_the_settings_say() -> None:
    site = Site("smarthost:smart", RouteKind.SMARTHOST, (("smart.example",),), 25, "smart")
    settings = [SmarthostSettings(name="smart", host="smart.example", tls="none")]
    request = make_request(site=site, require_tls=True)
    assert (await deliver(ScriptedPeer(SAFE), request, smarthosts=settings))[0].reply.status == "5.7.10"
    assert isinstance((await deliver(ScriptedPeer(SAFE, tls=True), request, smarthosts=settings))[0], Delivered)


async def test_lmtp_within_the_machine_needs_no_tls() -> None:
    site = Site("lmtp:store", RouteKind.LMTP, (("127.0.0.1",),), 24)
    peer = ScriptedPeer(lmtp=True)
    request = make_request(site=site, require_tls=True)
    assert isinstance((await deliver(Network({"127.0.0.1": peer}), request))[0], Delivered)


async def test_the_certificate_of_an_mx_host_must_be_valid_for_its_name() -> None:
    # RFC 8689 §4.2.1: a certificate that nobody vouches for
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("mx.example.org").configure_cert(context)
    zone = Zone.of({"mx.example.org": {"A": ["127.0.0.1"]}})
    peer = ScriptedPeer(SAFE)
    async with peer.serve(context) as port:
        carrier = make_carrier(SocketConnect(), zone=zone, ipv6=False, allow_loopback=True)
        site = replace(VOUCHED, port=port)
        outcome = (await carrier.deliver(make_request(site=site, require_tls=True)))[1]
        assert isinstance(outcome, Failed)
        assert outcome.reply.status == "5.7.10"
        assert "certificate" in outcome.detail
        assert isinstance((await carrier.deliver(make_request(site=site)))[1], Delivered)
        await carrier.close()


@pytest.mark.parametrize("require_tls", [True, False])
async def test_the_header_that_asks_to_go_on_without_tls(require_tls: bool) -> None:
    # RFC 8689 §4.2.2: TLS that fails is no obstacle; §4.1: unless the parameter says otherwise
    peer = ScriptedPeer(SAFE, tls=True, tls_error=broken_tls())
    request = make_request(content=b"TLS-Required: No\r\n" + CONTENT, require_tls=require_tls)
    (outcome,) = await deliver(peer, request, zone=make_zone())
    assert isinstance(outcome, Failed if require_tls else Delivered)
