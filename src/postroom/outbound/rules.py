"""Which rule of routing a recipient goes by: the first of the settings whose conditions all hold. Pure.

Rules that name neither domains nor recipients are for mail that leaves the house: they never take our own domains.
Those that name them are meant, also where the domain is ours. What a rule looks at is at hand: nothing is read for it.
"""

from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from itertools import accumulate

from postroom.config.road import RouteSettings
from postroom.config.section import Network
from postroom.mail.address import Address
from postroom.mail.domain import normalise_domain
from postroom.mail.message import Message
from postroom.mail.tags import header_tag
from postroom.mail.value import value

EVERYWHERE = "*"
HOLD = "hold"
MAILBOX = "mailbox"

_KEPT = 10_000  # domains whose rules are remembered, and clients whose networks are; then all are forgotten
_HASH = 0x9E3779B97F4A7C15  # Fibonacci hashing: neighbouring queue ids must not get neighbouring shares
_MASK = (1 << 64) - 1

Test = Callable[[Message, Address], bool]


@value(frozen=True, slots=True)
class Condition:
    """One condition: whether it holds, and why not, as people read it."""

    holds: Test
    why_not: Callable[[Message, Address], str]


@value(frozen=True, slots=True)
class Rule:
    """One rule, ready to be asked.

    ``shares`` are the upper ends of the hosts' shares where they have weights. ``is_explicit``: it names domains or
    recipients, and so may take mail of ours too.
    """

    name: str
    settings: RouteSettings
    tests: tuple[Test, ...]
    conditions: tuple[Condition, ...]
    is_explicit: bool
    holds: bool
    shares: tuple[int, ...] = ()

    def matches(self, message: Message, address: Address) -> bool:
        """Whether all conditions hold, apart from the domain."""
        for test in self.tests:  # noqa: SIM110 - all() would make a generator for each message
            if not test(message, address):
                return False
        return True

    def obstacle(self, message: Message, address: Address) -> str:
        """Why it does not match, apart from the domain; ``""`` where it does."""
        for condition in self.conditions:
            if not condition.holds(message, address):
                return condition.why_not(message, address)
        return ""

    def variant(self, queue_id: int) -> str:
        """Its name, with the place of the host that this message gets first where they have shares (from 2 on)."""
        if not self.shares:
            return self.name
        point = ((queue_id * _HASH & _MASK) >> 32) % self.shares[-1]
        place = next(place for place, end in enumerate(self.shares, 1) if point < end)
        return self.name if place == 1 else f"{self.name}/{place}"


@value(frozen=True, slots=True)
class Look:
    """One rule as it was looked at: ``obstacle`` says why it does not match, ``""`` where it does."""

    rule: Rule
    obstacle: str


class Rules:
    """The rules of the settings, by name and in order. ValueError where a pattern is of no use."""

    def __init__(self, routes: Sequence[RouteSettings]) -> None:
        self.rules = tuple([_compile(route, place) for place, route in enumerate(routes, 1)])
        self.by_name = {rule.name: rule for rule in reversed(self.rules)}
        self.take_local = any(rule.is_explicit for rule in self.rules)
        """Whether there is a rule that may take mail of ours out of its mailbox."""
        self.hold_any = any(rule.holds for rule in self.rules)
        self._domains: dict[str, tuple[int, ...]] = {}
        for place, rule in enumerate(self.rules):
            for domain in rule.settings.domains:
                key = domain_key(domain)
                self._domains[key] = (*self._domains.get(key, ()), place)
        self._candidates: dict[str, tuple[Rule, ...]] = {}
        self._destinations: dict[str, str] = {}  # of domains for which nothing but the domain matters

    def destination(self, message: Message, address: Address) -> str:
        """Under what the recipient waits. Rules that hold are left out: whoever is released goes by the next one.

        ``domain``, ``domain rule``, or ``domain rule/2`` where the second host is first; ``domain rule|other`` where
        the rule is for mail that leaves the house, and ``other`` is the one that is meant if the domain is ours.
        """
        domain = address.domain
        known = self._destinations.get(domain)
        if known is not None:
            return known
        name = chosen = ""
        settled = True  # nothing but the domain matters
        for rule in self.candidates(domain):
            if rule.holds or (name and not rule.is_explicit):
                continue
            settled = settled and not (rule.tests or rule.shares)
            if not rule.matches(message, address):
                continue
            chosen = rule.variant(message.queue_id)
            if rule.is_explicit:
                break
            name, chosen = chosen, ""
        choice = f"{name}|{chosen}" if name and chosen else name or chosen
        destination = f"{domain} {choice}" if choice else domain
        return self._remember(domain, destination) if settled else destination

    def holding(self, message: Message, address: Address, *, ours: bool = False) -> str:
        """The rule that holds the recipient; ``""`` where the first rule that matches is another one, or none."""
        rule = self.first(message, address, ours=ours) if self.hold_any else None
        return rule.name if rule is not None and rule.holds else ""

    def first(self, message: Message, address: Address, *, ours: bool = False) -> Rule | None:
        """The first rule that matches, those that hold among them. ``ours``: the domain is, so that others are passed
        over.
        """
        for rule in self.candidates(address.domain):
            if (rule.is_explicit or not ours) and rule.matches(message, address):
                return rule
        return None

    def takes(self, message: Message, address: Address) -> bool:
        """Whether a rule takes mail for this address of ours elsewhere than to its mailbox, or holds it."""
        if not self.take_local:
            return False
        rule = self.first(message, address, ours=True)
        return rule is not None and rule.settings.via != (MAILBOX,)

    def looks(self, message: Message, address: Address, *, ours: bool) -> Iterator[Look]:
        """Each rule in order up to the first that matches, and why those before do not."""
        candidates = set(map(id, self.candidates(address.domain)))
        for rule in self.rules:
            if id(rule) not in candidates:
                what = "no recipient" if rule.settings.recipients else "in none of the domains"
                yield Look(rule, f"{address} is {what} of it")
            elif ours and not rule.is_explicit:
                yield Look(rule, f"{address.domain} is ours, and the rule names neither domains nor recipients")
            else:
                obstacle = rule.obstacle(message, address)
                yield Look(rule, obstacle)
                if not obstacle:
                    return

    def candidates(self, domain: str) -> tuple[Rule, ...]:
        """The rules for a domain, in order."""
        found = self._candidates.get(domain)
        if found is None:
            places = {*self._domains.get(EVERYWHERE, ()), *self._domains.get(domain, ())}
            at = -1 if domain.startswith("[") else domain.find(".", 1)
            while at > 0:
                places.update(self._domains.get(domain[at:], ()))
                at = domain.find(".", at + 1)
            found = tuple([self.rules[place] for place in sorted(places) if _reaches(self.rules[place], domain)])
            if len(self._candidates) >= _KEPT:
                self._candidates.clear()
            self._candidates[domain] = found
        return found

    def _remember(self, domain: str, destination: str) -> str:
        if len(self._destinations) >= _KEPT:
            self._destinations.clear()
        self._destinations[domain] = destination
        return destination


def domain_key(pattern: str) -> str:
    """A domain, ``.domain`` for all below, or ``*``, as rules are found by it. ValueError if it is none."""
    if pattern == EVERYWHERE:
        return pattern
    return "." + normalise_domain(pattern[1:]) if pattern.startswith(".") else normalise_domain(pattern)


def rule_name(route: RouteSettings, place: int) -> str:
    """What the rule is called: its name, or its place among the rules, counted from 1."""
    return route.name or f"route {place}"


def _reaches(rule: Rule, domain: str) -> bool:
    """Whether any of the recipients that the rule names is in the domain."""
    recipients = rule.settings.recipients
    return not recipients or any(text.rpartition("@")[2].lower() == domain for text in _written(recipients))


def _written(recipients: Sequence[str]) -> list[str]:
    return [str(Address.parse(text)) for text in recipients]


def _compile(route: RouteSettings, place: int) -> Rule:
    conditions: list[Condition] = []
    if route.recipients:
        keys = frozenset(Address.parse(text).key for text in route.recipients)
        conditions.append(Condition(lambda _, address: address.key in keys, lambda _, a: f"{a} is no recipient of it"))
    if route.senders:
        conditions.append(Condition(_senders(route.senders), lambda m, _: f"{_path(m)} is no sender of it"))
    if route.accounts:
        conditions.append(Condition(_accounts(route.accounts), _account_lacks))
    if route.clients:
        conditions.append(Condition(_clients(route.clients), _client_lacks))
    conditions += [_header(field, pattern) for field, pattern in route.headers.items()]
    if route.tags:
        conditions.append(_tags(route.tags))
    shares = tuple(accumulate(route.weights)) if len(route.via) > 1 else ()
    if shares and (len(shares) != len(route.via) or shares[-1] <= 0):
        raise ValueError(f"{rule_name(route, place)} needs a weight for each of its hosts, and one above 0")
    return Rule(
        rule_name(route, place),
        route,
        tuple([condition.holds for condition in conditions]),
        tuple(conditions),
        bool(route.recipients) or any(domain != EVERYWHERE for domain in route.domains),
        route.via == (HOLD,),
        shares,
    )


def _path(message: Message) -> str:
    path = message.envelope.reverse_path
    return "<>" if path is None else str(path)


def _account_lacks(message: Message, _: Address) -> str:
    return f"{message.account} is no account of it" if message.account else "no account submitted it"


def _client_lacks(message: Message, _: Address) -> str:
    return f"{message.client} is in none of its networks" if message.client else "no client brought it"


def _senders(texts: Sequence[str]) -> Test:
    matches = _matcher([text for text in texts if text != "<>"])
    null = "<>" in texts

    def test(message: Message, _: Address) -> bool:
        path = message.envelope.reverse_path
        return null if path is None else matches(path)

    return test


def _accounts(texts: Sequence[str]) -> Test:
    if EVERYWHERE in texts:
        return lambda message, _: bool(message.account)
    matches = _matcher(texts)
    known: dict[str, bool] = {"": False}

    def test(message: Message, _: Address) -> bool:
        account = message.account
        found = known.get(account)
        if found is None:
            found = matches(Address.parse(account))
            _keep(known, account, found)
        return found

    return test


def _keep(known: dict[str, bool], key: str, found: bool) -> None:
    """Remember an answer; too many are forgotten at once."""
    if len(known) >= _KEPT:
        known.clear()
        known[""] = False
    known[key] = found


def _matcher(texts: Sequence[str]) -> Callable[[Address], bool]:
    """Whether an address is one of those: ``ann@example.org``, ``@example.org``, ``@.example.org``."""
    keys: set[str] = set()
    domains: set[str] = set()
    above: list[str] = []
    for text in texts:
        if text.startswith("@."):
            above.append("." + normalise_domain(text[2:]))
        elif text.startswith("@"):
            domains.add(normalise_domain(text[1:]))
        else:
            keys.add(Address.parse(text).key)
    endings = tuple(above)

    def matches(address: Address) -> bool:
        domain = address.domain
        return domain in domains or (bool(keys) and address.key in keys) or domain.endswith(endings)

    return matches


def _clients(networks: Sequence[Network]) -> Test:
    known: dict[str, bool] = {"": False}  # mail of our own comes from nowhere

    def test(message: Message, _: Address) -> bool:
        client = message.client
        found = known.get(client)
        if found is None:
            address = ip_address(client)
            found = any(address in network for network in networks)
            _keep(known, client, found)
        return found

    return test


def _header(field: str, pattern: str) -> Condition:
    tag = header_tag(field, pattern)
    return Condition(
        lambda message, _: tag in message.tags, lambda *_: f"the header has no {field} that matches {pattern!r}"
    )


def _tags(tags: Sequence[str]) -> Condition:
    wanted = frozenset(tags)
    return Condition(
        lambda message, _: not wanted.isdisjoint(message.tags), lambda *_: f"it has no tag {' or '.join(tags)}"
    )
