"""When a certificate is renewed, and when what failed is tried again: pure, the keeper obeys it."""

FIRST_WAIT = 3600.0
"""Seconds until an order that failed is tried again; doubled at each further failure."""

LONGEST_WAIT = 86400.0
LONGEST_ASKED_WAIT = 7 * 86400.0
"""The longest that an authority may make us wait by Retry-After: longer windows of rate limits are not known."""

JITTER = 0.2
"""Random share by which a wait is longer, so that servers that failed together do not come back together."""

_SHARE = 1 / 3  # of its life that a certificate has left when it is renewed
_LARGEST_SHARE = 2 / 3  # a renew_before that is longer than this share of a short life would order without end


def renewal_at(begins_at: float, ends_at: float, renew_before: float, suggested: float | None = None) -> float:
    """When to renew a certificate: ``renew_before`` seconds before its end, or with a third of its life left for 0.

    ``suggested`` is the authority's own wish (RFC 9773 §4.2), obeyed where it is sooner.
    """
    life = max(ends_at - begins_at, 0.0)
    early = min(renew_before, life * _LARGEST_SHARE) if renew_before else life * _SHARE
    own = ends_at - early
    return own if suggested is None else min(own, suggested)


def wait_after(failures: int, chance: float, asked: float = 0.0) -> float:
    """Seconds to wait after the last of ``failures`` in a row; ``chance`` is from 0 to 1.

    At least as long as the authority ``asked`` for (RFC 8555 §6.6: Retry-After of a rate limit).
    """
    doubled: float = min(FIRST_WAIT * 2.0 ** min(failures - 1, 10), LONGEST_WAIT)
    wait = min(doubled * (1 + JITTER * chance), LONGEST_WAIT)
    return max(wait, min(asked, LONGEST_ASKED_WAIT))
