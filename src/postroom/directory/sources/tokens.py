"""Signed tokens (RFC 7519, RFC 9068): good if a key of the issuer has signed them and they say what they must."""

from typing import Any

from joserfc import jws
from joserfc.errors import UnsupportedAlgorithmError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry

from postroom.clock import Clock
from postroom.config.identity import OauthSettings
from postroom.directory.sources.claims import judge, read_object
from postroom.directory.sources.https import HttpsSource
from postroom.directory.sources.jwks import FetchedKeys, KeyFile, Keys
from postroom.directory.sources.source import Bearing

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448",
)  # fmt: skip
"""What tokens may be signed with: public keys alone, never ``none``, never a shared secret (RFC 8725 §3.1)."""

_NOT_SIGNED = "the token is not signed by its issuer"


class _Registry(JWSRegistry):
    """Knows these algorithms only, and takes headers that it does not know (RFC 7515 §4; but those in ``crit``)."""

    max_header_length = 4096

    def __init__(self) -> None:
        super().__init__(algorithms=ALGORITHMS, strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        """The algorithm; EdDSA too, whose name is out of date (RFC 9864) and in use."""
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


class SignedTokens:
    """Checks signatures. ValueError if the settings name no keys, or a file with authorities that cannot be used."""

    def __init__(self, settings: OauthSettings, clock: Clock, keys: Keys | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._registry = _Registry()
        self._keys = keys or _keys_of(settings, clock)

    async def verify(self, token: str) -> Bearing | str:
        """Whom it is for, or why it is not good. SourceUnavailable while there are no keys."""
        try:
            signed = jws.extract_compact(token.encode("ascii"), registry=self._registry)
            kid = signed.headers().get("kid")
            self._registry.get_alg(signed.headers()["alg"])
        except Exception:  # noqa: BLE001 - whatever it makes the library raise, it is no token
            return "the token is none that we know"
        if kid is not None and not isinstance(kid, str):
            return "the token is none that we know"
        for key in await self._keys.matching(kid):
            if self._is_signed_by(token, key):
                return self._judge(signed.payload)
        return _NOT_SIGNED

    async def try_out(self) -> None:
        """Get the keys now. SourceUnavailable."""
        await self._keys.try_out()

    async def close(self) -> None:
        """Let go of connections."""
        await self._keys.close()

    def _is_signed_by(self, token: str, key: Key) -> bool:
        try:
            jws.deserialize_compact(token, key, registry=self._registry)
        except Exception:  # noqa: BLE001 - as above; a key of another kind is not it either
            return False
        return True

    def _judge(self, payload: Any) -> Bearing | str:
        try:
            claims = read_object(payload)
        except ValueError as error:
            return f"the token's payload cannot be read: {error}"
        return judge(claims, self._settings, self._clock.now(), signed=True)


def _keys_of(settings: OauthSettings, clock: Clock) -> Keys:
    if settings.jwks_file is not None:
        return KeyFile(settings.jwks_file)
    return FetchedKeys(settings.jwks_url, HttpsSource(settings.ca_file, settings.timeout), clock)
