"""Sends alerts to webhooks and commands, beside the mail: needs neither queue nor store, so it works without them.

``tell`` counts and lays in a queue; a task for each [[alert]] sends, so that one that hangs does not hold up another.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import httpx2

from postroom import __version__
from postroom.clock import Clock
from postroom.config.guard import AlertSettings
from postroom.report.alerts import WORDS, Alert, AlertCounter, shape, word_of
from postroom.report.events import AlertRaised, Report

SIGNATURE = "Postroom-Signature"
MOST_WAITING = 32
"""Alerts that wait for one webhook or command; further ones are dropped, and told as such."""

RETRY_WAIT = 2.0
"""Seconds until a webhook that failed is tried once more."""

_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}  # no secret of ours is in it


class AlertFailed(Exception):
    """An alert did not get out. The text says why, without the URL: it may have a secret in it."""


class Alerts:
    """Listens to a Reporter (``choose``), and has the tasks that send. ``start`` in the loop, ``stop`` at the end."""

    def __init__(self, settings: Sequence[AlertSettings], *, node: str, hostname: str, clock: Clock) -> None:
        self._clock = clock
        self._posts = [_Post(each, node=node, hostname=hostname, clock=clock) for each in settings]
        self._counters: dict[str, list[tuple[AlertCounter, _Post]]] = {}
        for each, post in zip(settings, self._posts, strict=True):
            for word in dict.fromkeys(each.on):
                counter = AlertCounter(word, each.threshold.count, each.threshold.window, each.pause)
                self._counters.setdefault(word, []).append((counter, post))
        self._tasks: list[asyncio.Task[None]] = []

    def choose(self, kind: type[Report]) -> Callable[[Report], None] | None:
        """``tell`` for reports that some [[alert]] counts."""
        return self.tell if WORDS.get(kind) in self._counters else None

    def kinds(self) -> frozenset[type[Report]]:
        """Those that ``choose`` is for: what another process is to hand on (``Forwarder``)."""
        return frozenset([kind for kind, word in WORDS.items() if word in self._counters])

    def tell(self, report: Report) -> None:
        """Count it; what that raises is sent soon."""
        for counter, post in self._counters.get(word_of(report), ()):
            alert = counter.count(report, self._clock.now())
            if alert is not None:
                post.put(alert)

    def start(self, tell: Callable[[Report], None]) -> None:
        """Begin to send; what became of each alert is told."""
        for post in self._posts:
            self._tasks.append(asyncio.create_task(post.run(tell), name="alerts"))

    async def stop(self, seconds: float) -> None:
        """Send what waits, for so long at most."""
        if self._tasks:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*(post.idle() for post in self._posts)), seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


class _Post:
    """What waits for one webhook or command."""

    def __init__(self, settings: AlertSettings, *, node: str, hostname: str, clock: Clock) -> None:
        self._settings = settings
        self._node = node
        self._hostname = hostname
        self._clock = clock
        self._waiting: deque[Alert] = deque()
        self._dropped = 0
        self._some = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()

    def put(self, alert: Alert) -> None:
        """Lay it in the queue."""
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
            return
        self._waiting.append(alert)
        self._some.set()
        self._none.clear()

    async def idle(self) -> None:
        """Until nothing waits and nothing is under way."""
        await self._none.wait()

    async def run(self, tell: Callable[[Report], None]) -> None:
        """Send one after the other."""
        target = target_of(self._settings)
        while True:
            if not self._waiting:
                self._some.clear()
                self._none.set()
                await self._some.wait()
            alert = self._waiting.popleft()
            body = json.dumps(shape(alert, node=self._node, hostname=self._hostname)).encode()
            trouble = ""
            try:
                await send(self._settings, body, self._clock)
            except AlertFailed as error:
                trouble = str(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next alert must have its chance
                trouble = f"{type(error).__name__}: {error}"
            if self._dropped:
                trouble = "; ".join(filter(None, (trouble, f"{self._dropped} further alerts were dropped")))
                self._dropped = 0
            tell(AlertRaised(alert.what, alert.count, target, trouble))


def target_of(settings: AlertSettings) -> str:
    """What may be shown of where an alert goes: a webhook's host, for the rest may be a secret; or the program."""
    if settings.webhook:
        parts = urlsplit(settings.webhook)
        return parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"  # type: ignore[return-value] # the settings were checked
    return settings.command[0] if settings.command else ""


async def send(settings: AlertSettings, body: bytes, clock: Clock) -> None:
    """Send one alert, once more if a webhook fails. Raises AlertFailed."""
    if settings.webhook:
        await _post(settings, body, clock)
    else:
        await _run(settings.command, body, settings.timeout)


def sign(secret: str, body: bytes) -> str:
    """The signature of a body: HMAC-SHA256 (RFC 2104), in hex."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


async def _post(settings: AlertSettings, body: bytes, clock: Clock) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": f"postroom/{__version__}"}
    secret = settings.secret.get_secret_value()
    if secret:
        headers[SIGNATURE] = sign(secret, body)
    try:
        await _post_once(settings, body, headers)
    except _WorthAnother:
        await clock.sleep(RETRY_WAIT)
        await _post_once(settings, body, headers)


class _WorthAnother(AlertFailed):
    """It may go better the next time."""


async def _post_once(settings: AlertSettings, body: bytes, headers: dict[str, str]) -> None:
    """One request, within the timeout as a whole. What the answer says beyond its status is not even read."""
    try:
        async with (
            asyncio.timeout(settings.timeout),
            httpx2.AsyncClient(timeout=settings.timeout) as client,
            client.stream("POST", settings.webhook, content=body, headers=headers) as response,
        ):
            status = response.status_code
    except TimeoutError as error:
        raise _WorthAnother(f"no answer within {settings.timeout:g} seconds") from error
    except httpx2.TimeoutException as error:
        raise _WorthAnother(f"no answer within {settings.timeout:g} seconds") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise _WorthAnother(str(error) or type(error).__name__) from error
    if 200 <= status < 300:
        return
    if status >= 500 or status in (408, 429):
        raise _WorthAnother(f"the webhook answered {status}")
    raise AlertFailed(f"the webhook answered {status}")


async def _run(command: tuple[str, ...], body: bytes, seconds: float) -> None:
    """Run the program with the body on its standard input. It is a process group of its own, ended as a whole."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise AlertFailed(f"{command[0]} cannot be run: {error.strerror or error}") from error
    try:
        await asyncio.wait_for(process.communicate(body), seconds)
    except TimeoutError as error:
        raise AlertFailed(f"{command[0]} took longer than {seconds:g} seconds and was killed") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        raise AlertFailed(f"{command[0]} ended with exit code {process.returncode}")
