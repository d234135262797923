"""The bans as operators see and change them: who is shut out, why and until when."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from postroom.admin.moments import iso
from postroom.admin.refusal import Refused
from postroom.config.section import Network
from postroom.policy.bans import ACCOUNT, ADDRESS, subject_of
from postroom.policy.lockout import account_key
from postroom.policy.store import Ban, GuardStore

_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class BanView:
    """One ban as listed. ``scope`` is address or account; ``by`` is who banned, ``""`` for the server itself.

    ``repeats`` are the bans before it within a day, ``failures`` what it was banned for.
    """

    scope: str
    subject: str
    reason: str
    since: str
    until: str
    seconds_left: int
    failures: int
    repeats: int
    by: str


async def list_bans(guard: GuardStore, now: float) -> Sequence[BanView]:
    """The bans that hold, those that end last first."""
    held = [ban for ban in await guard.bans(now) if ban.holds(now)]
    return [_view(ban, now) for ban in sorted(held, key=lambda ban: -ban.until)]


async def add_ban(guard: GuardStore, ban: Ban, exempt: Sequence[Network]) -> BanView:
    """Begin a ban. Refused for what is never banned."""
    if ban.scope == ADDRESS:
        wanted = ip_network(ban.subject)
        for network in exempt:
            if network.version == wanted.version and network.overlaps(wanted):
                raise Refused(f"{ban.subject} is never banned", f"take {network} out of lockout.exempt_networks")
    await guard.ban([ban])
    return _view(ban, ban.since)


async def lift_bans(guard: GuardStore, texts: Sequence[str], by: str, now: float) -> Sequence[str]:
    """End the bans of these addresses, networks or accounts; those that were lifted. Refused if one is not banned."""
    keys = [read_subject(text) for text in texts]
    held = {(ban.scope, ban.subject) for ban in await guard.bans(now) if ban.holds(now)}
    for key, text in zip(keys, texts, strict=True):
        if key not in held:
            raise Refused(f"{text} is not banned", "postroom bans list shows who is")
    await guard.lift(keys, by, now)
    return [subject for _, subject in keys]


async def lift_all(guard: GuardStore, by: str, now: float) -> Sequence[str]:
    """End all bans."""
    keys = [(ban.scope, ban.subject) for ban in await guard.bans(now) if ban.holds(now)]
    if keys:
        await guard.lift(keys, by, now)
    return [subject for _, subject in keys]


def new_ban(text: str, *, reason: str, seconds: float, by: str, clock: Callable[[], float]) -> Ban:
    """A ban that an operator wants, from now on. Refused if it makes no sense."""
    if seconds <= 0:
        raise Refused("a ban needs a length", 'write it as in "1h" or "7d"')
    scope, subject = read_subject(text)
    if scope == ADDRESS and ip_network(subject).prefixlen == 0:
        raise Refused(f"{subject} is everybody", "name a smaller network")
    now = clock()
    return Ban(scope, subject, now, now + seconds, reason[:_LONGEST_REASON] or "by hand", author=by)


def read_subject(text: str) -> tuple[str, str]:
    """Scope and subject of what an operator wrote: an address, a network or an account."""
    if "@" in text:
        return ACCOUNT, account_key(text)
    try:
        return ADDRESS, subject_of(text)
    except ValueError as error:
        raise Refused(
            f"{text!r} is neither an address, a network nor an account",
            "write it as in 192.0.2.7, 2001:db8::/64 or name@example.org",
        ) from error


def _view(ban: Ban, now: float) -> BanView:
    return BanView(
        ban.scope,
        ban.subject,
        ban.reason,
        iso(ban.since),
        iso(ban.until),
        round(ban.until - now),
        ban.failures,
        ban.repeats,
        ban.author,
    )
