"""Says what a reply is about: the first rule that fits names the cause. The rules are data; the order is theirs.

What rules look at is bounded and their texts are phrases, not regular expressions: no reply and no rule can make a
match take long.
"""

import re
from collections.abc import Iterable

from postroom.mail.cause import Cause
from postroom.mail.reply import Reply
from postroom.mail.value import value

MAX_TEXT = 1000
"""Characters of a reply that are looked at: what it is about stands at its start, and a peer may send far more."""

_GAP = 60
"""Characters that ``*`` in a phrase may stand for: enough for an address and a few words, within one sentence."""

_KEY = 4
"""Characters by which phrases are found: a shorter phrase is found by all it has."""

_SPACELESS = "\u2e80"
"""Scripts from here on (Chinese, Japanese, Korean) write no spaces between words."""

_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[^\W_]+")
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
        self._phrases = _Phrases(rule for rule, _ in self._rules)

    def rule_for(self, reply: Reply, host: str = "") -> ReplyRule:
        """The rule that decides, ``NO_RULE`` if none fits. ``host``: who replied, ``""`` where nobody knows."""
        said = self._phrases.said_in(folded(reply.text))
        codes, statuses = _spellings_of_code(reply.code), _spellings_of_status(reply.status)
        host = f".{host.lower().strip('.')}"
        for number, (rule, conditions) in enumerate(self._rules):
            if (not rule.text or number in said) and conditions.hold(host, codes, statuses):
                return rule
        return NO_RULE

    def classify(self, reply: Reply, host: str = "") -> Cause:
        """What the reply is about."""
        return self.rule_for(reply, host).cause


def folded(text: str) -> str:
    """The part of a reply's text that rules look at, in the spelling in which they compare."""
    return _SPACE.sub(" ", text[:MAX_TEXT]).strip().lower()


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


@value(frozen=True, slots=True)
class _Phrase:
    """``first`` and then each of ``rest``, near the one before; one of the phrases of the rule with that number."""

    first: str
    rest: tuple[str, ...]
    rule: int

    def stands_at(self, text: str, at: int) -> bool:
        """Whether it begins there."""
        if not text.startswith(self.first, at):
            return False
        at += len(self.first)
        for piece in self.rest:
            at = text.find(piece, at, at + _GAP + len(piece))
            if at < 0:
                return False
            at += len(piece)
        return True


class _Phrases:
    """The phrases of all rules, to be looked for all at once: more than a thousand, in a few dozen words.

    Those that begin with a letter or digit are kept by how they begin; only where a word of the text begins likewise
    are they compared. The others are few, as are those of scripts that write no spaces between words.
    """

    def __init__(self, rules: Iterable[ReplyRule]) -> None:
        self._by_start: dict[str, list[_Phrase]] = {}
        self._loose: list[_Phrase] = []
        for number, rule in enumerate(rules):
            for words in rule.text:
                first, *rest = (piece.strip() for piece in folded(words).split("*"))
                if not first or not all(rest):
                    raise ValueError(f"{words!r} is no phrase: words, with * between them at most")
                found = _Phrase(first, tuple(rest), number)
                if first[0].isalnum() and first[0] < _SPACELESS:
                    self._by_start.setdefault(first[:_KEY], []).append(found)
                else:
                    self._loose.append(found)

    def said_in(self, text: str) -> set[int]:
        """The numbers of the rules of which a phrase stands in the folded text."""
        said = set()
        for word in _WORD.finditer(text):
            at = word.start()
            for size in range(1, _KEY + 1):
                for known in self._by_start.get(text[at : at + size], ()):
                    if known.rule not in said and known.stands_at(text, at):
                        said.add(known.rule)
        for known in self._loose:
            at = text.find(known.first)
            while at >= 0:
                if known.stands_at(text, at):
                    said.add(known.rule)
                    break
                at = text.find(known.first, at + 1)
        return said


def _spellings_of_code(code: int) -> frozenset[str]:
    return frozenset((str(code), f"{code // 100}yz"))


def _spellings_of_status(status: str) -> frozenset[str]:
    if not status:
        return frozenset()
    kind, _, rest = status.partition(".")
    subject = rest.partition(".")[0]
    return frozenset((status, rest, f"{subject}.*", f"{kind}.{subject}.*"))
