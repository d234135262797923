"""What was found out about the origin of a message: a value for each method, all of them together for a message.

Domains are lower-case A-labels without a final dot. ``reason`` is for people: why it is so, in a few words, without
line ends; it may contain what a peer sent, and whoever writes it into a field makes it safe.
"""

from enum import Enum

from postroom.mail.value import value


class Result(Enum):
    """What a method found, in the words of RFC 8601 §2.7. Each method uses some of them."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - the word of the standard
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class SpfIdentity(Enum):
    """Which name SPF was asked about (RFC 7208 §2.3, §2.4)."""

    MAIL_FROM = "mailfrom"
    HELO = "helo"


@value(frozen=True, slots=True)
class SpfCheck:
    """What SPF found (RFC 7208 §2.6): NONE, NEUTRAL, PASS, FAIL, SOFTFAIL, TEMPERROR or PERMERROR.

    ``domain`` is the one that was asked, ``sender`` the identity as checked ("postmaster@" before the HELO name where
    the reverse-path was null), ``explanation`` what the domain says of a FAIL (RFC 7208 §6.2; a stranger's words),
    ``mechanism`` the term that decided, such as ``-all`` or ``ip4:192.0.2.0/24``.
    """

    result: Result
    identity: SpfIdentity
    domain: str
    sender: str = ""
    reason: str = ""
    explanation: str = ""
    mechanism: str = ""


@value(frozen=True, slots=True)
class DkimCheck:
    """What became of one signature (RFC 6376 §6, RFC 8601 §2.7.1): PASS, FAIL, NEUTRAL, POLICY, TEMPERROR or PERMERROR.

    ``domain`` is d=, ``selector`` s=, ``algorithm`` a=, ``identity`` i= (with its default), ``mark`` the first octets
    of b= that tell signatures apart (RFC 6008 §4). ``testing`` is the t=y of the key: it passes or fails, and whoever
    decides treats it as unsigned (RFC 6376 §3.6.1). ``covered``: the whole body is signed (no l= that ends before it).
    ``key_bits`` is the size of the key, 0 where there was none.
    """

    result: Result
    domain: str
    selector: str
    algorithm: str
    identity: str = ""
    mark: str = ""
    reason: str = ""
    testing: bool = False
    covered: bool = True
    key_bits: int = 0


@value(frozen=True, slots=True)
class ArcCheck:
    """What became of the ARC chain (RFC 8617 §5.2): NONE, PASS or FAIL.

    ``sealers`` are the d= of the seals, the first sealer first; ``results`` the values of the
    ARC-Authentication-Results fields in the same order, as they stand, unfolded and without their i= (each says what
    its sealer found). ``oldest_pass`` is that of RFC 8617 §5.2 step 5: the lowest instance whose message signature
    still verifies, 0 for all.
    """

    result: Result
    sealers: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    oldest_pass: int = 0
    reason: str = ""


class Policy(Enum):
    """What a domain asks for mail that is not its (RFC 9989 §4.7, p=)."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


@value(frozen=True, slots=True)
class DmarcRecord:
    """A DMARC policy record as published (RFC 9989 §4.7). ``psd`` is ``y``, ``n`` or ``u``."""

    domain: str
    policy: Policy
    subdomain_policy: Policy | None = None
    nonexistent_policy: Policy | None = None
    strict_dkim: bool = False
    strict_spf: bool = False
    testing: bool = False
    psd: str = "u"
    aggregate: tuple[str, ...] = ()
    """The URIs of rua=, as they stand."""
    failure: tuple[str, ...] = ()
    """The URIs of ruf=, as they stand."""
    failure_options: tuple[str, ...] = ("0",)
    """fo=."""


@value(frozen=True, slots=True)
class DmarcCheck:
    """What DMARC found: NONE, PASS, FAIL, TEMPERROR or PERMERROR.

    ``author`` is the domain of From, ``""`` where there is none that counts. ``record`` is the one that applies, None
    for NONE; ``organization`` the organizational domain of ``author``. ``policy`` is what the record asks for this
    message: of p=, sp= and np= the right one, one step milder where t=y. None unless FAIL. ``dkim_aligned`` and
    ``spf_aligned`` are the domains that passed and are aligned, ``""`` for none. ``incomplete``: From has more that may
    be the author than was evaluated (RFC 9989 §11.5).
    """

    result: Result
    author: str = ""
    organization: str = ""
    record: DmarcRecord | None = None
    policy: Policy | None = None
    dkim_aligned: str = ""
    spf_aligned: str = ""
    reason: str = ""
    incomplete: bool = False


NO_ARC = ArcCheck(Result.NONE)


@value(frozen=True, slots=True)
class Authentication:
    """All that was found out about one message. ``spf`` is that of MAIL FROM, ``helo`` that of HELO; None: not
    asked.
    """

    spf: SpfCheck | None = None
    helo: SpfCheck | None = None
    dkim: tuple[DkimCheck, ...] = ()
    arc: ArcCheck = NO_ARC
    dmarc: DmarcCheck | None = None
