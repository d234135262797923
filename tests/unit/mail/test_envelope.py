"""What MAIL and RCPT asked for, and what of it is passed on."""

import pytest

from postroom.mail.address import Address
from postroom.mail.envelope import ByMode, DeliverBy, Envelope, Notify, Recipient

BOB = Address("bob", "far.example")


def test_the_next_hop_is_given_the_seconds_that_are_left() -> None:  # RFC 2852 §4.1.4
    by = DeliverBy(120, ByMode.RETURN)
    assert by.ends_at(1000.0) == 1120.0
    assert by.remaining(1000.0, 1022.0) == 98
    assert by.remaining(1000.0, 1022.4) == 97  # never more than there is


def test_a_time_that_is_up_is_negative() -> None:  # RFC 2852 §4.1.4
    by = DeliverBy(0, ByMode.NOTIFY)
    assert by.remaining(1000.0, 1030.0) == -30


@pytest.mark.parametrize(
    ("seconds", "now", "left"), [(999_999_999, 0.0, 999_999_999), (-999_999_999, 9.0, -999_999_999)]
)
def test_the_time_that_is_left_has_nine_digits(seconds: int, now: float, left: int) -> None:  # RFC 2852 §4
    assert DeliverBy(seconds, ByMode.NOTIFY).remaining(0.0, now) == left


@pytest.mark.parametrize(
    ("notify", "passed_on"),
    [
        (None, Notify.FAILURE | Notify.DELAY),
        (Notify.SUCCESS, Notify.SUCCESS | Notify.DELAY),
        (Notify.FAILURE | Notify.DELAY, Notify.FAILURE | Notify.DELAY),
        (Notify.NEVER, Notify.NEVER),
    ],
)
def test_a_hop_without_deliverby_is_asked_for_delays(notify: Notify | None, passed_on: Notify) -> None:
    """RFC 2852 §4.1.4.2."""
    assert Recipient(BOB, notify).notify_without_deadline == passed_on


def test_options_are_what_most_messages_do_not_ask_for() -> None:
    assert not Envelope(None, (Recipient(BOB),), envid="x").has_options
    assert Envelope(None, priority=-1).has_options
    assert Envelope(None, require_tls=True).has_options
    assert Envelope(None, hold_until=1.0).has_options
    assert Envelope(None, deliver_by=DeliverBy(1, ByMode.NOTIFY)).has_options
