"""The world outside as it is assumed to be: which site a destination belongs to, and what the sites answer."""

from collections.abc import Callable, Mapping, Sequence

from postroom.admin.simulation.sample import Key, Sample
from postroom.admin.simulation.scripts import AsNow, Played, SiteScript, choose_script
from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.config.road import RouteSettings
from postroom.mail.address import Address
from postroom.mail.delivery import Deferred, DeliveryRequest, Outcome, RouteKind, Site
from postroom.mail.envelope import Recipient
from postroom.mail.message import Message, QueueId
from postroom.queue.lines import site_trouble
from postroom.queue.putoff import is_put_off

ByRules = Callable[[Message, Recipient], str]
"""The destination of a recipient by the rules of some settings (``Router.destination``)."""

_NO_HOSTS = frozenset({"mx", "mailbox", "discard", "hold"})
_AS_NOW = 0.3  # seconds that a request takes where nothing else is said


class World:
    """Router and carrier in one. Destinations that were last answered by the same host are one site.

    ``by_rules`` says under what a recipient waits by the rules of these settings; None: as it waits now.
    """

    def __init__(
        self,
        sample: Sample,
        scripts: Sequence[SiteScript],
        settings: Settings,
        clock: Clock,
        by_rules: ByRules | None = None,
    ) -> None:
        self._timeout = settings.outbound.connect_timeout
        self._scripts = scripts
        self._clock = clock
        self._start = clock.monotonic()
        self._weights = sample.weights
        self._rules = {route.name or f"route {place}": route for place, route in enumerate(settings.route, 1)}
        self._hosts = _hosts(sample)
        self._deferrals = _deferrals(sample)
        self._sites: dict[str, Played | AsNow] = {}
        self._goes_under: dict[str, str] = {}
        self._places: dict[tuple[QueueId, Address], tuple[str, float]] = {}
        for entry in sample.entries:
            for one in entry.recipients:
                queue_id, recipient = entry.message.queue_id, one.recipient
                name = one.waits_under if by_rules is None else by_rules(entry.message, recipient)
                self._goes_under[one.waits_under] = name
                self._places[queue_id, recipient.address] = name, sample.weights[queue_id, one.number]
        self._troubles = self._find_troubles(sample)
        for name, _ in self._places.values():
            self._site(name)

    def assumed(self) -> dict[str, str]:
        """What is assumed of each destination of the queue, in words."""
        words = {}
        for waits_under, name in self._goes_under.items():
            site = self._site(name)
            if isinstance(site, Played):
                words[waits_under] = site.script.text
            else:
                words[waits_under] = "as now" if site.trouble is None else "as now: down"
        return words

    def weights(self) -> dict[str, float]:
        """By site for how many recipients of the queue each of the sample stands there."""
        found: dict[str, list[float]] = {}
        for name, weight in self._places.values():
            found.setdefault(self._key(name), []).append(weight)
        return {key: sum(some) / len(some) for key, some in found.items()}

    # The router's side -------------------------------------------------------------

    def destination(self, message: Message, recipient: Recipient) -> str:
        """As it waits, or under the rule that it goes by now."""
        return self._places.get((message.queue_id, recipient.address), (recipient.address.domain, 1.0))[0]

    def holds(self, message: Message, recipient: Recipient, *, ours: bool = False) -> str:
        """Nothing comes in that could be held."""
        return ""

    def takes(self, message: Message, address: Address) -> bool:
        """Nothing comes in that could be taken elsewhere."""
        return False

    async def site_of(self, destination: str) -> Site | Outcome:
        """Its site, from the pool and on the schedule of its rule."""
        rule = self._rule(destination)
        pool, schedule = ("", "") if rule is None else (rule.pool, rule.schedule)
        self._site(destination)
        key = self._key(destination)
        return Site(key, RouteKind.MX, ((key,),), pool=pool, schedule=schedule)

    def _rule(self, destination: str) -> RouteSettings | None:
        """The rule that it goes by: its name may be followed by the place of a host, or by another rule for ours."""
        name = destination.partition(" ")[2].partition("|")[0]
        return self._rules.get(name) or self._rules.get(name.rpartition("/")[0])

    def _key(self, destination: str) -> str:
        """The smarthost of its rule, the host that answered last, or the domain."""
        rule = self._rule(destination)
        if rule is not None and rule.via[0] not in _NO_HOSTS:
            return rule.via[0]
        return self._hosts.get(destination) or destination.partition(" ")[0]

    def _site(self, destination: str) -> "Played | AsNow":
        """How the site behaves."""
        key = self._key(destination)
        site = self._sites.get(key)
        if site is None:
            domain, host = destination.partition(" ")[0], self._hosts.get(destination, "")
            script = choose_script(self._scripts, destination, domain, key, host)
            site = AsNow(self._troubles.get(key)) if script is None else Played(key, script, self._timeout)
            self._sites[key] = site
        return site

    def _find_troubles(self, sample: Sample) -> dict[str, Deferred]:
        """By site the trouble that the last attempt met there, where it was the whole site's."""
        latest: dict[str, tuple[float, Deferred]] = {}
        for entry in sample.entries:
            for one in entry.recipients:
                deferred = self._deferrals.get((entry.message.queue_id, one.number))
                key, at = self._key(one.waits_under), one.last_attempt or 0.0
                if deferred is not None and (key not in latest or at > latest[key][0]):
                    latest[key] = at, deferred
        troubles = {key: site_trouble([deferred]) for key, (_, deferred) in latest.items()}
        return {key: trouble for key, trouble in troubles.items() if trouble is not None}

    # The carrier's side ------------------------------------------------------------

    async def deliver(self, request: DeliveryRequest) -> Mapping[int, Outcome]:
        """What the site says, after the time that it takes."""
        site = self._sites[request.site.key]
        queue_id = request.message.queue_id
        weights = {one.number: self._weights.get((queue_id, one.number), 1.0) for one in request.recipients}
        if isinstance(site, AsNow):
            await self._clock.sleep(_AS_NOW * max(weights.values()))
            last = self._deferrals
            return {one.number: site.outcome(last.get((queue_id, one.number))) for one in request.recipients}
        at = self._clock.monotonic() - self._start
        await self._clock.sleep(site.seconds(at, max(weights.values())))
        keys: dict[int, Key] = {one.number: (queue_id, one.number) for one in request.recipients}
        return {number: site.outcome(key, at, weights[number]) for number, key in keys.items()}


def _hosts(sample: Sample) -> dict[str, str]:
    """By destination the host that answered last, ``""`` where none has."""
    latest: dict[str, tuple[float, str]] = {}
    for entry in sample.entries:
        for one in entry.recipients:
            found = (one.last_attempt or 0.0, one.last_peer.host)
            if one.last_peer.host and found > latest.get(one.waits_under, (-1.0, "")):
                latest[one.waits_under] = found
            else:
                latest.setdefault(one.waits_under, (-1.0, ""))
    return {name: host for name, (_, host) in latest.items()}


def _deferrals(sample: Sample) -> dict[Key, Deferred]:
    """What each recipient was last told by a site; nothing where it was not tried, whatever the reason."""
    found: dict[Key, Deferred] = {}
    for entry in sample.entries:
        for one in entry.recipients:
            reply = one.last_reply
            if one.attempts and reply is not None and reply.is_transient and not is_put_off(reply):
                found[entry.message.queue_id, one.number] = Deferred(reply, one.last_peer)
    return found
