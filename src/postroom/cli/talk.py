"""A test client: hands one message to an SMTP server with our own engine and shows the dialogue, never a password."""

import base64
import binascii
import secrets
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from postroom.admin.refusal import Refused
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope
from postroom.mail.reply import Reply
from postroom.protocol.errors import RemoteProtocolError
from postroom.protocol.sasl.exchange import Malformed, Password, Secrets
from postroom.protocol.sasl.mechanisms import begin_client
from postroom.protocol.smtp.client import SmtpClient
from postroom.protocol.smtp.commands import (
    Command,
    SayAuth,
    SayAuthCancel,
    SayAuthResponse,
    SayData,
    SayHello,
    SayMail,
    SayQuit,
    SayRcpt,
    SayStartTls,
)
from postroom.protocol.smtp.events import Closed, Replied

TIMEOUT = 60.0  # seconds for each step
_PIECE = 64 * 1024
_NONCE = 18  # octets
_MAX_CHALLENGES = 5  # no mechanism of ours has more than three


class Tls(Enum):
    """How the connection is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


@dataclass(frozen=True, slots=True)
class Target:
    """The server and how to reach it. ``ca`` is a file with authorities; without ``verify`` any certificate will do."""

    host: str
    port: int
    tls: Tls = Tls.NONE
    user: str = ""
    password: str = ""
    ca: Path | None = None
    verify: bool = True


def hand_over(target: Target, envelope: Envelope, content: bytes, hostname: str, show: Callable[[str], None]) -> str:
    """Hand the message over; returns the server's last reply. Refused, with its reply, if it does not take it."""
    try:
        with _Talk(target, show) as talk:
            return talk.deliver(envelope, content, hostname)
    except ssl.SSLCertVerificationError as error:
        raise Refused(f"the server's certificate: {error.verify_message}", "--ca FILE, or --insecure") from error
    except RemoteProtocolError as error:
        raise Refused(f"the server does not speak SMTP: {error}", "is it the right port? see --tls") from error
    except OSError as error:
        what = f"{target.host} port {target.port}: {error.strerror or error}"
        raise Refused(what, "is the server running there?") from error


class _Talk:
    """One connection and the engine that drives it."""

    def __init__(self, target: Target, show: Callable[[str], None]) -> None:
        self._target = target
        self._show = show
        self._engine = SmtpClient()
        self._socket: socket.socket = socket.create_connection((target.host, target.port), TIMEOUT)

    def __enter__(self) -> "_Talk":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def deliver(self, envelope: Envelope, content: bytes, hostname: str) -> str:
        """The whole dialogue."""
        target = self._target
        if target.tls is Tls.IMPLICIT:
            self._wrap()
        self._expect()
        self._ask(SayHello(hostname), "EHLO " + hostname)
        if target.tls is Tls.STARTTLS:
            if "STARTTLS" not in self._engine.capabilities:
                raise Refused("the server does not offer STARTTLS", "--tls implicit or --tls none")
            self._ask(SayStartTls(), "STARTTLS")
            self._wrap()
            self._engine.tls_established()
            self._ask(SayHello(hostname), "EHLO " + hostname)
        if target.user:
            self._log_in()
        self._ask(
            SayMail(envelope.reverse_path, len(content), envelope.body, envelope.smtputf8),
            f"MAIL FROM:<{envelope.reverse_path or ''}>",
        )
        self._offer_recipients(envelope)
        self._ask(SayData(), "DATA")
        for start in range(0, len(content), _PIECE):
            self._socket.sendall(self._engine.content(content[start : start + _PIECE]))
        self._show(f"C: ({len(content)} octets of content)")
        self._socket.sendall(self._engine.end_content())
        reply = self._expect()
        self._ask(SayQuit(), "QUIT")
        return str(reply)

    def _log_in(self) -> None:
        """By the best mechanism that the server offers (RFC 4954 §4)."""
        target, offered = self._target, self._engine.capabilities.get("AUTH", "")
        login = Secrets(target.user, Password(target.password))
        client = begin_client(offered.split(), login, secrets.token_urlsafe(_NONCE))
        if client is None:
            raise Refused(
                f"the server offers no way to log in that we have: {offered or 'none'}", "is --tls starttls missing?"
            )
        self._say(SayAuth(client.name, client.initial()), f"AUTH {client.name} (not shown)")
        for _ in range(_MAX_CHALLENGES):
            reply = self._hear()
            if reply.code != 334:
                break
            answer = client.respond(_decoded(reply))
            if isinstance(answer, Malformed):
                self._say(SayAuthCancel(), "*")
                self._hear()
                raise Refused(f"{client.name}: {answer.reason}", "check --user and the password")
            self._say(SayAuthResponse(answer), "(not shown)")
        if not reply.is_positive:
            raise Refused(f"the server refused: {reply}", "check --user and the password")
        if not client.is_satisfied:  # RFC 5802 §5
            raise Refused("the server did not prove that it knows the password", "is it the right server?")

    def _offer_recipients(self, envelope: Envelope) -> None:
        """Go on as long as one recipient is accepted."""
        refusals: list[tuple[Address, Reply]] = []
        for recipient in envelope.recipients:
            self._say(SayRcpt(recipient), f"RCPT TO:<{recipient.address}>")
            reply = self._hear()
            if not reply.is_positive:
                refusals.append((recipient.address, reply))
        if len(refusals) == len(envelope.recipients):
            address, reply = refusals[0]
            raise Refused(f"the server refused {address}: {reply}")

    def _wrap(self) -> None:
        """TLS from here on."""
        target = self._target
        context = ssl.create_default_context(cafile=str(target.ca) if target.ca is not None else None)
        if not target.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        wrapped = context.wrap_socket(self._socket, server_hostname=target.host)
        self._socket = wrapped
        self._show(f"   ({wrapped.version()})")

    def _ask(self, command: Command, shown: str) -> Reply:
        self._say(command, shown)
        return self._expect()

    def _say(self, command: Command, shown: str) -> None:
        self._show(f"C: {shown}")
        self._socket.sendall(self._engine.send(command))

    def _expect(self) -> Reply:
        """A positive reply."""
        reply = self._hear()
        if not reply.is_positive:
            raise Refused(f"the server refused: {reply}")
        return reply

    def _hear(self) -> Reply:
        while True:
            event = self._engine.next_event()
            if isinstance(event, Replied):
                for line in event.reply.lines:
                    self._show(f"S: {Reply(event.reply.code, event.reply.status, (line,))}")
                return event.reply
            if isinstance(event, Closed):
                raise Refused("the server closed the connection")
            self._engine.receive_data(self._socket.recv(_PIECE))


def _decoded(reply: Reply) -> bytes:
    """The challenge in a 334."""
    try:
        return base64.b64decode(reply.lines[0].encode("ascii", "replace"), validate=True)
    except binascii.Error as error:
        raise RemoteProtocolError("the challenge is not base64") from error
