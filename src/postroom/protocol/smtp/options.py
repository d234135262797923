"""What a server engine announces and enforces, and the EHLO lines that follow from it (RFC 5321 §2.2, §4.1.1.1)."""

from collections.abc import Callable
from dataclasses import field

from postroom.mail.value import value

XCLIENT_ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")

_MOST_LIMIT = 999_999  # the values of LIMITS have six digits at most (RFC 9422 §4)


@value(frozen=True, slots=True)
class Offer:
    """What a session offers at this moment."""

    max_size: int
    smtputf8: bool
    binary: bool
    starttls: bool
    auth_mechanisms: tuple[str, ...]
    """Those that may be used now."""
    auth_parameter: bool
    """AUTH belongs to this service at all, so that MAIL may have AUTH=."""
    requiretls: bool
    """REQUIRETLS may be asked for: TLS is up (RFC 8689 §2)."""
    requiretls_later: bool
    """It may be once STARTTLS has been given."""
    min_deliver_by: int | None
    max_hold: int
    now: Callable[[], float] | None
    lines: tuple[str, ...]
    """The lines of the EHLO reply behind the first, but for what depends on the time."""


@value(frozen=True, slots=True)
class ServerOptions:
    """What this side announces and enforces. Sizes in octets, content lines without CRLF, times in seconds."""

    hostname: str
    max_size: int = 50 * 1024 * 1024
    max_recipients: int = 1000
    max_line: int = 8192
    starttls: bool = True
    auth_mechanisms: tuple[str, ...] = ()
    """Announced and accepted; only once TLS is up unless ``auth_without_tls``."""
    auth_without_tls: bool = False
    require_tls: bool = False
    """Before TLS only EHLO, HELO, STARTTLS, NOOP, RSET, HELP, XCLIENT and QUIT: others get 530 5.7.0 (RFC 3207 §4)."""
    require_auth: bool = False
    """MAIL before AUTH gets 530 5.7.0 (RFC 6409 §4.3)."""
    smtputf8: bool = True
    binary: bool = True
    """BINARYMIME (RFC 3030 §3): content without lines, by BDAT alone."""
    normalise_newlines: bool = False
    """Bare CR and LF in content become CRLF instead of being refused. They never end the content."""
    lmtp: bool = False
    max_errors: int = 20
    """Commands refused by the engine, after which it answers 421 4.7.0 and is over."""
    max_transactions: int = 0
    """Announced as MAILMAX (RFC 9422 §4.1); 0: no limit. The shell counts."""
    min_deliver_by: int | None = 0
    """DELIVERBY (RFC 2852 §2): the shortest by-time for mode R; 0: any; None: not offered."""
    max_hold: int = 0
    """FUTURERELEASE (RFC 4865 §3): the longest that a message is held; 0, or no ``now``: not offered."""
    now: Callable[[], float] | None = None
    """Seconds since the Unix epoch, for what is asked for by date."""
    extra: tuple[str, ...] = ()
    """Further EHLO lines."""
    _offers: dict[tuple[bool, bool, bool, tuple[str, ...]], Offer] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def offer(self, *, tls: bool, xclient: bool, mechanisms: tuple[str, ...], etrn: bool = False) -> Offer:
        """What is offered to a client of that standing. Made once and kept: sessions come by the thousand."""
        key = (tls, xclient, etrn, mechanisms)
        found = self._offers.get(key)
        if found is None:
            found = self._offers[key] = self._make_offer(tls=tls, xclient=xclient, etrn=etrn, mechanisms=mechanisms)
        return found

    def _make_offer(self, *, tls: bool, xclient: bool, etrn: bool, mechanisms: tuple[str, ...]) -> Offer:
        starttls = self.starttls and not tls
        lines = ["PIPELINING", f"SIZE {self.max_size}", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING"]
        lines += ["BINARYMIME"] if self.binary else []
        lines += ["SMTPUTF8"] if self.smtputf8 else []
        lines += ["STARTTLS"] if starttls else []
        lines += ["REQUIRETLS"] if tls else []
        lines += ["AUTH " + " ".join(mechanisms)] if mechanisms else []
        if self.min_deliver_by is not None:  # RFC 2852 §2: without a fixed minimum the keyword stands alone
            lines.append(f"DELIVERBY {self.min_deliver_by}" if self.min_deliver_by else "DELIVERBY")
        lines += ["MT-PRIORITY", self._limits()]  # RFC 6710 §3: no name, the policy is this house's own
        lines += ["ETRN"] if etrn else []  # RFC 1985
        lines += ["XCLIENT " + " ".join(XCLIENT_ATTRIBUTES)] if xclient else []
        return Offer(
            max_size=self.max_size,
            smtputf8=self.smtputf8,
            binary=self.binary,
            starttls=starttls,
            auth_mechanisms=mechanisms,
            auth_parameter=bool(self.auth_mechanisms),
            requiretls=tls,
            requiretls_later=starttls,
            min_deliver_by=self.min_deliver_by,
            max_hold=self.max_hold if self.now is not None else 0,
            now=self.now,
            lines=(*lines, *self.extra),
        )

    def _limits(self) -> str:
        """RFC 9422 §4. A limit that is too large to be written is none."""
        limits = {"MAILMAX": self.max_transactions, "RCPTMAX": self.max_recipients}
        return "LIMITS " + " ".join([f"{name}={limit}" for name, limit in limits.items() if 0 < limit <= _MOST_LIMIT])
