"""The ports to whoever carries mail out of the house, and to the one who knows the way."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from typing import Any, Protocol

from postroom.mail.address import Address
from postroom.mail.delivery import DeliveryRequest, Outcome, Site
from postroom.mail.envelope import Recipient
from postroom.mail.message import Message, QueueId
from postroom.mail.value import value


class Router(Protocol):
    """Knows where a recipient's mail goes."""

    def destination(self, message: Message, recipient: Recipient) -> str:
        """Under what the recipient waits: its domain, followed by a blank and the rule where it goes by one.

        Decided from values at hand, as the settings are now. Rules that hold are passed over: whoever is released goes
        by the next that matches.
        """
        ...

    def holds(self, message: Message, recipient: Recipient, *, ours: bool = False) -> str:
        """The name of the rule that keeps the recipient until an operator lets it go; ``""``: there is none.

        ``ours``: it lives here, so that rules for mail that leaves the house are passed over. Asked once, at the
        intake: a rule holds if it is the first that matches and says so.
        """
        ...

    def takes(self, message: Message, address: Address) -> bool:
        """Whether a rule takes mail for an account of this address elsewhere than to its mailbox, or holds it."""
        ...

    async def site_of(self, destination: str) -> Site | Outcome:
        """The site, or a Deferred or Failed for all recipients there (null MX, no such domain, DNS down)."""
        ...


class ReturnPaths(Protocol):
    """Decides with which reverse-path each recipient's copy is sent (VERP, SRS)."""

    def of(self, message: Message, recipient: Recipient, number: int, forwarder: Address | None) -> Address | None:
        """The reverse-path for the recipient with this ``number``; None: the envelope's.

        ``forwarder`` is the address of ours that passes the mail on to ``recipient``, None for whom its sender named.
        """
        ...


@value(frozen=True, slots=True)
class Grant:
    """Leave to make one request now. ``source`` names the source address, ``""`` for the system's choice."""

    source: str = ""


@value(frozen=True, slots=True)
class Wait:
    """Not now: ask again in ``seconds``. ``reason`` names the rule for people."""

    seconds: float
    reason: str


class Shaper(Protocol):
    """Shapes the traffic to sites. Answers at once; times are seconds of the monotonic clock."""

    def limit(self, site: Site) -> int:
        """How many requests may be under way at the site at once, now."""
        ...

    def together(self, site: Site) -> int:
        """Recipients that one transaction there takes at most; 0: as many as there are. Requests are cut by it."""
        ...

    def ask(self, site: Site, recipients: int, now: float) -> Grant | Wait:
        """Leave for one request with so many recipients. What is granted is counted."""
        ...

    def note(self, site: Site, grant: Grant, outcomes: Iterable[Outcome], now: float) -> None:
        """Learn what became of it."""
        ...

    def flush(self) -> None:
        """An operator wants everything tried now: forget what is known to be blocked. Limits and counts stay."""
        ...


Promise = asyncio.Future[Mapping[int, Outcome]]
"""The outcomes of a request under way, by the numbers of its recipients."""


class Carrier(Protocol):
    """Carries one message to one site."""

    def deliver(self, request: DeliveryRequest) -> Coroutine[Any, Any, Mapping[int, Outcome]] | Promise:
        """One attempt: an outcome for each recipient, keyed by its ``number``.

        Never raises for what the peer or the network does. Who has others carry gives a promise, so that no task is
        needed to wait for it; to cancel it ends the attempt.
        """
        ...


class ContentSource(Protocol):
    """Where a carrier reads content that the request does not bring along."""

    def read_content(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        """The content in pieces of bounded size."""
        ...
