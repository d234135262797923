"""Signs what commands put into the store, with the keys that the server signs with."""

from postroom.cli.house import OpenStore
from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.directory.directory import Directory
from postroom.mailauth.dkim.signing import sign
from postroom.mailauth.dkim.signingkey import SigningKey
from postroom.mailauth.keys.making import load_pair
from postroom.mailauth.keys.ring import KeyRing
from postroom.mailauth.keys.sealing import SealError, open_sealer
from postroom.policy.networks import member_of
from postroom.queue.model import Draft
from postroom.queue.signing import KeySigner, Signed, Signer
from postroom.report.reporter import Reporter


class _Unable:
    """The keys cannot be opened: mail goes unsigned, and its history says why."""

    def __init__(self, why: str) -> None:
        self._why = why

    async def fields(self, draft: Draft) -> Signed:
        """None."""
        return Signed(why_not=self._why)


async def signer_of(store: OpenStore, settings: Settings, directory: Directory, clock: Clock) -> Signer | None:
    """What signs for one command; None where nothing is signed. Raises StoreUnavailable."""
    if not settings.dkim.enabled:
        return None
    try:
        sealer = open_sealer(settings.dkim.key_file)
    except SealError as error:
        return _Unable(error.what)
    ring: KeyRing[SigningKey] = KeyRing(store.dkim, sealer, load_pair, Reporter())
    await ring.refresh()
    return KeySigner(
        ring,
        sign=sign,
        accounts=directory,
        is_trusted=member_of(()),
        contents=store.queue,
        clock=clock,
    )
