"""Which mail operators have stopped. Pure."""

from collections.abc import Iterable

from postroom.mail.address import Address
from postroom.mail.delivery import Site
from postroom.queue.model import Pause, PauseKind


def name_of(pause: Pause) -> str:
    """What a pause stops, as people read it."""
    return f"{pause.kind.value} {pause.subject or '<>'}"


class Pauses:
    """The pauses that are in force. False where there is none."""

    def __init__(self, pauses: Iterable[Pause] = ()) -> None:
        self.all = tuple(pauses)
        by_kind: dict[PauseKind, dict[str, Pause]] = {kind: {} for kind in PauseKind}
        for pause in self.all:
            by_kind[pause.kind][pause.subject] = pause
        self.domains = by_kind[PauseKind.DOMAIN]
        self._sites = by_kind[PauseKind.SITE]
        self._senders = by_kind[PauseKind.SENDER]

    def __bool__(self) -> bool:
        return bool(self.all)

    def of_recipient(self, sender: Address | None, domain: str) -> Pause | None:
        """Who stopped mail of this sender to this domain."""
        found = self.domains.get(domain)
        if found is not None or not self._senders:
            return found
        if sender is None:
            return self._senders.get("")
        return self._senders.get(str(sender).lower()) or self._senders.get(sender.domain)

    def of_site(self, site: Site) -> Pause | None:
        """Who stopped mail to this site."""
        if not self._sites:
            return None
        names = [site.key.lower(), site.route.lower(), *site.relays, *(host for group in site.hosts for host in group)]
        return next((self._sites[name] for name in names if name and name in self._sites), None)
