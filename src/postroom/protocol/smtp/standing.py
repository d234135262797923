"""Where a server session stands: all that the meaning of a command depends on, and how answers change it."""

from typing import TYPE_CHECKING

from postroom.mail.reply import Reply
from postroom.protocol.smtp.events import Auth, AuthResponse, Hello, Mail, Rcpt, Reset, ServerEvent
from postroom.protocol.smtp.extensions import Offer
from postroom.protocol.smtp.states import ServerState

if TYPE_CHECKING:
    from postroom.protocol.smtp.server import ServerOptions


class Standing:
    """The session's state and the facts beside it. The engine changes it, the reading of commands looks at it."""

    __slots__ = (
        "auth_refused",
        "authenticated",
        "excused",
        "greeted",
        "offer",
        "options",
        "recipients",
        "smtputf8",
        "state",
        "tls",
    )

    def __init__(self, options: "ServerOptions", *, tls: bool) -> None:
        self.options = options
        self.tls = tls
        self.state = ServerState.GREETING
        self.greeted = False
        """EHLO, HELO or LHLO was accepted."""
        self.authenticated = False
        self.auth_refused = False
        """AUTH failed last: what follows may be secrets that were pipelined behind it."""
        self.smtputf8 = False
        """The transaction was opened with SMTPUTF8."""
        self.recipients = 0
        """Recipients accepted in the transaction."""
        self.excused = False
        """A command of the transaction was refused, so that pipelined ones cannot help being out of order."""
        self.offer = self._offer_now()

    def tls_is_up(self) -> None:
        """Nothing that was known without TLS counts any longer (RFC 3207 §4.2)."""
        self.tls = True
        self.greeted = self.authenticated = self.auth_refused = self.excused = False
        self.offer = self._offer_now()

    def account_is_known(self) -> None:
        """AUTH succeeded, and is not offered again (RFC 4954 §4)."""
        self.authenticated = True
        self.offer = self._offer_now()

    def forget_transaction(self) -> None:
        """RSET, EHLO, the end of content."""
        self.recipients = 0
        self.smtputf8 = False

    def note(self, question: ServerEvent, reply: Reply) -> None:
        """What the answer to a question means for later commands."""
        accepted = reply.is_positive
        match question:
            case Rcpt():
                self.recipients += accepted
                self.excused |= not accepted
            case Mail(smtputf8=smtputf8):
                self.smtputf8 = smtputf8
                self.excused = not accepted
            case Hello():
                self.greeted |= accepted
                self.excused = False
            case Reset():
                self.excused = False
            case Auth() | AuthResponse():
                self.auth_refused = not accepted
            case _:
                pass

    def _offer_now(self) -> Offer:
        options = self.options
        may_auth = (self.tls or options.auth_without_tls) and not self.authenticated
        return Offer(
            max_size=options.max_size,
            smtputf8=options.smtputf8,
            starttls=options.starttls and not self.tls,
            auth_mechanisms=options.auth_mechanisms if may_auth else (),
            auth_parameter=bool(options.auth_mechanisms),
            extra=options.extra,
        )
