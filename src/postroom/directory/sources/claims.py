"""What a token must say to be good for a login: who issued it, for whom, until when (RFC 7519 §4.1, RFC 8725 §3)."""

import json
from collections.abc import Mapping
from typing import Any

from postroom.config.identity import OauthSettings
from postroom.directory.sources.source import Bearing

LEEWAY = 30.0
"""Seconds by which the issuer's clock may differ from ours."""


def judge(claims: Mapping[str, Any], settings: OauthSettings, now: float, *, signed: bool) -> Bearing | str:
    """Whom the token is for, or why it is not good. Of ``signed`` ones nobody else has looked at issuer and end."""
    reason = (
        _issuer(claims, settings, signed=signed)
        or _times(claims, now, signed=signed)
        or _audience(claims, settings)
        or _scope(claims, settings)
    )
    if reason:
        return reason
    name = claims.get(settings.claim)
    if not isinstance(name, str) or not name:
        return f"the token has no claim {settings.claim!r}"
    if settings.claim == "email" and claims.get("email_verified", True) not in {True, "true"}:
        return "the token's address has not been verified by its issuer"  # anybody could have claimed it there
    return Bearing(name)


def expiry_of(claims: Mapping[str, Any]) -> float | None:
    """When it ends, None if it does not say."""
    return _number(claims.get("exp"))


def read_object(text: bytes | str) -> dict[str, Any]:
    """A JSON object. ValueError, quoting nothing, if it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def _issuer(claims: Mapping[str, Any], settings: OauthSettings, *, signed: bool) -> str:
    given = claims.get("iss")
    if given is None and not signed:
        return ""
    return "" if settings.issuer and given == settings.issuer else "the token is of another issuer"


def _times(claims: Mapping[str, Any], now: float, *, signed: bool) -> str:
    end, start = _number(claims.get("exp")), _number(claims.get("nbf"))
    if end is None and (signed or "exp" in claims):
        return "the token does not say when it ends"
    if end is not None and not now < end + LEEWAY:
        return "the token has expired"
    if "nbf" in claims and not (start is not None and now >= start - LEEWAY):
        return "the token is not valid yet"
    return ""


def _audience(claims: Mapping[str, Any], settings: OauthSettings) -> str:
    given = claims.get("aud")
    audiences = given if isinstance(given, list) else [given]
    return "" if not settings.audience or settings.audience in audiences else "the token is for another audience"


def _scope(claims: Mapping[str, Any], settings: OauthSettings) -> str:
    if not settings.scope:
        return ""
    given = claims.get("scope", claims.get("scp"))  # RFC 8693 §4.2; some issuers call it scp
    scopes = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
    return "" if settings.scope in scopes else f"the token lacks the scope {settings.scope!r}"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
