"""Decides what a failure means: its scope, and the outcome that replies and exceptions become. Nobody else does.

A 4yz is Deferred and a 5yz Failed (RFC 5321 §4.2.1), but a fault of this house is never Failed (DESIGN §3).
"""

import errno
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum, IntEnum

from postroom.mail.cause import Cause
from postroom.mail.classify import Classifier, ReplyRule
from postroom.mail.delivery import NO_PEER, Deferred, Delivered, Failed, Outcome, Peer
from postroom.mail.reply import Reply
from postroom.mail.value import value
from postroom.protocol.errors import RemoteProtocolError


class Step(IntEnum):
    """How far an attempt has come; later steps are greater."""

    ROUTE = 0
    CONNECT = 1
    GREETING = 2
    HELLO = 3
    TLS = 4
    AUTH = 5
    MAIL = 6
    RCPT = 7
    DATA = 8
    CONTENT = 9
    END = 10


class Scope(Enum):
    """What a failure says about others: who need not be tried, and who may do better."""

    SESSION = "session"
    """This connection: a fresh one may do better if it had been used before, else one to the next host."""
    HOST = "host"
    """This host, which does not let us in: the next one may do better."""
    SITE = "site"
    """All hosts of the site."""
    MESSAGE = "message"
    """This message at this site: the connection may carry others."""
    RECIPIENT = "recipient"
    """One recipient."""


@value(frozen=True, slots=True)
class Trouble:
    """Something went wrong: how far it reaches, and what it means for the recipients concerned."""

    scope: Scope
    outcome: Deferred | Failed
    step: Step


class AttemptEnded(Exception):
    """A session cannot go on with a message. ``trouble`` says why and what it means."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(str(trouble.outcome.reply))
        self.trouble = trouble


_WORDS = {
    Step.CONNECT: "while connecting",
    Step.GREETING: "while waiting for the greeting",
    Step.HELLO: "in reply to EHLO",
    Step.TLS: "during the TLS handshake",
    Step.AUTH: "during authentication",
    Step.MAIL: "in reply to MAIL",
    Step.RCPT: "in reply to RCPT",
    Step.DATA: "in reply to DATA",
    Step.CONTENT: "while sending the content",
    Step.END: "in reply to the end of content",
}

_REPLY_SCOPE = {
    Step.GREETING: Scope.HOST,
    Step.HELLO: Scope.HOST,
    Step.TLS: Scope.HOST,
    Step.AUTH: Scope.SITE,
    Step.MAIL: Scope.MESSAGE,
    Step.RCPT: Scope.RECIPIENT,
    Step.DATA: Scope.MESSAGE,
    Step.CONTENT: Scope.MESSAGE,
    Step.END: Scope.MESSAGE,
}

_OWN_FAULT = {Step.TLS: Cause.TLS, Step.AUTH: Cause.AUTHENTICATION}
"""A 5yz here is about our settings, not about the mail: it is Deferred, and its words do not matter."""

_LEADS_ON = frozenset({Scope.SESSION, Scope.HOST})
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_TLS = frozenset({"4.7.4", "4.7.5"})  # not offered; a handshake or a certificate that fails
_TOO_MANY = frozenset({"", "4.5.3", "5.5.3"})


def from_reply(step: Step, reply: Reply, peer: Peer) -> Trouble:
    """What a reply that is not the hoped-for one means."""
    if reply.code == 421 and step is not Step.END:
        # RFC 5321 §3.8: the server is closing this channel; says nothing about the message.
        return Trouble(Scope.SESSION, Deferred(reply, peer, detail=f"421 {_WORDS[step]}"), step)
    if reply.is_permanent and step not in _OWN_FAULT:
        return Trouble(_REPLY_SCOPE[step], Failed(reply, peer), step)
    if reply.is_transient or reply.is_permanent:
        return Trouble(_REPLY_SCOPE[step], Deferred(reply, peer, cause=_OWN_FAULT.get(step, Cause.OTHER)), step)
    odd = Reply.of(451, "4.5.0", f"{_named(peer)} gave an unexpected reply {_WORDS[step]}")
    detail = f"unexpected reply: {reply}"
    outcome = Deferred(odd, peer, ambiguous=step is Step.END, detail=detail, cause=Cause.PROTOCOL)
    return Trouble(Scope.MESSAGE if step is Step.END else Scope.SESSION, outcome, step)


def from_exception(step: Step, error: OSError | RemoteProtocolError, peer: Peer) -> Trouble:
    """What it means that the network or the peer's protocol broke down.

    After the final dot the peer may have the message (RFC 5321 §4.5.4.1): ambiguous, and no other host is tried now.
    """
    if isinstance(error, OSError) and error.errno in _OUT_OF_RESOURCES:
        own = Reply.of(451, "4.3.0", "this server is out of resources at the moment")
        return Trouble(Scope.SITE, Deferred(own, peer, detail=str(error), cause=Cause.LOCAL), step)
    cause = Cause.CONNECTION
    if isinstance(error, TimeoutError):
        status, what = "4.4.1" if step is Step.CONNECT else "4.4.2", "timed out"
    elif isinstance(error, RemoteProtocolError):
        status, what, cause = "4.5.0", "broke the protocol", Cause.PROTOCOL
    elif step is Step.TLS:
        status, what, cause = "4.7.5", "failed", Cause.TLS
    elif step is Step.CONNECT:
        status, what = "4.4.1", "could not be reached"
    else:
        status, what = "4.4.2", "lost the connection"
    ambiguous = step is Step.END
    reply = Reply.of(451, status, f"{_named(peer)} {what} {_WORDS[step]}")
    outcome = Deferred(reply, peer, ambiguous=ambiguous, detail=str(error) or type(error).__name__, cause=cause)
    return Trouble(Scope.MESSAGE if ambiguous else Scope.SESSION, outcome, step)


def left_open(ended: AttemptEnded) -> Trouble:
    """What it means that an attempt ended after all of a message had left, and before the replies were in.

    A reply that refuses stands. Whatever else happened, the peer may have the message (RFC 5321 §4.5.4.1).
    """
    trouble = ended.trouble
    if trouble.outcome.reply.code == 421:  # RFC 5321 §3.8: it closes before it has come to the content
        return trouble
    outcome = replace(trouble.outcome, ambiguous=True) if isinstance(trouble.outcome, Deferred) else trouble.outcome
    return Trouble(Scope.MESSAGE, outcome, Step.END)


def leads_on(trouble: Trouble) -> bool:
    """Another connection, to this host or to the next one, may do better."""
    return trouble.scope in _LEADS_ON


def worst(first: Trouble | None, second: Trouble) -> Trouble:
    """Of two hosts' troubles the one that stands for the site.

    As long as one host may take the message later it is Deferred; else the one that came furthest tells most.
    """
    if first is None:
        return second
    if isinstance(first.outcome, Deferred) is not isinstance(second.outcome, Deferred):
        return first if isinstance(first.outcome, Deferred) else second
    return first if first.step > second.step else second


def recipient_outcome(reply: Reply, peer: Peer, *, others_accepted: bool) -> Deferred | Failed:
    """What a refused RCPT means."""
    if reply.code == 552 and others_accepted and reply.status in _TOO_MANY:
        # RFC 5321 §4.5.3.1.10: a 552 for too many recipients is to be treated as a 452.
        return Deferred(reply, peer, detail="too many recipients", cause=Cause.RATE_LIMIT)
    return from_reply(Step.RCPT, reply, peer).outcome


def is_too_many(outcome: Outcome) -> bool:
    """The recipient was one too many for the transaction: another one may carry it (RFC 5321 §4.5.3.1.10)."""
    reply = outcome.reply
    return isinstance(outcome, Deferred) and reply.code in {452, 552} and reply.status in _TOO_MANY


def that_stops_others(outcomes: Iterable[Outcome]) -> Deferred | None:
    """The outcome for recipients of the message that go in another transaction, where one of these shows that it would
    be in vain: the host closes (421), or the network is in the way (RFC 3463 §3.5: X.4.z). None: nothing does.
    """
    for outcome in outcomes:
        reply = outcome.reply
        if isinstance(outcome, Deferred) and (reply.code == 421 or reply.status.startswith("4.4.")):
            return replace(outcome, ambiguous=False)
    return None


def final_outcome(reply: Reply, peer: Peer, *, notifies: bool, keeps_time: bool = False, note: str = "") -> Outcome:
    """What the reply to the end of content means.

    ``notifies``: the host took the sender's NOTIFY (RFC 3461 §5.2.1). ``keeps_time``: it was told by when to deliver
    (RFC 2852 §4.1.4). ``note``: what was done to make the message fit.
    """
    if 200 <= reply.code < 300:
        return Delivered(reply, peer, notifies, keeps_time, note)
    outcome = from_reply(Step.END, reply, peer).outcome
    return replace(outcome, detail=f"{outcome.detail} ({note})".strip()) if note else outcome


def classify(outcomes: dict[int, Outcome], classifier: Classifier) -> None:
    """Name the causes of what peers replied; causes that we found ourselves stay. Works in place.

    A rule may know better than the reply's class whether it is for good: a 5yz for greylisting is tried again.
    """
    known: dict[int, Outcome] = {}  # one outcome often stands for all recipients
    for number, outcome in outcomes.items():
        if isinstance(outcome, Delivered) or outcome.cause is not Cause.OTHER:
            continue
        if isinstance(outcome, Deferred) and outcome.retry_at is not None:
            continue  # nothing was tried, so that nobody replied
        found = known.get(id(outcome))
        if found is None:
            found = known[id(outcome)] = _by_rule(outcome, classifier.rule_for(outcome.reply, outcome.peer.host))
        outcomes[number] = found


def _by_rule(outcome: Deferred | Failed, rule: ReplyRule) -> Outcome:
    if rule.hard is False and isinstance(outcome, Failed):
        detail = f"{rule.cause.value}: tried again in spite of the {outcome.reply.code}"
        return Deferred(outcome.reply, outcome.peer, detail=detail, cause=rule.cause)
    if rule.hard is True and isinstance(outcome, Deferred) and not outcome.ambiguous:
        detail = f"{rule.cause.value}: given up in spite of the {outcome.reply.code}"
        return Failed(outcome.reply, outcome.peer, detail, rule.cause)
    return outcome if rule.cause is Cause.OTHER else replace(outcome, cause=rule.cause)


# Troubles that nobody told us, by the step at which they show.


def resolver_unavailable(name: str, error: Exception) -> Deferred:
    """The DNS did not answer."""
    return Deferred(Reply.of(451, "4.4.3", f"the DNS does not answer for {name}"), detail=str(error), cause=Cause.DNS)


def no_such_domain(domain: str) -> Failed:
    """The recipient's domain does not exist (RFC 3463 §3.2, X.1.2)."""
    return Failed(Reply.of(550, "5.1.2", f"the domain {domain} does not exist"), cause=Cause.DOMAIN_UNKNOWN)


def takes_no_mail(domain: str) -> Failed:
    """The domain exists, but has neither MX nor address records (RFC 5321 §5.1)."""
    return Failed(Reply.of(550, "5.1.2", f"the domain {domain} has no mail server"), cause=Cause.DOMAIN_UNKNOWN)


def null_mx(domain: str) -> Failed:
    """The domain says that it takes no mail (RFC 7505 §4.1)."""
    return Failed(Reply.of(556, "5.1.10", f"the domain {domain} accepts no mail"), cause=Cause.DOMAIN_UNKNOWN)


def loops_back(domain: str) -> Failed:
    """The best mail server of the domain is this one, which does not know it (RFC 5321 §5.1)."""
    return Failed(Reply.of(554, "5.4.6", f"mail for {domain} loops back to this server"), cause=Cause.LOOP)


def unknown_host(host: str, *, ours: bool) -> Trouble:
    """A mail server has no address. ``ours``: our settings name it, so that it is no fault of the mail."""
    if ours:
        reply = Reply.of(451, "4.4.4", f"the next server {host} has no address")
        outcome: Deferred | Failed = Deferred(reply, cause=Cause.LOCAL)
    else:
        outcome = Failed(Reply.of(550, "5.4.4", f"the mail server {host} has no address"), cause=Cause.DNS)
    return Trouble(Scope.HOST, outcome, Step.ROUTE)


def address_is_ours(host: str, address: str) -> Trouble:
    """A mail server's address is of this machine alone: it would be a way back to ourselves."""
    detail = f"{address} is a loopback address, and outbound.allow_loopback is off"
    reply = Reply.of(554, "5.4.6", f"the mail server {host} has an address of this server")
    return Trouble(Scope.HOST, Failed(reply, detail=detail, cause=Cause.LOOP), Step.ROUTE)


def host_unresolved(host: str, error: Exception) -> Trouble:
    """The address of one mail server cannot be asked for now."""
    return Trouble(Scope.HOST, resolver_unavailable(host, error), Step.ROUTE)


def no_route(what: str) -> Trouble:
    """A route of our settings leads nowhere."""
    outcome = Deferred(Reply.of(451, "4.3.5", "the route is not set up"), detail=what, cause=Cause.LOCAL)
    return Trouble(Scope.SITE, outcome, Step.ROUTE)


def tls_not_offered(peer: Peer) -> Trouble:
    """TLS is required, and the host does not offer it."""
    reply = Reply.of(451, "4.7.4", f"{_named(peer)} does not offer STARTTLS")
    return Trouble(Scope.HOST, Deferred(reply, peer, cause=Cause.TLS), Step.TLS)


def login_impossible(peer: Peer, why: str) -> Trouble:
    """We cannot authenticate, or will not."""
    reply = Reply.of(451, "4.7.0", f"cannot authenticate to {_named(peer)}")
    return Trouble(Scope.SITE, Deferred(reply, peer, detail=why, cause=Cause.AUTHENTICATION), Step.AUTH)


def with_detail(trouble: Trouble, detail: str) -> Trouble:
    """The same with more for the log."""
    outcome = replace(trouble.outcome, detail=f"{trouble.outcome.detail} {detail}".strip())
    return replace(trouble, outcome=outcome)


def too_big(size: int, limit: int, peer: Peer) -> Failed:
    """The host announced a lower limit (RFC 1870 §6.1: no need to try)."""
    text = f"the message has {size} octets, {_named(peer)} takes {limit}"
    return Failed(Reply.of(552, "5.3.4", text), peer, cause=Cause.SIZE)


def address_needs_smtputf8(peer: Peer) -> Failed:
    """A non-ASCII address for a host without SMTPUTF8 (RFC 6531 §3.5)."""
    text = f"{_named(peer)} takes no non-ASCII addresses"
    return Failed(Reply.of(553, "5.6.7", text), peer, cause=Cause.PROTOCOL)


def header_needs_smtputf8(peer: Peer, why: str = "") -> Failed:
    """A header in UTF-8 for a host without SMTPUTF8 (RFC 6531 §3.5)."""
    text = f"{_named(peer)} takes no header fields in UTF-8"
    return Failed(Reply.of(554, "5.6.9", text), peer, why, Cause.PROTOCOL)


def not_convertible(peer: Peer, why: str) -> Failed:
    """The host lacks 8BITMIME or BINARYMIME, and a conversion would lose or break something (RFC 6152 §3, RFC 3030 §3).

    X.6.3 is "conversion required but not supported" (RFC 3463 §3.7).
    """
    text = f"{_named(peer)} does not take 8-bit content, and the message cannot be converted"
    return Failed(Reply.of(554, "5.6.3", text), peer, why, Cause.PROTOCOL)


def beyond_limits(peer: Peer) -> Deferred:
    """One more than the host announced to take in one transaction (RFC 9422 §4): in the next one, then."""
    reply = Reply.of(452, "4.5.3", f"{_named(peer)} takes no more recipients at once")
    return Deferred(reply, peer, cause=Cause.RATE_LIMIT)


def out_of_time(peer: Peer) -> Failed:
    """The time by which it had to be delivered has come (RFC 2852 §4.1.3)."""
    reply = Reply.of(554, "5.4.7", "the time for delivery that the sender allowed has run out")
    return Failed(reply, peer, cause=Cause.EXPIRED)


def takes_no_deadline(peer: Peer) -> Failed:
    """The host does not know DELIVERBY, and the sender wants the message back rather than late.

    RFC 2852 §4.1.4.1; no other host is tried (§7). X.3.3 is "not capable of selected features" (RFC 3463 §3.4).
    """
    text = f"{_named(peer)} does not take a time for delivery (DELIVERBY)"
    return Failed(Reply.of(554, "5.3.3", text), peer, cause=Cause.PROTOCOL)


def deadline_too_soon(left: int, least: int, peer: Peer) -> Failed:
    """The host promises less than the sender asked for (RFC 2852 §4.1.4.1)."""
    text = f"{_named(peer)} needs {least} seconds for delivery, and {left} are left"
    return Failed(Reply.of(554, "5.3.3", text), peer, cause=Cause.EXPIRED)


def requiretls_not_offered(peer: Peer) -> Trouble:
    """The host does not announce REQUIRETLS (RFC 8689 §4.2.1); the next one may."""
    reply = Reply.of(550, "5.7.30", f"REQUIRETLS support required: {_named(peer)} has none")
    return Trouble(Scope.HOST, Failed(reply, peer, cause=Cause.TLS), Step.MAIL)


def unsecured(trouble: Trouble) -> Trouble:
    """What a trouble with TLS means for a message that must not go without (RFC 8689 §4.2.1): Failed, if no other host
    does better. A handshake that was cut off, or that the host refused for now, says nothing final.
    """
    outcome = trouble.outcome
    if trouble.step is not Step.TLS or outcome.reply.status not in _NO_TLS:
        return trouble
    reply = Reply.of(550, "5.7.10", f"encryption needed: {outcome.reply.text}")
    return Trouble(Scope.HOST, Failed(reply, outcome.peer, outcome.detail, Cause.TLS), Step.TLS)


def is_unsecured(outcome: Outcome) -> bool:
    """The message failed because it must not go without TLS."""
    return isinstance(outcome, Failed) and outcome.reply.status in {"5.7.10", "5.7.30"}


def content_malformed(peer: Peer, error: Exception) -> Failed:
    """The content cannot be sent as SMTP without changing it (RFC 5321 §2.3.8: no bare CR or LF)."""
    reply = Reply.of(554, "5.6.0", "the content has a bare CR or LF and cannot be sent")
    return Failed(reply, peer, str(error), Cause.CONTENT)


def content_unreadable(error: Exception) -> Deferred:
    """Our own store does not give the content now."""
    reply = Reply.of(451, "4.3.0", "the content cannot be read at the moment")
    return Deferred(reply, detail=str(error), cause=Cause.LOCAL)


def _named(peer: Peer) -> str:
    """The host as people know it."""
    if peer is NO_PEER:
        return "the server"
    return f"{peer.host}[{peer.address}]" if peer.address and peer.address != peer.host else peer.host
