"""The chain asks in order, stops at the first objection, and does not ask who does not want to be asked."""

from postroom.directory.model import NotLocal
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.headers import glance
from postroom.mail.reply import Reply
from postroom.mail.session import Client, Role
from postroom.policy.chain import Chain
from postroom.policy.limits import MOST_DEFERRED, SessionLimits
from postroom.policy.stage import AtMail, AtMessage, AtRcpt, Stage
from postroom.policy.verdict import ACCEPT, Defer, Refuse, Verdict

CLIENT = Client(1, Role.MX, "192.0.2.1", 4711)
NO = Refuse(Reply.of(550, "5.7.1", "No"), "because")
LATER = Defer(Reply.of(450, "4.7.1", "Later"), "busy")
RCPT = AtRcpt(CLIENT, None, None, Recipient(Address.parse("a@b.example")), NotLocal())


async def test_an_empty_chain_accepts_everything() -> None:
    chain = Chain([])
    assert await chain.on_connect(CLIENT) is ACCEPT
    assert await chain.on_hello(CLIENT) is ACCEPT
    assert await chain.on_mail(AtMail(CLIENT, None, None)) is ACCEPT
    assert await chain.on_rcpt(RCPT) is ACCEPT
    assert await chain.on_message(AtMessage(CLIENT, Envelope(None), 0, b"", glance(b""))) is ACCEPT


async def test_the_first_objection_stands() -> None:
    asked: list[str] = []

    def stage(name: str, verdict: Verdict) -> Stage:
        async def on_rcpt(_: AtRcpt) -> Verdict:
            asked.append(name)
            return verdict

        return Stage(name=name, on_rcpt=on_rcpt)

    chain = Chain([stage("a", ACCEPT), Stage(name="deaf"), stage("b", LATER), stage("c", NO)])
    assert await chain.on_rcpt(RCPT) is LATER
    assert asked == ["a", "b"]
    assert await chain.on_connect(CLIENT) is ACCEPT


def test_whose_messages_are_read() -> None:
    async def on_message(_: AtMessage) -> Verdict:
        return ACCEPT

    other = Client(2, Role.MX, "192.0.2.2", 4711)
    picky = Stage(name="picky", on_message=on_message, reads=lambda client: client is CLIENT)
    assert not Chain([Stage(name="deaf")]).reads_messages_of(CLIENT)
    assert Chain([picky]).reads_messages_of(CLIENT)
    assert not Chain([picky]).reads_messages_of(other)
    assert Chain([picky, Stage(name="curious", on_message=on_message)]).reads_messages_of(other)


def test_failures_are_counted() -> None:
    limits = SessionLimits(2, 0)
    assert limits.count_failure() is None
    last_words = limits.count_failure()
    assert last_words is not None
    assert (last_words.code, last_words.status) == (421, "4.7.0")


def test_deferrals_are_counted_from_message_to_message() -> None:
    """RFC 5321 §4.5.3.1.10: who names too many recipients at once has done nothing wrong."""
    limits = SessionLimits(2, 0)
    for _ in range(2):
        assert [limits.count_deferral() for _ in range(MOST_DEFERRED)] == [None] * MOST_DEFERRED
        limits.count_message()
    for _ in range(MOST_DEFERRED):
        limits.count_deferral()
    last_words = limits.count_deferral()
    assert last_words is not None
    assert (last_words.code, last_words.status) == (421, "4.7.0")


def test_messages_are_counted() -> None:
    limits = SessionLimits(2, 1)
    assert limits.before_mail() is None
    limits.count_message()
    last_words = limits.before_mail()
    assert last_words is not None
    assert last_words.code == 421
    assert limits.messages == 1
    endless = SessionLimits(2, 0)
    endless.count_message()
    assert endless.before_mail() is None
