"""Decides who may open a session: bans, ceilings on what is held open, and rates, over all listeners of a node."""

import itertools
import socket
from collections.abc import Callable
from dataclasses import dataclass

from postroom.clock import Clock, SystemClock
from postroom.config.guard import FloodSettings
from postroom.config.model import ConnectionSettings
from postroom.net.gcra import GcraTable
from postroom.net.networks import member_of

MOST_ADDRESSES = 50_000
"""Clients whose rate is remembered: some ten megabytes."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A connection is one too many. ``reason``: total, address, rate or banned; ``wait``: seconds until it is not,
    None where nobody can know.
    """

    reason: str
    wait: float | None = None


def _nobody(_address: str) -> float | None:
    return None


class Gate:
    """Counts what clients hold open and how often they come, and numbers the sessions.

    ``banned`` is asked for each client: until when its address is banned (seconds since the epoch), None if it is not.
    """

    def __init__(
        self, settings: ConnectionSettings, flood: FloodSettings | None = None, clock: Clock | None = None
    ) -> None:
        flood = flood or FloodSettings()
        self.banned: Callable[[str], float | None] = _nobody
        self._settings = settings
        self._is_unlimited = member_of(settings.unlimited_networks)
        self._is_exempt = member_of(flood.exempt_networks)
        self._clock = clock or SystemClock()
        self._rates = GcraTable[str | bytes](flood.connection_rate, MOST_ADDRESSES)
        self._open = 0
        self._of: dict[str | bytes, int] = {}
        self._ids = itertools.count(1)

    @property
    def open(self) -> int:
        """Sessions now."""
        return self._open

    def hold(self) -> Refusal | None:
        """Count a connection whose client is still to be announced; where it is one too many, only say so."""
        if self._open >= self._settings.total:
            return Refusal("total")
        self._open += 1
        return None

    def let_go(self) -> None:
        """Count it no more: the client is known, or will not be."""
        self._open -= 1

    def admit(self, address: str) -> Refusal | None:
        """Count a session of ``address``; where it is one too many, only say so."""
        key = address_key(address)
        refusal = self._examine(address, key)
        if refusal is None:
            self._of[key] = self._of.get(key, 0) + 1
            self._open += 1
        return refusal

    def release(self, address: str) -> None:
        """The session is over."""
        key = address_key(address)
        self._open -= 1
        held = self._of[key] - 1
        if held:
            self._of[key] = held
        else:
            del self._of[key]

    def next_id(self) -> int:
        """A number for a new session, unique in this process."""
        return next(self._ids)

    def _examine(self, address: str, key: str | bytes) -> Refusal | None:
        until = self.banned(address)
        if until is not None:
            return Refusal("banned", max(0.0, until - self._clock.now()))
        if self._open >= self._settings.total:
            return Refusal("total")
        if self._of.get(key, 0) >= self._settings.per_address and not self._is_unlimited(address):
            return Refusal("address")
        if not self._rates.rates or self._is_exempt(address):
            return None
        exceeded = self._rates.take(key, self._clock.monotonic())
        return None if exceeded is None else Refusal("rate", exceeded.wait)


def address_key(address: str) -> str | bytes:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 address."""
    return socket.inet_pton(socket.AF_INET6, address)[:8] if ":" in address else address
