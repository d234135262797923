"""One login, by each mechanism: what comes of it, what the guard is asked and told, what the log sees."""

from dataclasses import replace

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.directory_store import MemoryDirectoryStore
from tests.fakes.login_house import FakeChecker, FakeGuard

from postroom.config.model import DeliverySettings
from postroom.directory.checker import Asker, Refused, Unavailable
from postroom.directory.directory import Directory
from postroom.directory.guard import LoginFailure, LoginStanding, Unguarded
from postroom.directory.login import Ask, Failure, LoggedIn, Login, LoginDesk, NotLoggedIn, Outcome
from postroom.mail.session import Client, Role, TlsFacts
from postroom.protocol.sasl.exchange import Binding, ClientMechanism, Password, Secrets, no_binding
from postroom.protocol.sasl.mechanisms import SERVER, begin_client
from postroom.report.events import LoginFailed, LoginSucceeded, Report
from postroom.report.reporter import Reporter

ANNA, PASSWORD, TOKEN, ADDRESS = "anna@example.org", "secret", "a.token", "192.0.2.1"
TLS = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", "mail.example.org", (ANNA,))


def bound(kind: str) -> bytes | None:
    return b"the session" if kind == "tls-exporter" else None


class House:
    """A desk with one account, and the client that comes to it."""

    def __init__(self) -> None:
        store = MemoryDirectoryStore()
        store.add_account(ANNA, password="set")
        self.checker = FakeChecker(Directory(store, DeliverySettings(), ManualClock()), {ANNA: PASSWORD})
        self.checker.tokens[TOKEN] = ANNA
        self.guard = FakeGuard()
        self.reports: list[Report] = []
        self.desk = LoginDesk(self.checker, self.guard, Reporter([self.reports.append]))
        self.client = Client(7, Role.SUBMISSIONS, ADDRESS, 4711, tls=TLS)
        self.binding: Binding = bound
        self.asked: list[Ask] = []

    def login(self, mechanism: str) -> Login:
        announced = self.desk.mechanisms(self.client, self.binding)
        return Login(self.desk, self.client, mechanism, announced, self.binding)

    async def play(self, client: ClientMechanism, *, initial: bool = True) -> Outcome:
        """The whole exchange; the challenges stand in ``asked``. A client that gives up is silent."""
        self.asked.clear()
        login = self.login(client.name)
        outcome = await login.step(client.initial() if initial else None)
        while isinstance(outcome, Ask):
            self.asked.append(outcome)
            response = client.respond(outcome.data)
            outcome = await login.step(response if isinstance(response, bytes) else b"")
        return outcome

    async def by(self, mechanism: str, password: str = PASSWORD, name: str = ANNA, authzid: str = "") -> Outcome:
        token = Password(password) if "AUTH" in mechanism else None
        client = begin_client(
            [mechanism],
            Secrets(name, Password(password), token, mechanism == "EXTERNAL", authzid),
            "nonce",
            self.binding if mechanism.endswith("PLUS") else no_binding,
        )
        assert client is not None
        assert client.name == mechanism
        return await self.play(client)

    def failure(self) -> LoginFailed:
        (report,) = self.reports
        assert isinstance(report, LoginFailed)
        self.reports.clear()
        return report


@pytest.fixture
def house() -> House:
    return House()


PASSWORDS = tuple(name for name in SERVER if name not in {"OAUTHBEARER", "XOAUTH2", "EXTERNAL"})


@pytest.mark.parametrize("mechanism", SERVER)
@pytest.mark.parametrize("role", [Role.SUBMISSION, Role.POP3])
async def test_each_mechanism_lets_in(house: House, mechanism: str, role: Role) -> None:
    house.client = Client(7, role, ADDRESS, 4711, tls=TLS)
    outcome = await house.by(mechanism, TOKEN if "AUTH" in mechanism else PASSWORD)
    assert isinstance(outcome, LoggedIn)
    assert str(outcome.account.address) == ANNA
    assert house.guard.successes == [(ADDRESS, ANNA)]
    assert not house.guard.failures
    (told,) = house.reports
    assert isinstance(told, LoginSucceeded)
    assert (told.mechanism, told.client.account) == (mechanism, ANNA)
    assert house.checker.asked[-1] == Asker(ADDRESS, "pop3" if role is Role.POP3 else "smtp")


@pytest.mark.parametrize("mechanism", [name for name in SERVER if name != "EXTERNAL"])
async def test_each_mechanism_refuses(house: House, mechanism: str) -> None:
    house.guard.delay = 1.5
    outcome = await house.by(mechanism, "wrong")
    assert isinstance(outcome, NotLoggedIn)
    assert outcome.kind is Failure.WRONG
    delays = [ask.delay for ask in house.asked] + [outcome.delay]
    assert sum(delays) == 1.5  # held back once, and before anything is said of it
    assert not any(b"wrong" in ask.data for ask in house.asked)
    failure = house.failure()
    assert (failure.account, failure.failures_from_address, failure.failures_for_account) == (ANNA, 1, 1)
    assert "wrong" in failure.reason or "no such token" in failure.reason


@pytest.mark.parametrize("mechanism", PASSWORDS)
async def test_a_stranger_looks_like_a_wrong_password(house: House, mechanism: str) -> None:
    await house.by(mechanism, "wrong", "nobody@example.org")
    stranger = [ask.data[:4] for ask in house.asked]
    await house.by(mechanism, "wrong")
    assert [ask.data[:4] for ask in house.asked] == stranger


@pytest.mark.parametrize("mechanism", SERVER)
@pytest.mark.parametrize("locked", [ADDRESS, ANNA])
async def test_the_locked_are_told_so_and_not_looked_at(house: House, mechanism: str, locked: str) -> None:
    house.guard.locked.add(locked)
    outcome = await house.by(mechanism, TOKEN if "AUTH" in mechanism else PASSWORD, authzid=_acting(mechanism))
    assert outcome == NotLoggedIn(Failure.LOCKED)
    assert not house.asked or mechanism == "LOGIN"
    assert not house.checker.asked
    assert house.failure().reason == "too many failed"
    assert not house.guard.failures


def _acting(mechanism: str) -> str:
    return ANNA if mechanism == "EXTERNAL" else ""


@pytest.mark.parametrize("mechanism", SERVER)
async def test_what_cannot_be_told_is_no_failure_of_the_client(house: House, mechanism: str) -> None:
    house.checker.result = Unavailable("the store is gone")
    house.checker.passwords.clear()
    house.checker.tokens.clear()
    house.client = Client(7, Role.SUBMISSIONS, ADDRESS, 4711, tls=TlsFacts("TLSv1.3", "x", peer_names=("x@y.example",)))
    assert await house.by(mechanism) == NotLoggedIn(Failure.UNAVAILABLE)
    assert house.failure().failures_from_address == 0
    assert not house.guard.failures


class TestScram:
    async def test_an_app_password(self, house: House) -> None:
        house.checker.app_passwords[ANNA] = {"phone": "abcd"}
        outcome = await house.by("SCRAM-SHA-256", "abcd")
        assert isinstance(outcome, LoggedIn)
        assert outcome.credential == "phone"

    async def test_a_disabled_account_looks_like_a_wrong_password(self, house: House) -> None:
        house.checker.result = Refused("the account is disabled")
        outcome = await house.by("SCRAM-SHA-256")
        assert outcome == NotLoggedIn(Failure.WRONG)
        assert house.asked[-1].data == b"e=invalid-proof"
        assert house.failure().reason == "the account is disabled"
        assert not house.guard.successes

    async def test_the_store_fails_between_the_steps(self, house: House) -> None:
        client = begin_client(["SCRAM-SHA-256"], Secrets(ANNA, Password(PASSWORD)), "nonce")
        assert client is not None
        login = house.login("SCRAM-SHA-256")
        challenge = await login.step(client.initial())
        assert isinstance(challenge, Ask)
        final = client.respond(challenge.data)
        assert isinstance(final, bytes)
        house.checker.result = Unavailable("the store is gone")
        assert await login.step(final) == NotLoggedIn(Failure.UNAVAILABLE)

    async def test_a_guess_counts_even_if_the_client_breaks_off(self, house: House) -> None:
        client = begin_client(["SCRAM-SHA-256"], Secrets(ANNA, Password("wrong")), "nonce")
        assert client is not None
        login = house.login("SCRAM-SHA-256")
        challenge = await login.step(client.initial())
        assert isinstance(challenge, Ask)
        final = client.respond(challenge.data)
        assert isinstance(final, bytes)
        assert await login.step(final) == Ask(b"e=invalid-proof")
        assert house.guard.failures[ADDRESS] == 1

    async def test_who_was_let_in_is_known_when_it_has_heard_so(self, house: House) -> None:
        client = begin_client(["SCRAM-SHA-1"], Secrets(ANNA, Password(PASSWORD)), "nonce")
        assert client is not None
        login = house.login("SCRAM-SHA-1")
        challenge = await login.step(client.initial())
        assert isinstance(challenge, Ask)
        final = client.respond(challenge.data)
        assert isinstance(final, bytes)
        assert isinstance(await login.step(final), Ask)
        assert not house.reports  # the client may still not believe that we know the password
        assert isinstance(await login.step(b""), LoggedIn)

    async def test_a_hidden_plus(self, house: House) -> None:
        # RFC 5802 §6
        client = begin_client(["SCRAM-SHA-256"], Secrets(ANNA, Password(PASSWORD)), "nonce", bound)
        assert client is not None
        assert await house.play(client) == NotLoggedIn(Failure.WRONG)
        assert house.asked[-1].data == b"e=server-does-support-channel-binding"

    async def test_another_binding(self, house: House) -> None:
        client = begin_client(["SCRAM-SHA-256-PLUS"], Secrets(ANNA, Password(PASSWORD)), "nonce", lambda _: b"other")
        assert client is not None
        assert await house.play(client) == NotLoggedIn(Failure.WRONG)
        assert house.asked[-1].data == b"e=channel-bindings-dont-match"


class TestExternal:
    async def test_another_s_certificate(self, house: House) -> None:
        outcome = await house.by("EXTERNAL", authzid="bert@example.org")
        assert outcome == NotLoggedIn(Failure.WRONG)
        assert house.failure().account == "bert@example.org"

    async def test_without_a_certificate(self, house: House) -> None:
        house.client = Client(7, Role.SUBMISSIONS, ADDRESS, 4711)
        assert await house.by("EXTERNAL") == NotLoggedIn(Failure.WRONG)


class TestMalformed:
    @pytest.mark.parametrize("mechanism", SERVER)
    async def test_it_is_no_guess(self, house: House, mechanism: str) -> None:
        assert await house.login(mechanism).step(b"\x00") == NotLoggedIn(Failure.MALFORMED)
        assert house.failure().failures_from_address == 0
        assert not house.guard.failures

    async def test_an_unknown_mechanism(self, house: House) -> None:
        assert await house.login("CRAM-MD5").step(None) == NotLoggedIn(Failure.MALFORMED)

    async def test_a_long_name_is_cut_for_the_log(self, house: House) -> None:
        await house.by("PLAIN", "wrong", "x" * 900)
        assert len(house.failure().account) == 100


class TestGuard:
    @pytest.mark.parametrize("mechanism", SERVER)
    @pytest.mark.parametrize("secret", ["right", "wrong"])
    async def test_who_is_locked_meanwhile_learns_nothing(self, house: House, mechanism: str, secret: str) -> None:
        """Of many guesses at once, those beyond the last that may be made hear the same whether they are right."""

        class Meanwhile(FakeGuard):
            def standing(self, address: str, name: str) -> LoginStanding:
                standing = super().standing(address, name)
                self.locked.add(name)
                return standing

        house.guard = Meanwhile()
        house.desk = LoginDesk(house.checker, house.guard, Reporter([house.reports.append]))
        if secret == "wrong":
            house.checker.passwords[ANNA] = "another"
            house.checker.tokens.clear()
            house.client = replace(house.client, tls=TlsFacts("TLSv1.3", "x", peer_names=("stranger@example.org",)))
        outcome = await house.by(
            mechanism, TOKEN if "AUTH" in mechanism else PASSWORD, authzid=ANNA if mechanism == "EXTERNAL" else ""
        )
        assert outcome == NotLoggedIn(Failure.LOCKED)
        assert house.checker.asked  # it was looked at
        assert house.failure().reason == "too many failed"
        assert not house.guard.successes
        assert not house.guard.failures

    async def test_a_house_without_one(self, house: House) -> None:
        guard = Unguarded()
        assert guard.standing(ADDRESS, ANNA) == LoginStanding()
        assert guard.failed(ADDRESS, ANNA) == LoginFailure(0, 0, 0.0)
        house.desk = LoginDesk(house.checker, guard, Reporter([]))
        assert isinstance(await house.by("PLAIN"), LoggedIn)
        assert await house.by("PLAIN", "wrong") == NotLoggedIn(Failure.WRONG)


class TestAnnounced:
    def test_all(self, house: House) -> None:
        assert house.desk.mechanisms(house.client, bound) == tuple(SERVER)

    def test_without_channel_binding(self, house: House) -> None:
        assert not any(name.endswith("-PLUS") for name in house.desk.mechanisms(house.client))

    def test_without_a_certificate(self, house: House) -> None:
        client = Client(7, Role.SUBMISSIONS, ADDRESS, 4711, tls=TlsFacts("TLSv1.3", "x"))
        assert "EXTERNAL" not in house.desk.mechanisms(client, bound)
        assert "EXTERNAL" not in house.desk.mechanisms(Client(7, Role.SUBMISSIONS, ADDRESS, 4711), bound)

    def test_what_can_be_checked(self, house: House) -> None:
        house.checker.mechanisms = ("LOGIN", "PLAIN")
        assert house.desk.mechanisms(house.client, bound) == ("LOGIN", "PLAIN")
