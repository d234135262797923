"""Access tokens for a smarthost: got at its token endpoint, kept until shortly before they end (RFC 6749 §4.4, §6)."""

import asyncio
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import orjson

from postroom.clock import Clock
from postroom.config.road import SmarthostSettings
from postroom.net.tls import verifying_context
from postroom.protocol.sasl.exchange import Password

TIMEOUT = 20.0  # seconds for one question to the endpoint
MAX_ANSWER = 256 * 1024  # octets
MARGIN = 60.0  # seconds before its end from which a token is not used any more; half of its life if that is less
UNKNOWN_LIFE = 300.0  # seconds that a token without expires_in is used for (RFC 6749 §5.1: it may be known otherwise)
LONGEST_LIFE = 7 * 86400.0
PAUSE = 30.0  # seconds for which an endpoint that refused is not asked again: a queue must not knock all the time

_MAX_TOKEN = 16 * 1024
_SHOWN = 200  # characters of what the endpoint says about itself


class TokenUnavailable(Exception):
    """There is no access token now; the text says why, without any secret."""


class Tokens:
    """The access tokens for one smarthost. However many ask at once, the endpoint is asked once.

    The refresh token is read from its file whenever it is needed, so that an operator may replace it. One that the
    endpoint gives in its place is written back at once, readable for us alone; where that fails it is kept in memory.
    OSError where a file of the settings cannot be read.
    """

    def __init__(self, settings: SmarthostSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._client: httpx2.AsyncClient | None = None
        self._context = verifying_context(settings.token_ca_file)
        self._secret = "" if settings.client_secret_file is None else read_secret(settings.client_secret_file)
        self._renewed = ("", "")  # the refresh token in the file, and the one that took its place
        if settings.refresh_token_file is not None:
            read_secret(settings.refresh_token_file)
        self._token: Password | None = None
        self._until = 0.0
        self._refused: tuple[str, float] = ("", 0.0)  # why there was none, and until when that is believed
        self._asking = asyncio.Lock()

    async def get(self) -> Password:
        """A token that is good for a while. TokenUnavailable if there is none to be had."""
        token = self._at_hand()
        if token is not None:
            return token
        async with self._asking:
            token = self._at_hand()  # who waited finds what the first one got
            if token is not None:
                return token
            why, until = self._refused
            if self._clock.monotonic() < until:
                raise TokenUnavailable(why)
            try:
                return await self._renew()
            except TokenUnavailable as error:
                if self._at_hand() is None:
                    self._refused = (str(error), self._clock.monotonic() + PAUSE)
                raise

    def reject(self, token: Password) -> None:
        """The server did not take it: it is not given out again."""
        if self._token is token:
            self._token = None

    async def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            await self._client.aclose()

    def _at_hand(self) -> Password | None:
        return self._token if self._clock.monotonic() < self._until else None

    async def _renew(self) -> Password:
        settings = self._settings
        fields = {"client_id": settings.client_id} if settings.client_id else {}
        if self._secret:
            fields["client_secret"] = self._secret  # RFC 6749 §2.3.1; the large providers take it in the body
        if settings.scope:
            fields["scope"] = settings.scope
        refresh = ""
        if settings.refresh_token_file is not None:
            refresh = await self._refresh_token(settings.refresh_token_file)
            fields |= {"grant_type": "refresh_token", "refresh_token": refresh}
        else:
            fields["grant_type"] = "client_credentials"
        answer = await self._ask(fields)
        token = answer.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not 0 < len(token) <= _MAX_TOKEN:
            raise TokenUnavailable(f"{settings.token_url} gave no access token")
        life = _life(answer.get("expires_in"))
        self._token = Password(token)
        self._until = self._clock.monotonic() + life - min(MARGIN, life / 2)
        await self._keep(refresh, answer.get("refresh_token"))
        return self._token

    async def _ask(self, fields: Mapping[str, str]) -> dict[str, Any]:
        """The endpoint's answer."""
        url = self._settings.token_url
        if self._client is None:
            self._client = httpx2.AsyncClient(verify=self._context, timeout=TIMEOUT, follow_redirects=False)
        body = b""
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                self._client.stream("POST", url, data=dict(fields), headers={"accept": "application/json"}) as response,
            ):
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise TokenUnavailable(f"{url} answers with more than {MAX_ANSWER} octets")
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise TokenUnavailable(f"{url} does not answer in time") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise TokenUnavailable(f"{url} cannot be asked: {type(error).__name__}") from error
        try:
            answer = orjson.loads(body)
        except ValueError:
            answer = None
        if response.status_code != 200 or not isinstance(answer, dict):
            raise TokenUnavailable(f"{url} answers {response.status_code}{_explained(answer, fields)}")
        return answer

    async def _refresh_token(self, path: Path) -> str:
        """What the file says now, unless the endpoint has given another in its place and it could not be written."""
        try:
            stored = await asyncio.to_thread(read_secret, path)
        except OSError as error:
            raise TokenUnavailable(f"the refresh token cannot be read: {error}") from error
        replaced, renewed = self._renewed
        if renewed and stored == replaced:
            return renewed
        self._renewed = ("", "")  # an operator has put another one there
        return stored

    async def _keep(self, old: str, new: object) -> None:
        """Write a new refresh token back (RFC 6749 §6: the client must discard the old one)."""
        path = self._settings.refresh_token_file
        given = new if isinstance(new, str) and len(new) <= _MAX_TOKEN and new.isprintable() and new != old else ""
        replaced, waiting = self._renewed
        current = given or waiting  # what could not be written the last time is written now
        if path is None or not current:
            return
        try:
            await asyncio.to_thread(replace_secret, path, current)
        except OSError as error:
            # The access token is good, and the next one who asks gets it; that somebody looks after the file is urgent.
            self._renewed = (replaced or old, current)
            raise TokenUnavailable(f"the new refresh token cannot be written to {path}: {error.strerror}") from error
        self._renewed = ("", "")


def _life(said: object) -> float:
    """Seconds for which a token is good, by its expires_in; some write the number as text."""
    if isinstance(said, str) and said.isdecimal() and len(said) < 10:
        said = int(said)
    if isinstance(said, bool) or not isinstance(said, int | float) or not said > 0:
        return UNKNOWN_LIFE
    return min(float(said), LONGEST_LIFE)


def read_secret(path: Path) -> str:
    """The first line of a file. OSError if it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise OSError(f"{path} is not text") from error
    return lines[0].strip() if lines else ""


def replace_secret(path: Path, secret: str) -> None:
    """Put a secret into a file, whole or not at all, for its owner's eyes alone. OSError."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _explained(answer: object, fields: Mapping[str, str]) -> str:
    """What the endpoint says is wrong (RFC 6749 §5.2), as long as it repeats nothing of what must stay secret."""
    if not isinstance(answer, dict):
        return ""
    words = [answer.get(key) for key in ("error", "error_description")]
    text = ": ".join([word for word in words if isinstance(word, str) and word])
    secrets = [fields[key] for key in ("client_secret", "refresh_token") if fields.get(key)]
    if any(secret in text for secret in secrets):
        return ""
    return ", " + " ".join(text.split())[:_SHOWN] if text else ""
