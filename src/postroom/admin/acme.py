"""Keeps the host's certificate fresh: watches its life, orders a new one in time, and backs off when that fails.

Deciding when is ``acmeplan``'s, the order ``acmeauthority``'s, the files ``acmeshelf``'s.
"""

import asyncio
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Protocol, TypeVar

from cryptography.hazmat.primitives.serialization import Encoding

from postroom.admin.acmeauthority import Issued, Suggestion
from postroom.admin.acmeplan import renewal_at, wait_after
from postroom.admin.acmeshelf import Shelf, State
from postroom.admin.acmetrouble import AcmeTrouble
from postroom.clock import Clock
from postroom.config.certificates import AcmeSettings
from postroom.net.certificates import Certificate
from postroom.report.events import CertificateRenewed, CertificateTrouble, InternalError
from postroom.report.reporter import Reporter

WATCH_SECONDS = 2.0
"""How often the keeper looks whether something is to be done: how long ``postroom certificate renew`` waits for it."""

ORDER_PATIENCE = 900.0
"""Seconds after which an order's thread is given up; its own bounds are below that."""

SUGGESTION_WAIT = 6 * 3600.0  # RFC 9773 §4.3.2: how long to wait after a question that failed
_SUGGESTION_PATIENCE = 120.0

Result = TypeVar("Result")


class Authority(Protocol):
    """Who issues certificates. Both calls block and are made in a thread."""

    def order(self, names: tuple[str, ...], abandoned: threading.Event) -> Issued:
        """A certificate for ``names``. Raises AcmeTrouble, or Abandoned once the event is set."""
        ...

    def suggestion(self, chain_pem: bytes) -> Suggestion:
        """When the authority would like this certificate renewed. Raises AcmeTrouble."""
        ...


def names_of(settings: AcmeSettings, hostname: str) -> tuple[str, ...]:
    """The names that the certificate is to have."""
    return settings.domains or (hostname,)


def fingerprint(settings: AcmeSettings, hostname: str) -> str:
    """What an order depends on: where it differs, a failure or a certificate of before tells nothing."""
    parts = (settings.directory, settings.eab_kid, *sorted(names_of(settings, hostname)))
    return sha256("\n".join(parts).encode()).hexdigest()[:32]


def next_order(settings: AcmeSettings, hostname: str, stored: Certificate | None, state: State) -> float:
    """When the next order is made, if no new wish of the authority's comes in between; 0 for at once."""
    wanted = fingerprint(settings, hostname)
    fresh = stored is not None and state.issued_for == wanted
    due = renewal_at(begin_of(stored), stored.expires_at, settings.renew_before) if fresh and stored else 0.0
    return max(due, state.next_try) if state.wanted == wanted else due


def begin_of(certificate: Certificate) -> float:
    """Since when it is valid, seconds since the epoch."""
    return certificate.leaf.not_valid_before_utc.timestamp()


class CertificateKeeper:
    """One for a running server. ``install`` makes listeners show what the shelf has now; it may raise ValueError."""

    def __init__(
        self,
        *,
        settings: AcmeSettings,
        hostname: str,
        shelf: Shelf,
        authority: Authority,
        install: Callable[[], None],
        clock: Clock,
        reporter: Reporter,
        chance: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._names = names_of(settings, hostname)
        self._hostname = hostname
        self._shelf = shelf
        self._authority = authority
        self._install = install
        self._clock = clock
        self._reporter = reporter
        self._chance = chance
        self._state = shelf.state(fingerprint(settings, hostname))
        self._stored = shelf.stored()
        self._suggested: float | None = None
        self._ask_at = clock.now() + SUGGESTION_WAIT * chance()  # a restart asks nobody

    async def run(self) -> None:
        """Until it is cancelled; an order under way is given up then."""
        self._plan_key()
        while True:
            try:
                await self._look()
            except OSError as error:  # the disk: what there is stays in use
                self._fail(AcmeTrouble(f"data/acme cannot be used: {error.strerror or error}"))
            except Exception as error:  # noqa: BLE001 - a bug here must not cost the next renewal
                self._reporter.tell(InternalError("acme", repr(error), "".join(traceback.format_exception(error))))
                self._fail(AcmeTrouble("an internal error, see the log"))
            await self._clock.sleep(WATCH_SECONDS)

    async def _look(self) -> None:
        if self._shelf.take_request():
            await self._order()
            return
        now = self._clock.now()
        if self._stored is not None and now >= self._ask_at:
            await self._ask(self._stored)
        if now >= self._due():
            await self._order()

    def _due(self) -> float:
        due = next_order(self._settings, self._hostname, self._stored, self._state)
        return due if self._suggested is None else max(min(due, self._suggested), self._state.next_try)

    async def _ask(self, stored: Certificate) -> None:
        """The authority's wish (RFC 9773 §4.2). Not to get it is no trouble: our own plan stands."""
        now = self._clock.now()
        self._ask_at = now + SUGGESTION_WAIT
        if now >= stored.expires_at:  # RFC 9773 §4.3: not for one that has ended
            return
        pem = stored.leaf.public_bytes(Encoding.PEM)
        try:
            found = await in_thread(lambda: self._authority.suggestion(pem), _SUGGESTION_PATIENCE)
        except (AcmeTrouble, TimeoutError):
            return
        self._suggested = found.renew_at
        self._ask_at = now + found.ask_again_in

    async def _order(self) -> None:
        abandoned = threading.Event()
        try:
            issued = await in_thread(lambda: self._authority.order(self._names, abandoned), ORDER_PATIENCE)
            stored = self._shelf.keep(issued.key_pem, issued.chain_pem)
            self._install()
        except AcmeTrouble as trouble:
            self._fail(trouble)
        except TimeoutError:
            self._fail(AcmeTrouble(f"the order took longer than {ORDER_PATIENCE:.0f} seconds"))
        except ValueError as error:
            self._fail(AcmeTrouble(f"the new certificate cannot be used: {error}"))
        else:
            self._stored, self._suggested = stored, None
            self._plan_key()
            self._ask_at = self._clock.now() + SUGGESTION_WAIT * self._chance()
            self._state = self._shelf.succeeded(self._state, self._clock.now())
            self._reporter.tell(CertificateRenewed(stored.names, stored.expires_at))
        finally:
            abandoned.set()

    def _plan_key(self) -> None:
        """Make the next key ahead where keys change, so that its TLSA record can be published before it is used."""
        if self._settings.keep_key or self._stored is None:
            return
        try:
            self._shelf.next_key()
        except OSError as error:
            reason = f"data/acme cannot be written: {error.strerror or error}"
            self._reporter.tell(CertificateTrouble(self._names, reason, self._due()))

    def _fail(self, trouble: AcmeTrouble) -> None:
        """Tell it, and wait longer each time; also across restarts, as far as the disk allows."""
        failures = self._state.failures + 1
        now = self._clock.now()
        next_try = now + wait_after(failures, self._chance(), trouble.wait)
        state = replace(self._state, failures=failures, next_try=next_try, trouble=str(trouble), tried_at=now)
        self._state = state
        reason = str(trouble)
        try:
            self._shelf.keep_state(state)
        except OSError as error:
            reason += f" (and data/acme cannot be written: {error.strerror or error})"
        self._reporter.tell(CertificateTrouble(self._names, reason, next_try))


async def in_thread(call: Callable[[], Result], seconds: float) -> Result:
    """What ``call`` returns or raises, from a thread that nobody waits for once this is cancelled or takes too long.

    Not one of the loop's executor: the end of the program would wait for it, and a request may take its time.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Result] = loop.create_future()

    def hand_over(value: Result | None, error: BaseException | None) -> None:
        if result.done():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type] # without an error it is the call's own result

    def work() -> None:
        value, error = None, None
        try:
            value = call()
        except BaseException as raised:  # noqa: BLE001 - whatever it is, it belongs to the one who waits
            error = raised
        try:
            loop.call_soon_threadsafe(hand_over, value, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=work, name="acme", daemon=True).start()
    return await asyncio.wait_for(result, seconds)
