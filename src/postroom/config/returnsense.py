"""Whether the settings of what comes back make sense: where complaints go, and how long a return path is good."""

from collections.abc import Iterator

from postroom.config.finding import Finding
from postroom.config.model import Settings
from postroom.mail.address import Address

_YEAR = 366 * 86400.0


def check_returns(settings: Settings) -> Iterator[Finding]:
    """What contradicts itself in ``[returns]``."""
    returns = settings.returns
    for number, text in enumerate(returns.complaints):
        if not _is_address(text):
            remedy = "name an account or an alias, as in complaints@example.org"
            yield Finding(("returns", "complaints", number), f"{text!r} is no full address", remedy)
    waits = settings.queue.lifetime
    if (returns.verp or returns.srs) and returns.lifetime < waits:
        what = "shorter than a message may wait in the queue: its bounce would be refused"
        yield Finding(("returns", "lifetime"), what, "make it longer than queue.lifetime by a week", is_error=False)
    if returns.lifetime > _YEAR:
        what = "longer than a year, which is the longest that a return path is good for"
        yield Finding(("returns", "lifetime"), what, "set it to some weeks", is_error=False)


def _is_address(text: str) -> bool:
    try:
        return bool(Address.parse(text).domain)
    except ValueError:
        return False
