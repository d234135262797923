"""The rate limits of accounts as operators see and change them, with what is used up now."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from postroom.admin.accounts import find_account, read_address
from postroom.admin.moments import iso
from postroom.admin.refusal import Refused
from postroom.config.guard import LimitSettings
from postroom.config.section import Rate, read_rate
from postroom.directory.store import DirectoryStore
from postroom.policy.limiting import rates_in_force
from postroom.policy.scope import say_rate
from postroom.policy.store import AccountLimits, GuardStore

NONE = "none"
"""The word for no limit."""

_MOST_RATES = 10


@dataclass(frozen=True, slots=True)
class RateView:
    """One rate of one account: ``used`` of ``count`` in ``window`` seconds; ``free_at``: then nothing is used."""

    rate: str
    shown: str
    count: int
    window: float
    used: int
    free_at: str | None


@dataclass(frozen=True, slots=True)
class LimitView:
    """What limits an account: ``own`` says that it is not what the settings say. No rates: no limit."""

    scope: str
    own: bool
    rates: tuple[RateView, ...]


@dataclass(frozen=True, slots=True)
class AccountView:
    """The limits of one account."""

    account: str
    limits: tuple[LimitView, ...]


@dataclass(frozen=True, slots=True)
class SpecialView:
    """An account with limits of its own, as written; None: those of the settings."""

    account: str
    messages: str | None
    recipients: str | None


async def show_limits(
    directory: DirectoryStore, guard: GuardStore, settings: LimitSettings, text: str, now: float
) -> AccountView:
    """The limits of one account with what is used up. Refused if there is no such account."""
    account = await find_account(directory, read_address(text))
    key = account.address.key
    tats = {(row.scope, row.rate): row.tat for row in await guard.standings(key)}
    views = []
    for scope, rates, own in rates_in_force(settings, await _own(guard, key)):
        unit = scope.rpartition("_")[2]
        shown = [_rate_view(rate, unit, tats.get((scope, str(rate)), 0.0), now) for rate in rates]
        views.append(LimitView(scope, own, tuple(shown)))
    return AccountView(str(account.address), tuple(views))


async def list_special(guard: GuardStore) -> Sequence[SpecialView]:
    """The accounts with limits of their own."""
    found = await guard.account_limits()
    return [SpecialView(one.account, _show(one.messages), _show(one.recipients)) for one in found]


async def set_limits(
    directory: DirectoryStore, guard: GuardStore, text: str, *, messages: str | None, recipients: str | None
) -> str:
    """Give an account limits of its own; what is None stays as it is. Returns its address."""
    if messages is None and recipients is None:
        raise Refused("nothing to set", 'name --messages or --recipients, as in --messages 200/1h,2000/1d, or "none"')
    account = await find_account(directory, read_address(text))
    own = await _own(guard, account.address.key) or AccountLimits(account.address.key)
    if messages is not None:
        own = replace(own, messages=read_rates(messages))
    if recipients is not None:
        own = replace(own, recipients=read_rates(recipients))
    await guard.limit([own])
    return str(account.address)


async def clear_limits(directory: DirectoryStore, guard: GuardStore, text: str) -> str:
    """Let the settings say again what limits an account. Refused if they do already."""
    account = await find_account(directory, read_address(text))
    if await _own(guard, account.address.key) is None:
        raise Refused(f"{account.address} has no limits of its own", "[limits] in the settings is for all accounts")
    await guard.limit([AccountLimits(account.address.key)])
    return str(account.address)


def read_rates(text: str) -> tuple[Rate, ...]:
    """Rates with a comma between them, or the word for none."""
    if text.strip().lower() == NONE:
        return ()
    parts = text.split(",")
    if len(parts) > _MOST_RATES:
        raise Refused(f"more than {_MOST_RATES} rates", "two or three are enough: per minute, hour, day")
    try:
        return tuple([read_rate(part) for part in parts])
    except ValueError as error:
        raise Refused(f"{text!r} is no limit", f'{error}; commas between several; or "{NONE}"') from error


async def _own(guard: GuardStore, key: str) -> AccountLimits | None:
    return next((one for one in await guard.account_limits() if one.account == key), None)


def _rate_view(rate: Rate, unit: str, tat: float, now: float) -> RateView:
    share = min(1.0, max(0.0, tat - now) / rate.window)
    return RateView(
        str(rate),
        say_rate(rate, unit),
        rate.count,
        rate.window,
        round(share * rate.count),
        iso(tat) if tat > now else None,
    )


def _show(rates: tuple[Rate, ...] | None) -> str | None:
    if rates is None:
        return None
    return ",".join([str(rate) for rate in rates]) or NONE
