"""Whether who knows passwords and tokens can be asked: the file, LDAP, the operator's function, the OAuth issuer."""

from collections.abc import AsyncIterator

from postroom.admin.finding import Finding, Level
from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.directory.sources.file import read_password_file
from postroom.directory.sources.source import SourceUnavailable

AREA = "logins"


async def check_sources(settings: Settings, clock: Clock) -> AsyncIterator[Finding]:
    """Each source beside the directory is tried out."""
    if "file" in settings.auth.sources:
        for finding in _check_file(settings):
            yield finding
    if "ldap" in settings.auth.sources:
        yield await _check_ldap(settings)
    if "callable" in settings.auth.sources:
        yield _check_callable(settings)
    if settings.oauth.is_set:
        yield await _check_tokens(settings, clock)


def _check_file(settings: Settings) -> list[Finding]:
    path = settings.auth.file
    if path is None:  # told among the settings
        return []
    try:
        content = read_password_file(path)
    except OSError as error:
        return [Finding(Level.ERROR, AREA, f"{path} cannot be read: {error.strerror or error}", "correct auth.file")]
    remedy = "write address:hash, with a hash that begins with $argon2, $5$ or $6$"
    found = [Finding(Level.ERROR, AREA, problem, remedy) for problem in content.problems]
    return [*found, Finding(Level.OK, AREA, f"{path} knows {len(content.hashes)} accounts")]


async def _check_ldap(settings: Settings) -> Finding:
    from postroom.directory.sources.ldap import LdapSource

    url = settings.ldap.url
    try:
        source = LdapSource(settings.ldap)
    except ValueError as error:
        return Finding(Level.ERROR, AREA, str(error), "correct [ldap]")
    try:
        await source.try_out()
    except SourceUnavailable as error:
        remedy = "see that the server runs, its certificate is trusted (ldap.ca_file), and search_dn may search"
        return Finding(Level.ERROR, AREA, f"{url} cannot be asked: {error}", remedy)
    finally:
        await source.close()
    return Finding(Level.OK, AREA, f"{url} answers")


def _check_callable(settings: Settings) -> Finding:
    """It is loaded, and not called: it may count failures."""
    from postroom.directory.sources.function import load_function

    try:
        load_function(settings.auth.callable)
    except ValueError as error:
        return Finding(Level.ERROR, AREA, str(error), "correct auth.callable")
    return Finding(Level.OK, AREA, f"{settings.auth.callable} can be called")


async def _check_tokens(settings: Settings, clock: Clock) -> Finding:
    from postroom.directory.sources.opening import open_token_checker

    oauth = settings.oauth
    where = oauth.introspection_url or oauth.jwks_url or str(oauth.jwks_file)
    try:
        checker = open_token_checker(oauth, clock)
    except ValueError as error:
        return Finding(Level.ERROR, AREA, str(error), "correct [oauth]")
    try:
        await checker.try_out()
    except SourceUnavailable as error:
        remedy = "see that the issuer runs, its certificate is trusted (oauth.ca_file), and it knows client_id"
        return Finding(Level.ERROR, AREA, str(error), remedy)
    finally:
        await checker.close()
    return Finding(Level.OK, AREA, f"{where} answers")
