"""Who may log in, by whatever proof: the one answer to passwords, SCRAM, tokens and certificates.

An account always is the directory's; the sources only say whether a password is right. Strangers and wrong passwords
look alike and take as long. Implements ``directory.checker.Checker``.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from postroom.clock import Clock
from postroom.config.identity import AuthSettings
from postroom.directory.apppasswords import TOUCHED, find_app_password, is_for
from postroom.directory.cache import LruCache
from postroom.directory.checker import Asker, Authenticated, LoginResult, Refused, Unavailable
from postroom.directory.directory import Directory
from postroom.directory.hashing import DirectorySource, HashThreads
from postroom.directory.model import Account, AppPassword, DirectoryError, KeepKeys, Logins, ScramKey
from postroom.directory.passwords import ITERATIONS, nobodys_secret, prepare_password, scram_keys, scram_salt
from postroom.directory.sources.source import Claim, Source, SourceUnavailable, TokenChecker
from postroom.directory.store import DirectoryStore
from postroom.directory.verifying import Verified, Verifying
from postroom.mail.address import Address
from postroom.mail.trouble import StoreUnavailable
from postroom.protocol.sasl.exchange import Password, ScramKeys, ScramSecret
from postroom.protocol.sasl.mechanisms import SERVER

__all__ = ["Authenticated", "Credentials", "LoginResult", "Refused", "Unavailable"]

_NAME_SHOWN = 254  # characters: no address is longer
_MOST_KEPT = 16  # accounts for which SCRAM keys are being made at once; the next login is soon enough for others
_TOUCHES = 10_000

_NO_ACCOUNT = "no such account"
_DISABLED = "the account is disabled"
_ANOTHER = "it may not act as another"
_APP_PASSWORDS_ONLY = "the account takes app passwords only"


@dataclass(frozen=True, slots=True, repr=False)
class _Person:
    """Whom a name means: an account, or nobody. ``key`` is there for both."""

    address: Address
    account: Account | None
    logins: Logins

    @property
    def key(self) -> str:
        return self.address.key


class Credentials:
    """Checks logins. ``further`` are the sources beside the directory, by name; ``certificates``: TLS asks for them.

    At most ``waiting`` passwords are being verified or wait for that, ``waiting_per_address`` of one client.
    """

    def __init__(
        self,
        settings: AuthSettings,
        directory: Directory,
        store: DirectoryStore,
        clock: Clock,
        *,
        threads: HashThreads | None = None,
        further: Mapping[str, Source] | None = None,
        bearer: TokenChecker | None = None,
        certificates: bool = False,
        waiting: int = 256,
        waiting_per_address: int = 64,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._store = store
        self._clock = clock
        self._threads = threads or HashThreads(settings.threads)
        self._bearer = bearer
        by_name = {**(further or {}), "directory": DirectorySource(self._threads)}
        sources = [by_name[name] for name in settings.sources]
        self._verifying = Verifying(sources, clock, waiting=waiting, waiting_per_address=waiting_per_address)
        self._mechanisms = tuple(_mechanisms(settings, bearer=bearer is not None, certificates=certificates))
        self._scram = any(name.startswith("SCRAM-") for name in self._mechanisms)
        # Of a source that is asked before the directory SCRAM cannot know whether it knows the account.
        self._own_by_scram = settings.sources[:1] == ("directory",)
        self._touched: LruCache[int, float] = LruCache(_TOUCHES)
        self._keeping: dict[int, asyncio.Task[None]] = {}
        self._noting: set[asyncio.Task[None]] = set()

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms that can be checked, in the order of preference."""
        return self._mechanisms

    async def close(self) -> None:
        """Let go of threads and sources. No question comes after it."""
        tasks = [*self._keeping.values(), *self._noting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._verifying.close()
        if self._bearer is not None:
            await self._bearer.close()
        self._threads.close()

    # Passwords.

    async def check(self, name: str, password: Password, asker: Asker, *, authzid: str = "") -> LoginResult:
        """Whether ``name`` is an account, in any writing of its address, with this password, that may log in.

        ``authzid`` is whom it wants to act as: itself, or nobody (RFC 4616 §2).
        """
        try:
            person = await self._find(name)
        except StoreUnavailable as error:
            return Unavailable(str(error))
        try:
            prepared = prepare_password(password.text)
        except ValueError:  # it matches nothing, in the usual time; nor is it shown to any source
            return await self._verify(person, Claim(person.address, Password(" "), b" "), asker, authzid, known=False)
        app = find_app_password(prepared, self._app_passwords(person))
        if app is not None:
            return self._with_app_password(person, app, asker, authzid)
        stored = person.account.password if person.account is not None else ""
        claim = Claim(person.address, password, prepared, stored)
        return await self._verify(person, claim, asker, authzid, known=person.account is not None)

    async def _verify(self, person: _Person, claim: Claim, asker: Asker, authzid: str, *, known: bool) -> LoginResult:
        """By the sources."""
        account = person.account
        answer = await self._verifying.verify(claim, asker.address, known=known)
        if isinstance(answer, Unavailable):
            return answer
        if account is None:
            return Refused(_NO_ACCOUNT)
        if not answer.right:
            return Refused("wrong password" if answer.source or not known else "the account has no password")
        result = _admit(account, authzid)
        if isinstance(result, Authenticated) and account.app_passwords_only:
            return Refused(_APP_PASSWORDS_ONLY)
        if isinstance(result, Authenticated):
            self._keep_keys(person, account, claim, answer)
        return result

    def _with_app_password(self, person: _Person, app: AppPassword, asker: Asker, authzid: str) -> LoginResult:
        """The password is this app password."""
        if person.account is None:
            return Refused(_NO_ACCOUNT)
        if not is_for(app, asker.protocol):
            return Refused(f"the app password {app.label!r} is not for {asker.protocol}")
        result = _admit(person.account, authzid, app.label)
        if isinstance(result, Authenticated):
            self._touch(app)
        return result

    # SCRAM.

    async def scram_keys(self, name: str, algorithm: str, asker: Asker) -> ScramKeys | Unavailable:
        """What SCRAM is checked against; for a stranger, or an account without keys, what nobody can prove.

        The salt of a name is the same before there is such an account, while there is, and after (RFC 4422 §3.6).
        """
        try:
            person = await self._find(name)
            secret = await self._directory.secret()
        except StoreUnavailable as error:
            return Unavailable(str(error))
        offered: list[tuple[str, ScramKey]] = []
        if person.account is not None and self._own_by_scram and not person.account.app_passwords_only:
            offered += [("", key) for key in person.logins.keys]
        for app in self._app_passwords(person):
            if is_for(app, asker.protocol):
                offered += [(app.label, key) for key in app.keys]
        found = [(label, key) for label, key in offered if key.algorithm == algorithm]
        if not found:
            salt = scram_salt(algorithm, person.key, secret)
            return ScramKeys(salt, ITERATIONS, (nobodys_secret(algorithm, person.key, secret),))
        salt, iterations = found[0][1].salt, found[0][1].iterations
        return ScramKeys(
            salt,
            iterations,
            tuple(
                [
                    ScramSecret(key.stored_key, key.server_key, label)
                    for label, key in found
                    if (key.salt, key.iterations) == (salt, iterations)
                ]
            ),
        )

    async def proved(self, name: str, asker: Asker, *, authzid: str = "", credential: str = "") -> LoginResult:
        """SCRAM proved the password (``credential``: of that app password): whether the account may log in."""
        try:
            person = await self._find(name)
        except StoreUnavailable as error:
            return Unavailable(str(error))
        if person.account is None:  # removed since the exchange began
            return Refused(_NO_ACCOUNT)
        if not credential:
            only = person.account.app_passwords_only
            return Refused(_APP_PASSWORDS_ONLY) if only else _admit(person.account, authzid)
        for app in self._app_passwords(person):
            if app.label == credential:
                return self._with_app_password(person, app, asker, authzid)
        return Refused(f"the app password {credential!r} has been removed")

    # Tokens and certificates.

    async def bearer(self, token: str, asker: Asker, *, name: str = "") -> LoginResult:
        """Whether the OAuth token is good, and for whom; ``name`` is whom the client says it is, or ``""``."""
        if self._bearer is None:
            return Refused("no tokens are taken")
        try:
            bearing = await self._bearer.verify(token)
            if isinstance(bearing, str):
                return Refused(bearing)
            account = await self._directory.account(bearing.name)
        except (SourceUnavailable, StoreUnavailable) as error:
            return Unavailable(str(error))
        if account is None:
            return Refused("the token is for nobody here")
        if name and not _same(name, account.address):
            return Refused("the token is for another")
        return _admit(account, "")

    async def external(self, names: tuple[str, ...], asker: Asker, *, authzid: str = "") -> LoginResult:
        """Whether one of the mail addresses in a verified client certificate is the account (``authzid`` if given)."""
        try:
            found = [await self._directory.account(name) for name in names]
        except StoreUnavailable as error:
            return Unavailable(str(error))
        accounts = {account.account_id: account for account in found if account is not None}
        if not accounts:
            return Refused("the certificate names nobody here")
        chosen = [each for each in accounts.values() if not authzid or _same(authzid, each.address)]
        if not chosen:
            return Refused(_ANOTHER)
        if len(chosen) > 1:
            return Refused("the certificate names several accounts, and the client none of them")
        return _admit(chosen[0], "")

    # What follows.

    async def _find(self, name: str) -> _Person:
        account = await self._directory.account(name)
        address = account.address if account is not None else _address_of(name)
        return _Person(address, account, await self._directory.logins(address.key))

    def _app_passwords(self, person: _Person) -> tuple[AppPassword, ...]:
        return person.logins.app_passwords if self._settings.app_passwords else ()

    def _touch(self, app: AppPassword) -> None:
        """Note that it was used, at most hourly: a failure costs nothing but the note."""
        now = self._clock.now()
        last = max(self._touched.get(app.app_password_id) or 0.0, app.last_used or 0.0)
        if now - last < TOUCHED:
            return
        self._touched.put(app.app_password_id, now)
        task = asyncio.create_task(self._note(app.app_password_id, now), name="app password used")
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def _note(self, app_password_id: int, now: float) -> None:
        try:
            await self._store.used([(app_password_id, now)])
        except StoreUnavailable:
            self._touched.drop(app_password_id)  # the next use tries again

    def _keep_keys(self, person: _Person, account: Account, claim: Claim, answer: Verified) -> None:
        """Where the directory has a hash but no keys for SCRAM, make them now that the password is known."""
        account_id = account.account_id
        wanted = self._scram and answer.source == "directory" and not person.logins.keys
        if not wanted or account_id in self._keeping or len(self._keeping) >= _MOST_KEPT:
            return
        task = asyncio.create_task(self._make_keys(person, account, claim), name="SCRAM keys")
        self._keeping[account_id] = task
        task.add_done_callback(lambda _: self._keeping.pop(account_id, None))

    async def _make_keys(self, person: _Person, account: Account, claim: Claim) -> None:
        try:
            secret = await self._directory.secret()
            keys = await self._threads.run(scram_keys, claim.password.text, person.key, secret, person.logins)
            if keys:
                await self._store.change([KeepKeys(account.address, account.password, keys)])
                self._directory.forget()
        except (StoreUnavailable, DirectoryError):  # the next login tries again
            return


def _mechanisms(settings: AuthSettings, *, bearer: bool, certificates: bool) -> Iterable[str]:
    """What is named, else all; but only what can be checked.

    SCRAM is proved against what the directory keeps. Where others know passwords too, clients would choose it and fail,
    so that it must be named there.
    """
    scram = "directory" in settings.sources if settings.mechanisms else settings.sources == ("directory",)
    named: Sequence[str] = [name.upper() for name in settings.mechanisms] or list(SERVER)
    for name in dict.fromkeys(named):
        can = {"OAUTHBEARER": bearer, "XOAUTH2": bearer, "EXTERNAL": certificates}.get(name, name in SERVER)
        if can and (scram or not name.startswith("SCRAM-")):
            yield name


def _admit(account: Account, authzid: str, credential: str = "") -> Authenticated | Refused:
    """Who it is has been shown: whether it may log in."""
    if not account.enabled:
        return Refused(_DISABLED)
    if authzid and not _same(authzid, account.address):
        return Refused(_ANOTHER)
    return Authenticated(account, credential)


def _address_of(name: str) -> Address:
    """An address for what is no account's: the one it writes, or one that cannot be anybody's."""
    try:
        return Address.parse(name)
    except ValueError:
        return Address(name[:_NAME_SHOWN].casefold(), "invalid")  # RFC 2606 §2


def _same(text: str, address: Address) -> bool:
    try:
        return Address.parse(text).key == address.key
    except ValueError:
        return False
