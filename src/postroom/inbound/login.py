"""AUTH: runs one SASL exchange and asks who it was; the replies tell nothing that helps guessing (RFC 4954)."""

import base64
from dataclasses import replace
from typing import Protocol, assert_never

from postroom.directory.credentials import Authenticated, LoginResult, Refused, Unavailable
from postroom.mail.reply import Reply
from postroom.mail.session import Client
from postroom.protocol.sasl.exchange import Challenge, Credentials, Malformed, Password
from postroom.protocol.sasl.mechanisms import begin_server
from postroom.report.events import LoginFailed, LoginSucceeded
from postroom.report.reporter import Reporter

_SUCCEEDED = Reply.of(235, "2.7.0", "Authentication successful")
_WRONG = Reply.of(535, "5.7.8", "Authentication credentials invalid")
_UNAVAILABLE = Reply.of(454, "4.7.0", "Temporary authentication failure")
_MALFORMED = Reply.of(501, "5.5.2", "Malformed authentication exchange")
_UNKNOWN_MECHANISM = Reply.of(504, "5.5.4", "Unknown authentication mechanism")
_SHOWN_NAME = 100  # characters of the tried name that a report is given


class Checker(Protocol):
    """Knows whether a name and a password belong together: ``directory.credentials``."""

    async def check(self, name: str, password: Password, client_address: str, *, authzid: str = "") -> LoginResult:
        """Whether they do, and the account may log in, as itself."""
        ...


class Login:
    """One exchange of one session. ``account`` is the account that logged in, ``""`` until then."""

    __slots__ = ("_checker", "_client", "_exchange", "_mechanism", "_reporter", "account")

    def __init__(self, checker: Checker, reporter: Reporter, client: Client, mechanism: str) -> None:
        self._checker = checker
        self._reporter = reporter
        self._client = client
        self._mechanism = mechanism
        self._exchange = begin_server(mechanism)
        self.account = ""

    async def step(self, data: bytes | None) -> Reply:
        """What the client sent (None: no initial response); the reply is a 334 while the exchange goes on."""
        if self._exchange is None:
            return _UNKNOWN_MECHANISM
        step = self._exchange.step(data)
        match step:
            case Challenge(challenge):
                return Reply(334, "", (base64.b64encode(challenge).decode("ascii"),))
            case Malformed(reason):
                self._fail("", reason, 0, 0)
                return _MALFORMED
            case Credentials():
                return await self._check(step)
            case _:
                assert_never(step)

    async def _check(self, claim: Credentials) -> Reply:
        """Whether it is who it says. Unknown account and wrong password are answered alike (535 5.7.8)."""
        outcome = await self._checker.check(claim.name, claim.password, self._client.address, authzid=claim.authzid)
        match outcome:
            case Authenticated(account):
                self.account = str(account.address)
                self._reporter.tell(LoginSucceeded(replace(self._client, account=self.account), self._mechanism))
                return _SUCCEEDED
            case Refused(reason, from_address, for_account):
                self._fail(claim.name, reason, from_address, for_account)
                return _WRONG
            case Unavailable(reason):
                self._fail(claim.name, reason, 0, 0)
                return _UNAVAILABLE
            case _:
                assert_never(outcome)

    def _fail(self, name: str, reason: str, from_address: int, for_account: int) -> None:
        self._reporter.tell(
            LoginFailed(self._client, self._mechanism, name[:_SHOWN_NAME], reason, from_address, for_account)
        )
