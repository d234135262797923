"""Requests cross the wire with all that a carrier looks at."""

from dataclasses import replace

import pytest
from tests.unit.outbound.making import SITE, make_request

from postroom.config.road import OutboundSettings
from postroom.config.section import Rate
from postroom.mail.address import Address
from postroom.mail.delivery import DeliveryRequest, QueuedRecipient, RouteKind, Site, StsMode, StsPolicy
from postroom.mail.envelope import Body, ByMode, DeliverBy, Envelope, Notify, Recipient, Ret
from postroom.mail.message import Message, QueueId
from postroom.outbound.apart import requests
from postroom.outbound.apart.requests import RequestReader, read_numbers, write_numbers, write_request, write_requests
from postroom.outbound.shaping.rules import Rule, Rules

RULE = Rules((), OutboundSettings()).default
FULL_RULE = Rule("slow", 3, Rate(10, 1.0), (Rate(600, 60.0), Rate(9, 0.5)), 20, 5, 2.5, 60.0, 3600.0, False)
STS = StsPolicy(
    "example.org", StsMode.ENFORCE, ("mx.example.org", "*.example.org"), "20261126", 2000.5, ("version: STSv1",)
)
FULL_SITE = Site(
    "relays", RouteKind.SMARTHOST, (("a.example", "b.example"), ("c.example",)), 587, "first", ("first", "second"),
    "pool", "schedule", True, STS,
)  # fmt: skip
FULL = DeliveryRequest(
    Message(
        QueueId((1 << 63) - 1), 1234.5, Envelope(
            Address("grüße", "example.org"), (), Body.BINARY, True, Ret.HDRS, "an id", DeliverBy(-5, ByMode.NOTIFY),
            1300.25, -9, True, "for;60",
        ), b"Received: \xff\r\n", 12, "ann@example.org", "192.0.2.1", "<m@example.org>", ("a", "b"),
    ),
    (
        QueuedRecipient(3, Recipient(Address("bob", "example.net"), Notify.SUCCESS | Notify.DELAY, "rfc822;b@x"),
                        return_path=Address("verp", "example.org")),
        QueuedRecipient(4, Recipient(Address("", "example.net"), Notify.NEVER)),
    ),
    FULL_SITE, b"\0\xffcontent", "out-a",
)  # fmt: skip


def crossed(request: DeliveryRequest, rule: Rule = RULE, reader: RequestReader | None = None) -> DeliveryRequest:
    wire = write_requests([write_request(7, request, rule)])
    ((number, found, by),) = (reader or RequestReader()).read(wire)
    assert number == 7
    assert by == rule
    return found


@pytest.mark.parametrize(
    "request_",
    [make_request(), make_request(sender=None, content=None, size=5), make_request("a@x.example", "b@x.example"), FULL],
)
def test_all_of_it(request_: DeliveryRequest) -> None:
    found = crossed(request_, FULL_RULE)
    envelope = replace(request_.message.envelope, recipients=())  # no carrier looks at them
    assert found == replace(request_, message=replace(request_.message, envelope=envelope))


def test_what_came_of_earlier_attempts_stays_behind() -> None:
    queued = replace(make_request().recipients[0], attempts=4, delay_told=True, destination="example.org rule")
    (found,) = crossed(replace(make_request(), recipients=(queued,))).recipients
    assert found == QueuedRecipient(queued.number, queued.recipient)


def test_an_equal_site_is_the_same_object() -> None:
    reader = RequestReader()
    assert crossed(make_request(), reader=reader).site is crossed(make_request(), reader=reader).site


def test_sites_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_KNOWN", 2)
    reader = RequestReader()
    for number in range(5):
        site = replace(SITE, key=f"mx{number}")
        assert crossed(make_request(site=site), reader=reader).site == site
    assert len(reader._known) <= 2


def test_numbers() -> None:
    assert read_numbers(write_numbers([1, 1 << 62])) == [1, 1 << 62]
