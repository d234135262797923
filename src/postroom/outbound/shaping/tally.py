"""What was sent to one site from one source: counts for people, kept cheap for the hot path."""

from collections.abc import Iterable

from postroom.mail.delivery import Deferred, Delivered, Failed, Outcome
from postroom.mail.reply import Reply
from postroom.outbound.shaping.window import Window

MAX_REPLY = 200


class Tally:
    """``taken`` counts messages, the others recipients. ``roll`` is for now and then; ``seen_at`` is monotonic."""

    __slots__ = (
        "_hours",
        "_minutes",
        "_rolled",
        "_seconds",
        "causes",
        "deferred",
        "delivered",
        "failed",
        "last",
        "seen_at",
        "since",
        "taken",
    )

    def __init__(self, since: float) -> None:
        self.since = since
        self.seen_at = 0.0
        self.taken = 0
        self.delivered = 0
        self.deferred = 0
        self.failed = 0
        self.causes: dict[str, int] = {}
        self.last: Reply | None = None
        self._rolled = 0
        self._seconds = Window(1.0, 60)
        self._minutes = Window(60.0, 60)
        self._hours = Window(3600.0, 24)

    def note(self, outcomes: Iterable[Outcome]) -> None:
        """Count each recipient."""
        for outcome in outcomes:
            self.last = outcome.reply
            if isinstance(outcome, Delivered):
                self.delivered += 1
                continue
            cause = outcome.cause.value
            self.causes[cause] = self.causes.get(cause, 0) + 1
            if isinstance(outcome, Deferred):
                self.deferred += 1
            else:
                assert isinstance(outcome, Failed)  # noqa: S101 - a closed union
                self.failed += 1

    def roll(self, now: float) -> None:
        """Put what was taken since the last time into the windows."""
        fresh = self.taken - self._rolled
        if fresh:
            self._rolled = self.taken
            for window in (self._seconds, self._minutes, self._hours):
                window.add(now, fresh)

    def lately(self, now: float) -> tuple[int, int, int]:
        """Messages taken in the last minute, hour and day."""
        return self._seconds.count(now), self._minutes.count(now), self._hours.count(now)

    def restore_day(self, hour: int, day: int, ago: float, now: float) -> None:
        """What an earlier process sent up to ``ago`` seconds ago: as one lump, at that time."""
        if ago < 3600:
            self._minutes.add(now - ago, hour)
        if ago < 86400:
            self._hours.add(now - ago, day)


def quoted(reply: Reply) -> str:
    """A reply as people are shown it: of bounded length, and nothing that a terminal would obey."""
    text = "".join([char if char.isprintable() else "?" for char in str(reply)])
    return text if len(text) <= MAX_REPLY else f"{text[:MAX_REPLY]}…"
