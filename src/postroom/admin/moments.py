"""Times, spans and sizes as people and programs read them."""

from datetime import UTC, datetime


def iso(at: float) -> str:
    """RFC 3339 in UTC with milliseconds: what JSON shows."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def maybe_iso(at: float | None) -> str | None:
    """The same, where there may be no time."""
    return None if at is None else iso(at)


def local(at: float) -> str:
    """The time where this machine is, to the second, with the offset from UTC."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


_SPANS = ((86400, "d"), (3600, "h"), (60, "min"))


def span(seconds: float) -> str:
    """A duration in its two largest units: ``2 h 5 min``."""
    rest = max(0, round(seconds))
    if rest < 60:
        return f"{rest} s"
    parts = []
    for size, unit in _SPANS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


_SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def size(octets: int) -> str:
    """A size in its largest unit: ``1.5 MiB``."""
    for step, unit in _SIZES:
        if octets >= step:
            return f"{octets / step:.1f} {unit}"
    return f"{octets} B"
