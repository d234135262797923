"""Whether the settings of signing make sense together."""

from collections.abc import Iterator

from postroom.config.finding import Finding
from postroom.config.model import Settings

_DAY = 86400.0


def check_trust(settings: Settings) -> Iterator[Finding]:
    """What contradicts itself in ``[dkim]``."""
    dkim = settings.dkim
    if not dkim.enabled:
        return
    if len(set(dkim.algorithms)) != len(dkim.algorithms):
        yield Finding(("dkim", "algorithms"), "an algorithm is named twice", "name each once")
    if "rsa-sha256" not in dkim.algorithms:
        what = "without rsa-sha256: receivers that know only that (most of them) take the mail for unsigned"
        yield Finding(("dkim", "algorithms"), what, "sign by both (RFC 8463 §3)", is_error=False)
    if dkim.keep < settings.queue.lifetime:
        what = "shorter than queue.lifetime: mail that waits so long arrives when its key is gone"
        yield Finding(("dkim", "keep"), what, "make it longer than queue.lifetime by a day or two", is_error=False)
    if 0 < dkim.rotate < 2 * (dkim.wait + _DAY):
        what = "so short that a key hardly signs before the next is made"
        yield Finding(("dkim", "rotate"), what, 'set it to some months, or to "never"')
