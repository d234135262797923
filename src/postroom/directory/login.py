"""One login, whichever protocol it comes by: drives the SASL exchange, asks whether the claim is true, tells the guard.

Who fails learns nothing that helps guessing: an unknown account and a wrong password are answered alike, and as late
(RFC 4954 §6, RFC 3206 §5). The answer is held back by the session, for as long as the guard says.
"""

import secrets
from dataclasses import replace
from enum import Enum
from typing import assert_never

from postroom.directory.checker import Asker, Authenticated, Checker, LoginResult, Refused, Unavailable
from postroom.directory.guard import LoginGuard
from postroom.directory.model import Account
from postroom.mail.session import Client, Role
from postroom.mail.value import value
from postroom.protocol.sasl.exchange import (
    Around,
    Bearer,
    Binding,
    Challenge,
    Credentials,
    Disproved,
    External,
    KeysWanted,
    Malformed,
    Password,
    Proved,
    no_binding,
)
from postroom.protocol.sasl.mechanisms import begin_server, fitting
from postroom.protocol.sasl.scram_words import BINDINGS
from postroom.report.events import LoginFailed, LoginSucceeded
from postroom.report.reporter import Reporter

_SHOWN_NAME = 100  # characters of the tried name that a report is given
_NONCE = 18  # octets: 24 characters


class Failure(Enum):
    """Why a login failed, as far as the peer may know."""

    MALFORMED = "malformed"
    """It was no exchange of this mechanism (501 5.5.2)."""
    WRONG = "wrong"
    """The credentials are not good (535 5.7.8, RFC 3206 §5 ``[AUTH]``)."""
    LOCKED = "locked"
    """Too many failed before, from this address or for this account (454 4.7.0, RFC 3206 §4 ``[SYS/TEMP]``)."""
    UNAVAILABLE = "unavailable"
    """It cannot be told now (454 4.7.0, RFC 3206 §4 ``[SYS/TEMP]``)."""


@value(frozen=True, slots=True)
class Ask:
    """Send ``data`` as a challenge after ``delay`` seconds, and come back with the response."""

    data: bytes
    delay: float = 0.0


@value(frozen=True, slots=True)
class LoggedIn:
    """It is ``account``. ``credential`` names the app password that was used, ``""`` for its own."""

    account: Account
    credential: str = ""


@value(frozen=True, slots=True)
class NotLoggedIn:
    """It failed: say so after ``delay`` seconds."""

    kind: Failure
    delay: float = 0.0


Outcome = Ask | LoggedIn | NotLoggedIn


@value(frozen=True, slots=True)
class LoginDesk:
    """What the logins of one service share."""

    checker: Checker
    guard: LoginGuard
    reporter: Reporter

    def mechanisms(self, client: Client, binding: Binding = no_binding) -> tuple[str, ...]:
        """What may be announced to the client now: -PLUS where there is a channel binding, EXTERNAL where TLS has shown
        who it is.
        """
        binds = any(binding(kind) for kind in BINDINGS)
        certified = client.tls is not None and bool(client.tls.peer_names)
        return fitting(self.checker.mechanisms, binds=binds, certified=certified)


class Login:
    """One exchange of one session. ``announced`` is what the client was told that it may use."""

    __slots__ = ("_asker", "_client", "_desk", "_end", "_exchange", "_mechanism", "_name")

    def __init__(
        self,
        desk: LoginDesk,
        client: Client,
        mechanism: str,
        announced: tuple[str, ...] = (),
        binding: Binding = no_binding,
    ) -> None:
        self._desk = desk
        self._client = client
        self._mechanism = mechanism
        self._asker = Asker(client.address, "pop3" if client.role in (Role.POP3, Role.POP3S) else "smtp")
        host = client.tls.server_name if client.tls is not None else ""
        around = Around(secrets.token_urlsafe(_NONCE), announced, binding, host)
        self._exchange = begin_server(mechanism, around)
        self._end: LoggedIn | NotLoggedIn | None = None  # what follows the client's answer to the last challenge
        self._name = ""  # whom it claims to be, as far as it has said

    async def step(self, data: bytes | None) -> Outcome:
        """What the client sent (None: no initial response), and what comes of it."""
        if self._end is not None:
            return self._welcome(self._end) if isinstance(self._end, LoggedIn) else self._end
        if self._exchange is None:
            return self._give_up(Failure.MALFORMED, "unknown mechanism")
        step = self._exchange.step(data)
        match step:
            case Challenge(challenge):
                return Ask(challenge)
            case Malformed(reason):
                return self._give_up(Failure.MALFORMED, reason)
            case Credentials(name, password, authzid):
                return await self.with_password(name, password, authzid)
            case KeysWanted():
                return await self._look_up(step)
            case Disproved(name, reason, refusal):
                self._name = name or self._name
                return self._say_last(refusal, self._refuse(reason))
            case Proved():
                return await self._proved(step)
            case Bearer():
                return await self._bearer(step)
            case External(authzid):
                return await self._external(authzid)
            case _:
                assert_never(step)

    async def with_password(self, name: str, password: Password, authzid: str = "") -> LoggedIn | NotLoggedIn:
        """Name and password in the clear, by SASL or by another way of the protocol (USER and PASS of POP3)."""
        self._name = name
        locked = self._locked()
        if locked is not None:
            return locked
        end = self._judge(await self._desk.checker.check(name, password, self._asker, authzid=authzid))
        return self._welcome(end) if isinstance(end, LoggedIn) else end

    # By mechanism.

    async def _look_up(self, wanted: KeysWanted) -> Outcome:
        self._name = wanted.name
        locked = self._locked()
        if locked is not None:
            return locked
        keys = await self._desk.checker.scram_keys(wanted.name, wanted.algorithm, self._asker)
        if isinstance(keys, Unavailable):
            return self._give_up(Failure.UNAVAILABLE, keys.reason)
        return Ask(wanted.with_keys(keys).data)

    async def _proved(self, proved: Proved) -> Outcome:
        result = await self._desk.checker.proved(
            proved.name, self._asker, authzid=proved.authzid, credential=proved.credential
        )
        end = self._judge(result)
        return self._say_last(proved.data if isinstance(end, LoggedIn) else proved.refusal, end)

    async def _bearer(self, claim: Bearer) -> Outcome:
        self._name = claim.name
        locked = self._locked()
        if locked is not None:
            return locked
        end = self._judge(await self._desk.checker.bearer(claim.token, self._asker, name=claim.name))
        return self._welcome(end) if isinstance(end, LoggedIn) else self._say_last(claim.refusal, end)

    async def _external(self, authzid: str) -> Outcome:
        names = self._client.tls.peer_names if self._client.tls is not None else ()
        self._name = authzid or (names[0] if names else "")
        locked = self._locked()
        if locked is not None:
            return locked
        end = self._judge(await self._desk.checker.external(names, self._asker, authzid=authzid))
        return self._welcome(end) if isinstance(end, LoggedIn) else end

    # What comes of it.

    def _locked(self) -> NotLoggedIn | None:
        """A refusal, if nobody may try now: whether the claim is true is not even looked at."""
        standing = self._desk.guard.standing(self._client.address, self._name)
        return self._give_up(Failure.LOCKED, standing.locked) if standing.locked else None

    def _judge(self, result: LoginResult) -> LoggedIn | NotLoggedIn:
        match result:
            case Authenticated(account, credential):
                return self._locked() or LoggedIn(account, credential)
            case Refused(reason):
                return self._refuse(reason)
            case Unavailable(reason):
                return self._give_up(Failure.UNAVAILABLE, reason)
            case _:
                assert_never(result)

    def _welcome(self, end: LoggedIn) -> LoggedIn:
        address = str(end.account.address)
        self._desk.guard.succeeded(self._client.address, address)
        self._desk.reporter.tell(LoginSucceeded(replace(self._client, account=address), self._mechanism))
        return end

    def _refuse(self, reason: str) -> NotLoggedIn:
        """A failure that counts. It counts now: a client that breaks off before it hears of it has guessed as well.

        Unless too many have failed meanwhile, on other connections: then it is answered as a right guess would be, so
        that many guesses at once tell no more than one after the other.
        """
        locked = self._locked()
        if locked is not None:
            return locked
        failure = self._desk.guard.failed(self._client.address, self._name)
        self._tell(reason, failure.from_address, failure.for_account)
        return NotLoggedIn(Failure.WRONG, failure.delay)

    def _give_up(self, kind: Failure, reason: str) -> NotLoggedIn:
        """A failure that is no guess."""
        self._tell(reason, 0, 0)
        return NotLoggedIn(kind)

    def _say_last(self, data: bytes, end: LoggedIn | NotLoggedIn) -> Outcome:
        """What the mechanism says before it ends. Trouble of ours is told without it."""
        if isinstance(end, LoggedIn):
            self._end = end
            return Ask(data)
        if end.kind is not Failure.WRONG:
            return end
        self._end = NotLoggedIn(end.kind)
        return Ask(data, end.delay)

    def _tell(self, reason: str, from_address: int, for_account: int) -> None:
        name = self._name[:_SHOWN_NAME]
        self._desk.reporter.tell(LoginFailed(self._client, self._mechanism, name, reason, from_address, for_account))
