"""Tokens that only their issuer can read: it is asked about each (RFC 7662). A good answer is believed for a minute."""

from hashlib import sha256
from pathlib import Path
from urllib.parse import quote_plus

from postroom.clock import Clock
from postroom.config.identity import OauthSettings
from postroom.directory.cache import LruCache
from postroom.directory.sources.claims import expiry_of, judge
from postroom.directory.sources.https import HttpsSource
from postroom.directory.sources.source import Bearing

BELIEVED = 60.0
"""Seconds for which a good token is not asked about again, if it does not end before: a revoked one is good for as long
(RFC 7662 §4).
"""

_KEPT = 10_000


class Introspection:
    """Asks. ValueError if a file that the settings name cannot be used."""

    def __init__(self, settings: OauthSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._auth = _auth_of(settings)
        self._source = HttpsSource(settings.ca_file, settings.timeout)
        self._good: LruCache[bytes, tuple[Bearing, float]] = LruCache(_KEPT)

    async def verify(self, token: str) -> Bearing | str:
        """Whom it is for, or why it is not good. SourceUnavailable where that cannot be asked."""
        digest, now = sha256(token.encode()).digest(), self._clock.now()
        known = self._good.get(digest)
        if known is not None and now < known[1]:
            return known[0]
        fields = {"token": token, "token_type_hint": "access_token"}
        claims = await self._source.post(self._settings.introspection_url, fields, self._auth)
        if claims.get("active") is not True:  # RFC 7662 §2.2
            return "the token is not active"
        found = judge(claims, self._settings, now, signed=False)
        if isinstance(found, Bearing):
            end = expiry_of(claims)
            self._good.put(digest, (found, now + BELIEVED if end is None else min(end, now + BELIEVED)))
        return found

    async def try_out(self) -> None:
        """Ask about what is no token: whoever answers, answers that it is not active. SourceUnavailable."""
        await self._source.post(self._settings.introspection_url, {"token": "none"}, self._auth)

    async def close(self) -> None:
        """Let go of connections."""
        await self._source.close()


def _auth_of(settings: OauthSettings) -> tuple[str, str] | None:
    """Name and secret, each form-encoded as RFC 6749 §2.3.1 wants it."""
    if not settings.client_id:
        return None
    secret = settings.client_secret.get_secret_value()
    if settings.client_secret_file is not None:
        secret = _first_line(settings.client_secret_file)
    return quote_plus(settings.client_id), quote_plus(secret)


def _first_line(path: Path) -> str:
    try:
        return path.read_text("utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"oauth.client_secret_file cannot be read: {error}") from error
