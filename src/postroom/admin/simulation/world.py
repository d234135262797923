"""The world outside as it is assumed to be: which site a destination belongs to, and what the sites answer."""

from collections.abc import Mapping, Sequence

from postroom.admin.simulation.sample import Key, Sample
from postroom.admin.simulation.scripts import AsNow, Played, SiteScript, choose_script
from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.mail.delivery import Deferred, DeliveryRequest, Outcome, RouteKind, Site
from postroom.mail.envelope import Recipient
from postroom.mail.message import Message
from postroom.queue.lines import site_trouble
from postroom.queue.putoff import is_put_off

_AS_NOW = 0.3  # seconds that a request takes where nothing else is said


class World:
    """Router and carrier in one. Destinations that were last answered by the same host are one site.

    ``requests`` is told of each request that is made, in recipients of the real queue.
    """

    def __init__(self, sample: Sample, scripts: Sequence[SiteScript], settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._start = clock.monotonic()
        self._weights = sample.weights
        everybody = [(entry.message.queue_id, one) for entry in sample.entries for one in entry.recipients]
        self._destinations = {(queue_id, one.recipient.address): one.waits_under for queue_id, one in everybody}
        self._numbers = {(queue_id, one.recipient.address): one.number for queue_id, one in everybody}
        self._rules = {route.name or f"route {place}": route for place, route in enumerate(settings.route, 1)}
        self._hosts = _hosts(sample)
        self._sites: dict[str, Played | AsNow] = {}
        self._deferrals = _deferrals(sample)
        troubles = _troubles(sample, self._deferrals, self._hosts)
        for name, host in self._hosts.items():
            key = host or name
            script = choose_script(scripts, name, name.partition(" ")[0], host)
            if script is not None:
                self._sites[key] = Played(key, script, settings.outbound.connect_timeout)
            else:
                self._sites.setdefault(key, AsNow(troubles.get(key)))

    def assumed(self, destination: str) -> str:
        """What is assumed of a destination, in words."""
        site = self._sites[self._key(destination)]
        if isinstance(site, Played):
            return site.script.text
        return "as now" if site.trouble is None else "as now: down"

    def weights(self) -> dict[str, float]:
        """By site for how many recipients of the queue each of the sample stands there."""
        found: dict[str, list[float]] = {}
        for (queue_id, address), destination in self._destinations.items():
            weight = self._weights[queue_id, self._numbers[queue_id, address]]
            found.setdefault(self._key(destination), []).append(weight)
        return {key: sum(some) / len(some) for key, some in found.items()}

    # The router's side -------------------------------------------------------------

    def destination(self, message: Message, recipient: Recipient) -> str:
        """As it waits: under the rule that it goes by now."""
        return self._destinations.get((message.queue_id, recipient.address), recipient.address.domain)

    def holds(self, message: Message, recipient: Recipient) -> str:
        """Nothing comes in that could be held."""
        return ""

    async def site_of(self, destination: str) -> Site | Outcome:
        """Its site, from the pool and on the schedule of its rule."""
        key = self._key(destination)
        rule = self._rules.get(destination.partition(" ")[2])
        pool, schedule = ("", "") if rule is None else (rule.pool, rule.schedule)
        return Site(key, RouteKind.MX, ((key,),), pool=pool, schedule=schedule)

    def _key(self, destination: str) -> str:
        return self._hosts.get(destination) or destination

    # The carrier's side ------------------------------------------------------------

    async def deliver(self, request: DeliveryRequest) -> Mapping[int, Outcome]:
        """What the site says, after the time that it takes."""
        site = self._sites.setdefault(request.site.key, AsNow())
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


def _troubles(sample: Sample, deferrals: Mapping[Key, Deferred], hosts: Mapping[str, str]) -> dict[str, Deferred]:
    """By site the trouble that the last attempt met there, where it was the whole site's."""
    latest: dict[str, tuple[float, Deferred]] = {}
    for entry in sample.entries:
        for one in entry.recipients:
            deferred = deferrals.get((entry.message.queue_id, one.number))
            key, at = hosts[one.waits_under] or one.waits_under, one.last_attempt or 0.0
            if deferred is not None and (key not in latest or at > latest[key][0]):
                latest[key] = at, deferred
    troubles = {key: site_trouble([deferred]) for key, (_, deferred) in latest.items()}
    return {key: trouble for key, trouble in troubles.items() if trouble is not None}
