"""Rules of traffic as data: the built-in ones, the operator's before them, and which one a site goes by."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fnmatch import translate
from importlib import resources

from postroom.config.road import OutboundSettings
from postroom.config.section import Rate
from postroom.config.sending import ShapingSettings
from postroom.mail.delivery import RouteKind, Site
from postroom.queue.sites import DEFAULT_RULE


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, with nothing left open; limits are for each source address. The rates may be none."""

    name: str
    concurrency: int
    connection_rate: Rate | None
    message_rates: tuple[Rate, ...]
    messages_per_connection: int
    recipients_per_message: int | None
    idle_timeout: float
    backoff: float
    longest_backoff: float
    adapt: bool

    @property
    def limits(self) -> tuple[str, ...]:
        """What it says, for people."""
        found = [f"{self.concurrency} connections"]
        if self.connection_rate is not None:
            found.append(f"{self.connection_rate} connections")
        found += [f"{rate} messages" for rate in self.message_rates]
        found.append(f"{self.messages_per_connection} messages a connection")
        if self.recipients_per_message is not None:
            found.append(f"{self.recipients_per_message} recipients a message")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class _Entry:
    rule: Rule
    hosts: re.Pattern[str] | None
    domains: re.Pattern[str] | None
    is_own: bool  # of the operator


class Rules:
    """All rules in the order in which they are tried."""

    def __init__(self, shaping: Sequence[ShapingSettings], outbound: OutboundSettings) -> None:
        """ValueError if the file in the package is broken, which tests see to."""
        ours = {rule.name: rule for rule in built_in()}
        own = {rule.name: rule for rule in shaping}
        changed = {name: _merge(rule, own[name]) if name in own else rule for name, rule in ours.items()}
        default = changed.pop(DEFAULT_RULE)
        ordered = [rule for rule in own.values() if rule.name not in ours] + list(changed.values())
        self._entries = [_entry(rule, default, outbound, own.get(rule.name)) for rule in ordered]
        self.default = _fill(default, default, outbound, own_concurrency=_gives_concurrency(own.get(DEFAULT_RULE)))
        house = min(outbound.concurrency_per_site, outbound.concurrency)
        self.steady = _fill(default.model_copy(update={"adapt": False, "concurrency": house}), default, outbound)
        """For smarthosts and delivery servers that no rule of the operator names: they were set up to take our mail."""
        self.by_domain = any(entry.domains is not None for entry in self._entries)
        """Whether any rule looks at recipient domains."""

    def rule_for(self, site: Site, domains: frozenset[str] = frozenset()) -> Rule:
        """The rule for a site whose recipient domains are known to be these, among others."""
        names = [host.lower() for group in site.hosts[:1] for host in group]
        is_mx = site.kind is RouteKind.MX
        for entry in self._entries:
            if not is_mx and not entry.is_own:
                continue
            if entry.hosts is not None and any(entry.hosts.match(name) for name in names):
                return entry.rule
            if entry.domains is not None and any(entry.domains.match(name) for name in (*domains, *names)):
                return entry.rule
        return self.default if is_mx else self.steady


def built_in() -> tuple[ShapingSettings, ...]:
    """The rules that come with the program, in order."""
    text = resources.files("postroom.outbound.shaping").joinpath("shaping.toml").read_text("utf-8")
    return tuple([ShapingSettings.model_validate(table) for table in tomllib.loads(text)["shaping"]])


def _merge(rule: ShapingSettings, own: ShapingSettings) -> ShapingSettings:
    """The rule with the fields that the operator gave."""
    return rule.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


def _entry(
    rule: ShapingSettings, default: ShapingSettings, outbound: OutboundSettings, own: ShapingSettings | None
) -> _Entry:
    filled = _fill(rule, default, outbound, own_concurrency=_gives_concurrency(own))
    return _Entry(filled, _pattern(rule.mx), _pattern(rule.domains), own is not None)


def _gives_concurrency(own: ShapingSettings | None) -> bool:
    return own is not None and own.concurrency is not None


def _pattern(patterns: Sequence[str]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    return re.compile("|".join([translate(pattern.lower().rstrip(".")) for pattern in patterns]))


def _fill(
    rule: ShapingSettings, default: ShapingSettings, outbound: OutboundSettings, *, own_concurrency: bool = False
) -> Rule:
    """What the rule leaves open is as in the default, and there as in ``[outbound]``.

    A built-in rule does not widen what ``[outbound]`` says; one of the operator may (``own_concurrency``).
    """
    given = {
        field.name: getattr(rule, field.name) if getattr(rule, field.name) is not None else getattr(default, field.name)
        for field in fields(Rule)
    }
    ceiling = outbound.concurrency if own_concurrency else min(outbound.concurrency_per_site, outbound.concurrency)
    given["concurrency"] = min(given["concurrency"] or outbound.concurrency_per_site, ceiling)
    given["message_rates"] = given["message_rates"] or ()
    given["messages_per_connection"] = given["messages_per_connection"] or outbound.messages_per_connection
    if given["idle_timeout"] is None:
        given["idle_timeout"] = outbound.idle_timeout
    given["adapt"] = bool(given["adapt"]) and outbound.adapt
    return Rule(**given)
