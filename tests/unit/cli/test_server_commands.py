"""init, demo, check and serve: from an empty folder to a server that runs."""

import socket
from pathlib import Path

import pytest
from tests.fakes.memory_house import FULL, MemoryHouse, MemoryStore
from tests.unit.cli.conftest import Run

from postroom.admin.dnsfaults.model import Fetched
from postroom.admin.dnsrecords.model import DkimRecord
from postroom.config.load import examine, load
from postroom.dns.zone import Zone
from postroom.mail.delivery import StsMode, StsPolicy
from postroom.mailauth.dkim.signingkey import Algorithm, SigningKey, key_record, make_key
from postroom.report.history import HistoryRow


@pytest.fixture
def empty(house: MemoryHouse) -> MemoryHouse:
    house.store = MemoryStore()
    return house


class TestInit:
    def test_everything_in_one_folder(self, run: Run, empty: MemoryHouse, tmp_path: Path) -> None:
        folder = tmp_path / "srv" / "mail"
        words = ("--hostname", "MX.Example.org", "--user", "alice@example.org", "--password-stdin")
        ended = run("init", str(folder), *words, stdin="a-good-password\n", bare=True)
        assert ended.code == 0, ended.err
        examined = examine(folder / "postroom.toml", {})
        assert examined.problems == examined.warnings == ()
        assert examined.settings is not None
        assert examined.settings.hostname == "mx.example.org"
        assert (folder / "data").stat().st_mode & 0o777 == 0o700
        assert (folder / "tls" / "key.pem").stat().st_mode & 0o777 == 0o600
        assert "example.org. 3600 IN MX 10 mx.example.org." in ended.out
        assert 'example.org. 3600 IN TXT "v=spf1 a:mx.example.org -all"' in ended.out
        assert {key.domain for key in empty.store.dkim.pairs.values()} == {"example.org"}
        assert f"postroom serve -c {folder / 'postroom.toml'}" in ended.out
        assert run("alias", "list", "--json").json == [
            {"address": "postmaster@example.org", "targets": ["alice@example.org"]}
        ]
        assert run("user", "show", "alice@example.org", "--json").json["has_password"]

    def test_the_commented_listeners_are_right(self, run: Run, empty: MemoryHouse, tmp_path: Path) -> None:
        assert run("init", str(tmp_path / "a"), "--hostname", "mx.example.org", bare=True).code == 0
        path = tmp_path / "a" / "postroom.toml"
        lines = path.read_text().split("\n")
        start = next(number for number, line in enumerate(lines) if line == "# [[listener]]")
        uncommented = [line.removeprefix("# ").removeprefix("#") for line in lines[start:]]
        text = "\n".join([*lines[:start], *(line for line in uncommented if not line.startswith("A server"))])
        path.write_text(text)
        assert [listener.port for listener in load(path, {}).listener] == [25, 587, 465, 110, 995]

    def test_public_ports(self, run: Run, empty: MemoryHouse, tmp_path: Path) -> None:
        assert run("init", str(tmp_path / "a"), "--hostname", "mx.example.org", "--public", bare=True).code == 0
        settings = load(tmp_path / "a" / "postroom.toml", {})
        assert [listener.port for listener in settings.listener] == [25, 587, 465, 110, 995]
        assert settings.listener[0].addresses == ("0.0.0.0", "::")

    def test_defaults_where_there_is_no_terminal(self, run: Run, empty: MemoryHouse, tmp_path: Path) -> None:
        ended = run("init", str(tmp_path / "a"), bare=True)
        assert ended.code == 0
        assert load(tmp_path / "a" / "postroom.toml", {}).hostname
        assert "postroom domain add" in ended.out
        assert "postroom user add" in ended.out

    def test_a_domain_without_account(self, run: Run, empty: MemoryHouse, tmp_path: Path) -> None:
        ended = run("init", str(tmp_path / "a"), "--hostname", "mx.example.org", "--domain", "example.net", bare=True)
        assert "postroom user add NAME@example.net" in ended.out
        assert [row["name"] for row in run("domain", "list", "--json").json] == ["example.net"]

    def test_an_account_in_another_domain(self, run: Run, empty: MemoryHouse, tmp_path: Path) -> None:
        words = ("--hostname", "mx.example.org", "--domain", "example.net", "--user", "a@example.org")
        assert run("init", str(tmp_path / "a"), *words, "--password-stdin", stdin="long-enough\n", bare=True).code == 0
        assert [row["name"] for row in run("domain", "list", "--json").json] == ["example.net", "example.org"]

    def test_the_first_user_may_be_the_postmaster(self, run: Run, empty: MemoryHouse, tmp_path: Path) -> None:
        words = ("--hostname", "mx.example.org", "--user", "postmaster@example.org", "--password-stdin")
        assert run("init", str(tmp_path / "a"), *words, stdin="long-enough\n", bare=True).code == 0
        assert run("alias", "list", "--json").json == []

    def test_nothing_is_overwritten(self, run: Run, empty: MemoryHouse, tmp_path: Path) -> None:
        assert run("init", str(tmp_path / "a"), "--hostname", "mx.example.org", bare=True).code == 0
        before = {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()}
        ended = run("init", str(tmp_path / "a"), "--hostname", "other.example.org", bare=True)
        assert ended.code == 1
        assert "is there already" in ended.err
        assert {path: path.read_bytes() for path in before} == before

    def test_asks_on_a_terminal(
        self, run: Run, empty: MemoryHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = iter(["mx.example.org", "example.org"])
        monkeypatch.setattr("postroom.cli.init._ask", lambda question, default: next(answers))
        assert run("init", str(tmp_path / "a"), bare=True).code == 0
        assert load(tmp_path / "a" / "postroom.toml", {}).hostname == "mx.example.org"

    @pytest.mark.parametrize("words", [("--hostname", "a..b"), ("--user", "nobody"), ("--domain", "a b")])
    def test_wrong_answers_leave_nothing(
        self, run: Run, empty: MemoryHouse, tmp_path: Path, words: tuple[str, ...]
    ) -> None:
        assert run("init", str(tmp_path / "a"), *words, bare=True).code == 1
        assert not (tmp_path / "a").exists()


class TestDemo:
    def test_first_and_second_run(self, run: Run, empty: MemoryHouse, tmp_path: Path) -> None:
        folder = tmp_path / "demo"
        first = run("demo", str(folder), bare=True)
        assert first.code == 0, first.err
        assert [path for _, path in empty.served] == [folder / "postroom.toml"]
        accounts = folder / "accounts.txt"
        assert accounts.stat().st_mode & 0o777 == 0o600
        logins = dict(line.split() for line in accounts.read_text().splitlines()[1:])
        assert set(logins) == {"alice@demo.example", "bob@demo.example", "carol@second.example"}
        assert len(set(logins.values())) == 3
        for address, password in logins.items():
            assert f"{address}" in first.out
            assert password in first.out
        assert "127.0.0.1:2587" in first.out
        assert "pop3s://127.0.0.1:2995/1" in first.out
        second = run("demo", str(folder), bare=True)
        assert second.code == 0, second.err
        assert second.out == first.out
        assert len(empty.served) == 2

    def test_only_set_up(self, run: Run, empty: MemoryHouse, tmp_path: Path) -> None:
        assert run("demo", str(tmp_path / "demo"), "--no-serve", bare=True).code == 0
        assert empty.served == []

    def test_ends_with_the_server_s_code(self, run: Run, empty: MemoryHouse, tmp_path: Path) -> None:
        empty.exit_code = 1
        assert run("demo", str(tmp_path / "demo"), bare=True).code == 1

    def test_another_folder_is_left_alone(self, run: Run, house: MemoryHouse, config: Path) -> None:
        ended = run("demo", str(config.parent), bare=True)
        assert ended.code == 1
        assert "this folder is no demo" in ended.err
        (config.parent / "accounts.txt").write_text("alice@demo.example x\n")
        assert "does not have the demo's accounts" in run("demo", str(config.parent), bare=True).err
        assert house.served == []


class TestServe:
    def test_serves(self, run: Run, house: MemoryHouse, config: Path) -> None:
        house.exit_code = 0
        assert run("serve").code == 0
        ((settings, path),) = house.served
        assert (settings.hostname, path) == ("mx.example.org", config)

    def test_code_of_the_server(self, run: Run, house: MemoryHouse) -> None:
        house.exit_code = 1
        assert run("serve").code == 1

    def test_a_rule_of_traffic_for_nobody(self, run: Run, ready: Path) -> None:
        ready.write_text(
            ready.read_text()
            + '\n[[shaping]]\nname = "partnr"\nconcurrency = 3\n[[shaping]]\nname = "google"\nconcurrency = 3\n'
        )
        ended = run("check", "-c", str(ready), bare=True)
        assert "[[shaping]] 'partnr' is for no site" in ended.out
        assert ended.out.endswith("0 errors, 1 warning\n")

    def test_a_password_file_that_is_not_there(self, run: Run, ready: Path) -> None:
        table = '\n[[smarthost]]\nname = "far"\nhost = "far.example"\nuser = "u"\npassword_file = "gone"\n'
        ready.write_text(ready.read_text() + table)
        out = run("check", "-c", str(ready), bare=True).out
        assert "smarthost.password_file" in out
        assert "gone cannot be read: No such file or directory" in out

    def test_a_pool_that_is_not_there_is_told_once(self, run: Run, ready: Path) -> None:
        ready.write_text(ready.read_text() + '\n[[route]]\npool = "p"\n')
        assert run("check", "-c", str(ready), bare=True).out.count("there is no pool") == 1

    def test_bad_settings(self, run: Run, house: MemoryHouse, config: Path) -> None:
        config.write_text('hostname = "mx.example.org"\n[[listener]]\nrole = "submission"\nport = 2587\n')
        ended = run("serve")
        assert ended.code == 1
        assert f"{config}:3: listener[1].role: submission needs a TLS certificate" in ended.err
        assert house.served == []

    def test_warnings_do_not_keep_it_from_serving(self, run: Run, house: MemoryHouse, config: Path) -> None:
        config.write_text('hostname = "mx"\n')
        ended = run("serve")
        assert ended.code == 0
        assert "not a full host name" in ended.err


@pytest.fixture
def ready(run: Run, empty: MemoryHouse, tmp_path: Path) -> Path:
    """A folder made by init, with ports that are free."""
    folder = tmp_path / "made"
    words = ("--hostname", "mx.postroom.net", "--user", "postmaster@postroom.net", "--password-stdin")
    assert run("init", str(folder), *words, stdin="long-enough\n", bare=True).code == 0
    path = folder / "postroom.toml"
    text = path.read_text().replace("[tls]", "[web]\nenabled = false\n[tls]", 1)
    path.write_text(text + '\n[[listener]]\nrole = "mx"\naddresses = ["127.0.0.1"]\nport = 0\n')
    key = key_record(SigningKey("postroom.net", "s1", Algorithm.RSA, make_key(Algorithm.RSA)))
    empty.dkim.records["postroom.net"] = [DkimRecord("s1._domainkey.postroom.net", key, "active")]
    # What `postroom dns` prints is what `postroom check` wants
    empty.zone = Zone.parse(run("dns", "postroom.net", "-c", str(path), bare=True).out)
    empty.zone.add("mx.postroom.net", "A", "8.8.8.8")
    empty.zone.add("8.8.8.8.in-addr.arpa", "PTR", "mx.postroom.net")
    empty.zone.secure |= {"", *empty.zone.records}  # the root: the resolver validates
    sts = StsPolicy("postroom.net", StsMode.TESTING, ("mx.postroom.net",), "", 2e9)
    empty.policies.served["postroom.net"] = Fetched(sts)
    return path


class TestCheck:
    def test_all_is_well(self, run: Run, ready: Path) -> None:
        ended = run("check", "-c", str(ready), "--json", bare=True)
        assert {row["level"] for row in ended.json} == {"ok", "note"}, ended.out
        # What is said of the Python depends on the one that runs the tests
        assert [row["what"][:36] for row in ended.json if row["level"] == "note" and row["area"] != "python"] == [
            "DMARC of postroom.net says p=none: it"[:36]
        ]
        areas = {"settings", "python", "ports", "certificate", "store", "dns", "road"}
        assert {row["area"] for row in ended.json} == areas
        assert ended.code == 0
        text = run("check", "-c", str(ready), bare=True)
        assert text.out.endswith("0 errors, 0 warnings\n")

    def test_a_zone_that_does_not_know_our_key(self, run: Run, ready: Path, empty: MemoryHouse) -> None:
        table = '\n[[zone]]\nname = "postroom.net"\nserver = "192.0.2.53"\nkey = "k"\nsecret_file = "k.key"\n'
        ready.write_text(ready.read_text() + table)
        (ready.parent / "k.key").touch(0o600)
        (ready.parent / "k.key").write_text("c2VjcmV0IG9mIHRoaXJ0eS10d28gb2N0ZXRzICEhISE=\n")
        ended = run("check", "-c", str(ready), bare=True)
        assert "postroom.net: 192.0.2.53 knows the key k\n" in ended.out
        empty.zones.unreadable = "192.0.2.53 refused it (BADKEY): give both the same key"
        ended = run("check", "-c", str(ready), bare=True)
        assert "postroom.net: 192.0.2.53 refused it (BADKEY)\n" in ended.out
        assert "remedy: give both the same key" in ended.out
        assert ended.code == 1

    def test_bad_settings(self, run: Run, config: Path) -> None:
        config.write_text("hostnam = 'x'\n")
        ended = run("check")
        assert ended.code == 1
        assert f"{config}:1: hostnam: unknown key" in ended.out
        assert "remedy: did you mean hostname?" in ended.out

    def test_a_broken_store(self, run: Run, empty: MemoryHouse, ready: Path) -> None:
        empty.store.look.problems = ("row 7 missing from index",)
        ended = run("check", "-c", str(ready), bare=True)
        assert ended.code == 1
        assert "row 7 missing" in ended.out

    def test_a_store_that_does_not_open(self, run: Run, empty: MemoryHouse, ready: Path) -> None:
        empty.unavailable = FULL
        ended = run("check", "-c", str(ready), "--json", bare=True)
        assert ended.code == 1
        assert [row["level"] for row in ended.json if row["area"] == "store"] == ["error"]

    def test_no_store_yet(self, run: Run, ready: Path) -> None:
        (ready.parent / "data" / "postroom.db").unlink()
        rows = run("check", "-c", str(ready), "--json", bare=True).json
        assert [row["level"] for row in rows if row["area"] == "store"] == ["skipped"]

    def test_nobody_home(self, run: Run, empty: MemoryHouse, ready: Path) -> None:
        empty.store = MemoryStore()
        ended = run("check", "-c", str(ready), bare=True)
        assert ended.code == 0
        assert "no domain: no mail is accepted" in ended.out

    def test_every_domain_needs_a_postmaster(self, run: Run, empty: MemoryHouse, ready: Path) -> None:
        empty.store.directory.add_domain("other.postroom.net")
        out = run("check", "-c", str(ready), bare=True).out
        assert "postmaster@other.postroom.net does not exist" in out

    def test_no_resolver(self, run: Run, empty: MemoryHouse, ready: Path) -> None:
        empty.zone.servfail.add("mx.postroom.net")
        ended = run("check", "-c", str(ready), bare=True)
        assert ended.code == 0
        assert "cannot be looked up now" in ended.out

    def test_the_dns_alone(self, run: Run, empty: MemoryHouse, ready: Path) -> None:
        ended = run("check", "dns", "-c", str(ready), bare=True)
        assert (ended.code, ended.out.endswith("0 errors, 0 warnings\n")) == (0, True), ended.out
        empty.zone.add("postroom.net", "TXT", "v=spf1 -all")
        ended = run("check", "dns", "postroom.net", "-c", str(ready), "--json", bare=True)
        (found,) = [row for row in ended.json if row["level"] == "error"]
        assert (found["fault"], found["subject"]) == ("spf-several", "postroom.net")
        assert found["consequence"]
        assert "publish:" in found["remedy"]
        assert ended.code == 1
        text = run("check", "dns", "-c", str(ready), bare=True).out
        assert "spf-several" in text
        assert "so: two are an error" in text
        assert run("check", "dns", "not a name", "-c", str(ready), bare=True).code == 1

    def test_a_port_in_use(self, run: Run, ready: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            ready.write_text(ready.read_text().replace("port = 0", f"port = {port}"))
            taken.close()
            with socket.create_server(("127.0.0.1", port)) as again:
                again.settimeout(0.01)
                out = run("check", "-c", str(ready), bare=True).out
        assert f"mx 127.0.0.1:{port} is in use" in out

    def test_no_file(self, run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(config.parent / "data")
        assert "postroom init" in run("check", bare=True).err


def test_history_is_reachable_by_init_s_store(run: Run, empty: MemoryHouse, ready: Path) -> None:
    """The store that init filled is the one that other commands see."""
    empty.store.history.rows.append(HistoryRow(5, 0, "placed", "postmaster@postroom.net", "postroom.net"))
    assert run("why", "postmaster@postroom.net", "-c", str(ready), bare=True).code == 0
