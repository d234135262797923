"""How a client behaves itself: early talk, floods of commands, refused commands, slow content. Bounds, and a tarpit.

Nothing here costs a well-behaved client anything: it is asked where a command brought no mail forward, and for each
packet of content.
"""

from collections.abc import Callable

from postroom.clock import Clock
from postroom.config.guard import FloodSettings
from postroom.directory.cache import LruCache
from postroom.mail.reply import Reply
from postroom.mail.session import Client
from postroom.mail.value import value
from postroom.net.pause import Pause
from postroom.net.stream import Stream
from postroom.report.events import AbuseSeen
from postroom.report.reporter import Reporter

POINTS = 10
"""What a pregreet, an ended flood or garbage counts (settings: ``lockout.abuse``)."""

FREE_REFUSALS = 3
"""Refused commands that are answered at once: people mistype, and programs probe."""

PACE_WINDOW = 60.0
"""Seconds over which content must keep its pace (settings: ``flood.min_content_rate``)."""

PASSED = 7 * 86400.0
"""Seconds for which an address that waited for the greeting need not wait again."""

_EARLY = Reply.of(554, "5.5.1", "You talked before the greeting: no mail is taken in this session")
_IDLING = Reply.of(421, "4.7.0", "Too many commands that bring no mail, closing the connection")
_SLOW = Reply.of(421, "4.4.2", "The content comes too slowly, closing the connection")
_TOO_LONG = Reply.of(421, "4.4.2", "The session lasts too long, closing the connection")
_PASSED_KEPT = 50_000
_SHOWN = 60  # octets of early talk that a report shows


@value(frozen=True, slots=True, kw_only=True)
class Manners:
    """What the sessions of one role expect, and whom they tell. ``watch_greeting``: clients must wait for the 220."""

    settings: FloodSettings
    watch_greeting: bool
    abuse: Callable[[str, int, str], None]
    reporter: Reporter
    clock: Clock
    passed: LruCache[str, float]
    """When each address waited well, in monotonic seconds."""


def manners(
    settings: FloodSettings,
    *,
    watch_greeting: bool,
    abuse: Callable[[str, int, str], None] | None,
    reporter: Reporter,
    clock: Clock,
) -> Manners:
    """The manners of one role. ``abuse`` is told address, points and reason (``policy.lockout``)."""
    return Manners(
        settings=settings,
        watch_greeting=watch_greeting and (settings.pregreet or settings.greet_delay > 0),
        abuse=abuse or (lambda address, points, reason: None),
        reporter=reporter,
        clock=clock,
        passed=LruCache(_PASSED_KEPT),
    )


class Conduct:
    """The conduct of one session's client."""

    __slots__ = ("_began", "_came", "_idle", "_manners", "_pace_began", "_pause", "_refused")

    def __init__(self, manners: Manners, pause: Pause) -> None:
        self._manners = manners
        self._pause = pause
        self._began = manners.clock.monotonic()
        self._idle = 0
        self._refused = 0
        self._came = 0
        self._pace_began = 0.0

    async def greets_first(self, stream: Stream, client: Client) -> Reply | None:
        """Whether the client waits for the greeting (RFC 5321 §3.1, §4.3.1); the refusal if it does not."""
        expected = self._manners
        if not expected.watch_greeting:
            return None
        early = b""
        if stream.held:
            early = await stream.receive()
        elif expected.settings.greet_delay and not self._has_passed(client.address):
            early = await self._listen(stream, client)
        if not early:
            return None
        shown = early[:_SHOWN].decode("ascii", "replace").splitlines()
        self._tell(client, "pregreet", shown[0] if shown else "", POINTS)
        return _EARLY

    def idles(self, client: Client) -> Reply | None:
        """A command that brings no mail forward; the 421 that ends the session when it is one too many."""
        self._idle += 1
        if self._idle <= self._manners.settings.max_idle_commands:
            return None
        self._tell(client, "commands", f"{self._idle} commands that brought no mail", POINTS)
        return _IDLING

    def delivered(self) -> None:
        """A message was taken: the client is here for mail."""
        self._idle = self._refused = 0

    async def refused(self) -> None:
        """A command was refused: beyond the first ones the answer is held back."""
        self._refused += 1
        if self._refused > FREE_REFUSALS:
            await self._pause.hold(self._manners.settings.tarpit)

    def ended_for_errors(self, client: Client, kind: str) -> None:
        """The session was ended for garbage, or for guessing names or passwords, which have points of their own."""
        self._tell(client, kind, "too many errors in one session", POINTS if kind == "garbage" else 0)

    def content_begins(self) -> None:
        """What comes from now on is content."""
        self._came = 0
        self._pace_began = self._manners.clock.monotonic()

    def keeps_pace(self, octets: int, client: Client) -> Reply | None:
        """So much content came; the 421 if it was too little over the last while."""
        self._came += octets
        expected, now = self._manners, self._manners.clock.monotonic()
        if now - self._pace_began < PACE_WINDOW:
            return None
        rate = self._came / (now - self._pace_began)
        self._came, self._pace_began = 0, now
        if rate >= expected.settings.min_content_rate:
            return None
        self._tell(client, "slow", f"{rate:.1f} octets of content a second", 0)
        return _SLOW

    def overstays(self, client: Client) -> Reply | None:
        """The 421 for a session without a login that lasts too long."""
        longest = self._manners.settings.max_session
        if not longest or client.account or self._manners.clock.monotonic() - self._began < longest:
            return None
        return _TOO_LONG

    async def _listen(self, stream: Stream, client: Client) -> bytes:
        """What the client says while it should wait."""
        expected = self._manners
        stream.set_timeout(expected.settings.greet_delay)
        try:
            return await stream.receive()
        except TimeoutError:
            expected.passed.put(client.address, expected.clock.monotonic())
            return b""

    def _has_passed(self, address: str) -> bool:
        passed = self._manners.passed.get(address)
        return passed is not None and self._manners.clock.monotonic() - passed < PASSED

    def _tell(self, client: Client, kind: str, detail: str, points: int) -> None:
        self._manners.reporter.tell(AbuseSeen(client, kind, detail))
        if points:
            self._manners.abuse(client.address, points, kind)
