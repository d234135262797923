"""Whether the settings for logging in make sense: mechanisms, and what each source of credentials needs."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from ipaddress import ip_address
from urllib.parse import urlsplit

from postroom.config.finding import Finding
from postroom.config.identity import LdapSettings, OauthSettings
from postroom.config.model import Settings
from postroom.protocol.sasl.mechanisms import SERVER

_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_PLACEHOLDERS = ("{address}", "{local}", "{domain}")


def check_auth(settings: Settings) -> Iterator[Finding]:
    """``[auth]``, ``[ldap]`` and ``[oauth]``: where logins would fail, whoever tried."""
    yield from _check_mechanisms(settings)
    yield from _check_sources(settings)
    if "ldap" in settings.auth.sources:
        yield from _check_ldap(settings.ldap)
    elif settings.ldap.url:
        yield Finding(("ldap", "url"), "[ldap] is not asked", 'add "ldap" to auth.sources', is_error=False)
    yield from _check_oauth(settings.oauth)


def _check_mechanisms(settings: Settings) -> Iterator[Finding]:
    named = [name.upper() for name in settings.auth.mechanisms]
    for number, name in enumerate(named):
        path = ("auth", "mechanisms", number)
        if name not in SERVER:
            yield Finding(path, f"{name!r} is no mechanism that we have", f"one of {', '.join(SERVER)}")
        elif name.startswith("SCRAM-") and "directory" not in settings.auth.sources:
            what = f"{name} is proved against keys that only the directory has"
            yield Finding(path, what, 'add "directory" to auth.sources, or remove the mechanism')
        elif name == "EXTERNAL" and settings.tls.client_ca is None:
            yield Finding(path, "EXTERNAL without client certificates", "set tls.client_ca, or remove the mechanism")
        elif name in ("OAUTHBEARER", "XOAUTH2") and not settings.oauth.is_set:
            what = f"{name}, and nobody can tell which tokens are good"
            yield Finding(
                path, what, "set jwks_url, jwks_file or introspection_url in [oauth], or remove the mechanism"
            )
    scram = any(name.startswith("SCRAM-") for name in named)
    if scram and len(settings.auth.sources) > 1:
        what = "clients prefer SCRAM, which knows only the passwords in the directory, and fail with those of others"
        yield Finding(("auth", "mechanisms"), what, "offer PLAIN and LOGIN alone", is_error=False)


def _check_sources(settings: Settings) -> Iterator[Finding]:
    auth = settings.auth
    path = ("auth", "sources")
    if not auth.sources:
        yield Finding(path, "no source: nobody can log in with a password", 'write ["directory"]')
    if len(set(auth.sources)) < len(auth.sources):
        yield Finding(path, "a source stands there twice", "name each once")
    if "file" in auth.sources and auth.file is None:
        yield Finding(path, "the source file without a file", "set auth.file, or remove the source")
    if "file" not in auth.sources and auth.file is not None:
        yield Finding(("auth", "file"), "the file is not asked", 'add "file" to auth.sources', is_error=False)
    if "callable" in auth.sources:
        yield from _check_callable(auth.callable)
    elif auth.callable:
        what = "the function is not asked"
        yield Finding(("auth", "callable"), what, 'add "callable" to auth.sources', is_error=False)


def _check_callable(name: str) -> Iterator[Finding]:
    """Whether the module is there. It is not loaded: it is the operator's, and may do anything."""
    path = ("auth", "callable")
    if _FUNCTION.fullmatch(name) is None:
        yield Finding(path, f"{name!r} names no function", 'write "package.module:function"')
        return
    module = name.partition(":")[0]
    try:
        found = find_spec(module) is not None
    except (ImportError, ValueError):  # of the package around it
        found = False
    if not found:
        remedy = "install it beside Postroom, or put its folder into PYTHONPATH"
        yield Finding(path, f"the module {module} cannot be found", remedy)


def _check_ldap(ldap: LdapSettings) -> Iterator[Finding]:
    path = ("ldap", "url")
    if find_spec("bonsai") is None:
        yield Finding(("auth", "sources"), "the source ldap needs an extra", "install postroom[ldap]")
    url = urlsplit(ldap.url)
    if not ldap.url:
        yield Finding(("auth", "sources"), "the source ldap without a server", "set url in [ldap]")
    elif url.scheme not in ("ldap", "ldaps", "ldapi") or (url.scheme == "ldapi") == bool(url.hostname):
        yield Finding(path, f"{ldap.url!r} is no URL of a server", "write ldap://host, ldaps://host or ldapi:///path")
    elif url.scheme == "ldap" and not ldap.start_tls and not _is_loopback(url.hostname or ""):
        yield Finding(path, "passwords would go there in the clear", "set start_tls = true, or write ldaps://")
    elif url.scheme == "ldapi" and ldap.url != ldap.url.lower():
        yield Finding(path, "the path of the socket has capital letters, which the library loses", "use another path")
    if bool(ldap.bind_dn) == bool(ldap.search_base):
        what = "both bind_dn and search_base" if ldap.bind_dn else "neither bind_dn nor search_base"
        yield Finding(("ldap", "bind_dn"), what, "keep one: the DN itself, or where it is searched for")
    for key, template in (("bind_dn", ldap.bind_dn), ("search_filter", ldap.search_filter)):
        if template and not any(word in template for word in _PLACEHOLDERS):
            what = f"{key} is the same for everybody"
            yield Finding(("ldap", key), what, f"put {', '.join(_PLACEHOLDERS)} into it")
    if bool(ldap.search_dn) != (ldap.search_password_file is not None):
        what = "search_dn and search_password_file go together"
        yield Finding(("ldap", "search_dn"), what, "set both, or none to search anonymously")


def _check_oauth(oauth: OauthSettings) -> Iterator[Finding]:
    if not oauth.is_set:
        if oauth.issuer:
            what = "an issuer, and no way to tell its tokens"
            yield Finding(("oauth", "issuer"), what, "set jwks_url, jwks_file or introspection_url")
        return
    ways = [key for key in ("jwks_url", "jwks_file", "introspection_url") if getattr(oauth, key)]
    if len(ways) > 1:
        yield Finding(("oauth", ways[1]), f"{' and '.join(ways)}", "keep one of them")
    if not oauth.introspection_url:
        if not oauth.issuer:
            yield Finding(("oauth", ways[0]), "whose tokens are good is not said", "set issuer")
        if find_spec("joserfc") is None:
            yield Finding(("oauth", ways[0]), "signed tokens need an extra", "install postroom[oauth]")
        if not oauth.audience and not oauth.scope:
            what = "any token of the issuer lets its owner in, also one that was made for another service"
            yield Finding(("oauth", ways[0]), what, "set audience or scope", is_error=False)
    for key in ("jwks_url", "introspection_url"):
        text: str = getattr(oauth, key)
        url = urlsplit(text)
        if text and (url.scheme != "https" or not url.hostname):
            yield Finding(("oauth", key), f"{text!r} is no https URL", "write https://host/path")
    if oauth.client_secret.get_secret_value() and oauth.client_secret_file is not None:
        yield Finding(
            ("oauth", "client_secret"), "both client_secret and client_secret_file", "keep client_secret_file"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
