"""Authenticates to a smarthost (RFC 4954): password, OAuth token or certificate, never in the clear over a network."""

import asyncio
import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from postroom.clock import Clock
from postroom.config.road import SmarthostSettings
from postroom.mail.delivery import Peer
from postroom.mail.reply import Reply
from postroom.mail.value import value
from postroom.outbound import trouble
from postroom.outbound.hosts import is_own_address
from postroom.outbound.tokens import Tokens, TokenUnavailable
from postroom.outbound.trouble import AttemptEnded, Step
from postroom.protocol.sasl.exchange import ClientMechanism, Malformed, Password, Secrets
from postroom.protocol.sasl.mechanisms import begin_client
from postroom.protocol.smtp.commands import Command, SayAuth, SayAuthCancel, SayAuthResponse

MAX_CHALLENGES = 5  # no mechanism of ours has more than two
TOKEN_MECHANISMS = ("OAUTHBEARER", "XOAUTH2")

_SHOWN = 300  # characters of what a server says of a token that it does not take
_NOT_GOOD = 535  # RFC 4954 §6: the credentials are invalid

Ask = Callable[[Command], Awaitable[Reply]]
"""Sends one command and returns its reply."""


@value(frozen=True, slots=True)
class Login:
    """What logs in at one smarthost. ``mechanisms``, in upper case and order, are those to use; empty: the best."""

    name: str
    password: Password | None = None
    tokens: Tokens | None = None
    certificate: bool = False
    mechanisms: tuple[str, ...] = ()

    def choose(self, offered: str, token: Password | None) -> ClientMechanism | None:
        """A fresh exchange in the mechanism to use, of those in the parameters of AUTH; None if there is none."""
        known = Secrets(self.name, self.password, token, self.certificate)
        nonce = secrets.token_urlsafe(24)
        words = [word.upper() for word in offered.split()]
        if not self.mechanisms:
            return begin_client(words, known, nonce)
        chosen = (begin_client([name], known, nonce) for name in self.mechanisms if name in words)
        return next((mechanism for mechanism in chosen if mechanism is not None), None)

    def wants_token(self, offered: str) -> bool:
        """Whether an access token would be used there."""
        if self.tokens is None:
            return False
        mechanism = self.choose(offered, Password("a token"))
        return mechanism is not None and mechanism.name in TOKEN_MECHANISMS

    async def close(self) -> None:
        """Let go of connections to the token endpoint."""
        if self.tokens is not None:
            await self.tokens.close()


def login_for(smarthost: SmarthostSettings, clock: Clock) -> Login | None:
    """The login of the settings, None where there is nothing to log in with. OSError where a file cannot be read."""
    certificate = smarthost.certificate is not None and not smarthost.user
    if not smarthost.user and not certificate:
        return None
    mechanisms = tuple([name.upper() for name in smarthost.mechanisms])
    tokens = Tokens(smarthost, clock) if smarthost.token_url else None
    password = smarthost.password.get_secret_value()
    if smarthost.password_file is not None:
        password = _first_line(smarthost.password_file)
    # Where there are tokens and no password an empty one must not be tried.
    known = Password(password) if smarthost.user and (password or tokens is None) else None
    return Login(smarthost.user, known, tokens, certificate, mechanisms)


async def log_in(login: Login, ask: Ask, offered: str, peer: Peer) -> None:
    """Authenticate with the best mechanism that the server ``offered`` (the parameters of AUTH).

    Raises AttemptEnded. A refusal concerns our settings, so the mail is Deferred, never Failed.
    """
    if not peer.tls and not is_own_address(peer.address):
        # DESIGN promise 2: no password in the clear, also where the settings allow a connection without TLS.
        raise AttemptEnded(trouble.login_impossible(peer, "no TLS: the password is not sent in the clear"))
    if not login.wants_token(offered) or login.tokens is None:
        await _authenticate(login, ask, offered, peer, None)
        return
    token = await _token(login.tokens, peer)
    try:
        await _authenticate(login, ask, offered, peer, token)
    except AttemptEnded as ended:
        login.tokens.reject(token)
        if ended.trouble.outcome.reply.code != _NOT_GOOD:
            raise
        # It may have been revoked before its time: a fresh one is tried, once, on the same connection.
        await _authenticate(login, ask, offered, peer, await _token(login.tokens, peer))


async def _token(tokens: Tokens, peer: Peer) -> Password:
    try:
        return await tokens.get()
    except TokenUnavailable as error:
        raise AttemptEnded(trouble.login_impossible(peer, str(error))) from error


async def _authenticate(login: Login, ask: Ask, offered: str, peer: Peer, token: Password | None) -> None:
    mechanism = login.choose(offered, token)
    if mechanism is None:
        if login.certificate:
            return  # TLS has shown who we are, and the server does not want to hear it again
        raise AttemptEnded(trouble.login_impossible(peer, f"no mechanism in common, it offers {offered or 'none'}"))
    reply = await ask(SayAuth(mechanism.name, mechanism.initial()))
    said: list[bytes] = []
    for _ in range(MAX_CHALLENGES):
        if reply.code != 334:
            break
        challenge = _decode(reply)
        if challenge is None:
            answer: bytes | Malformed = Malformed("the challenge is not base64")
        else:  # in a thread: SCRAM hashes the password as often as the server says
            said.append(challenge)
            answer = await asyncio.to_thread(mechanism.respond, challenge)
        if isinstance(answer, Malformed):
            await ask(SayAuthCancel())
            raise AttemptEnded(trouble.login_impossible(peer, answer.reason))
        reply = await ask(SayAuthResponse(answer))
    if reply.code != 235:
        found = trouble.from_reply(Step.AUTH, reply, peer)
        raise AttemptEnded(trouble.with_detail(found, _explained(mechanism.name, said)))
    if not mechanism.is_satisfied:  # RFC 5802 §3: a server that does not know the password is none of ours
        raise AttemptEnded(trouble.login_impossible(peer, f"{mechanism.name}: the server did not prove itself"))


def _explained(mechanism: str, said: Sequence[bytes]) -> str:
    """What the server said of a token (RFC 7628 §3.2.2), for the log; it holds nothing of the token itself."""
    if mechanism not in TOKEN_MECHANISMS or not said:
        return f"by {mechanism}"
    return f"by {mechanism}: {said[-1][:_SHOWN].decode('ascii', 'backslashreplace')}"


def _decode(reply: Reply) -> bytes | None:
    """The challenge in a 334."""
    try:
        return base64.b64decode(reply.lines[0].encode("ascii", "replace"), validate=True)
    except binascii.Error:
        return None


def _first_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return lines[0] if lines else ""
