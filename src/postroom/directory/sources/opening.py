"""Opens the sources that the settings name, and puts together who checks logins."""

from postroom.clock import Clock
from postroom.config.identity import AuthSettings, LdapSettings, OauthSettings
from postroom.directory.credentials import Credentials
from postroom.directory.directory import Directory
from postroom.directory.hashing import HashThreads
from postroom.directory.sources.source import Source, TokenChecker
from postroom.directory.store import DirectoryStore
from postroom.report.reporter import Reporter


def open_credentials(
    settings: AuthSettings,
    ldap: LdapSettings,
    oauth: OauthSettings,
    *,
    directory: Directory,
    store: DirectoryStore,
    clock: Clock,
    reporter: Reporter,
    certificates: bool,
) -> Credentials:
    """Whoever checks logins. ValueError, with the remedy, for a source that cannot be."""
    threads = HashThreads(settings.threads)
    return Credentials(
        settings,
        directory,
        store,
        clock,
        threads=threads,
        further=open_sources(settings, ldap, clock=clock, reporter=reporter, threads=threads),
        bearer=open_token_checker(oauth, clock) if oauth.is_set else None,
        certificates=certificates,
    )


def open_sources(
    settings: AuthSettings, ldap: LdapSettings, *, clock: Clock, reporter: Reporter, threads: HashThreads
) -> dict[str, Source]:
    """The sources beside the directory. What they need is loaded only where they are used. ValueError as above."""
    found: dict[str, Source] = {}
    if "file" in settings.sources and settings.file is not None:
        from postroom.directory.sources.file import FileSource

        found["file"] = FileSource(settings.file, threads, clock, reporter)
    if "ldap" in settings.sources:
        from postroom.directory.sources.ldap import LdapSource

        found["ldap"] = LdapSource(ldap)
    if "callable" in settings.sources:
        from postroom.directory.sources.function import FunctionSource, load_function

        found["callable"] = FunctionSource(load_function(settings.callable), reporter)
    return found


def open_token_checker(settings: OauthSettings, clock: Clock) -> TokenChecker:
    """Who checks tokens. ValueError as above."""
    if settings.introspection_url:
        from postroom.directory.sources.introspection import Introspection

        return Introspection(settings, clock)
    try:
        from postroom.directory.sources.tokens import SignedTokens
    except ImportError as error:
        raise ValueError("[oauth] needs an extra: install postroom[oauth]") from error
    return SignedTokens(settings, clock)
