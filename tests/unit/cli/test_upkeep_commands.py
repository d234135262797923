"""certificate, alerts, and what init and check say of certificates from an authority."""

import threading
import time
from pathlib import Path

import pytest
from tests.fakes.memory_house import MemoryHouse
from tests.unit.admin.test_acme import issue
from tests.unit.cli.conftest import Run

from postroom.admin.acmeshelf import Shelf, State
from postroom.cli import certificate
from postroom.config.load import examine


@pytest.fixture
def shelf(config: Path) -> Shelf:
    """The settings say acme; nothing was ordered yet."""
    config.write_text('hostname = "mx.example.org"\n[acme]\nenabled = true\nagree = true\n[web]\nport = 0\n')
    shelf = Shelf(config.parent / "data")
    shelf.prepare()
    return shelf


def keep(shelf: Shelf, house: MemoryHouse) -> None:
    issued = issue("mx.example.org", house.now())
    shelf.keep(issued.key_pem, issued.chain_pem)


class TestList:
    def test_what_was_issued(self, run: Run, shelf: Shelf, house: MemoryHouse) -> None:
        keep(shelf, house)
        (row,) = run("certificate", "list", "--json").json
        assert (row["names"], row["issuer"], row["source"]) == (["mx.example.org"], "Some Authority", "acme")
        assert row["path"] == str(shelf.certificate)
        assert "Some Authority" in run("certificate", "list").out

    def test_none_yet(self, run: Run, shelf: Shelf) -> None:
        (row,) = run("certificate", "list", "--json").json
        assert (row["names"], row["expires_at"], row["trouble"]) == ([], None, "none yet")

    def test_files_of_the_settings(self, run: Run, config: Path, house: MemoryHouse) -> None:
        issued = issue("mx.example.org", house.now())
        (config.parent / "c.pem").write_bytes(issued.chain_pem)
        with config.open("a") as file:
            file.write('[[tls.more]]\ncertificate = "nowhere.pem"\nkey = "k"\n')
        first, second = run("certificate", "list", "--json").json
        assert (first["source"], first["names"], first["renews_at"]) == ("settings", ["mx.example.org"], None)
        assert "nowhere.pem" in second["trouble"]


class TestRenew:
    def test_the_server_does_it(self, run: Run, shelf: Shelf, house: MemoryHouse) -> None:
        def serve() -> None:
            while not shelf.take_request():
                time.sleep(0.01)
            keep(shelf, house)
            shelf.succeeded(State(), house.now())

        server = threading.Thread(target=serve)
        server.start()
        ended = run("certificate", "renew")
        server.join()
        assert (ended.code, ended.out) == (0, "renewed mx.example.org\n")

    def test_the_server_fails(self, run: Run, shelf: Shelf, house: MemoryHouse) -> None:
        def serve() -> None:
            while not shelf.take_request():
                time.sleep(0.01)
            shelf.keep_state(State(failures=1, trouble="it refused", tried_at=house.now()))

        server = threading.Thread(target=serve)
        server.start()
        ended = run("certificate", "renew")
        server.join()
        assert ended.code == 1
        assert "it refused" in ended.err

    def test_no_server_runs(self, run: Run, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(certificate, "NOTICED_WITHIN", 0.0)
        ended = run("certificate", "renew")
        assert ended.code == 1
        assert "start it" in ended.err
        assert shelf.is_asked, "it is done when one starts"

    def test_without_acme(self, run: Run) -> None:
        ended = run("certificate", "renew")
        assert ended.code == 1
        assert "[acme] is not enabled" in ended.err


class TestCheck:
    def certificates(self, run: Run) -> list[tuple[str, str]]:
        return [(row["level"], row["what"]) for row in run("check", "--json").json if row["area"] == "certificate"]

    def test_none_yet(self, run: Run, shelf: Shelf) -> None:
        ((level, what),) = self.certificates(run)
        assert level == "warning"
        assert "no certificate yet" in what

    def test_all_is_well(self, run: Run, shelf: Shelf, house: MemoryHouse) -> None:
        keep(shelf, house)
        found = self.certificates(run)
        assert {level for level, _ in found} == {"ok"}
        assert any("acme: renewed" in what for _, what in found)

    def test_trouble(self, run: Run, shelf: Shelf, house: MemoryHouse) -> None:
        shelf.keep_state(State(failures=2, trouble="it refused", next_try=house.now() + 60))
        ((level, what),) = self.certificates(run)
        assert level == "error"
        assert "it refused; tried 2 times" in what
        keep(shelf, house)
        assert "error" not in {level for level, _ in self.certificates(run)}


class TestInit:
    def test_acme(self, run: Run, tmp_path: Path) -> None:
        ended = run("init", str(tmp_path / "a"), "--hostname", "mx.example.org", "--acme", "--public", bare=True)
        assert ended.code == 0, ended.err
        examined = examine(tmp_path / "a" / "postroom.toml", {})
        assert examined.settings is not None
        assert (examined.settings.acme.enabled, examined.settings.acme.agree) == (True, True)
        assert examined.settings.tls.certificate is None
        assert not (tmp_path / "a" / "tls").exists()
        assert "from Let's Encrypt" in ended.out

    def test_not_without_being_asked_for(self, run: Run, tmp_path: Path) -> None:
        assert run("init", str(tmp_path / "a"), "--hostname", "mx.example.org", "--public", bare=True).code == 0
        examined = examine(tmp_path / "a" / "postroom.toml", {})
        assert examined.settings is not None
        assert not examined.settings.acme.enabled

    def test_without_the_library_nothing_is_made(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("postroom.admin.setup.find_spec", lambda name: None)
        ended = run("init", str(tmp_path / "a"), "--hostname", "mx.example.org", "--acme", bare=True)
        assert ended.code == 1
        assert "install postroom[acme]" in ended.err
        assert not (tmp_path / "a").exists()


class TestAlerts:
    def test_a_test_goes_to_each(self, run: Run, config: Path, tmp_path: Path) -> None:
        script = tmp_path / "alert"
        script.write_text(f"#!/bin/sh\ncat > {tmp_path}/out\n")
        script.chmod(0o755)
        with config.open("a") as file:
            file.write(f'[[alert]]\non = ["lockout"]\ncommand = ["{script}"]\n')
            file.write('[[alert]]\non = ["lockout"]\ncommand = ["/bin/false"]\n')
        ended = run("alerts", "test")
        assert ended.code == 1
        assert f"alert[1] to {script}: sent" in ended.out
        assert "alert[2] to /bin/false: /bin/false ended with exit code 1" in ended.err
        assert '"what": "test"' in (tmp_path / "out").read_text()

    def test_there_is_none(self, run: Run) -> None:
        ended = run("alerts", "test")
        assert ended.code == 1
        assert "no [[alert]]" in ended.err
