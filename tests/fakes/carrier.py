"""A carrier and a router whose answers, failures and slowness are fields."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from postroom.clock import Clock
from postroom.mail.address import Address
from postroom.mail.delivery import Deferred, Delivered, DeliveryRequest, Failed, Outcome, Peer, RouteKind, Site
from postroom.mail.envelope import Recipient
from postroom.mail.message import Message
from postroom.mail.reply import Reply
from postroom.queue.carrier import Grant, Wait

ACCEPTED = Delivered(Reply.of(250, "2.0.0", "queued as 42"), Peer("mx.far.example", "192.0.2.25", 25))
GREYLISTED = Deferred(Reply.of(450, "4.7.1", "greylisted"), Peer("mx.far.example", "192.0.2.25", 25))
REFUSED = Failed(Reply.of(550, "5.1.1", "no such user"), Peer("mx.far.example", "192.0.2.25", 25))
DOWN = Deferred(Reply.of(451, "4.4.1", "no answer"), Peer("mx.far.example", "192.0.2.25", 25))


class FakeCarrier:
    """Answers by domain, else ``outcome``. ``gate`` holds all deliveries back until it is set."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.outcome: Outcome = ACCEPTED
        self.by_domain: dict[str, Outcome] = {}
        self.by_address: dict[str, Outcome] = {}
        self.raises: Exception | None = None
        self.forgets: set[int] = set()
        """Numbers of recipients for which it gives no outcome."""
        self.gate: asyncio.Event | None = None
        self.gates: dict[str, asyncio.Event] = {}
        """The same by site key."""
        self.seconds = 0.0
        self.requests: list[DeliveryRequest] = []
        self.delivered: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        self.on_request: Callable[[DeliveryRequest], None] = lambda _: None
        self._clock = clock

    async def deliver(self, request: DeliveryRequest) -> Mapping[int, Outcome]:
        self.requests.append(request)
        self.on_request(request)
        key = request.site.key
        for name in (key, ""):
            self.under_way[name] += 1
            self.peak[name] = max(self.peak[name], self.under_way[name])
        try:
            if self.seconds and self._clock is not None:
                await self._clock.sleep(self.seconds)
            for gate in (self.gate, self.gates.get(key)):
                if gate is not None:
                    await gate.wait()
            if self.raises is not None:
                raise self.raises
        finally:
            for name in (key, ""):
                self.under_way[name] -= 1
        outcomes: dict[int, Outcome] = {}
        for one in request.recipients:
            address = one.recipient.address
            outcome = self.by_address.get(str(address), self.by_domain.get(address.domain, self.outcome))
            if one.number not in self.forgets:
                outcomes[one.number] = outcome
                if isinstance(outcome, Delivered):
                    self.delivered[str(address)] += 1
        return outcomes


class FakeRouter:
    """Each domain is its own site unless ``sites`` says otherwise; ``outcomes`` are domains without a site."""

    def __init__(self) -> None:
        self.sites: dict[str, Site] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.raises: Exception | None = None
        self.gates: dict[str, asyncio.Event] = {}
        self.asked: list[str] = []
        self.rules: dict[str, str] = {}
        """The rule by which an address or a domain goes."""
        self.held: dict[str, str] = {}
        """The rule by which an address is held."""
        self.taken: set[Address] = set()
        """Accounts whose mail a rule takes elsewhere."""

    def destination(self, message: Message, recipient: Recipient) -> str:
        rule = self.rules.get(str(recipient.address)) or self.rules.get(recipient.address.domain)
        return f"{recipient.address.domain} {rule}" if rule else recipient.address.domain

    def holds(self, message: Message, recipient: Recipient, *, ours: bool = False) -> str:
        return self.held.get(str(recipient.address), "")

    def takes(self, message: Message, address: Address) -> bool:
        return address in self.taken

    async def site_of(self, domain: str) -> Site | Outcome:
        self.asked.append(domain)
        if domain in self.gates:
            await self.gates[domain].wait()
        if self.raises is not None:
            raise self.raises
        if domain in self.outcomes:
            return self.outcomes[domain]
        return self.sites.get(domain) or Site(domain, RouteKind.MX, ((f"mx.{domain}",),))


class FakeShaper:
    """Grants everything, up to ``limit_`` requests at once, unless ``waits`` has an answer for the site's key.

    Answers of a list are given in turn, the last of them again and again.
    """

    def __init__(self) -> None:
        self.limit_ = 20
        self.together_ = 0
        self.limits: dict[str, int] = {}
        self.answers: dict[str, list[Grant | Wait]] = {}
        self.raises: Exception | None = None
        self.asked: list[tuple[str, int, float]] = []
        self.noted: list[tuple[str, Grant, tuple[Outcome, ...]]] = []
        self.flushes = 0

    def limit(self, site: Site) -> int:
        return self.limits.get(site.key, self.limit_)

    def together(self, site: Site) -> int:
        return self.together_

    def ask(self, site: Site, recipients: int, now: float) -> Grant | Wait:
        if self.raises is not None:
            raise self.raises
        self.asked.append((site.key, recipients, now))
        answers = self.answers.get(site.key)
        if not answers:
            return Grant()
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def note(self, site: Site, grant: Grant, outcomes: Iterable[Outcome], now: float) -> None:
        self.noted.append((site.key, grant, tuple(outcomes)))

    def flush(self) -> None:
        self.flushes += 1
        self.answers.clear()
