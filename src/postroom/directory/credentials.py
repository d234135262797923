"""Whether a name and a password belong together; the same answer and the same time for a stranger and a wrong password.

Verifying runs in a few threads behind a bounded queue. What was verified is remembered for some minutes under a keyed
hash that covers the stored hash too, so that a changed password takes effect at once.
"""

import asyncio
import hmac
import os
import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b

from postroom.clock import Clock
from postroom.directory.cache import LruCache
from postroom.directory.directory import Directory
from postroom.directory.failures import FailureCounts, network_of
from postroom.directory.model import Account
from postroom.directory.passwords import NOBODYS_HASH, HashTrouble, hash_password, prepare_password, verify_password
from postroom.mail.address import Address
from postroom.mail.trouble import StoreUnavailable
from postroom.mail.value import value
from postroom.protocol.sasl.exchange import Password

__all__ = ["Authenticated", "Credentials", "LoginResult", "Refused", "Unavailable", "hash_password"]

REMEMBERED = 300.0
"""Seconds for which a verified password need not be verified again."""

_KEPT = 10_000  # accounts whose password is remembered
_NAME_SHOWN = 254  # characters: no address is longer


@value(frozen=True, slots=True)
class Authenticated:
    """The account may log in and has."""

    account: Account


@value(frozen=True, slots=True)
class Refused:
    """No (535 5.7.8, ``-ERR [AUTH]``). ``reason`` is for the log, never for the peer; the counts are failures in the
    last quarter of an hour, this one included.
    """

    reason: str
    failures_from_address: int
    failures_for_account: int


@value(frozen=True, slots=True)
class Unavailable:
    """It cannot be told now (454 4.7.0, ``-ERR [SYS/TEMP]``). ``reason`` is for the log."""

    reason: str


LoginResult = Authenticated | Refused | Unavailable


class Credentials:
    """Checks logins. ``threads`` verify; at most ``waiting`` are in their hands or wait, so many of one address."""

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        *,
        threads: int = min(4, os.cpu_count() or 1),
        waiting: int = 256,
        waiting_per_address: int = 64,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="password")
        self._waiting = waiting
        self._waiting_per_address = waiting_per_address
        self._secret = secrets.token_bytes(32)
        self._verified: LruCache[int, tuple[bytes, float]] = LruCache(_KEPT)  # by account: proof, when it lapses
        self._running: dict[bytes, asyncio.Future[bool]] = {}
        self._callers: Counter[str] = Counter()
        self._by_address = FailureCounts()
        self._by_account = FailureCounts()

    async def check(self, name: str, password: Password, client_address: str, *, authzid: str = "") -> LoginResult:
        """Whether ``name`` is an account, in any writing of its address, with this password, that may log in.

        ``authzid`` is whom it wants to act as: itself, or nobody (RFC 4616 §2).
        """
        try:
            account = await self._directory.account(name)
        except StoreUnavailable as error:
            return Unavailable(str(error))
        key = account.address.key if account is not None else name[:_NAME_SHOWN].casefold()
        try:
            prepared = prepare_password(password.text)
        except ValueError:
            prepared = b""  # it matches nothing, in the usual time
        network = network_of(client_address)
        try:
            matches = await self._matches(account, key, prepared, network)
        except HashTrouble as error:
            return Unavailable(str(error))
        if matches is None:
            return Unavailable("too many logins are being checked")
        reason = _refusal(account, matches=matches and bool(prepared), authzid=authzid)
        if account is None or reason:
            now = self._clock.monotonic()
            return Refused(reason, self._by_address.add(network, now), self._by_account.add(key, now))
        return Authenticated(account)

    def close(self) -> None:
        """Let go of the threads, once what is being verified is. No ``check`` comes after it."""
        self._threads.shutdown(wait=False)

    async def _matches(self, account: Account | None, key: str, prepared: bytes, network: str) -> bool | None:
        """Whether the password is the stored one; None if too many others wait for that."""
        account_id, stored = (account.account_id, account.password) if account is not None else (0, "")
        proof = self._proof(account_id, key, stored, prepared)
        known = self._verified.get(account_id)
        if known is not None and known[1] > self._clock.monotonic() and hmac.compare_digest(known[0], proof):
            return True
        if not self._has_room(network) and proof not in self._running:
            return None
        self._callers[network] += 1
        try:
            matches = await asyncio.shield(self._verify(proof, stored or NOBODYS_HASH, prepared))
        finally:
            self._callers[network] -= 1
            if not self._callers[network]:
                del self._callers[network]
        if matches and account is not None:
            self._verified.put(account_id, (proof, self._clock.monotonic() + REMEMBERED))
        return matches

    def _has_room(self, network: str) -> bool:
        return len(self._running) < self._waiting and self._callers[network] < self._waiting_per_address

    def _verify(self, proof: bytes, stored: str, prepared: bytes) -> "asyncio.Future[bool]":
        """Verify in a thread; those who ask the same at the same time share the answer."""
        running = self._running.get(proof)
        if running is None:
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._threads, verify_password, stored, prepared)
            self._running[proof] = running
            running.add_done_callback(lambda _: self._running.pop(proof))
        return running

    def _proof(self, account_id: int, key: str, stored: str, prepared: bytes) -> bytes:
        """What only this process can make of the four, and only with all of them."""
        parts = (str(account_id).encode(), key.encode("utf-8", "surrogatepass"), stored.encode(), prepared)
        digest = blake2b(key=self._secret, digest_size=32)
        for part in parts:
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.digest()


def _refusal(account: Account | None, *, matches: bool, authzid: str) -> str:
    """Why not, for the log; ``""`` if nothing speaks against it."""
    if account is None:
        return "no such account"
    if not account.password:
        return "the account has no password"
    if not matches:
        return "wrong password"
    if not account.enabled:
        return "the account is disabled"
    if authzid and not _same(authzid, account.address):
        return "it may not act as another"
    return ""


def _same(text: str, address: Address) -> bool:
    try:
        return Address.parse(text).key == address.key
    except ValueError:
        return False
