"""Rules are asked in order; each condition of a rule must hold; what is not said does not matter."""

import time

import pytest

from postroom.mail.cause import Cause
from postroom.mail.classify import MAX_TEXT, NO_RULE, Classifier, ReplyRule
from postroom.mail.reply import Reply

FULL = ReplyRule(Cause.MAILBOX_FULL, text=("quota",))
GOOGLE = ReplyRule(Cause.RATE_LIMIT, hosts=("google.com",), codes=("421",), statuses=("7.28",), text=("rate of",))


def cause(reply: Reply, *rules: ReplyRule, host: str = "") -> Cause:
    return Classifier(rules).classify(reply, host)


def test_the_first_rule_that_fits_decides() -> None:
    reply = Reply.of(552, "5.2.2", "over quota")
    assert cause(reply, ReplyRule(Cause.SIZE, codes=("552",)), FULL) is Cause.SIZE
    assert cause(reply, FULL, ReplyRule(Cause.SIZE, codes=("552",))) is Cause.MAILBOX_FULL


def test_without_a_rule_nothing_is_known() -> None:
    assert Classifier([FULL]).rule_for(Reply.of(550, "", "no")) is NO_RULE
    assert cause(Reply.of(550, "", "no")) is Cause.OTHER


@pytest.mark.parametrize(
    ("reply", "host", "fits"),
    [
        (Reply.of(421, "4.7.28", "unusual rate of mail"), "gmail-smtp-in.l.Google.com.", True),
        (Reply.of(421, "4.7.28", "unusual rate of mail"), "google.com", True),
        (Reply.of(421, "4.7.28", "unusual rate of mail"), "notgoogle.com", False),
        (Reply.of(421, "4.7.28", "unusual rate of mail"), "", False),
        (Reply.of(450, "4.7.28", "unusual rate of mail"), "google.com", False),
        (Reply.of(421, "4.7.0", "unusual rate of mail"), "google.com", False),
        (Reply.of(421, "", "unusual rate of mail"), "google.com", False),
        (Reply.of(421, "4.7.28", "unusual"), "google.com", False),
    ],
)
def test_all_conditions_must_hold(reply: Reply, host: str, fits: bool) -> None:
    assert (cause(reply, GOOGLE, host=host) is Cause.RATE_LIMIT) is fits


@pytest.mark.parametrize(
    ("written", "fits"),
    [
        ("5.1.1", True),
        ("1.1", True),
        ("1.*", True),
        ("5.1.*", True),
        ("4.1.1", False),
        ("1.2", False),
        ("4.1.*", False),
    ],
)
def test_the_spellings_of_a_status(written: str, fits: bool) -> None:
    rule = ReplyRule(Cause.MAILBOX_UNKNOWN, statuses=(written,))
    assert (cause(Reply.of(550, "5.1.1", ""), rule) is Cause.MAILBOX_UNKNOWN) is fits


@pytest.mark.parametrize(("written", "fits"), [("550", True), ("5yz", True), ("4yz", False), ("551", False)])
def test_the_spellings_of_a_code(written: str, fits: bool) -> None:
    rule = ReplyRule(Cause.POLICY, codes=(written,))
    assert (cause(Reply.of(550, "", ""), rule) is Cause.POLICY) is fits


@pytest.mark.parametrize(
    "rule",
    [
        ReplyRule(Cause.POLICY, codes=("55",)),
        ReplyRule(Cause.POLICY, codes=("6yz",)),
        ReplyRule(Cause.POLICY, statuses=("5",)),
        ReplyRule(Cause.POLICY, statuses=("5.1.1.1",)),
        ReplyRule(Cause.POLICY, text=("*",)),
    ],
)
def test_what_means_nothing_is_refused(rule: ReplyRule) -> None:
    with pytest.raises(ValueError, match="is no"):
        Classifier([rule])


def test_words_over_several_lines_and_beyond_the_bound() -> None:
    assert cause(Reply(552, "", ("over the", "Quota")), FULL) is Cause.MAILBOX_FULL
    assert cause(Reply.of(552, "", "x" * MAX_TEXT + " quota"), FULL) is Cause.OTHER


@pytest.mark.parametrize("text", ["a" * 10**6, "mailbox " * 10**5, "mailbox full" * 10**5])
def test_no_reply_takes_long(text: str) -> None:
    classifier = Classifier([ReplyRule(Cause.OTHER, text=("mailbox * mailbox * mailbox * never", "a * a * a * b"))])
    start = time.perf_counter()
    classifier.classify(Reply.of(550, "", text))
    assert time.perf_counter() - start < 0.5
