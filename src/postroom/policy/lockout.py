"""Shuts out who guesses passwords or abuses the server: growing delays, then bans that end by themselves.

Implements ``directory.guard.LoginGuard``. Failures count by address (a /64 for IPv6) and by account; an address with
too many is banned, an account with too many is locked for addresses that never logged in to it, so that guessing from
anywhere is stopped and the owner gets in nevertheless. All in memory; ``policy/keeping.py`` writes behind.
"""

from collections.abc import Sequence

from postroom.clock import Clock
from postroom.config.guard import LockoutSettings
from postroom.directory.guard import LoginFailure, LoginStanding
from postroom.mail.address import Address
from postroom.policy.acquaintance import Acquaintances
from postroom.policy.bans import ACCOUNT, ADDRESS, BanTable
from postroom.policy.failures import FailureCounts
from postroom.policy.networks import member_of, network_of
from postroom.policy.store import Ban, GuardRecord
from postroom.report.events import LockedOut, LockoutLifted
from postroom.report.reporter import Reporter

_LONGEST_NAME = 254  # characters of a tried name that count: no address is longer
_MOST_DOUBLINGS = 40  # beyond, any ban or delay is at its longest


class Lockout:
    """The failures and bans of one node. Nothing here waits or raises."""

    def __init__(self, settings: LockoutSettings, clock: Clock, reporter: Reporter) -> None:
        self._settings = settings
        self._clock = clock
        self._reporter = reporter
        self._is_exempt = member_of(settings.exempt_networks)
        self._of_address = FailureCounts("login_address", settings.window)
        self._of_account = FailureCounts("login_account", settings.window)
        self._abuse = FailureCounts("abuse", settings.window)
        self._counts = (self._of_address, self._of_account, self._abuse)
        self._acquaintances = Acquaintances()
        self._bans = BanTable()
        self._changed: set[tuple[str, str]] = set()

    # Logins.

    def standing(self, address: str, name: str) -> LoginStanding:
        """Whether a login for ``name`` may be tried from ``address``."""
        if self._is_exempt(address):
            return LoginStanding()
        now, network = self._clock.now(), network_of(address)
        ban = self._bans.over_address(address, network, now)
        if ban is not None:
            return LoginStanding(f"the address is banned: {ban.reason}", ban.until)
        account = account_key(name)
        lock = self._bans.get(ACCOUNT, account, now) if account else None
        if lock is None or self._acquaintances.knows(account, network, now):
            return LoginStanding()
        return LoginStanding(f"the account is locked for addresses that it does not know: {lock.reason}", lock.until)

    def failed(self, address: str, name: str) -> LoginFailure:
        """A login failed; ``name`` is ``""`` where none was given."""
        settings, now = self._settings, self._clock.now()
        network, account = network_of(address), account_key(name)
        from_address = self._of_address.add(network, now)
        for_account = self._of_account.add(account, now) if account else 0
        stranger = bool(account) and not self._acquaintances.knows(account, network, now)
        if stranger and 0 < settings.account_failures <= for_account:
            self._begin((ACCOUNT, account), address, f"{for_account} failed logins", for_account)
        if self._is_exempt(address):
            return LoginFailure(from_address, for_account, 0.0)
        if 0 < settings.address_failures <= from_address:
            self._begin((ADDRESS, network), address, f"{from_address} failed logins", from_address)
        # Guessing for one account from many addresses is slowed down as well, but not the account's owner.
        counting = max(from_address, for_account) if stranger else from_address
        return LoginFailure(from_address, for_account, self._delay(counting))

    def succeeded(self, address: str, name: str) -> None:
        """A login succeeded. It forgives nothing: whoever has one account could else guess others for ever."""
        account = account_key(name)
        if account:
            self._acquaintances.meet(account, network_of(address), self._clock.now())

    # Abuse, and the door.

    def abuse(self, address: str, points: int, reason: str) -> None:
        """``address`` did what a well-behaved client does not; ``reason`` is what a ban for it says."""
        if not self._settings.abuse or self._is_exempt(address):
            return
        now, network = self._clock.now(), network_of(address)
        count = self._abuse.add(network, now, points)
        if count >= self._settings.abuse:
            self._begin((ADDRESS, network), address, f"{count} points of abuse, at last {reason}", count)

    def banned(self, address: str) -> float | None:
        """Until when the address is shut out, in seconds since the Unix epoch; None if it is not."""
        if not len(self._bans) or self._is_exempt(address):
            return None
        ban = self._bans.over_address(address, network_of(address), self._clock.now())
        return None if ban is None else ban.until

    def holding(self) -> int:
        """How many addresses, networks and accounts are shut out now."""
        return self._bans.holding(self._clock.now())

    # What is kept.

    def restore(self, record: GuardRecord) -> None:
        """At the start: what an earlier process counted."""
        now = self._clock.now()
        for counts in self._counts:
            counts.restore(record.failures, now)
        self._acquaintances.restore(record.acquaintances)
        self._bans.replace(record.bans, now)

    def changed(self) -> GuardRecord:
        """What has changed since this was last asked."""
        keys, self._changed = self._changed, set()
        failures = tuple([row for counts in self._counts for row in counts.changed()])
        return GuardRecord(failures=failures, bans=self._bans.known(keys), acquaintances=self._acquaintances.changed())

    def save_again(self, record: GuardRecord) -> None:
        """This could not be written."""
        for counts in self._counts:
            counts.save_again(record.failures)
        self._acquaintances.save_again(record.acquaintances)
        self._changed.update([(ban.scope, ban.subject) for ban in record.bans])

    def take_over(self, bans: Sequence[Ban]) -> None:
        """An operator banned or lifted: the store knows best."""
        now = self._clock.now()
        unwritten = self._bans.known(self._changed)
        begun, lifted = self._bans.replace((*bans, *unwritten), now)
        for ban in begun:
            address = ban.subject if ban.scope == ADDRESS else ""
            self._reporter.tell(LockedOut(ban.scope, ban.subject, address, ban.reason, ban.until))
        for ban in lifted:
            for counts in self._counts:
                counts.drop(ban.subject)
            self._reporter.tell(LockoutLifted(ban.scope, ban.subject, ban.lifted_by or "operator"))

    # Deciding.

    def _begin(self, key: tuple[str, str], address: str, reason: str, failures: int) -> None:
        """Ban (scope, subject) for what the client at ``address`` did."""
        scope, subject = key
        now = self._clock.now()
        if self._bans.get(scope, subject, now) is not None:
            return  # sessions that were open before it go on failing
        repeats = self._bans.repeats(scope, subject, now)
        settings = self._settings
        length = min(settings.ban * 2 ** min(repeats, _MOST_DOUBLINGS), max(settings.longest_ban, settings.ban))
        ban = Ban(scope, subject, now, now + length, reason, failures, repeats)
        self._bans.put(ban, now)
        self._changed.add(key)
        # What it was banned for is paid for with the ban: the next one needs as many failures again.
        for counts in self._counts:
            counts.drop(subject)
        self._reporter.tell(LockedOut(scope, subject, address, reason, ban.until))

    def _delay(self, failures: int) -> float:
        """Seconds to hold the answer to the failure with this number back."""
        if failures < 2:
            return 0.0
        delay = self._settings.delay * 2 ** min(failures - 2, _MOST_DOUBLINGS)
        return float(min(delay, self._settings.longest_delay))


def account_key(name: str) -> str:
    """What a tried name counts as: the key of the address, or for what is none the name itself, bounded."""
    try:
        return Address.parse(name).key
    except ValueError:
        # What no database takes as a text (lone surrogates) is kept from it here.
        return name[:_LONGEST_NAME].casefold().encode("utf-8", "replace").decode()
