"""Authenticates to a smarthost (RFC 4954), never in the clear over a network."""

import asyncio
import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable

from postroom.config.road import SmarthostSettings
from postroom.mail.delivery import Peer
from postroom.mail.reply import Reply
from postroom.mail.value import value
from postroom.outbound import trouble
from postroom.outbound.hosts import is_own_address
from postroom.outbound.trouble import AttemptEnded, Step
from postroom.protocol.sasl.exchange import Malformed, Password, Secrets
from postroom.protocol.sasl.mechanisms import begin_client
from postroom.protocol.smtp.commands import Command, SayAuth, SayAuthCancel, SayAuthResponse

MAX_CHALLENGES = 5  # no mechanism of ours has more than two

Ask = Callable[[Command], Awaitable[Reply]]
"""Sends one command and returns its reply."""


@value(frozen=True, slots=True)
class Login:
    """Name and password for one smarthost."""

    name: str
    password: Password


def login_for(smarthost: SmarthostSettings) -> Login | None:
    """The login of the settings, None where no user is named. OSError where the password file cannot be read."""
    if not smarthost.user:
        return None
    password = smarthost.password.get_secret_value()
    if smarthost.password_file is not None:
        lines = smarthost.password_file.read_text(encoding="utf-8").splitlines()
        password = lines[0] if lines else ""
    return Login(smarthost.user, Password(password))


async def log_in(login: Login, ask: Ask, offered: str, peer: Peer) -> None:
    """Authenticate with the best mechanism that the server ``offered`` (the parameters of AUTH).

    Raises AttemptEnded. A refusal concerns our settings, so the mail is Deferred, never Failed.
    """
    if not peer.tls and not is_own_address(peer.address):
        # DESIGN promise 2: no password in the clear, also where the settings allow a connection without TLS.
        raise AttemptEnded(trouble.login_impossible(peer, "no TLS: the password is not sent in the clear"))
    mechanism = begin_client(offered.split(), Secrets(login.name, login.password), secrets.token_urlsafe(24))
    if mechanism is None:
        raise AttemptEnded(trouble.login_impossible(peer, f"no mechanism in common, it offers {offered or 'none'}"))
    reply = await ask(SayAuth(mechanism.name, mechanism.initial()))
    for _ in range(MAX_CHALLENGES):
        if reply.code != 334:
            break
        challenge = _decode(reply)
        if challenge is None:
            answer: bytes | Malformed = Malformed("the challenge is not base64")
        else:  # in a thread: SCRAM hashes the password as often as the server says
            answer = await asyncio.to_thread(mechanism.respond, challenge)
        if isinstance(answer, Malformed):
            await ask(SayAuthCancel())
            raise AttemptEnded(trouble.login_impossible(peer, answer.reason))
        reply = await ask(SayAuthResponse(answer))
    if reply.code != 235:
        raise AttemptEnded(trouble.from_reply(Step.AUTH, reply, peer))
    if not mechanism.is_satisfied:  # RFC 5802 §3: a server that does not know the password is none of ours
        raise AttemptEnded(trouble.login_impossible(peer, f"{mechanism.name}: the server did not prove itself"))


def _decode(reply: Reply) -> bytes | None:
    """The challenge in a 334."""
    try:
        return base64.b64decode(reply.lines[0].encode("ascii", "replace"), validate=True)
    except binascii.Error:
        return None
