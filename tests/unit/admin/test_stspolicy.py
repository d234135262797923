"""Our own MTA-STS policy is one that senders can read (RFC 8461 §3.1, §3.2)."""

import pytest

from postroom.admin.stspolicy import StsOffer, policy_id, policy_record, policy_text
from postroom.mail.delivery import StsMode
from postroom.outbound.stspolicy import read_policy, read_record

OFFER = StsOffer("enforce", ("mail.example.org", "*.mx.example.net"), 604800)


def test_the_policy_is_read_by_a_sender_as_it_was_meant() -> None:
    policy = read_policy("example.org", policy_id(OFFER), policy_text(OFFER).encode(), 1000.0)
    assert (policy.mode, policy.mx) == (StsMode.ENFORCE, OFFER.hosts)
    assert policy.expires_at == 1000.0 + 604800


def test_the_record_names_the_policy() -> None:
    assert read_record([policy_record(OFFER).encode()]) == policy_id(OFFER)
    assert len(policy_id(OFFER)) <= 32


@pytest.mark.parametrize(
    "other",
    [
        StsOffer("testing", OFFER.hosts, OFFER.max_age),
        StsOffer("enforce", OFFER.hosts[:1], OFFER.max_age),
        StsOffer("enforce", OFFER.hosts, 86400),
    ],
)
def test_another_policy_has_another_id(other: StsOffer) -> None:
    assert policy_id(other) != policy_id(OFFER)


def test_a_policy_that_is_withdrawn_names_no_hosts() -> None:
    text = policy_text(StsOffer("none", ("mail.example.org",), 86400))
    assert text == "version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
    assert read_policy("example.org", "x", text.encode(), 0.0).mode is StsMode.NONE
