"""What replies say about traffic: as classified, or by their words and numbers where nobody has said why."""

import pytest

from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Delivered, Failed, Outcome, Peer
from postroom.mail.reply import Reply
from postroom.outbound.shaping.pushback import Sign, read_sign

PEER = Peer("mx.example.net", "192.0.2.1", 25)


def deferred(code: int, status: str, text: str, cause: Cause = Cause.OTHER) -> Deferred:
    return Deferred(Reply.of(code, status, text), PEER, cause=cause)


@pytest.mark.parametrize(
    ("outcome", "sign"),
    [
        # Classified.
        (deferred(421, "4.7.28", "x", Cause.RATE_LIMIT), Sign.SLOWER),
        (deferred(421, "4.7.0", "Too many concurrent connections", Cause.RATE_LIMIT), Sign.FEWER),
        (deferred(450, "4.2.1", "the user is receiving mail too quickly", Cause.RATE_LIMIT), Sign.TAKEN),
        (deferred(421, "4.7.0", "TSS04", Cause.REPUTATION), Sign.BLOCKED),
        (deferred(451, "4.7.650", "temporarily rate limited due to IP reputation", Cause.REPUTATION), Sign.SLOWER),
        (deferred(421, "4.3.2", "closing", Cause.BUSY), Sign.BUSY),
        (deferred(451, "4.4.1", "timed out", Cause.CONNECTION), Sign.BROKEN),
        (deferred(451, "4.7.1", "greylisted", Cause.GREYLISTED), Sign.TAKEN),
        (deferred(452, "4.2.2", "mailbox full", Cause.MAILBOX_FULL), Sign.TAKEN),
        (deferred(451, "4.7.5", "certificate", Cause.TLS), Sign.NOTHING),
        (deferred(451, "4.3.0", "out of resources", Cause.LOCAL), Sign.NOTHING),
        (Failed(Reply.of(550, "5.1.1", "unknown"), PEER, cause=Cause.MAILBOX_UNKNOWN), Sign.TAKEN),
        (Failed(Reply.of(550, "5.7.1", "listed"), PEER, cause=Cause.REPUTATION), Sign.BLOCKED),
        (Failed(Reply.of(550, "5.1.2", "no such domain")), Sign.NOTHING),  # nobody was asked
        # Not classified.
        (deferred(421, "4.7.0", "Too many connections from your host"), Sign.FEWER),
        (deferred(421, "", "maximum concurrent connections exceeded"), Sign.FEWER),
        (deferred(450, "4.7.1", "Error: too much mail from 192.0.2.7"), Sign.SLOWER),
        (deferred(451, "4.7.650", "temporarily rate limited due to IP"), Sign.SLOWER),
        (deferred(421, "", "Message rate limit exceeded, slow down"), Sign.SLOWER),
        (deferred(421, "4.7.1", "your address is on a blocklist"), Sign.BLOCKED),
        (deferred(450, "4.7.1", "Greylisted, try again in 300 seconds"), Sign.TAKEN),
        (deferred(421, "4.3.2", "Service not available"), Sign.BUSY),
        (deferred(451, "4.4.5", "system congested"), Sign.BUSY),
        (deferred(451, "4.4.2", "mx.example.net lost the connection"), Sign.BROKEN),
        (deferred(450, "4.3.0", "cannot look that up"), Sign.TAKEN),
    ],
)
def test_one_outcome(outcome: Outcome, sign: Sign) -> None:
    assert read_sign([outcome]) == (sign, outcome)


def test_a_site_that_took_one_of_the_recipients_took_the_request() -> None:
    too_fast = deferred(451, "4.7.0", "rate limit", Cause.RATE_LIMIT)
    unknown = Failed(Reply.of(550, "5.1.1", "unknown"), PEER, cause=Cause.MAILBOX_UNKNOWN)
    assert read_sign([too_fast, Delivered(Reply.of(250, "2.0.0", "ok"))])[0] is Sign.TAKEN
    assert read_sign([too_fast, unknown])[0] is Sign.TAKEN
    assert read_sign([too_fast, too_fast])[0] is Sign.SLOWER


def test_what_was_not_tried_says_nothing() -> None:
    ours = Deferred(Reply.of(451, "4.4.5", "not tried"), cause=Cause.RATE_LIMIT, retry_at=1.0)
    assert read_sign([ours])[0] is Sign.NOTHING
    assert read_sign([])[0] is Sign.NOTHING
