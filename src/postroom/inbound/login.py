"""AUTH: one login, in the words of SMTP; the replies tell nothing that helps guessing (RFC 4954)."""

import base64
from collections.abc import Mapping
from types import MappingProxyType

from postroom.directory.login import Ask, Failure, LoggedIn, Login, LoginDesk
from postroom.mail.reply import Reply
from postroom.mail.session import Client
from postroom.net.pause import Pause
from postroom.protocol.sasl.exchange import Binding, no_binding

_SUCCEEDED = Reply.of(235, "2.7.0", "Authentication successful")
_UNKNOWN_MECHANISM = Reply.of(504, "5.5.4", "Unknown authentication mechanism")
_REFUSALS: Mapping[Failure, Reply] = MappingProxyType(
    {
        Failure.MALFORMED: Reply.of(501, "5.5.2", "Malformed authentication exchange"),
        Failure.WRONG: Reply.of(535, "5.7.8", "Authentication credentials invalid"),
        Failure.LOCKED: Reply.of(454, "4.7.0", "Too many failed logins, try again later"),
        Failure.UNAVAILABLE: Reply.of(454, "4.7.0", "Temporary authentication failure"),
    }
)


class SmtpLogin:
    """One exchange of one session. ``account`` is the account that logged in, ``""`` until then.

    ``pause`` is where answers to failures are held back.
    """

    __slots__ = ("_announced", "_login", "_mechanism", "_pause", "account")

    def __init__(
        self, desk: LoginDesk, client: Client, mechanism: str, pause: Pause, binding: Binding = no_binding
    ) -> None:
        self._mechanism = mechanism
        self._announced = desk.mechanisms(client, binding)
        self._login = Login(desk, client, mechanism, self._announced, binding)
        self._pause = pause
        self.account = ""

    async def step(self, data: bytes | None) -> Reply:
        """What the client sent (None: no initial response); the reply is a 334 while the exchange goes on."""
        if self._mechanism not in self._announced:
            return _UNKNOWN_MECHANISM
        outcome = await self._login.step(data)
        if isinstance(outcome, LoggedIn):
            self.account = str(outcome.account.address)
            return _SUCCEEDED
        await self._pause.hold(outcome.delay)
        if isinstance(outcome, Ask):
            return Reply(334, "", (base64.b64encode(outcome.data).decode("ascii"),))
        return _REFUSALS[outcome.kind]
