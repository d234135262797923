"""The ports to whoever carries mail out of the house, and to the one who knows the way."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from postroom.mail.delivery import DeliveryRequest, Outcome, Site
from postroom.mail.message import QueueId


class Router(Protocol):
    """Knows where a recipient domain's mail goes."""

    async def site_of(self, domain: str) -> Site | Outcome:
        """The site, or a Deferred or Failed for all recipients of the domain (null MX, no such domain, DNS down)."""
        ...

    def concurrency(self, site: Site) -> int:
        """How many requests may be under way at the site at once."""
        ...


class Carrier(Protocol):
    """Carries one message to one site."""

    async def deliver(self, request: DeliveryRequest) -> Mapping[int, Outcome]:
        """One attempt: an outcome for each recipient, keyed by its ``number``.

        Never raises for what the peer or the network does.
        """
        ...


class ContentSource(Protocol):
    """Where a carrier reads content that the request does not bring along."""

    def read_content(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        """The content in pieces of bounded size."""
        ...
