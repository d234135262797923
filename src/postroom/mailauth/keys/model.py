"""A key pair with the state of its life, what was found of its record in the DNS, and the rules it lives by.

Times are seconds since the Unix epoch. Domains and selectors are lower-case A-labels without a final dot.
"""

from enum import Enum

from postroom.mail.value import value

RSA = "rsa-sha256"
ED25519 = "ed25519-sha256"
ALGORITHMS = (RSA, ED25519)

SIGHTS_NEEDED = 2
"""Looks in a row that must find a record before it counts as there."""


class KeyState(Enum):
    """Where a key is in its life; it only goes on, and never back."""

    MADE = "made"
    """It is in the store and nowhere else."""
    PUBLISHED = "published"
    """Its record was put into the zone, or the operator was asked to."""
    SEEN = "seen"
    """Its record was found in the DNS; verifiers are given time to find it too."""
    ACTIVE = "active"
    """It signs, as long as its record is visible."""
    RETIRED = "retired"
    """It signs no more; its record stays for mail that is under way."""
    REMOVABLE = "removable"
    """Its record may go, and its private key has gone."""
    WITHDRAWN = "withdrawn"
    """Nothing is left but its name, so that no other key gets it."""


WAITING = frozenset({KeyState.MADE, KeyState.PUBLISHED, KeyState.SEEN})
"""Not yet in use."""
LIVING = WAITING | {KeyState.ACTIVE}
GONE = frozenset({KeyState.REMOVABLE, KeyState.WITHDRAWN})
"""Without a private key."""


class Order(Enum):
    """What an operator said of a key, against what the DNS shows."""

    NONE = "none"
    SIGN = "sign"
    """It signs although we do not see it: a zone that this machine cannot see (split DNS)."""
    NEVER = "never"
    """It never signs again, also not in place of another: retired by hand, perhaps because it leaked."""


class By(Enum):
    """Who puts a record into the zone."""

    NOBODY = "nobody"
    HAND = "hand"
    UPDATE = "update"
    """We do, by a Publisher."""


@value(frozen=True, slots=True)
class KeyPair:
    """One key pair, without its private half.

    ``record`` is what its TXT record says. ``seen_since`` is the first look of those in a row, up to the last, that
    found the record, None where the last did not; ``sights`` how many they are, counted up to SIGHTS_NEEDED.
    ``told_at`` is when the operator was last asked to do something about it. ``version`` is counted by the store, so
    that nobody overwrites what they have not read.
    """

    domain: str
    selector: str
    algorithm: str
    record: str
    made_at: float
    state: KeyState = KeyState.MADE
    published_at: float | None = None
    seen_since: float | None = None
    sights: int = 0
    active_at: float | None = None
    retired_at: float | None = None
    withdrawn_at: float | None = None
    told_at: float | None = None
    by: By = By.NOBODY
    order: Order = Order.NONE
    trouble: str = ""
    version: int = 0

    @property
    def name(self) -> str:
        """Where its record stands (RFC 6376 §3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def is_visible(self) -> bool:
        """Whether the last looks found its record, and none since did not."""
        return self.sights >= SIGHTS_NEEDED

    @property
    def may_sign(self) -> bool:
        """Whether mail may go out with it: whoever gets it will find the record."""
        if self.order is Order.NEVER or self.active_at is None or self.state in GONE:
            return False
        return self.is_visible or self.order is Order.SIGN


KeyName = tuple[str, str]
"""Domain and selector: no two keys have the same, ever."""


def name_of(key: KeyPair) -> KeyName:
    """What the store knows it by."""
    return key.domain, key.selector


class Sight(Enum):
    """What a look for a record found."""

    VISIBLE = "visible"
    """The right one, at every server that answered."""
    ABSENT = "absent"
    """None, at one server at least."""
    WRONG = "wrong"
    """Another one, or several, at one server at least."""
    UNKNOWN = "unknown"
    """Nobody answered."""


@value(frozen=True, slots=True)
class Look:
    """One look. ``detail`` says for people what was found where, ``""`` for nothing to be told."""

    sight: Sight
    detail: str = ""


@value(frozen=True, slots=True)
class LifeRules:
    """What a life goes by, in seconds: see ``config.trust.DkimSettings``. ``rotate`` 0 is never."""

    algorithms: tuple[str, ...] = ALGORITHMS
    wait: float = 3600.0
    keep: float = 7 * 86400.0
    rotate: float = 180 * 86400.0
