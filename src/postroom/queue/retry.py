"""When the next attempt is made: exponential waits with jitter until the lifetime is over (RFC 5321 §4.5.4.1).

Pure: time and chance are parameters.
"""

import math

from postroom.config.model import QueueSettings


def expires_at(settings: QueueSettings, received_at: float, *, null_sender: bool) -> float:
    """When a message is given up. Mail with the null sender (DSNs) has the shorter life of the two."""
    if null_sender:
        return received_at + min(settings.dsn_lifetime, settings.lifetime)
    return received_at + settings.lifetime


def wait_after(settings: QueueSettings, attempts: int, random: float) -> float:
    """Seconds to wait after the ``attempts``-th attempt; ``random`` is in [0, 1) and only ever shortens the wait."""
    growth = max(attempts - 1, 0) * math.log(settings.retry_factor)
    if growth >= math.log(max(settings.longest_retry / settings.first_retry, 1.0)):
        wait = settings.longest_retry
    else:
        wait = settings.first_retry * math.exp(growth)
    return wait * (1.0 - settings.retry_jitter * random)


def next_attempt(
    settings: QueueSettings,
    attempts: int,
    now: float,
    received_at: float,
    random: float,
    *,
    null_sender: bool = False,
) -> float | None:
    """When to try again after ``attempts`` attempts, the last of them just made; None: give up.

    A wait that would end after the expiry ends at the expiry instead, so that a last attempt is made when the time is
    up; it is left out where the attempt just made was so close to the expiry that it was that last one.
    """
    expiry = expires_at(settings, received_at, null_sender=null_sender)
    left = expiry - now
    if left <= 0:
        return None
    wait = wait_after(settings, attempts, random)
    if wait < left:
        return now + wait
    closest = min(settings.first_retry, expiry - received_at) / 2
    return expiry if left >= closest else None
