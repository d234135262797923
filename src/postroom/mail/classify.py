"""Says what a reply is about: the first rule that fits names the cause. The rules are data; the order is theirs.

What rules look at is bounded and their texts are phrases, not regular expressions: no reply and no rule can make a
match take long.
"""

import re
from collections.abc import Iterable

from postroom.mail.cause import Cause
from postroom.mail.phrases import Phrases, folded
from postroom.mail.reply import Reply
from postroom.mail.value import value

MAX_TEXT = 1000
"""Characters of a reply that are looked at: what it is about stands at its start, and a peer may send far more."""

_CODE = re.compile(r"[245](yz|\d\d)", re.ASCII)
_STATUS = re.compile(r"([245]\.)?\d{1,3}\.(\d{1,3}|\*)", re.ASCII)


@value(frozen=True, slots=True)
class ReplyRule:
    """What a reply must look like, and what it is about then. An empty condition holds for every reply.

    ``hosts``: names of mail servers; each stands for all names below it as well.
    ``codes``: reply codes (``"550"``), or a class (``"4yz"``, ``"5yz"``).
    ``statuses``: enhanced statuses: ``"5.1.1"``; ``"1.1"`` in any class; ``"7.*"`` for a whole subject.
    ``text``: phrases, one of which must stand in the reply, in any case and spacing, beginning where a word begins;
    ``*`` stands for up to 60 characters.
    ``hard``: whether it is for good, where the reply's class says it wrong; None: the class is right.
    """

    cause: Cause
    hosts: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    hard: bool | None = None


NO_RULE = ReplyRule(Cause.OTHER)
"""Stands for the rule that no reply needs: nothing is known."""


class Classifier:
    """Applies rules, the first that fits. Holds no state but them. ValueError for what is no code, status or phrase."""

    def __init__(self, rules: Iterable[ReplyRule]) -> None:
        self._rules = tuple((rule, _Conditions(rule)) for rule in rules)
        self._phrases = Phrases(rule.text for rule, _ in self._rules)

    def rule_for(self, reply: Reply, host: str = "") -> ReplyRule:
        """The rule that decides, ``NO_RULE`` if none fits. ``host``: who replied, ``""`` where nobody knows."""
        said = self._phrases.said_in(folded(reply.text[:MAX_TEXT]))
        codes, statuses = _spellings_of_code(reply.code), _spellings_of_status(reply.status)
        host = f".{host.lower().strip('.')}"
        for number, (rule, conditions) in enumerate(self._rules):
            if (not rule.text or number in said) and conditions.hold(host, codes, statuses):
                return rule
        return NO_RULE

    def classify(self, reply: Reply, host: str = "") -> Cause:
        """What the reply is about."""
        return self.rule_for(reply, host).cause


class _Conditions:
    """What one rule asks of the host, the code and the status."""

    __slots__ = ("_codes", "_hosts", "_statuses")

    def __init__(self, rule: ReplyRule) -> None:
        for code in rule.codes:
            if _CODE.fullmatch(code) is None:
                raise ValueError(f"{code!r} is no reply code, nor a class such as 4yz")
        for status in rule.statuses:
            if _STATUS.fullmatch(status) is None:
                raise ValueError(f"{status!r} is no enhanced status, such as 5.1.1, 1.1 or 7.*")
        self._hosts = tuple(f".{host.lower().strip('.')}" for host in rule.hosts)
        self._codes = frozenset(rule.codes)
        self._statuses = frozenset(rule.statuses)

    def hold(self, host: str, codes: frozenset[str], statuses: frozenset[str]) -> bool:
        """Whether all of them do; each thing in all the spellings that a rule may use. ``host`` begins with a dot."""
        return (
            not (self._codes and self._codes.isdisjoint(codes))
            and not (self._statuses and self._statuses.isdisjoint(statuses))
            and not (self._hosts and not host.endswith(self._hosts))
        )


def _spellings_of_code(code: int) -> frozenset[str]:
    return frozenset((str(code), f"{code // 100}yz"))


def _spellings_of_status(status: str) -> frozenset[str]:
    if not status:
        return frozenset()
    kind, _, rest = status.partition(".")
    subject = rest.partition(".")[0]
    return frozenset((status, rest, f"{subject}.*", f"{kind}.{subject}.*"))
