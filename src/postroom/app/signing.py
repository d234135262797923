"""Builds what signs our mail: the ring of keys, who is signed for, and what leads the keys through their lives."""

from collections.abc import Collection

from postroom.admin.dkim import rules_of
from postroom.admin.dnscheck import is_reserved
from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.directory.directory import Directory
from postroom.dns.dnspython import DnspythonResolver
from postroom.dns.zoneservers import DnspythonAuthorities
from postroom.mailauth.dkim.signing import sign
from postroom.mailauth.dkim.signingkey import SigningKey
from postroom.mailauth.keys.keeping import KeyKeeper
from postroom.mailauth.keys.making import load_pair
from postroom.mailauth.keys.model import LIVING
from postroom.mailauth.keys.ring import KeyRing
from postroom.mailauth.keys.sealing import Sealer
from postroom.mailauth.keys.watching import DnsWatcher
from postroom.mailauth.publishing import Publisher
from postroom.policy.networks import member_of
from postroom.queue.signing import KeySigner
from postroom.report.metrics import Metrics
from postroom.report.reporter import Reporter
from postroom.storage.sqlite.store import SqliteStore


class SigningRoom:
    """For a node with ``[dkim] enabled``. ``refresh`` twice a second, ``tick`` once a minute; ``signer`` is for the
    intake and for DSNs. ``publisher`` changes zones, None where we may change none.
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
        self._hostname = settings.hostname
        self._unsigned = frozenset(settings.dkim.unsigned)
        self._metrics = metrics.keys
        self._own_resolvers = bool(settings.dns.servers)
        self.ring: KeyRing[SigningKey] = KeyRing(store.dkim, sealer, load_pair, reporter)
        self.signer = KeySigner(
            self.ring,
            sign=sign,
            accounts=directory,
            is_trusted=member_of(settings.smtp.trusted_networks),
            contents=store.queue,
            clock=clock,
        )
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

    async def refresh(self) -> None:
        """Take up keys that were changed. Raises StoreUnavailable."""
        await self.ring.refresh()

    async def tick(self) -> None:
        """One round of the keys' lives. Raises StoreUnavailable."""
        await self._keeper.tick()
        await self.ring.refresh()
        standing = self._keeper.standing
        self._metrics.set_keys(by_state=standing.by_state, unsigned=standing.unsigned, oldest=standing.oldest)

    async def _domains(self) -> Collection[str]:
        """Those whose mail is ours, and the host's own name, which bounces come from, once it was given keys."""
        names = [domain.name for domain in await self._store.directory.domains()]
        if any(key.state in LIVING for key in await self._store.dkim.keys(self._hostname)):
            names.append(self._hostname)
        return [name for name in dict.fromkeys(names) if name not in self._unsigned]

    def _is_watched(self, domain: str) -> bool:
        """Names for examples and tests are in no public DNS: only resolvers that the settings name may know them."""
        return self._own_resolvers or not is_reserved(domain)
