"""Rate limits hold however sessions interleave, cost nothing for what comes to nothing, and say when to come back."""

from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.hand_clock import HandClock

from postroom.config.guard import LimitSettings
from postroom.config.section import read_rate
from postroom.directory.model import NotLocal, Resolution, Resolved
from postroom.mail.address import Address
from postroom.mail.envelope import Recipient
from postroom.mail.reply import Reply
from postroom.mail.session import Client, Role
from postroom.policy.chain import Chain
from postroom.policy.limiting import Limiter, rates_in_force
from postroom.policy.scope import Scope, say_rate
from postroom.policy.stage import AtMail, AtRcpt
from postroom.policy.store import AccountLimits, GuardRecord
from postroom.policy.verdict import Defer
from postroom.report.events import LimitNear, LimitReached, Report
from postroom.report.reporter import Reporter

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
ALICE = Client(1, Role.SUBMISSION, "192.0.2.7", 4711, account="alice@example.org")
STRANGER = Client(2, Role.MX, "192.0.2.9", 4711)
NOTHING: dict[str, tuple[()]] = {
    "account_messages": (),
    "account_recipients": (),
    "address_messages": (),
    "address_recipients": (),
}


class Door:
    """The limits of one role, driven as sessions drive them."""

    def __init__(self, role: Role = Role.SUBMISSION, **limits: object) -> None:
        self.clock = HandClock(NOW)
        self.reports: list[Report] = []
        given = LimitSettings.model_validate(NOTHING | limits)
        self.limiter = Limiter(given, self.clock, Reporter([self.reports.append]))
        stage = self.limiter.stage(role)
        self.chain = Chain([] if stage is None else [stage])

    async def mail(self, client: Client) -> Reply | None:
        """MAIL; None: taken."""
        verdict = await self.chain.on_mail(AtMail(client, None, None))
        return verdict.reply if isinstance(verdict, Defer) else None

    async def rcpt(
        self, client: Client, to: str = "bob@example.net", resolution: Resolution | None = None
    ) -> Reply | None:
        """RCPT; None: taken."""
        moment = AtRcpt(client, None, None, Recipient(Address.parse(to)), resolution or NotLocal())
        verdict = await self.chain.on_rcpt(moment)
        return verdict.reply if isinstance(verdict, Defer) else None

    def end(self, client: Client, *, accepted: bool) -> None:
        """The transaction ends."""
        self.chain.on_end(client, accepted=accepted)

    async def send(self, client: Client, *recipients: str) -> Reply | None:
        """A whole message, or the first refusal."""
        reply = await self.mail(client)
        for to in recipients:
            reply = reply or await self.rcpt(client, to)
        self.end(client, accepted=reply is None)
        return reply


async def test_a_limit_says_when_to_come_back_and_is_never_final() -> None:
    door = Door(account_messages=("5/1m", "1000/1h"))
    for _ in range(5):
        assert await door.send(ALICE, "bob@example.net") is None
    reply = await door.mail(ALICE)
    # RFC 3463 §3.8: X.7.1; transient, so that the message waits and is not lost
    assert reply == Reply.of(
        450,
        "4.7.1",
        "The limit of 5 messages per minute for your account is reached, try again in 12 s (at 2027-01-15T08:00:12Z)",
    )
    door.clock.advance(12)
    assert await door.send(ALICE) is None
    assert await door.mail(ALICE) is not None


async def test_all_layers_hold_at_once() -> None:
    door = Door(account_messages=("10/1s", "12/1h"))
    for _ in range(12):
        assert await door.send(ALICE) is None
        door.clock.advance(1)
    reply = await door.mail(ALICE)
    assert reply is not None
    assert "12 messages per hour" in reply.text


@pytest.mark.parametrize("accepted", [True, False])
async def test_what_comes_to_nothing_costs_nothing(accepted: bool) -> None:
    door = Door(account_messages=("3/1h",), account_recipients=("6/1h",))
    for _ in range(3):
        assert await door.mail(ALICE) is None
        assert await door.rcpt(ALICE) is None
        assert await door.rcpt(ALICE) is None
        door.end(ALICE, accepted=accepted)
    assert (await door.mail(ALICE) is None) is not accepted


async def test_parallel_sessions_cannot_overrun_a_limit() -> None:
    door = Door(account_messages=("3/1m",))
    sessions = [replace(ALICE, session_id=number) for number in range(10, 15)]
    taken = [session for session in sessions if await door.mail(session) is None]
    assert len(taken) == 3
    # Held open for long: what they reserved has not faded meanwhile.
    door.clock.advance(120)
    assert [await door.mail(session) for session in sessions[3:]] != [None, None]
    for session in taken:
        door.end(session, accepted=True)
    assert await door.mail(sessions[3]) is not None


async def test_late_aborts_give_nothing_away() -> None:
    """Transactions that are held open and dropped late must not make room for more than the limit."""
    door = Door(account_messages=("60/1m",))
    held = [replace(ALICE, session_id=100 + number) for number in range(30)]
    for session in held:
        assert await door.mail(session) is None
    door.clock.advance(600)
    sent = 0
    while await door.send(ALICE) is None:
        sent += 1
    for session in held:
        door.end(session, accepted=False)
    while await door.send(ALICE) is None:
        sent += 1
    assert sent == 60


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["mail", "take", "drop"]), st.floats(0, 3)), max_size=80))
@settings(max_examples=60, deadline=None)
async def test_never_more_than_the_rate_whatever_the_sessions_do(steps: list[tuple[int, str, float]]) -> None:
    door = Door(account_messages=("5/10s",))
    open_: set[int] = set()
    taken: list[float] = []
    for number, act, pause in steps:
        door.clock.advance(pause)
        session = replace(ALICE, session_id=number)
        if act == "mail":
            open_.discard(number)  # a session has one transaction
            if await door.mail(session) is None:
                open_.add(number)
        elif number in open_:
            open_.discard(number)
            door.end(session, accepted=act == "take")
            if act == "take":
                taken.append(door.clock.now())
    for start in taken:  # a burst of 5, and one for each 2 seconds
        within = [at for at in taken if start <= at < start + 10]
        assert len(within) <= 10


async def test_each_account_has_its_own() -> None:
    door = Door(account_messages=("1/1h",))
    assert await door.send(ALICE) is None
    assert await door.send(replace(ALICE, account="bob@example.org")) is None
    assert await door.mail(replace(ALICE, account="Alice@example.org")) is not None  # another writing of the same


async def test_a_sender_domain_is_limited_over_its_accounts() -> None:
    door = Door(sender_domain_messages=("2/1h",))
    assert await door.send(ALICE) is None
    assert await door.send(replace(ALICE, account="bob@example.org")) is None
    reply = await door.send(replace(ALICE, account="carol@example.org"))
    assert reply is not None
    assert "for your domain" in reply.text
    assert await door.send(replace(ALICE, account="carol@example.com")) is None


async def test_a_destination_counts_once_a_message_and_only_elsewhere() -> None:
    door = Door(destination_messages=("2/1h",))
    assert await door.send(ALICE, "a@example.net", "b@example.net", "c@example.net") is None
    assert await door.send(ALICE, "a@example.net") is None
    assert await door.mail(ALICE) is None
    reply = await door.rcpt(ALICE, "a@example.net")
    assert reply is not None
    assert "2 messages per hour for this domain" in reply.text
    assert await door.rcpt(ALICE, "a@example.com") is None
    assert await door.rcpt(ALICE, "a@example.net", Resolved(())) is None


async def test_a_recipient_that_is_refused_does_not_count_its_destination() -> None:
    door = Door(destination_messages=("1/1h",), account_recipients=("1/1h",))
    assert await door.mail(ALICE) is None
    assert await door.rcpt(ALICE, "a@example.com") is None
    assert await door.rcpt(ALICE, "a@example.net") is not None
    door.end(ALICE, accepted=True)
    door.clock.advance(3600)
    assert await door.send(ALICE, "a@example.net") is None


async def test_client_addresses_on_mx() -> None:
    door = Door(Role.MX, address_messages=("1/1h",), address_recipients=("2/1h",))
    assert await door.mail(STRANGER) is None
    assert await door.rcpt(STRANGER) is None
    assert await door.rcpt(STRANGER) is None
    reply = await door.rcpt(STRANGER)
    assert reply is not None
    assert "2 recipients per hour for your address" in reply.text
    door.end(STRANGER, accepted=True)
    assert await door.mail(replace(STRANGER, session_id=3)) is not None


async def test_one_customer_has_a_slash_64() -> None:
    door = Door(Role.MX, address_messages=("1/1h",))
    assert await door.send(replace(STRANGER, address="2001:db8:1:2::1")) is None
    assert await door.send(replace(STRANGER, address="2001:db8:1:2:ffff::9")) is not None
    assert await door.send(replace(STRANGER, address="2001:db8:1:3::1")) is None


async def test_exempt_clients_are_not_limited_but_accounts_are_wherever_they_are() -> None:
    door = Door(
        Role.MX,
        address_messages=("1/1h",),
        address_recipients=("1/1h",),
        exempt_networks=(IPv4Network("192.0.2.0/24"),),
    )
    for _ in range(3):
        assert await door.send(STRANGER, "a@example.org", "b@example.org") is None
    door = Door(account_messages=("1/1h",), exempt_networks=(IPv4Network("192.0.2.0/24"),))
    assert await door.send(ALICE) is None
    assert await door.send(ALICE) is not None


def test_a_role_without_limits_has_no_stage() -> None:
    assert Door(Role.MX).limiter.stage(Role.MX) is None
    assert Door(Role.MX).limiter.stage(Role.LMTP) is None


async def test_a_session_that_forgets_to_end_a_transaction_gets_its_reservation_back() -> None:
    door = Door(Role.MX, address_messages=("2/1h",))
    for _ in range(5):
        assert await door.mail(STRANGER) is None


async def test_people_are_told_once_a_window() -> None:
    door = Door(account_messages=("10/1m",), warn_at=0.8)
    for _ in range(7):
        await door.send(ALICE)
    assert door.reports == []
    await door.send(ALICE)
    assert door.reports == [LimitNear("account_messages", "alice@example.org", "10/1m", 0.8)]
    for _ in range(6):
        await door.send(ALICE)
    (reached,) = door.reports[1:]
    assert isinstance(reached, LimitReached)
    assert (reached.scope, reached.subject, reached.rate) == ("account_messages", "alice@example.org", "10/1m")
    assert reached.until == pytest.approx(NOW + 6)
    assert reached.address == "192.0.2.7"
    door.clock.advance(61)
    for _ in range(11):
        await door.send(ALICE)
    assert [type(report) for report in door.reports[2:]] == [LimitNear, LimitReached]


async def test_limits_of_single_accounts_take_the_place_of_the_settings() -> None:
    door = Door(account_messages=("2/1h",), account_recipients=("2/1h",))
    await door.send(ALICE)
    door.limiter.set_account_limits([AccountLimits("alice@example.org", (read_rate("4/1h"),), ())])
    for _ in range(4):
        assert await door.send(ALICE, "a@example.com") is None
    assert await door.mail(ALICE) is not None
    assert await door.send(replace(ALICE, account="bob@example.org")) is None


async def test_what_is_used_up_stays_used_up_when_limits_change() -> None:
    door = Door(account_messages=("2/1h", "3/1d"))
    await door.send(ALICE)
    await door.send(ALICE)
    own = AccountLimits("alice@example.org", (read_rate("100/1m"), read_rate("3/1d")))
    door.limiter.set_account_limits([own])
    assert await door.send(ALICE) is None
    assert await door.send(ALICE) is not None
    door.limiter.set_account_limits([])
    assert await door.send(ALICE) is not None
    door.limiter.set_account_limits([AccountLimits("alice@example.org", ())])
    assert await door.send(ALICE) is None


async def test_a_restart_forgets_nothing() -> None:
    door = Door(account_messages=("2/1h",))
    await door.send(ALICE)
    await door.send(ALICE)
    rows = door.limiter.changed()
    assert [(row.scope, row.subject, row.rate) for row in rows] == [("account_messages", "alice@example.org", "2/1h")]
    assert door.limiter.changed() == ()
    door.limiter.save_again(rows)
    assert door.limiter.changed() == rows

    again = Door(account_messages=("2/1h",))
    again.limiter.restore(GuardRecord(rows))
    assert await again.mail(ALICE) is not None
    changed = Door(account_messages=("3/1h",))  # other settings now
    changed.limiter.restore(GuardRecord(rows))
    assert await changed.mail(ALICE) is None


def test_what_limits_an_account() -> None:
    given = LimitSettings.model_validate(NOTHING | {"account_messages": ("2/1h",)})
    own = AccountLimits("alice@example.org", None, (read_rate("5/1d"),))
    assert rates_in_force(given, None)[0] == ("account_messages", (read_rate("2/1h"),), False)
    assert rates_in_force(given, own) == (
        ("account_messages", (read_rate("2/1h"),), False),
        ("account_recipients", (read_rate("5/1d"),), True),
    )


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        ("60/1m", "60 messages per minute"),
        ("100/5m", "100 messages per 5 minutes"),
        ("1/90s", "1 messages per 90 seconds"),
        ("5/2d", "5 messages per 2 days"),
        ("7/h", "7 messages per hour"),
    ],
)
def test_rates_are_readable(rate: str, text: str) -> None:
    assert say_rate(read_rate(rate), "messages") == text


def test_the_wait_is_finite_even_where_what_is_on_its_way_fills_the_limit() -> None:
    scope = Scope("account_messages", "messages", "your account", (read_rate("1/1m"),))
    assert scope.reserve("a", NOW) is None
    full = scope.reserve("a", NOW)
    assert full is not None
    assert 0 < full.wait <= 60
    scope.release("a", 1)
    assert scope.reserve("a", NOW) is None
