"""How a site is assumed to behave: written by an operator as ``PATTERN=BEHAVIOUR``, played by ``Played``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase

from pydantic import TypeAdapter, ValidationError

from postroom.admin.refusal import Refused
from postroom.config.section import Duration, Rate, read_rate
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Delivered, Failed, Outcome, Peer
from postroom.mail.reply import Reply
from postroom.net.gcra import gcra

SLOW = 60.0
"""Seconds that a message takes at a slow site."""

GREYLISTED = 300.0
"""Seconds for which a greylisting site turns a recipient away."""

_USUAL = 0.3  # seconds that a message takes otherwise
_REMEDY = "write PATTERN=accept, down, down:2h..5h, slow, slow:90s, rate:50/1m, greylist, greylist:5m, defer or refuse"
_FOREVER = float("inf")


class Behaviour(Enum):
    """What a site does with what comes."""

    ACCEPT = "accept"
    DOWN = "down"
    SLOW = "slow"
    RATE = "rate"
    GREYLIST = "greylist"
    DEFER = "defer"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class SiteScript:
    """``pattern`` is matched against the destination's domain and the site's name, as file names are.

    ``begins`` and ``ends`` are seconds from now for DOWN: outside the site accepts. ``seconds`` belongs to SLOW and
    GREYLIST, ``rate`` to RATE.
    """

    pattern: str
    behaviour: Behaviour
    begins: float = 0.0
    ends: float = _FOREVER
    seconds: float = 0.0
    rate: Rate | None = None
    text: str = ""

    def matches(self, *names: str) -> bool:
        """Whether it is meant for a site of these names."""
        return any(fnmatchcase(name, self.pattern) for name in names if name)


def read_script(text: str) -> SiteScript:
    """What an operator wrote. Refused where it makes no sense."""
    pattern, equals, rest = text.strip().lower().rpartition("=")
    word, _, argument = rest.partition(":")
    try:
        if not equals or not pattern:
            raise ValueError("it is not of the form PATTERN=BEHAVIOUR")
        if word not in {behaviour.value for behaviour in Behaviour}:
            raise ValueError(f"{word!r} is nothing that a site does")
        behaviour = Behaviour(word)
        script = SiteScript(pattern, behaviour, text=rest)
        match behaviour:
            case Behaviour.DOWN if argument:
                begins, dots, ends = argument.partition("..")
                if not dots:
                    raise ValueError("a time from .. to is missing")
                first, last = _seconds(begins, 0.0), _seconds(ends, _FOREVER)
                return SiteScript(pattern, behaviour, first, last, text=rest)
            case Behaviour.SLOW:
                return SiteScript(pattern, behaviour, seconds=_seconds(argument, SLOW), text=rest)
            case Behaviour.GREYLIST:
                return SiteScript(pattern, behaviour, seconds=_seconds(argument, GREYLISTED), text=rest)
            case Behaviour.RATE:
                return SiteScript(pattern, behaviour, rate=read_rate(argument), text=rest)
            case _ if argument and behaviour is not Behaviour.DOWN:
                raise ValueError(f"{word} has no argument")
            case _:
                return script
    except (ValueError, ValidationError) as error:
        reason = "no such duration" if isinstance(error, ValidationError) else str(error)
        raise Refused(f"{text!r} is no site: {reason}", _REMEDY) from error


def _seconds(text: str, default: float) -> float:
    return TypeAdapter(Duration).validate_python(text) if text else default


@dataclass(slots=True)
class Played:
    """A site that plays its script. Times are seconds since the start; ``timeout`` is how long a dead one is waited
    for, ``weight`` says how many messages one stands for.
    """

    name: str
    script: SiteScript
    timeout: float
    _tat: float = 0.0
    _seen: dict[tuple[int, int], float] = field(default_factory=dict)

    def seconds(self, at: float, weight: float) -> float:
        """How long a request takes that begins at ``at``."""
        match self.script.behaviour:
            case Behaviour.DOWN:
                return self.timeout if self._is_down(at) else _USUAL * weight
            case Behaviour.SLOW:
                return self.script.seconds * weight
            case Behaviour.ACCEPT:
                return _USUAL * weight
            case _:
                return _USUAL

    def outcome(self, key: tuple[int, int], at: float, weight: float) -> Outcome:
        """What it says to one recipient at ``at``."""
        script, peer = self.script, Peer(self.name)
        match script.behaviour:
            case Behaviour.DOWN if self._is_down(at):
                return Deferred(Reply.of(451, "4.4.1", "no answer"), cause=Cause.CONNECTION)
            case Behaviour.RATE if not self._has_room(at, weight):
                return Deferred(Reply.of(450, "4.7.0", "too many messages"), peer, cause=Cause.RATE_LIMIT)
            case Behaviour.GREYLIST if at < self._seen.setdefault(key, at) + script.seconds:
                return Deferred(Reply.of(450, "4.7.1", "greylisted"), peer, cause=Cause.GREYLISTED)
            case Behaviour.DEFER:
                return Deferred(Reply.of(450, "4.2.1", "not now"), peer, cause=Cause.MAILBOX_DISABLED)
            case Behaviour.REFUSE:
                return Failed(Reply.of(550, "5.1.1", "no such user"), peer, cause=Cause.MAILBOX_UNKNOWN)
            case _:
                return Delivered(Reply.of(250, "2.0.0", "taken"), peer)

    def _is_down(self, at: float) -> bool:
        return self.script.begins <= at < self.script.ends

    def _has_room(self, at: float, weight: float) -> bool:
        rate = self.script.rate
        if rate is None:
            return True
        emission = rate.window / rate.count
        # What stands for more than the window holds goes through once in a while, and then costs as much as it is
        self._tat, wait = gcra(self._tat, at, emission, rate.window)
        if wait:
            return False
        self._tat += emission * (weight - 1)
        return True


@dataclass(slots=True)
class AsNow:
    """A site that goes on as it does: what deferred last time defers again, what was not tried is delivered, unless
    the last that was tried there found the whole site in trouble.
    """

    trouble: Deferred | None = None

    def outcome(self, last: Deferred | None) -> Outcome:
        """The same as last time."""
        return last or self.trouble or Delivered(Reply.of(250, "2.0.0", "taken"))


def choose_script(scripts: Sequence[SiteScript], *names: str) -> SiteScript | None:
    """The first that matches."""
    return next((script for script in scripts if script.matches(*names)), None)
