"""Reports of what the DNS says of us: what was right and is not any more, and what is right again.

As in ``events``: frozen, telling never decides. ``domain`` is ``""`` for the host itself.
"""

from postroom.mail.value import value


@value(frozen=True, slots=True)
class DnsBroken:
    """Two looks in a row found a fault that was not there before. ``fault`` is its name, ``subject`` that in the DNS.

    ``level`` is warning or error.
    """

    domain: str
    fault: str
    subject: str
    level: str
    what: str
    consequence: str
    remedy: str


@value(frozen=True, slots=True)
class DnsMended:
    """A fault that was told is gone; ``what`` it was, and ``since`` when, in seconds since the Unix epoch."""

    domain: str
    fault: str
    subject: str
    what: str
    since: float


@value(frozen=True, slots=True)
class DnsLooked:
    """A round of looks is over: how many ``domains`` are watched, the host among them, and what is wrong with them."""

    domains: int
    errors: int
    warnings: int


ZoneReport = DnsBroken | DnsMended | DnsLooked
