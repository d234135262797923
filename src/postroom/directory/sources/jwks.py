"""The keys of an issuer (RFC 7517): from its URL or from a file, kept for a while, fetched anew when one is missing."""

import asyncio
from pathlib import Path
from typing import Protocol

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, KeySet, OKPKey, RSAKey

from postroom.clock import Clock
from postroom.directory.sources.claims import read_object
from postroom.directory.sources.https import HttpsSource
from postroom.directory.sources.source import SourceUnavailable

KEPT = 3600.0
"""Seconds for which keys are believed. An issuer that cannot be reached is believed for longer."""

AGAIN = 60.0
"""Seconds between two questions: a client that invents key ids must not make us flood the issuer."""

_MOST_KEYS = 50
_MAX_FILE = 1 << 20


class Keys(Protocol):
    """Where keys come from."""

    async def matching(self, kid: str | None) -> list[Key]:
        """The key of that id, or all where the token names none. SourceUnavailable if none were ever had."""
        ...

    async def try_out(self) -> None:
        """Get them now. SourceUnavailable."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def read_keys(found: dict[str, object]) -> list[Key]:
    """The public keys for signatures in a key set. ValueError if it is none, or has no such key."""
    given = found.get("keys")
    if not isinstance(given, list):
        raise ValueError("it has no list of keys")
    try:
        parsed = KeySet.import_key_set({"keys": given[:_MOST_KEYS]})
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"its keys cannot be read ({type(error).__name__})") from error
    # Secret keys (oct) have no place here: whoever reads the set could sign with them (RFC 8725 §2.1).
    keys: list[Key] = [
        key for key in parsed if isinstance(key, RSAKey | ECKey | OKPKey) and key.get("use", "sig") == "sig"
    ]
    if not keys:
        raise ValueError("it has no key for signatures")
    return keys


def select(keys: list[Key], kid: str | None) -> list[Key]:
    """Those that a token with this key id may be signed by."""
    return [key for key in keys if kid is None or key.kid == kid]


class FetchedKeys:
    """From a URL. One question at a time; trouble with a new one leaves the old keys in use."""

    def __init__(self, url: str, source: HttpsSource, clock: Clock) -> None:
        self._url = url
        self._source = source
        self._clock = clock
        self._keys: list[Key] = []
        self._fetched_at = self._asked_at = float("-inf")
        self._trouble = "OAuth: the keys have not been fetched yet"
        self._asking = asyncio.Lock()

    async def matching(self, kid: str | None) -> list[Key]:
        """Asks again, if that has not been done lately, for a key that is missing and for keys that are old."""
        if not self._is_fresh(kid):
            async with self._asking:
                if not self._is_fresh(kid) and self._clock.monotonic() - self._asked_at >= AGAIN:
                    await self._ask()
        if not self._keys:
            raise SourceUnavailable(self._trouble)
        return select(self._keys, kid)

    async def try_out(self) -> None:
        """Fetch them now."""
        async with self._asking:
            await self._ask()
        if self._trouble:
            raise SourceUnavailable(self._trouble)

    async def close(self) -> None:
        """The connection."""
        await self._source.close()

    def _is_fresh(self, kid: str | None) -> bool:
        return self._clock.monotonic() - self._fetched_at < KEPT and bool(select(self._keys, kid))

    async def _ask(self) -> None:
        try:
            self._keys = read_keys(await self._source.get(self._url))
            self._fetched_at, self._trouble = self._clock.monotonic(), ""
        except SourceUnavailable as error:
            self._trouble = str(error)
        except ValueError as error:
            self._trouble = f"OAuth: {self._url} answers something, but {error}"
        finally:
            self._asked_at = self._clock.monotonic()


class KeyFile:
    """From a file, read anew when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: list[Key] = []
        self._seen: tuple[int, int, int] | None = None

    async def matching(self, kid: str | None) -> list[Key]:
        """A file that is of no use now leaves what was read before in use."""
        try:
            self._look()
        except (OSError, ValueError) as error:
            if not self._keys:
                raise SourceUnavailable(self._say(error)) from error
        return select(self._keys, kid)

    async def try_out(self) -> None:
        """Read it now."""
        self._seen = None
        try:
            self._look()
        except (OSError, ValueError) as error:
            raise SourceUnavailable(self._say(error)) from error

    async def close(self) -> None:
        """Nothing is held."""

    def _look(self) -> None:
        status = self._path.stat()
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if seen == self._seen:
            return
        if status.st_size > _MAX_FILE:
            raise ValueError(f"it is larger than {_MAX_FILE} octets")
        self._keys = read_keys(read_object(self._path.read_bytes()))
        self._seen = seen

    def _say(self, error: Exception) -> str:
        why = error.strerror if isinstance(error, OSError) else error
        return f"OAuth: oauth.jwks_file {self._path} cannot be used: {why}"
