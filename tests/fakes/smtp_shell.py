"""A small deterministic shell around the SMTP server engine: says yes to everything but what ``refusals`` names."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from postroom.mail.reply import Reply
from postroom.protocol.smtp.events import (
    Answered,
    Auth,
    AuthResponse,
    Closed,
    Connected,
    Content,
    ContentDropped,
    ContentEnd,
    Data,
    Etrn,
    Hello,
    Mail,
    Quit,
    Rcpt,
    Reset,
    ServerEvent,
    Signal,
    StartTls,
    Verify,
    XClient,
)
from postroom.protocol.smtp.options import ServerOptions
from postroom.protocol.smtp.server import SmtpServer

PASSWORD = b"secret"

_FIXED: Mapping[type[ServerEvent], tuple[str, Reply]] = {
    Connected: ("CONNECT", Reply.of(220, "", "mx.example ESMTP")),
    XClient: ("XCLIENT", Reply.of(220, "", "mx.example ESMTP")),
    Data: ("DATA", Reply.of(354, "", "Go ahead")),
    Reset: ("RSET", Reply.of(250, "2.0.0", "OK")),
    Quit: ("QUIT", Reply.of(221, "2.0.0", "Bye")),
    StartTls: ("STARTTLS", Reply.of(220, "2.0.0", "Go ahead")),
}


@dataclass
class SmtpShell:
    """``refusals`` maps a verb (``MAIL``, ``END`` for the end of content, ``CONNECT``) or a verb with an address
    (``RCPT a@b.example``) to the reply it gets. AUTH PLAIN and LOGIN take the password ``secret``.
    """

    options: ServerOptions = field(default_factory=lambda: ServerOptions("mx.example"))
    tls: bool = False
    refusals: Mapping[str, Reply] = field(default_factory=dict)
    xclient: bool = False
    etrn: bool = False

    engine: SmtpServer = field(init=False)
    events: list[ServerEvent] = field(default_factory=list, init=False)
    """All of them, adjacent pieces of content joined."""
    messages: list[bytes] = field(default_factory=list, init=False)
    """The contents that were accepted."""
    signal: Signal | None = field(default=None, init=False)
    """What ended the last run."""
    closed: bool = field(default=False, init=False)
    handshake_due: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.engine = SmtpServer(self.options, tls=self.tls, xclient=self.xclient, etrn=self.etrn)
        self._content = bytearray()
        self._mechanism = ""

    def start(self) -> bytes:
        """The greeting."""
        return self._run()

    def feed(self, data: bytes) -> bytes:
        """What the session says to ``data``; ``b""`` closes it from the client's side."""
        self.engine.receive_data(data)
        return self._run()

    def say(self, *lines: str) -> list[str]:
        """What the session says to these lines, sent in one piece, line by line."""
        return self.feed("".join(f"{line}\r\n" for line in lines).encode()).decode().splitlines()

    def shake_hands(self) -> None:
        """TLS comes up."""
        self.handshake_due = False
        self.engine.tls_established()

    def _run(self) -> bytes:
        output = b""
        while not isinstance(event := self.engine.next_event(), Signal):
            self._keep(event)
            output += self._react(event)
            if isinstance(event, Closed):
                self.closed = True
        self.signal = event
        return output

    def _keep(self, event: ServerEvent) -> None:
        last = self.events[-1] if self.events else None
        if isinstance(event, Content) and isinstance(last, Content):
            self.events[-1] = Content(last.data + event.data)
        else:
            self.events.append(event)

    def _react(self, event: ServerEvent) -> bytes:
        match event:
            case Content(data=data):
                self._content += data
                return b""
            case ContentDropped():
                self._content.clear()
                return b""
            case Closed():
                return b""
            case Answered(data=data):
                return data
            case _:
                reply = self._decide(event)
                if isinstance(event, ContentEnd):
                    if reply.is_positive:
                        self.messages.append(bytes(self._content))
                    self._content.clear()
                if isinstance(event, StartTls) and reply.is_positive:
                    self.handshake_due = True
                output = self.engine.answer(reply)
                if isinstance(event, XClient) and event.login and reply.is_positive:
                    self.engine.authenticated()
                return output

    def _decide(self, question: ServerEvent) -> Reply:
        name, reply = _FIXED.get(type(question), ("", Reply.of(250, "2.0.0", "OK")))
        match question:
            case Hello(domain=domain):
                name, reply = f"EHLO {domain}", Reply.of(250, "", "mx.example")
            case Mail(reverse_path=address):
                name, reply = f"MAIL {address or ''}", Reply.of(250, "2.1.0", "OK")
            case Rcpt(recipient=recipient):
                name, reply = f"RCPT {recipient.address}", Reply.of(250, "2.1.5", "OK")
            case ContentEnd(size=size):
                name, reply = "END", Reply.of(250, "2.0.0", f"{size} octets queued")
            case Etrn(kind=kind, name=asked):
                name, reply = f"ETRN {kind.value}{asked}", Reply.of(253, "2.0.0", f"OK, 3 pending messages for {asked}")
            case Verify(command=command):
                name, reply = command, Reply.of(252, "2.0.0", "Send some mail")
            case Auth() | AuthResponse():
                name, reply = "AUTH", self._check_password(question)
        verb = name.partition(" ")[0]
        return self.refusals.get(name, self.refusals.get(verb, reply))

    def _check_password(self, step: Auth | AuthResponse) -> Reply:
        if isinstance(step, Auth):
            self._mechanism, given = step.mechanism, step.initial
        else:
            given = step.data
        if given is None:
            return Reply.of(334, "", "VXNlcm5hbWU6" if self._mechanism == "LOGIN" else "")
        if self._mechanism == "LOGIN":
            self._mechanism = "LOGIN, password"
            return Reply.of(334, "", "UGFzc3dvcmQ6")
        if given.rpartition(b"\0")[2] == PASSWORD:
            self.engine.authenticated()
            return Reply.of(235, "2.7.0", "Welcome")
        return Reply.of(535, "5.7.8", "Authentication failed")
