"""Builds what signs our mail: the ring of keys, who is signed for, and what leads the keys through their lives."""

from collections.abc import Collection

from postroom.admin.dkim import rules_of
from postroom.admin.dnscheck import is_reserved
from postroom.app.chores import Chores
from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.directory.directory import Directory
from postroom.dns.dnspython import DnspythonResolver
from postroom.dns.zoneservers import DnspythonAuthorities
from postroom.mailauth.dkim.signing import sign
from postroom.mailauth.dkim.signingkey import SigningKey
from postroom.mailauth.keys.keeping import KeyKeeper
from postroom.mailauth.keys.making import load_pair
from postroom.mailauth.keys.ring import KeyRing
from postroom.mailauth.keys.sealing import Sealer
from postroom.mailauth.keys.watching import DnsWatcher
from postroom.mailauth.publishing import Publisher
from postroom.policy.networks import member_of
from postroom.queue.signing import KeySigner, Signer
from postroom.report.metrics import Metrics
from postroom.report.reporter import Reporter
from postroom.storage.sqlite.store import SqliteStore

REFRESH_SECONDS = 0.5
"""How often the store is asked whether keys were changed, so that a command takes effect within a second."""

ROUND_SECONDS = 60.0
"""How often the lives of the keys go on."""


class SigningRoom:
    """One for each node; without ``[dkim] enabled`` it does nothing. ``signer`` is for the intake and for DSNs, None
    where nothing is signed; it knows no key before ``start``. ``publisher`` is None where we may change no zone.
    """

    def __init__(
        self,
        settings: Settings,
        store: SqliteStore,
        *,
        sealer: Sealer,
        directory: Directory,
        publisher: Publisher | None,
        clock: Clock,
        reporter: Reporter,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._unsigned = frozenset(settings.dkim.unsigned)
        self._metrics = metrics.keys
        self._own_resolvers = bool(settings.dns.servers)
        self.ring: KeyRing[SigningKey] = KeyRing(store.dkim, sealer, load_pair, reporter)
        self._enabled = settings.dkim.enabled
        signer = KeySigner(
            self.ring,
            sign=sign,
            accounts=directory,
            is_trusted=member_of(settings.smtp.trusted_networks),
            contents=store.queue,
            clock=clock,
        )
        self.signer: Signer | None = signer if self._enabled else None
        self._keeper = KeyKeeper(
            rules_of(settings.dkim),
            store=store.dkim,
            sealer=sealer,
            # past our own cache: a look is worth what it is fresh
            watcher=DnsWatcher(DnspythonResolver(settings.dns), DnspythonAuthorities(settings.dns)),
            publisher=publisher,
            domains=self._domains,
            clock=clock,
            reporter=reporter,
            is_watched=self._is_watched,
        )

    async def start(self, chores: Chores) -> None:
        """Take up the keys, and keep them right from now on. Raises StoreUnavailable."""
        if not self._enabled:
            return
        await self.ring.refresh()
        chores.repeat(REFRESH_SECONDS, self.ring.refresh, "signing keys")
        chores.repeat(ROUND_SECONDS, self._tick, "lives of signing keys")

    async def _tick(self) -> None:
        await self._keeper.tick()
        await self.ring.refresh()
        standing = self._keeper.standing
        self._metrics.set_keys(by_state=standing.by_state, unsigned=standing.unsigned, oldest=standing.oldest)

    async def _domains(self) -> Collection[str]:
        return [domain.name for domain in await self._store.directory.domains() if domain.name not in self._unsigned]

    def _is_watched(self, domain: str) -> bool:
        """Names for examples and tests are in no public DNS: only resolvers that the settings name may know them."""
        return self._own_resolvers or not is_reserved(domain)
