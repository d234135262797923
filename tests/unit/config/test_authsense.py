"""What would keep everybody from logging in is found before the server starts."""

import tomllib
from importlib.util import find_spec

import pytest

from postroom.config import authsense
from postroom.config.authsense import check_auth
from postroom.config.finding import Finding
from postroom.config.lines import show_path
from postroom.config.model import Settings

LDAP = '[auth]\nsources = ["ldap"]\n[ldap]\n'
TOKENS = '[oauth]\nissuer = "https://id.example"\njwks_url = "https://id.example/keys"\naudience = "mail"\n'


@pytest.fixture(autouse=True)
def all_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """bonsai needs a compiler: tests run without it."""
    monkeypatch.setattr(authsense, "find_spec", lambda name: name if name == "bonsai" else find_spec(name))


def findings(text: str) -> list[Finding]:
    return list(check_auth(Settings.model_validate(tomllib.loads(f'hostname = "mx.example.org"\n{text}'))))


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[auth]\nmechanisms = ["scram-sha-256", "PLAIN"]\n',
        '[auth]\nsources = ["directory", "file"]\nfile = "passwords"\n',
        '[auth]\nsources = ["callable"]\ncallable = "os.path:exists"\n',
        LDAP + 'url = "ldaps://ldap.example.org"\nbind_dn = "uid={local},dc=example"\n',
        LDAP + 'url = "ldap://127.0.0.1"\nstart_tls = false\nsearch_base = "dc=example"\n',
        LDAP + 'url = "ldap://localhost"\nstart_tls = false\nsearch_base = "dc=example"\n',
        LDAP + 'url = "ldapi:///run/ldapi"\nsearch_base = "dc=example"\n',
        TOKENS + '[auth]\nmechanisms = ["OAUTHBEARER", "XOAUTH2"]\n',
        '[oauth]\nintrospection_url = "https://id.example/introspect"\n',
        '[auth]\nmechanisms = ["EXTERNAL"]\n[tls]\nclient_ca = "ca.pem"\n',
    ],
)
def test_good_settings(text: str) -> None:
    assert findings(text) == []


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ('[auth]\nmechanisms = ["PLAIN", "CRAM-MD5"]\n', "auth.mechanisms[2]", "CRAM-MD5"),
        ('[auth]\nmechanisms = ["EXTERNAL"]\n', "auth.mechanisms[1]", "client certificates"),
        ('[auth]\nmechanisms = ["XOAUTH2"]\n', "auth.mechanisms[1]", "tokens"),
        (
            '[auth]\nmechanisms = ["SCRAM-SHA-1"]\nsources = ["file"]\nfile = "x"\n',
            "auth.mechanisms[1]",
            "only the directory",
        ),
        ("[auth]\nsources = []\n", "auth.sources", "nobody can log in"),
        ('[auth]\nsources = ["directory", "directory"]\n', "auth.sources", "twice"),
        ('[auth]\nsources = ["file"]\n', "auth.sources", "without a file"),
        ('[auth]\nsources = ["callable"]\n', "auth.callable", "names no function"),
        ('[auth]\nsources = ["callable"]\ncallable = "a b:c"\n', "auth.callable", "names no function"),
        ('[auth]\nsources = ["callable"]\ncallable = "no.such_module:f"\n', "auth.callable", "cannot be found"),
        ('[auth]\nsources = ["callable"]\ncallable = "nosuchmodule:f"\n', "auth.callable", "cannot be found"),
        (LDAP + 'search_base = "dc=example"\n', "auth.sources", "without a server"),
        (LDAP + 'url = "http://x"\nsearch_base = "dc=example"\n', "ldap.url", "no URL of a server"),
        (LDAP + 'url = "ldapi://run"\nsearch_base = "dc=example"\n', "ldap.url", "no URL of a server"),
        (LDAP + 'url = "ldapi:///run/LDAP"\nsearch_base = "dc=example"\n', "ldap.url", "capital"),
        (LDAP + 'url = "ldap://x.example"\nstart_tls = false\nsearch_base = "d"\n', "ldap.url", "in the clear"),
        (LDAP + 'url = "ldap://192.0.2.1"\nstart_tls = false\nsearch_base = "d"\n', "ldap.url", "in the clear"),
        (LDAP + 'url = "ldaps://x.example"\n', "ldap.bind_dn", "neither"),
        (LDAP + 'url = "ldaps://x.example"\nbind_dn = "{local}"\nsearch_base = "d"\n', "ldap.bind_dn", "both"),
        (LDAP + 'url = "ldaps://x.example"\nbind_dn = "cn=me"\n', "ldap.bind_dn", "for everybody"),
        (
            LDAP + 'url = "ldaps://x.example"\nsearch_base = "d"\nsearch_filter = "(mail=x)"\n',
            "ldap.search_filter",
            "for everybody",
        ),
        (LDAP + 'url = "ldaps://x.example"\nsearch_base = "d"\nsearch_dn = "cn=x"\n', "ldap.search_dn", "together"),
        ('[oauth]\nissuer = "https://id.example"\n', "oauth.issuer", "no way"),
        (TOKENS.replace("issuer", "scope"), "oauth.jwks_url", "whose tokens"),
        (TOKENS.replace("https://id.example/keys", "http://id.example/keys"), "oauth.jwks_url", "no https URL"),
        (TOKENS + 'introspection_url = "https://id.example/i"\n', "oauth.introspection_url", "jwks_url and"),
        ('[oauth]\nintrospection_url = "id.example"\n', "oauth.introspection_url", "no https URL"),
        (TOKENS + 'client_secret = "x"\nclient_secret_file = "y"\n', "oauth.client_secret", "both"),
    ],
)
def test_mistakes(text: str, place: str, what: str) -> None:
    (found,) = findings(text)
    assert show_path(found.path) == place
    assert what in found.what
    assert found.remedy
    assert found.is_error


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[ldap]\nurl = "ldaps://x.example"\n', "ldap.url"),
        ('[auth]\nfile = "passwords"\n', "auth.file"),
        ('[auth]\ncallable = "os:getenv"\n', "auth.callable"),
        ('[auth]\nmechanisms = ["SCRAM-SHA-256"]\nsources = ["directory", "file"]\nfile = "x"\n', "auth.mechanisms"),
        (TOKENS.replace('audience = "mail"\n', ""), "oauth.jwks_url"),
    ],
)
def test_warnings(text: str, place: str) -> None:
    (found,) = findings(text)
    assert (show_path(found.path), found.is_error) == (place, False)


def test_missing_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authsense, "find_spec", lambda name: None)
    (ldap,) = findings(LDAP + 'url = "ldaps://x.example"\nsearch_base = "d"\n')
    (oauth,) = findings(TOKENS)
    assert (ldap.remedy, oauth.remedy) == ("install postroom[ldap]", "install postroom[oauth]")
