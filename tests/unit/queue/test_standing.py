"""What an outcome means for a recipient."""

import pytest
from tests.fakes.carrier import ACCEPTED, GREYLISTED, REFUSED

from postroom.config.model import QueueSettings
from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient, RecipientState, RouteKind, Site
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.message import Message, QueueId
from postroom.queue.standing import history_row, judge

SETTINGS = QueueSettings(retry_jitter=0.0)
BOB = QueuedRecipient(0, Recipient(Address("bob", "far.example")))
SITE = Site("far.example", RouteKind.MX)


ANN = Address("ann", "home.example")


def a_message(sender: Address | None = ANN) -> Message:
    return Message(QueueId(1), 0.0, Envelope(sender), b"", 100)


def test_a_failure_is_final() -> None:
    stands = judge(SETTINGS, a_message(), BOB, REFUSED, site=SITE, now=5.0, chance=0.0)
    assert stands.state is RecipientState.FAILED
    assert (stands.attempts, stands.next_attempt, stands.last_attempt) == (1, None, 5.0)
    assert (stands.last_reply, stands.last_peer) == (REFUSED.reply, REFUSED.peer)


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (RouteKind.MX, RecipientState.RELAYED),
        (RouteKind.SMARTHOST, RecipientState.RELAYED),
        (RouteKind.LMTP, RecipientState.DELIVERED),
        (RouteKind.MAILBOX, RecipientState.DELIVERED),
        (RouteKind.DISCARD, RecipientState.DELIVERED),
    ],
)
def test_where_success_is_the_end_of_the_journey(kind: RouteKind, state: RecipientState) -> None:
    stands = judge(SETTINGS, a_message(), BOB, ACCEPTED, site=Site("x", kind), now=5.0, chance=0.0)
    assert stands.state is state


def test_an_attempt_is_made_just_when_the_sender_would_be_told() -> None:
    before = QueuedRecipient(0, BOB.recipient, attempts=6, next_attempt=9300.0)
    stands = judge(SETTINGS, a_message(), before, GREYLISTED, site=SITE, now=9300.0, chance=0.0)
    assert stands.next_attempt == 4 * 3600.0
    assert not stands.delay_told
    stands = judge(SETTINGS, a_message(), stands, GREYLISTED, site=SITE, now=4 * 3600.0, chance=0.0)
    assert stands.delay_told
    unwarned = judge(SETTINGS, a_message(None), before, GREYLISTED, site=SITE, now=9300.0, chance=0.0)
    assert unwarned.next_attempt == 9300.0 + 14400.0


def test_a_row_for_each_attempt() -> None:
    stands = judge(SETTINGS, a_message(), BOB, GREYLISTED, site=SITE, now=5.0, chance=0.0)
    row = history_row(a_message(), stands, GREYLISTED, 5.0, 0.25)
    assert (row.kind, row.recipient, row.domain, row.at) == ("deferred", "bob@far.example", "far.example", 5.0)
    assert '"next_attempt":305.0' in row.detail
