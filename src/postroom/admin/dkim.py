"""Signing keys as operators see and move them: listed, made, brought, looked for, switched, retired, removed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from postroom.admin.dnsrecords.model import DkimRecord
from postroom.admin.moments import local, maybe_iso
from postroom.admin.refusal import Refused
from postroom.config.trust import DkimSettings
from postroom.directory.store import DirectoryStore
from postroom.mailauth.keys.keeping import begin_key
from postroom.mailauth.keys.lifecycle import activated, is_ready, looked, retired, rotates_at, signers
from postroom.mailauth.keys.making import read_pem
from postroom.mailauth.keys.model import (
    GONE,
    LIVING,
    WAITING,
    By,
    KeyName,
    KeyPair,
    KeyState,
    LifeRules,
    Order,
    Sight,
    name_of,
)
from postroom.mailauth.keys.record import zone_text
from postroom.mailauth.keys.sealing import Sealer
from postroom.mailauth.keys.store import DkimKeyStore, NewKey
from postroom.mailauth.keys.watching import Watcher

_SELECTOR_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")
_LONGEST_SELECTOR = 63


@dataclass(frozen=True, slots=True)
class KeyView:
    """One key as listed; ``signs`` now, ``comes`` says what comes next and when. Times are RFC 3339 or None."""

    domain: str
    selector: str
    algorithm: str
    state: str
    signs: bool
    comes: str
    record: str
    made_at: str | None
    published_at: str | None
    seen_since: str | None
    active_at: str | None
    retired_at: str | None
    withdrawn_at: str | None
    published_by: str
    order: str
    trouble: str


@dataclass(frozen=True, slots=True)
class RecordView:
    """One record to publish. ``value`` is what the TXT record says, ``data`` the same as zone files have it."""

    name: str
    kind: str
    data: str
    value: str
    selector: str
    state: str


@dataclass(frozen=True, slots=True)
class LookView:
    """What a look in the DNS found, now: visible, absent, wrong or unknown."""

    domain: str
    selector: str
    record: str
    sight: str
    detail: str


def rules_of(settings: DkimSettings) -> LifeRules:
    """The rules of the settings."""
    return LifeRules(settings.algorithms, settings.wait, settings.keep, settings.rotate)


async def list_keys(store: DkimKeyStore, domain: str, rules: LifeRules, now: float, *, gone: bool) -> list[KeyView]:
    """The keys of one domain, or of all (``""``); those that are withdrawn only if asked for."""
    keys = await store.keys(domain)
    shown = [key for key in keys if gone or key.state is not KeyState.WITHDRAWN]
    return [show(key, keys, rules, now) for key in shown]


def show(key: KeyPair, keys: Iterable[KeyPair], rules: LifeRules, now: float) -> KeyView:
    """A key for people and programs. ``keys`` are all there are."""
    siblings = [other for other in keys if other.domain == key.domain]
    return KeyView(
        key.domain,
        key.selector,
        key.algorithm,
        key.state.value,
        any(other.selector == key.selector for other in signers(siblings)),
        _comes(key, [other for other in siblings if other.algorithm == key.algorithm], rules, now),
        key.name,
        maybe_iso(key.made_at),
        maybe_iso(key.published_at),
        maybe_iso(key.seen_since),
        maybe_iso(key.active_at),
        maybe_iso(key.retired_at),
        maybe_iso(key.withdrawn_at),
        key.by.value,
        key.order.value,
        key.trouble,
    )


def _comes(key: KeyPair, line: Sequence[KeyPair], rules: LifeRules, now: float) -> str:
    match key.state:
        case KeyState.MADE:
            return "the server publishes its record, or asks for it to be published"
        case KeyState.PUBLISHED:
            return "it waits until its record is seen in the DNS"
        case KeyState.SEEN:
            if is_ready(key, now, rules):
                return "it signs within a minute"
            return f"it signs from {local((key.seen_since or now) + rules.wait)} on, if its record stays"
        case KeyState.ACTIVE if not key.may_sign:
            return "it signs again when its record is seen in the DNS again"
        case KeyState.ACTIVE:
            at = rotates_at(key, line, rules)
            return "nothing: keys are not rotated" if at == float("inf") else f"the next is made {local(at)}"
        case KeyState.RETIRED:
            return f"its record may go {local((key.retired_at or now) + rules.keep)}"
        case KeyState.REMOVABLE:
            return "remove its record" if key.by is not By.UPDATE else "the server removes its record"
        case KeyState.WITHDRAWN:
            return ""


def records_of(keys: Iterable[KeyPair]) -> list[RecordView]:
    """The records that should be in the DNS: of keys that sign, will, or have until lately."""
    return [
        RecordView(key.name, "TXT", zone_text(key.record), key.record, key.selector, key.state.value)
        for key in keys
        if key.state not in GONE
    ]


class StoredRecords:
    """The keys of the store as ``postroom dns`` asks for them: see ``dnsrecords.model.DkimRecords``."""

    def __init__(self, store: DkimKeyStore) -> None:
        self._store = store

    async def to_publish(self, domain: str) -> Sequence[DkimRecord]:
        """Of keys that sign, will, or have until lately. Raises StoreUnavailable."""
        keys = await self._store.keys(domain)
        return [DkimRecord(key.name, key.record, key.state.value) for key in keys if key.state not in GONE]


async def records_to_publish(store: DkimKeyStore, domain: str) -> list[RecordView]:
    """The same of one domain, from the store."""
    return records_of(await store.keys(domain))


async def make_first(
    store: DkimKeyStore, sealer: Sealer, settings: DkimSettings, domain: str, now: float
) -> list[KeyPair]:
    """The first keys of a domain: one of each algorithm that it has none of yet. None where it is not to be signed."""
    if not settings.enabled or domain in settings.unsigned:
        return []
    living = {key.algorithm for key in await store.keys(domain) if key.state in LIVING}
    return await make_next(store, sealer, domain, [each for each in settings.algorithms if each not in living], now)


async def make_next(
    store: DkimKeyStore, sealer: Sealer, domain: str, algorithms: Iterable[str], now: float
) -> list[KeyPair]:
    """A key for each of the algorithms, except where one waits already."""
    begun = [await begin_key(store, sealer, domain, algorithm, now) for algorithm in algorithms]
    return [pair for pair in begun if pair is not None]


async def must_be_ours(directory: DirectoryStore, domain: str, hostname: str) -> None:
    """Refused for a domain that nothing of ours is sent from. The hostname is one: bounces come from there."""
    if domain != hostname and await directory.find_domain(domain) is None:
        raise Refused(f"{domain} is not a domain of this server", f"postroom domain add {domain}")


async def find_key(store: DkimKeyStore, domain: str, selector: str) -> KeyPair:
    """One key. Refused where there is none of that name."""
    for key in await store.keys(domain):
        if key.selector == selector.lower():
            return key
    raise Refused(f"{domain} has no key {selector}", f"postroom dkim list {domain} shows those that it has")


async def activate(store: DkimKeyStore, watcher: Watcher, key: KeyPair, now: float, *, force: bool) -> KeyPair:
    """Let a key sign from now on, in place of the others of its algorithm.

    Refused where its record cannot be seen, unless ``force``: then it signs without being looked for any more.
    """
    _must_have_secret(key)
    if force:
        key = replace(key, order=Order.SIGN)
    else:
        found = await watcher.look(key)
        if found.sight is not Sight.VISIBLE:
            what = f"{key.name} cannot be seen: {found.detail or 'nobody answers'}"
            remedy = "publish it, and wait; --force only for a zone that this machine cannot see (split DNS)"
            raise Refused(what, remedy)
        key = replace(looked(looked(key, found, now), found, now), order=Order.NONE)
    others = [
        retired(other, now)
        for other in await store.keys(key.domain)
        if other.algorithm == key.algorithm and other.state is KeyState.ACTIVE and other.selector != key.selector
    ]
    key = replace(activated(key, now), retired_at=None)
    await _save(store, [key, *others])
    return key


async def retire(store: DkimKeyStore, key: KeyPair, now: float) -> KeyPair:
    """Let a key sign no more, for good; its record stays for mail that is under way. The next is made by itself."""
    if key.state not in LIVING and key.order is Order.NEVER:
        raise Refused(f"{key.selector} of {key.domain} signs no more already")
    _must_have_secret(key)
    after = replace(key if key.state is KeyState.RETIRED else retired(key, now), order=Order.NEVER)
    await _save(store, [after])
    return after


async def remove(store: DkimKeyStore, key: KeyPair) -> KeyPair:
    """Throw a private key away, at once. Its record is to go from the DNS."""
    if key.state in GONE:
        raise Refused(f"{key.selector} of {key.domain} has no private key any more")
    after = replace(key, state=KeyState.REMOVABLE, order=Order.NEVER, told_at=None)
    await _save(store, [after])
    return after


async def retire_domain(store: DkimKeyStore, domain: str, now: float) -> None:
    """The domain is given up: none of its keys signs any more, and none follows."""
    keys = [key for key in await store.keys(domain) if key.state in LIVING]
    await store.save([replace(retired(key, now), order=Order.NEVER) for key in keys])


async def bring(store: DkimKeyStore, sealer: Sealer, name: KeyName, pem: bytes, now: float) -> KeyPair:
    """Take over a private key that another program made. Its record stands in the DNS already, or is to."""
    domain, selector = name[0], read_selector(name[1])
    try:
        made = read_pem(pem)
    except ValueError as error:
        raise Refused(f"the key cannot be taken over: {error}") from error
    pair = KeyPair(domain, selector, made.algorithm, made.record, now, KeyState.PUBLISHED, now, by=By.HAND)
    if not await store.bring(NewKey(pair, sealer.seal(name_of(pair), made.private))):
        raise Refused(f"{domain} has, or had, a key {selector}: no selector is used twice", "choose another selector")
    return pair


def read_selector(text: str) -> str:
    """A selector as operators write it. Refused if it is none (RFC 6376 §3.1)."""
    selector = text.strip().lower().removesuffix("._domainkey")
    if not selector or len(selector) > _LONGEST_SELECTOR or not _SELECTOR_CHARACTERS.issuperset(selector):
        raise Refused(f"{text!r} is no selector", "write letters, digits and dashes, as in 2026a")
    if any(not label for label in selector.split(".")):
        raise Refused(f"{text!r} is no selector", "it has an empty label")
    return selector


async def look_all(store: DkimKeyStore, watcher: Watcher, domain: str = "") -> list[LookView]:
    """Look in the DNS for every record that should be there."""
    found = []
    for key in await store.keys(domain):
        if key.state not in GONE:
            look = await watcher.look(key)
            found.append(LookView(key.domain, key.selector, key.name, look.sight.value, look.detail))
    return found


async def reseal(store: DkimKeyStore, before: Sealer, after: Sealer) -> int:
    """Open every private key by one sealer, and seal it by another. Returns how many. SealError, and nothing changes,
    where one cannot be opened.
    """
    keys = [key for key in await store.keys() if key.state not in GONE]
    names = [name_of(key) for key in keys]
    kept = await store.secrets(names)
    secrets = [(name, secret) for name, secret in zip(names, kept, strict=True) if secret is not None]
    await store.reseal([(name, after.seal(name, before.open(name, secret))) for name, secret in secrets])
    return len(secrets)


def waiting(keys: Iterable[KeyPair]) -> list[KeyPair]:
    """Those that are not in use yet."""
    return [key for key in keys if key.state in WAITING]


def _must_have_secret(key: KeyPair) -> None:
    if key.state in GONE:
        raise Refused(
            f"{key.selector} of {key.domain} has no private key any more", "make a new one: postroom dkim make"
        )


async def _save(store: DkimKeyStore, keys: Sequence[KeyPair]) -> None:
    if not all(await store.save(keys)):
        raise Refused("the key was changed by somebody else at the same moment", "look at it, and repeat the command")
