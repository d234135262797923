"""Each outcome names its cause: what we find ourselves where it is found, what peers reply by the rules."""

import errno
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from tests.fakes.hand_clock import HandClock
from tests.fakes.peer import Network, ScriptedPeer
from tests.unit.outbound.making import SITE, StoredContent, make_request, make_zone

from postroom.config.road import OutboundSettings
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.cause import Cause
from postroom.mail.classify import Classifier, ReplyRule
from postroom.mail.delivery import NO_PEER, Deferred, Delivered, Failed, Outcome, Peer
from postroom.mail.reply import Reply
from postroom.mail.trouble import StoreUnavailable
from postroom.net.tls import TlsError
from postroom.outbound import trouble
from postroom.outbound.carrier import SmtpCarrier
from postroom.outbound.trouble import Step, Trouble
from postroom.protocol.errors import RemoteProtocolError

PEER = Peer("mx.example.org", "192.0.2.1", 25)
RULES = Classifier(
    [
        ReplyRule(Cause.GREYLISTED, text=("greylist",), hard=False),
        ReplyRule(Cause.MAILBOX_FULL, hosts=("full.example",)),
        ReplyRule(Cause.POLICY, statuses=("4.7.1",), hard=True),
        ReplyRule(Cause.MAILBOX_UNKNOWN, statuses=("5.1.1",)),
    ]
)


def remote(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(reason, Reply.of(451, "4.5.0", reason))


FOUND: list[tuple[Callable[[], Outcome | Trouble], Cause]] = [
    (lambda: trouble.resolver_unavailable("x.example", OSError("no")), Cause.DNS),
    (lambda: trouble.host_unresolved("mx.example", OSError("no")), Cause.DNS),
    (lambda: trouble.unknown_host("mx.example", ours=False), Cause.DNS),
    (lambda: trouble.unknown_host("smart.example", ours=True), Cause.LOCAL),
    (lambda: trouble.no_such_domain("x.example"), Cause.DOMAIN_UNKNOWN),
    (lambda: trouble.takes_no_mail("x.example"), Cause.DOMAIN_UNKNOWN),
    (lambda: trouble.null_mx("x.example"), Cause.DOMAIN_UNKNOWN),
    (lambda: trouble.loops_back("x.example"), Cause.LOOP),
    (lambda: trouble.address_is_ours("mx.example", "127.0.0.1"), Cause.LOOP),
    (lambda: trouble.no_route("none"), Cause.LOCAL),
    (lambda: trouble.content_unreadable(StoreUnavailable("x")), Cause.LOCAL),
    (lambda: trouble.from_exception(Step.CONNECT, OSError(errno.EMFILE, "files"), PEER), Cause.LOCAL),
    (lambda: trouble.from_exception(Step.CONNECT, OSError("refused"), PEER), Cause.CONNECTION),
    (lambda: trouble.from_exception(Step.MAIL, TimeoutError(), PEER), Cause.CONNECTION),
    (lambda: trouble.from_exception(Step.END, OSError("reset"), PEER), Cause.CONNECTION),
    (lambda: trouble.from_exception(Step.TLS, TlsError("bad certificate"), PEER), Cause.TLS),
    (lambda: trouble.from_exception(Step.MAIL, remote("what?"), PEER), Cause.PROTOCOL),
    (lambda: trouble.tls_not_offered(PEER), Cause.TLS),
    (lambda: trouble.requiretls_not_offered(PEER), Cause.TLS),
    (lambda: trouble.unsecured(trouble.tls_not_offered(PEER)), Cause.TLS),
    (lambda: trouble.from_reply(Step.TLS, Reply.of(454, "4.7.0", "user unknown"), PEER), Cause.TLS),
    (lambda: trouble.from_reply(Step.AUTH, Reply.of(535, "5.7.8", "user unknown"), PEER), Cause.AUTHENTICATION),
    (lambda: trouble.from_reply(Step.MAIL, Reply.of(354, "", "go on"), PEER), Cause.PROTOCOL),
    (lambda: trouble.login_impossible(PEER, "no TLS"), Cause.AUTHENTICATION),
    (lambda: trouble.too_big(2, 1, PEER), Cause.SIZE),
    (lambda: trouble.address_needs_smtputf8(PEER), Cause.PROTOCOL),
    (lambda: trouble.header_needs_smtputf8(PEER), Cause.PROTOCOL),
    (lambda: trouble.not_convertible(PEER, "signed"), Cause.PROTOCOL),
    (lambda: trouble.takes_no_deadline(PEER), Cause.PROTOCOL),
    (lambda: trouble.content_malformed(PEER, ValueError("bare LF")), Cause.CONTENT),
    (lambda: trouble.beyond_limits(PEER), Cause.RATE_LIMIT),
    (lambda: trouble.recipient_outcome(Reply.of(552, "", "many"), PEER, others_accepted=True), Cause.RATE_LIMIT),
    (lambda: trouble.out_of_time(PEER), Cause.EXPIRED),
    (lambda: trouble.deadline_too_soon(1, 2, PEER), Cause.EXPIRED),
    (lambda: trouble.from_reply(Step.RCPT, Reply.of(550, "5.1.1", "no"), PEER), Cause.OTHER),
]


@pytest.mark.parametrize(("made", "cause"), FOUND)
def test_what_we_find_ourselves_has_its_cause(made: Callable[[], Outcome | Trouble], cause: Cause) -> None:
    found = made()
    outcome = found.outcome if isinstance(found, Trouble) else found
    assert not isinstance(outcome, Delivered)
    assert outcome.cause is cause


def classified(outcome: Outcome) -> Outcome:
    outcomes = {1: outcome}
    trouble.classify(outcomes, RULES)
    return outcomes[1]


def test_a_reply_gets_its_cause_by_the_rules() -> None:
    found = classified(Failed(Reply.of(550, "5.1.1", "no"), PEER, "detail"))
    assert found == Failed(Reply.of(550, "5.1.1", "no"), PEER, "detail", Cause.MAILBOX_UNKNOWN)
    assert classified(Deferred(Reply.of(450, "", "hm"), Peer("mx.full.example"))) == Deferred(
        Reply.of(450, "", "hm"), Peer("mx.full.example"), cause=Cause.MAILBOX_FULL
    )


def test_what_has_a_cause_keeps_it_and_success_needs_none() -> None:
    ours = Failed(Reply.of(550, "5.1.1", "no"), PEER, cause=Cause.LOOP)
    assert classified(ours) is ours
    done = Delivered(Reply.of(250, "", "greylisted"), PEER)
    assert classified(done) is done
    waiting = Deferred(Reply.of(450, "", "greylisted"), retry_at=99.0)
    assert classified(waiting) is waiting
    unknown = Failed(Reply.of(550, "", "no"), PEER)
    assert classified(unknown) is unknown


def test_a_5yz_for_greylisting_is_tried_again() -> None:
    reply = Reply.of(550, "5.7.1", "Greylisted, come back")
    found = classified(Failed(reply, PEER))
    assert isinstance(found, Deferred)
    assert (found.reply, found.cause) == (reply, Cause.GREYLISTED)
    assert "550" in found.detail


def test_a_4yz_fails_where_an_operators_rule_says_so_but_not_after_the_dot_without_reply() -> None:
    found = classified(Deferred(Reply.of(451, "4.7.1", "never"), PEER))
    assert isinstance(found, Failed)
    assert found.cause is Cause.POLICY
    lost = classified(Deferred(Reply.of(451, "4.7.1", "never"), PEER, ambiguous=True))
    assert isinstance(lost, Deferred)
    assert lost.cause is Cause.POLICY


def test_one_outcome_for_all_recipients_is_looked_at_once() -> None:
    same = Failed(Reply.of(550, "5.1.1", "no"), PEER)
    outcomes: dict[int, Outcome] = dict.fromkeys(range(3), same)
    trouble.classify(outcomes, RULES)
    assert len({id(outcome) for outcome in outcomes.values()}) == 1
    assert outcomes[2].cause is Cause.MAILBOX_UNKNOWN  # type: ignore[union-attr]  # none is Delivered


# Through the carrier.


async def carried(network: Network, zone: Zone | None = None, **more: Any) -> Outcome:
    carrier = SmtpCarrier(
        hostname="us.example.net",
        settings=OutboundSettings(),
        smarthosts=(),
        resolver=ZoneResolver(zone or make_zone()),
        content=StoredContent(),
        clock=HandClock(),
        connect=network,
        classifier=RULES,
        **more,
    )
    try:
        return (await carrier.deliver(make_request(site=SITE)))[1]
    finally:
        await carrier.close()


@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "."])
async def test_replies_at_every_step_are_classified(step: str) -> None:
    outcome = await carried(
        Network({"192.0.2.1": ScriptedPeer(replies={step: "550 greylisted", "HELO": "550 greylist"})})
    )
    assert isinstance(outcome, Deferred)
    assert outcome.cause is Cause.GREYLISTED


async def test_our_own_findings_are_not() -> None:
    outcome = await carried(Network({"192.0.2.1": ScriptedPeer(refuse=ssl.SSLError("greylist"))}))
    assert isinstance(outcome, Deferred)
    assert outcome.cause is Cause.CONNECTION


async def test_success_stays_success() -> None:
    outcome = await carried(Network({"192.0.2.1": ScriptedPeer()}))
    assert isinstance(outcome, Delivered)
    assert outcome.peer is not NO_PEER
