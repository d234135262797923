"""What a check found: good or bad, and what to do about it."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How grave a finding is."""

    OK = "ok"
    NOTE = "note"
    SKIPPED = "skipped"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of ``postroom check``.

    ``area`` is settings, python, ports, certificate, dns, store, data, logins, returns, zones or road.
    """

    level: Level
    area: str
    what: str
    remedy: str = ""
