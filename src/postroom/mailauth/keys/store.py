"""The port to stored key pairs. Private halves come and go sealed or not (see ``sealing``); the store does not care."""

from collections.abc import Sequence
from dataclasses import field
from typing import Protocol

from postroom.mail.value import value
from postroom.mailauth.keys.model import KeyName, KeyPair


@value(frozen=True, slots=True)
class NewKey:
    """A key pair with its private half."""

    pair: KeyPair
    secret: bytes = field(repr=False)


class DkimKeyStore(Protocol):
    """Every method may raise ``StoreUnavailable``; a write then changed nothing."""

    async def generation(self) -> int:
        """A counter that every change raises."""
        ...

    async def keys(self, domain: str = "") -> Sequence[KeyPair]:
        """All key pairs that there ever were, or those of one domain, in order of domain, age and selector."""
        ...

    async def secrets(self, names: Sequence[KeyName]) -> Sequence[bytes | None]:
        """The private halves, in order; None for a key that has none any more, or is not there."""
        ...

    async def begin(self, new: NewKey) -> bool:
        """Keep a key whose life begins. False, and nothing is kept, where the selector was used before, or another key
        of that domain and algorithm waits already: two processes make one key between them.
        """
        ...

    async def bring(self, new: NewKey) -> bool:
        """Keep a key from elsewhere, whatever waits. False where the selector was used before."""
        ...

    async def save(self, pairs: Sequence[KeyPair]) -> Sequence[bool]:
        """Replace what is stored of each where it still is of the same ``version``; whether it was, in order. The
        private half of a key that is GONE goes. The record, the algorithm and the time it was made never change.
        """
        ...

    async def reseal(self, secrets: Sequence[tuple[KeyName, bytes]]) -> None:
        """Put other private halves in the place of those that are there; all of them or none."""
        ...
