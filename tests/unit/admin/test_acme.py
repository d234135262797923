"""Certificates from an authority: when they are ordered, what is kept, and how failures are borne with."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from postroom.admin.acme import CertificateKeeper, in_thread
from postroom.admin.acmeanswers import MOST, Answers
from postroom.admin.acmeauthority import AcmeAuthority, Issued, Suggestion
from postroom.admin.acmeplan import FIRST_WAIT, LONGEST_ASKED_WAIT, LONGEST_WAIT, renewal_at, wait_after
from postroom.admin.acmeshelf import Account, Shelf, State
from postroom.admin.acmetrouble import AcmeTrouble
from postroom.config.certificates import AcmeSettings, TlsSettings
from postroom.net.certificates import CertificateError
from postroom.report.events import CertificateRenewed, CertificateTrouble, InternalError, Report
from postroom.report.reporter import Reporter

START = 1_800_000_000.0
LIFE = 90 * 86400.0
NAME = "mail.example.org"
HOUR = 3600.0


def issue(name: str, begins_at: float, life: float = LIFE, key_pem: bytes | None = None) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    if key_pem is not None:
        known = serialization.load_pem_private_key(key_pem, None)
        assert isinstance(known, ec.EllipticCurvePrivateKey)
        key = known
    begin = datetime.fromtimestamp(begins_at, UTC)
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Some Authority")])
    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(seconds=life))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Issued(pem, built.public_bytes(serialization.Encoding.PEM))


class TestPlan:
    def test_a_third_of_its_life_before_the_end(self) -> None:
        assert renewal_at(0, 90, 0) == 60

    def test_as_the_settings_say(self) -> None:
        assert renewal_at(0, 90, 10) == 80

    def test_a_life_shorter_than_renew_before_does_not_order_without_end(self) -> None:
        assert renewal_at(0, 90, 1000) == 30

    def test_the_authority_may_wish_it_sooner_but_not_later(self) -> None:  # RFC 9773 §4.2
        assert renewal_at(0, 90, 0, 20) == 20
        assert renewal_at(0, 90, 0, 85) == 60

    def test_waits_double_from_an_hour_to_a_day(self) -> None:
        assert [wait_after(n, 0) / HOUR for n in (1, 2, 3, 4, 5, 6, 7, 1000)] == [1, 2, 4, 8, 16, 24, 24, 24]

    @pytest.mark.parametrize("failures", [1, 3, 6, 50])
    def test_chance_makes_them_longer_within_bounds(self, failures: int) -> None:
        assert FIRST_WAIT <= wait_after(failures, 0) <= wait_after(failures, 1) <= LONGEST_WAIT

    def test_the_authority_may_ask_for_more(self) -> None:  # RFC 8555 §6.6
        assert wait_after(1, 0, 5 * HOUR) == 5 * HOUR
        assert wait_after(1, 0, 5) == HOUR
        assert wait_after(1, 0, 1e9) == LONGEST_ASKED_WAIT


class TestAnswers:
    def test_come_and_go(self) -> None:
        answers = Answers()
        answers.add("a", "a.b")
        assert (answers.get("a"), answers.get("b")) == ("a.b", None)
        answers.remove("a")
        answers.remove("a")
        assert answers.get("a") is None

    def test_are_bounded(self) -> None:
        answers = Answers()
        for number in range(MOST):
            answers.add(str(number), "x")
        with pytest.raises(ValueError, match="open"):
            answers.add("one more", "x")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path / "data")
    shelf.prepare()
    return shelf


class TestShelf:
    def test_is_for_us_alone(self, shelf: Shelf) -> None:
        issued = issue(NAME, START)
        shelf.keep(issued.key_pem, issued.chain_pem)
        shelf.keep_account(Account("https://a/dir", "key"))
        shelf.keep_state(State())
        assert shelf.folder.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in shelf.folder.iterdir()} == {0o600}

    def test_dresses_the_settings_as_soon_as_there_is_a_certificate(self, shelf: Shelf) -> None:
        tls = TlsSettings(minimum="1.3")
        assert shelf.dress(tls) == tls
        issued = issue(NAME, START)
        shelf.keep(issued.key_pem, issued.chain_pem)
        dressed = shelf.dress(tls)
        assert (dressed.certificate, dressed.key, dressed.minimum) == (shelf.certificate, shelf.certificate, "1.3")

    def test_a_certificate_for_another_key_leaves_the_old_one(self, shelf: Shelf) -> None:
        issued, other = issue(NAME, START), issue("other.example.org", START)
        shelf.keep(issued.key_pem, issued.chain_pem)
        with pytest.raises(CertificateError, match="is not the key"):
            shelf.keep(issued.key_pem, other.chain_pem)
        stored = shelf.stored()
        assert stored is not None
        assert stored.names == (NAME,)
        assert [path.name for path in shelf.folder.iterdir()] == ["certificate.pem"]

    def test_the_next_key_is_made_once_and_used_up(self, shelf: Shelf) -> None:
        """RFC 7671 §8.1: it is known before it is used, so that its TLSA record can be there."""
        assert (shelf.kept_key(), shelf.planned_key()) == (None, None)
        planned = shelf.next_key()
        assert shelf.next_key() == shelf.planned_key() == planned
        issued = issue(NAME, START)
        shelf.keep(issued.key_pem, issued.chain_pem)
        assert shelf.planned_key() == planned
        assert shelf.kept_key() not in (None, planned)
        renewed = issue(NAME, START, key_pem=planned)
        shelf.keep(renewed.key_pem, renewed.chain_pem)
        assert shelf.kept_key() == planned
        assert shelf.planned_key() is None

    def test_a_broken_certificate_counts_as_none(self, shelf: Shelf) -> None:
        shelf.certificate.write_bytes(b"-----BEGIN nothing")
        assert shelf.stored() is None
        assert shelf.dress(TlsSettings()).certificate is None

    def test_an_account_for_each_authority(self, shelf: Shelf) -> None:
        account = Account("https://a/dir", "key", "https://a/1", "me@example.org")
        shelf.keep_account(account)
        assert shelf.account("https://a/dir") == account
        assert shelf.account("https://b/dir") is None
        assert "key" not in repr(account).replace("key_pem", "")

    def test_a_broken_account_is_no_reason_to_register_anew(self, shelf: Shelf) -> None:
        shelf.keep_account(Account("https://a/dir", "key"))
        (file,) = shelf.folder.iterdir()
        file.write_text("{")
        with pytest.raises(ValueError, match="restore it, or remove it"):
            shelf.account("https://a/dir")

    def test_a_state_is_for_its_settings(self, shelf: Shelf) -> None:
        shelf.keep_state(State(wanted="a", issued_for="a", failures=3, next_try=5, trouble="no"))
        assert shelf.state("a").failures == 3
        assert shelf.state("b") == State(wanted="b", issued_for="a")
        (shelf.folder / "state.json").write_text("[]")
        assert shelf.state("a") == State(wanted="a")

    def test_a_request_is_taken_once(self, shelf: Shelf) -> None:
        shelf.ask()
        assert shelf.is_asked
        assert shelf.take_request()
        assert not shelf.take_request()
        assert not shelf.is_asked


@dataclass
class FakeAuthority:
    """Issues at once; failures are fields."""

    now: "Turns"
    life: float = LIFE
    trouble: Exception | None = None
    wish: Suggestion | Exception = field(default_factory=lambda: Suggestion(None, 6 * HOUR))
    hang: threading.Event | None = None
    orders: list[tuple[str, ...]] = field(default_factory=list)
    asked: int = 0
    abandoned: threading.Event | None = None

    def order(self, names: tuple[str, ...], abandoned: threading.Event) -> Issued:
        self.orders.append(names)
        self.abandoned = abandoned
        if self.hang is not None:
            self.hang.wait(30)
        if self.trouble is not None:
            raise self.trouble
        return issue(names[0], self.now.now(), self.life)

    def suggestion(self, chain_pem: bytes) -> Suggestion:
        assert b"BEGIN CERTIFICATE" in chain_pem
        assert b"PRIVATE" not in chain_pem
        self.asked += 1
        if isinstance(self.wish, Exception):
            raise self.wish
        return self.wish


class Turns:
    """A clock by which the keeper looks once, then waits until the test lets time pass."""

    def __init__(self) -> None:
        self.time = START
        self._asleep = asyncio.Event()
        self._wake = asyncio.Event()

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self._asleep.set()
        await self._wake.wait()
        self._wake.clear()

    async def looked(self) -> None:
        await asyncio.wait_for(self._asleep.wait(), 30)

    async def turn(self, seconds: float = 2) -> None:
        """Let time pass, and the keeper look once."""
        await self.looked()
        self.time += seconds
        self._asleep.clear()
        self._wake.set()
        await self.looked()


class Bench:
    """A keeper on a shelf, with everything around it."""

    def __init__(self, data: Path, **settings: object) -> None:
        self.clock = Turns()
        self.shelf = Shelf(data)
        self.shelf.prepare()
        self.authority = FakeAuthority(self.clock)
        self.settings = AcmeSettings.model_validate({"enabled": True, "agree": True, **settings})
        self.installed = 0
        self.install_trouble: Exception | None = None
        self.told: list[Report] = []

    def install(self) -> None:
        if self.install_trouble is not None:
            raise self.install_trouble
        self.installed += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The keeper runs, and has looked once."""
        self.keeper = CertificateKeeper(
            settings=self.settings,
            hostname=NAME,
            shelf=self.shelf,
            authority=self.authority,
            install=self.install,
            clock=self.clock,
            reporter=Reporter([self.told.append]),
            chance=lambda: 0.5,
        )
        self.clock._asleep.clear()
        task = asyncio.create_task(self.keeper.run())
        await self.clock.looked()
        yield
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    @property
    def troubles(self) -> list[CertificateTrouble]:
        return [report for report in self.told if isinstance(report, CertificateTrouble)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class TestKeeper:
    async def test_the_next_key_is_made_ahead_where_keys_change(self, tmp_path: Path) -> None:
        bench = Bench(tmp_path, keep_key=False)
        async with bench.running():
            assert bench.shelf.planned_key() is not None
        kept = Bench(tmp_path / "other")
        async with kept.running():
            assert kept.shelf.planned_key() is None

    async def test_a_disk_that_takes_no_key_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bench = Bench(tmp_path, keep_key=False)

        def full(_: Shelf) -> bytes:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Shelf, "next_key", full)
        async with bench.running():
            assert "No space left" in bench.troubles[0].reason

    async def test_orders_when_there_is_none(self, bench: Bench) -> None:
        async with bench.running():
            assert bench.authority.orders == [(NAME,)]
            assert bench.told == [CertificateRenewed((NAME,), START + LIFE)]
            assert bench.installed == 1
            await bench.clock.turn(30 * 86400)
        assert len(bench.authority.orders) == 1

    async def test_renews_with_a_third_of_its_life_left(self, bench: Bench) -> None:
        async with bench.running():
            await bench.clock.turn(LIFE * 2 / 3 - 10)
            assert len(bench.authority.orders) == 1
            await bench.clock.turn(20)
            assert len(bench.authority.orders) == 2
            await bench.clock.turn()
        assert len(bench.authority.orders) == 2
        assert bench.installed == 2

    async def test_a_restart_asks_nobody(self, bench: Bench) -> None:
        async with bench.running():
            pass
        async with bench.running():
            await bench.clock.turn()
        assert len(bench.authority.orders) == 1
        assert bench.authority.asked == 0

    @pytest.mark.parametrize("change", [{"domains": (NAME, "smtp.example.org")}, {"directory": "https://b.example/d"}])
    async def test_other_names_or_another_authority_are_ordered_at_once(
        self, tmp_path: Path, change: dict[str, object]
    ) -> None:
        bench = Bench(tmp_path)
        async with bench.running():
            pass
        bench.settings = bench.settings.model_copy(update=change)
        async with bench.running():
            await bench.clock.turn()
        assert len(bench.authority.orders) == 2

    async def test_backs_off_also_across_a_restart(self, bench: Bench) -> None:
        bench.authority.trouble = AcmeTrouble("no")
        async with bench.running():
            assert bench.troubles == [CertificateTrouble((NAME,), "no", START + 1.1 * HOUR)]
            await bench.clock.turn(HOUR)
            assert len(bench.authority.orders) == 1
        async with bench.running():
            assert len(bench.authority.orders) == 1
            await bench.clock.turn(0.1 * HOUR)
            assert len(bench.authority.orders) == 2
            assert bench.troubles[-1].next_try == bench.clock.now() + 2.2 * HOUR
        bench.authority.trouble = None
        async with bench.running():
            await bench.clock.turn(3 * HOUR)
        assert isinstance(bench.told[-1], CertificateRenewed)
        assert bench.shelf.last_state().failures == 0

    async def test_waits_as_long_as_the_authority_asks(self, bench: Bench) -> None:
        bench.authority.trouble = AcmeTrouble("rate limited", 30 * HOUR)
        async with bench.running():
            assert bench.troubles[0].next_try == START + 30 * HOUR

    async def test_a_renewal_that_fails_leaves_the_certificate(self, bench: Bench) -> None:
        async with bench.running():
            bench.authority.trouble = AcmeTrouble("no")
            await bench.clock.turn(LIFE * 0.7)
            assert len(bench.troubles) == 1
        assert bench.shelf.stored() is not None
        assert bench.installed == 1

    async def test_a_request_orders_at_once(self, bench: Bench) -> None:
        bench.authority.trouble = AcmeTrouble("no")
        async with bench.running():
            bench.authority.trouble = None
            bench.shelf.ask()
            await bench.clock.turn()
            assert bench.installed == 1
            bench.shelf.ask()
            await bench.clock.turn()
        assert bench.installed == 2

    async def test_the_authority_wishes_it_renewed(self, bench: Bench) -> None:  # RFC 9773 §4.2
        async with bench.running():
            bench.authority.wish = Suggestion(START + 10 * HOUR, 6 * HOUR)
            await bench.clock.turn(4 * HOUR)
            assert (bench.authority.asked, len(bench.authority.orders)) == (1, 1)
            await bench.clock.turn(4 * HOUR)
            assert (bench.authority.asked, len(bench.authority.orders)) == (1, 1)
            await bench.clock.turn(4 * HOUR)
            assert (bench.authority.asked, len(bench.authority.orders)) == (2, 2)

    async def test_a_wish_that_does_not_come_is_no_trouble(self, bench: Bench) -> None:
        bench.authority.wish = AcmeTrouble("not there")
        async with bench.running():
            await bench.clock.turn(4 * HOUR)
            await bench.clock.turn(5 * HOUR)
        assert bench.authority.asked == 1
        assert bench.troubles == []

    async def test_a_wish_does_not_break_the_back_off(self, bench: Bench) -> None:
        async with bench.running():
            bench.authority.wish = Suggestion(START, 6 * HOUR)
            bench.authority.trouble = AcmeTrouble("no")
            await bench.clock.turn(4 * HOUR)
            await bench.clock.turn()
            assert len(bench.authority.orders) == 2

    async def test_one_that_listeners_cannot_show_is_a_trouble(self, bench: Bench) -> None:
        bench.install_trouble = CertificateError("not that")
        async with bench.running():
            assert bench.troubles[0].reason == "the new certificate cannot be used: not that"

    async def test_a_full_disk_is_a_trouble_and_no_flood_of_orders(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Shelf, "_write", full)
        monkeypatch.setattr(Shelf, "keep", full)
        async with bench.running():
            assert "No space left" in bench.troubles[0].reason
            await bench.clock.turn()
        assert len(bench.authority.orders) == 1

    async def test_a_bug_costs_no_renewal(self, bench: Bench) -> None:
        bench.authority.trouble = ZeroDivisionError()
        async with bench.running():
            assert isinstance(bench.told[0], InternalError)
            bench.authority.trouble = None
            await bench.clock.turn(2 * HOUR)
        assert isinstance(bench.told[-1], CertificateRenewed)

    async def test_the_end_does_not_wait_for_an_order(self, bench: Bench) -> None:
        bench.authority.hang = threading.Event()
        keeper = CertificateKeeper(
            settings=bench.settings,
            hostname=NAME,
            shelf=bench.shelf,
            authority=bench.authority,
            install=bench.install,
            clock=bench.clock,
            reporter=Reporter([bench.told.append]),
            chance=lambda: 0.5,
        )
        task = asyncio.create_task(keeper.run())
        while bench.authority.abandoned is None:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bench.authority.abandoned.is_set(), "the order is told to give up"
        bench.authority.hang.set()
        assert bench.told == []


async def test_a_thread_that_takes_too_long_is_given_up() -> None:
    hang = threading.Event()
    with pytest.raises(TimeoutError):
        await in_thread(lambda: hang.wait(30), 0.01)
    hang.set()


class TestAuthority:
    """What is said before the network is asked; the rest is tests/interop/test_pebble.py."""

    def order(self, shelf: Shelf, **settings: object) -> str:
        chosen = AcmeSettings.model_validate({"enabled": True, "agree": True, **settings})
        with pytest.raises(AcmeTrouble) as caught:
            AcmeAuthority(chosen, shelf, Answers()).order((NAME,), threading.Event())
        return str(caught.value)

    def test_the_library_is_missing(self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "acme.client", None)
        assert "install postroom[acme]" in self.order(shelf)

    def test_nobody_is_there(self, shelf: Shelf) -> None:
        assert self.order(shelf, directory="https://127.0.0.1:9/dir") == (
            "127.0.0.1:9 cannot be reached: Connection refused"
        )

    def test_the_file_of_trusted_authorities_is_missing(self, shelf: Shelf) -> None:
        assert "/nowhere.pem" in self.order(shelf, directory="https://127.0.0.1:9/dir", ca_file="/nowhere.pem")

    def test_the_account_is_kept_before_the_authority_hears_of_it(self, shelf: Shelf) -> None:
        self.order(shelf, directory="https://127.0.0.1:9/dir")
        first = shelf.account("https://127.0.0.1:9/dir")
        self.order(shelf, directory="https://127.0.0.1:9/dir")
        assert first is not None
        assert shelf.account("https://127.0.0.1:9/dir") == first
        assert not first.uri

    @pytest.mark.parametrize(
        ("answer", "reason", "wait"),
        [
            (
                b"HTTP/1.1 429 Slow down\r\nRetry-After: 7200\r\nContent-Type: application/problem+json\r\n\r\n"
                b'{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many"}',
                "localhost refused: too many (rateLimited)",  # RFC 8555 §6.6
                7200,
            ),
            (b"HTTP/1.1 503 Down\r\nRetry-After: 60\r\n\r\nlater", "does not speak ACME as expected", 60),
            (b"HTTP/1.1 200 OK\r\n\r\n<html>", "does not speak ACME as expected", 0),
            (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[1]", "does not speak ACME as expected", 0),
            (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}", "does not speak ACME as expected", 0),
            (b"", "did not answer within", 0),
        ],
        ids=["rate limit", "down", "a web page", "a list", "an empty directory", "silence"],
    )
    def test_strange_answers(
        self, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, reason: str, wait: float
    ) -> None:
        monkeypatch.setattr("postroom.admin.acmeauthority.REQUEST_TIMEOUT", 30 if answer else 0.2)
        with answering(tmp_path, answer) as port:
            settings = {"directory": f"https://localhost:{port}/dir", "ca_file": tmp_path / "ca.pem"}
            chosen = AcmeSettings.model_validate({"enabled": True, "agree": True, **settings})
            with pytest.raises(AcmeTrouble) as caught:
                AcmeAuthority(chosen, shelf, Answers()).order((NAME,), threading.Event())
        assert reason in str(caught.value).replace(f":{port}", "")
        assert caught.value.wait == pytest.approx(wait, abs=5)


@contextmanager
def answering(folder: Path, answer: bytes) -> Iterator[int]:
    """An HTTPS server that says the same to everything, or nothing; its port."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):  # the test is over
            while True:
                plain, _ = listening.accept()
                with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                    while secure.recv(65536) and not answer:
                        pass
                    secure.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(30)
