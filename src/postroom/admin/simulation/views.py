"""What a simulation shows. Times are RFC 3339 in UTC or None; numbers are recipients of the real queue."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpanView:
    """A span of time from ``at`` on. ``attempts`` were made, with ``delivered``, ``deferred``, ``failed`` and
    ``expired`` as what came of them; ``warned`` counts warnings to senders, ``dsns`` all reports to senders (the
    warnings too), ``waiting`` who is in the queue at its end.
    """

    at: str
    attempts: int
    delivered: int
    deferred: int
    warned: int
    failed: int
    expired: int
    dsns: int
    waiting: int


@dataclass(frozen=True, slots=True)
class DestinationView:
    """What becomes of a destination's mail, and when. ``assumed`` is how it is taken to behave."""

    destination: str
    recipients: int
    assumed: str
    attempts: int
    first_attempt: str | None
    last_attempt: str | None
    delivered: int
    warned: int
    first_warning: str | None
    last_warning: str | None
    failed: int
    expired: int
    first_expiry: str | None
    last_expiry: str | None
    waiting: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """The queue's days to come under the settings of one file.

    ``simulated`` recipients stood for ``recipients``; ``held`` wait for an operator and are left out. ``complete`` is
    false where so many attempts were to be made that it ended early, at ``until``. ``totals`` is by the names of a
    span, ``settings`` are those that made it so.
    """

    settings_file: str
    since: str
    until: str
    complete: bool
    recipients: int
    simulated: int
    held: int
    totals: Mapping[str, int]
    timeline: tuple[SpanView, ...]
    destinations: tuple[DestinationView, ...]
    settings: Mapping[str, str]
