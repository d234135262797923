"""The shaper of those who shape nothing."""

import pytest

from postroom.mail.delivery import RouteKind, Site
from postroom.queue.carrier import Grant
from postroom.queue.unshaped import Unshaped


@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        (RouteKind.MX, 7),
        (RouteKind.SMARTHOST, 7),
        (RouteKind.LMTP, 7),
        (RouteKind.MAILBOX, 100),
        (RouteKind.MAILDIR, 100),
        (RouteKind.DISCARD, 100),
    ],
)
def test_concurrency_is_per_site_but_not_in_the_house(kind: RouteKind, limit: int) -> None:
    shaper = Unshaped(concurrency=100, per_site=7)
    site = Site("a.example", kind)
    assert shaper.limit(site) == limit
    assert shaper.ask(site, 1000, 0.0) == Grant()


def test_a_site_gets_no_more_than_there_is() -> None:
    assert Unshaped(concurrency=5, per_site=20).limit(Site("a.example", RouteKind.MX)) == 5
