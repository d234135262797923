"""Where a server session stands: all that the meaning of a command depends on, and how answers change it."""

from collections.abc import Callable, Mapping
from typing import Any

from postroom.mail.envelope import Body
from postroom.protocol.lines import visible
from postroom.protocol.smtp.events import Auth, AuthResponse, Hello, Mail, Rcpt, Reset, ServerEvent
from postroom.protocol.smtp.grammar import write_date
from postroom.protocol.smtp.options import Offer, ServerOptions
from postroom.protocol.smtp.states import ServerState

_SHOWN = 200  # characters of a line that a log is given


class Standing:
    """The session's state and the facts beside it. The engine changes it, the reading of commands looks at it."""

    __slots__ = (
        "auth_refused",
        "authenticated",
        "binary",
        "etrn",
        "excused",
        "greeted",
        "latest_release",
        "mechanisms",
        "offer",
        "options",
        "recipients",
        "smtputf8",
        "state",
        "tls",
        "xclient",
    )

    def __init__(self, options: ServerOptions, *, tls: bool, xclient: bool = False, etrn: bool = False) -> None:
        self.options = options
        self.tls = tls
        self.xclient = xclient
        """The client may use XCLIENT."""
        self.etrn = etrn
        """The client may ask for its mail, once it has logged in where that is required."""
        self.state = ServerState.GREETING
        self.greeted = False
        """EHLO, HELO or LHLO was accepted."""
        self.authenticated = False
        self.auth_refused = False
        """AUTH failed last: what follows may be secrets that were pipelined behind it."""
        self.smtputf8 = False
        """The transaction was opened with SMTPUTF8."""
        self.binary = False
        """The transaction was opened with BODY=BINARYMIME."""
        self.recipients = 0
        """Recipients accepted in the transaction."""
        self.excused = False
        """A command of the transaction was refused, so that pipelined ones cannot help being out of order."""
        self.latest_release = 0.0
        """Until when EHLO said that messages are held (RFC 4865 §4.2), in seconds since the Unix epoch."""
        self.mechanisms = options.auth_mechanisms
        """What AUTH has in this session."""
        self.offer = self._offer_now()

    @property
    def tls_first(self) -> bool:
        """Few commands are obeyed before STARTTLS."""
        return self.options.require_tls and not self.tls

    def tls_is_up(self) -> None:
        """Nothing that was known without TLS counts any longer (RFC 3207 §4.2)."""
        self.tls = True
        self.begin_anew()

    def begin_anew(self) -> None:
        """Nothing that the client said counts any longer: it is another one now (XCLIENT), or TLS came up."""
        self.greeted = self.authenticated = self.auth_refused = self.excused = False
        self.offer = self._offer_now()

    def offer_mechanisms(self, mechanisms: tuple[str, ...]) -> None:
        """What AUTH has from the next EHLO on."""
        self.mechanisms = mechanisms
        self.offer = self._offer_now()

    def account_is_known(self) -> None:
        """AUTH succeeded, and is not offered again (RFC 4954 §4)."""
        self.authenticated = True
        self.offer = self._offer_now()

    def forget_transaction(self) -> None:
        """RSET, EHLO, the end of content."""
        self.recipients = 0
        self.smtputf8 = self.binary = False

    def extensions(self) -> tuple[str, ...]:
        """The lines of the EHLO reply behind the first. What they say about time holds until the next EHLO."""
        offer = self.offer
        if not offer.max_hold or offer.now is None:
            return offer.lines
        self.latest_release = float(int(offer.now()) + offer.max_hold)
        return (*offer.lines, f"FUTURERELEASE {offer.max_hold} {write_date(self.latest_release)}")  # RFC 4865 §3

    def shown(self, line: bytes, verb: str) -> str:
        """What a log may see of a refused line. Nothing, where a password may stand in it."""
        if line.lstrip()[:4].upper() == b"AUTH":
            self.auth_refused = True
            mechanism = line[4:64].decode("latin-1").strip().partition(" ")[0].upper()
            return f"AUTH {mechanism}" if mechanism in self.mechanisms else "AUTH"
        if self.auth_refused and not verb:
            return ""
        return visible(line[: 4 * _SHOWN].decode("utf-8", "backslashreplace"))[:_SHOWN]

    def _offer_now(self) -> Offer:
        may_auth = (self.tls or self.options.auth_without_tls) and not self.authenticated
        mechanisms = self.mechanisms if may_auth else ()
        return self.options.offer(tls=self.tls, xclient=self.xclient, mechanisms=mechanisms, etrn=self.etrn)


# What the answer to a question means for later commands.


def _note_hello(standing: Standing, _: Hello, accepted: bool) -> None:
    standing.greeted |= accepted
    standing.excused = False


def _note_mail(standing: Standing, mail: Mail, accepted: bool) -> None:
    standing.smtputf8 = mail.smtputf8
    standing.binary = mail.body is Body.BINARY
    standing.excused = not accepted


def _note_rcpt(standing: Standing, _: Rcpt, accepted: bool) -> None:
    if accepted:
        standing.recipients += 1
    else:
        standing.excused = True


def _note_reset(standing: Standing, _: Reset, __: bool) -> None:
    standing.excused = False


def _note_auth(standing: Standing, _: Auth | AuthResponse, accepted: bool) -> None:
    standing.auth_refused = not accepted


NOTES: Mapping[type[ServerEvent], Callable[[Standing, Any, bool], None]] = {
    Hello: _note_hello,
    Mail: _note_mail,
    Rcpt: _note_rcpt,
    Reset: _note_reset,
    Auth: _note_auth,
    AuthResponse: _note_auth,
}
"""How the answer to a question changes where the session stands; True says that it was accepted."""
