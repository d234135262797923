"""domain, user and alias: what an operator types, what stands in the directory afterwards."""

import asyncio
import os
from pathlib import Path

import pytest
from tests.fakes.memory_house import FULL, MemoryHouse
from tests.unit.cli.conftest import Run

from postroom.cli.desk import act_as_owner
from postroom.directory.model import Account, Alias
from postroom.mail.trouble import StoreUnavailable


def entry(house: MemoryHouse, key: str) -> Account | Alias | None:
    (found,) = asyncio.run(house.store.directory.find([key]))
    return found


def the_account(house: MemoryHouse, key: str) -> Account:
    found = entry(house, key)
    assert isinstance(found, Account)
    return found


class TestDomain:
    def test_add_and_list(self, run: Run) -> None:
        added = run("domain", "add", "BÜCHER.example").out.splitlines()
        assert added[0] == "added xn--bcher-kva.example"
        assert [line.split()[0].partition(".")[2] for line in added[2:]] == ["_domainkey.xn--bcher-kva.example."] * 2
        listed = run("domain", "list")
        assert "bücher.example" in listed.out
        assert "example.org" in listed.out
        rows = run("domain", "list", "--json").json
        assert [(row["name"], row["accounts"], row["aliases"]) for row in rows] == [
            ("example.org", 2, 1),
            ("xn--bcher-kva.example", 0, 0),
        ]
        assert rows[1]["created_at"] == "2027-01-15T08:00:00.000Z"

    @pytest.mark.parametrize("name", ["example..org", "[192.0.2.1]", "-x.example"])
    def test_not_a_domain(self, run: Run, name: str) -> None:
        ended = run("domain", "add", "--", name)
        assert ended.code == 1 or ended.code == 2
        ended = run("domain", "show", "-c", "/nowhere", bare=True)
        assert ended.code == 2  # no DOMAIN

    def test_twice(self, run: Run) -> None:
        ended = run("domain", "add", "example.org")
        assert ended.code == 1
        assert ended.err.startswith("postroom: ")
        assert ended.out == ""

    def test_show(self, run: Run) -> None:
        assert run("domain", "show", "example.org", "--json").json["accounts"] == 2
        assert "catch-all  none" in run("domain", "show", "example.org").out
        ended = run("domain", "show", "example.net")
        assert ended.code == 1
        assert "remedy: postroom domain add example.net" in ended.err

    def test_remove_is_careful(self, run: Run) -> None:
        ended = run("domain", "remove", "example.org")
        assert ended.code == 1
        assert "2 accounts and 1 aliases" in ended.err
        assert run("domain", "remove", "example.org", "--with-content").code == 0
        assert run("domain", "list", "--json").json == []

    def test_catch_all(self, run: Run) -> None:
        assert run("domain", "catch-all", "example.org", "alice@example.org").code == 0
        assert run("domain", "show", "example.org", "--json").json["catch_all"] == "alice@example.org"
        assert run("domain", "catch-all", "example.org", "--off").code == 0
        assert run("domain", "show", "example.org", "--json").json["catch_all"] == ""
        assert run("domain", "catch-all", "example.org").code == 2
        assert run("domain", "catch-all", "example.org", "alice@example.org", "--off").code == 2


class TestUser:
    def test_forward(self, run: Run, house: MemoryHouse) -> None:
        ended = run("user", "forward", "alice@example.org", "--to", "a@home.example", "--to", "bob@example.org")
        assert "a@home.example, bob@example.org, and stays" in ended.out
        shown = run("user", "show", "alice@example.org", "--json").json
        assert (shown["forwards"], shown["keep"]) == (["a@home.example", "bob@example.org"], True)
        assert "goes to a@home.example" in run("user", "show", "alice@example.org").out
        run("user", "forward", "alice@example.org", "--to", "a@home.example", "--no-keep")
        assert not the_account(house, "alice@example.org").keep
        assert "stays in its mailbox" in run("user", "forward", "alice@example.org", "--off").out
        assert the_account(house, "alice@example.org").forwards == ()

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["alice@example.org"], 2),
            (["alice@example.org", "--off", "--to", "a@home.example"], 2),
            (["alice@example.org", "--off", "--no-keep"], 2),
            (["alice@example.org", "--to", "nonsense"], 1),
            (["alice@example.org", "--to", "ALICE@example.org"], 1),
            (["nobody@example.org", "--to", "a@home.example"], 1),
        ],
    )
    def test_forward_is_careful(self, run: Run, arguments: list[str], code: int) -> None:
        assert run("user", "forward", *arguments).code == code

    def test_add_with_password_from_stdin(self, run: Run, house: MemoryHouse) -> None:
        ended = run(
            "user", "add", "carol@example.org", "--password-stdin", "--quota", "2GiB", stdin="s3cret-word\nrest"
        )
        assert (ended.code, ended.out) == (0, "added carol@example.org\n")
        account = the_account(house, "carol@example.org")
        assert account.password == "hash of s3cret-word"
        assert account.quota == 2 << 30
        assert "s3cret" not in ended.out + ended.err

    def test_add_with_defaults(self, run: Run, house: MemoryHouse) -> None:
        assert run("user", "add", "carol@example.org", "--no-password").code == 0
        account = the_account(house, "carol@example.org")
        assert (account.password, account.quota, account.enabled) == ("", 1 << 30, True)

    @pytest.mark.parametrize(
        ("words", "stdin", "says"),
        [
            (("carol@example.org", "--password-stdin"), "short\n", "fewer than 8"),
            (("carol@example.org", "--password-stdin"), "with\ttabulator\n", "control character"),
            (("carol@example.org",), "", "no terminal to ask on"),
            (("carol@nowhere.example", "--no-password"), "", "postroom domain add nowhere.example"),
            (("carol", "--no-password"), "", "has no @"),
            (("postmaster", "--no-password"), "", "has no domain"),
            (("alice@example.org", "--no-password"), "", "alice@example.org"),
            (("carol@example.org", "--no-password", "--quota", "much"), "", "is not a size"),
        ],
    )
    def test_add_refused(self, run: Run, words: tuple[str, ...], stdin: str, says: str) -> None:
        ended = run("user", "add", *words, stdin=stdin)
        assert (ended.code, ended.out) == (1, "")
        assert says in ended.err
        assert "Traceback" not in ended.err

    def test_list(self, run: Run) -> None:
        rows = run("user", "list", "--json").json
        assert [(row["address"], row["enabled"], row["has_password"]) for row in rows] == [
            ("alice@example.org", True, True),
            ("bob@example.org", False, False),
        ]
        assert "hash" not in str(rows)
        table = run("user", "list").out
        assert "1.0 GiB" in table
        assert "disabled" in table
        assert run("user", "list", "--domain", "example.net", "--json").json == []

    def test_show(self, run: Run) -> None:
        shown = run("user", "show", "Alice@Example.ORG", "--json").json
        assert shown["aliases"] == ["info@example.org"]
        assert "aliases  info@example.org" in run("user", "show", "alice@example.org").out
        assert "postroom alias show info@example.org" in run("user", "show", "info@example.org").err
        assert "postroom user add x@example.org" in run("user", "show", "x@example.org").err

    def test_password(self, run: Run, house: MemoryHouse) -> None:
        assert run("user", "password", "alice@example.org", "--password-stdin", stdin="new-password\r\n").code == 0
        assert the_account(house, "alice@example.org").password == "hash of new-password"

    def test_quota(self, run: Run, house: MemoryHouse) -> None:
        assert run("user", "quota", "alice@example.org", "500MiB").out == "quota of alice@example.org: 500.0 MiB\n"
        assert the_account(house, "alice@example.org").quota == 500 << 20
        assert run("user", "quota", "alice@example.org", "0").out == "quota of alice@example.org: none\n"

    def test_enable_and_disable(self, run: Run, house: MemoryHouse) -> None:
        assert run("user", "disable", "alice@example.org").code == 0
        assert run("user", "enable", "bob@example.org").code == 0
        assert not the_account(house, "alice@example.org").enabled
        assert the_account(house, "bob@example.org").enabled

    def test_remove_asks(self, run: Run, house: MemoryHouse) -> None:
        assert run("user", "remove", "alice@example.org", stdin="n\n").code == 1
        assert entry(house, "alice@example.org") is not None
        assert run("user", "remove", "alice@example.org", "--yes").code == 0
        assert entry(house, "alice@example.org") is None


class TestAlias:
    def test_add_replaces(self, run: Run, house: MemoryHouse) -> None:
        ended = run("alias", "add", "info@example.org", "bob@example.org", "x@elsewhere.example", "bob@example.org")
        assert ended.out == "info@example.org stands for bob@example.org, x@elsewhere.example\n"
        found = entry(house, "info@example.org")
        assert isinstance(found, Alias)
        assert [str(target) for target in found.targets] == ["bob@example.org", "x@elsewhere.example"]

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("me@example.org", "me@example.org"), "stand for itself"),
            (("me@example.net", "x@y.example"), "postroom domain add example.net"),
            (("me@example.org", "nobody"), "has no @"),
            (("alice@example.org", "x@y.example"), "alice@example.org"),
        ],
    )
    def test_add_refused(self, run: Run, words: tuple[str, ...], says: str) -> None:
        ended = run("alias", "add", *words)
        assert ended.code == 1
        assert says in ended.err

    def test_list_show_remove(self, run: Run) -> None:
        expected = {"address": "info@example.org", "targets": ["alice@example.org", "bob@example.org"]}
        assert run("alias", "list", "--json").json == [expected]
        assert run("alias", "list", "--domain", "example.org", "--json").json == [expected]
        assert "alice@example.org, bob@example.org" in run("alias", "list").out
        assert run("alias", "show", "info@example.org", "--json").json == expected
        assert "targets  alice@example.org, bob@example.org" in run("alias", "show", "info@example.org").out
        assert run("alias", "remove", "info@example.org").code == 0
        assert "postroom alias add info@example.org" in run("alias", "remove", "info@example.org").err


class TestTroubles:
    @pytest.mark.parametrize(
        ("error", "says"),
        [
            (FULL, "free space"),
            (StoreUnavailable("locked"), "postroom check"),
            (PermissionError(13, "Permission denied", "/data/x"), "/data/x: Permission denied"),
        ],
    )
    def test_a_store_that_cannot_be_used(self, run: Run, house: MemoryHouse, error: Exception, says: str) -> None:
        house.unavailable = error
        ended = run("user", "list")
        assert (ended.code, ended.out) == (1, "")
        assert says in ended.err
        assert "Traceback" not in ended.err

    def test_an_output_that_nobody_reads(self, run: Run, house: MemoryHouse) -> None:
        house.unavailable = BrokenPipeError()
        ended = run("user", "list")
        assert (ended.code, ended.err) == (1, "")

    def test_no_settings(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
        ended = run("user", "list", bare=True)
        assert ended.code == 1
        assert "remedy: run postroom init" in ended.err

    def test_bad_settings_name_file_and_line(self, run: Run, config: Path) -> None:
        with open(config, "a") as file:
            file.write("[smtp]\nmax_sise = 5\n[nonsense]\n")
        ended = run("user", "list")
        assert ended.code == 1
        assert f"{config}:6: smtp.max_sise: unknown key" in ended.err
        assert f"{config}:7: nonsense: unknown key" in ended.err
        assert "did you mean max_size?" in ended.err

    def test_root_becomes_the_owner_of_the_store(self, monkeypatch: pytest.MonkeyPatch, config: Path) -> None:
        became: list[tuple[str, object]] = []
        for name in ("setgroups", "setgid", "setuid"):
            monkeypatch.setattr(os, name, lambda value, name=name: became.append((name, value)))
        owner = os.stat(config)
        fake = os.stat_result((owner.st_mode, 1, 1, 1, 1234, 4321, 0, 0, 0, 0))
        monkeypatch.setattr("pathlib.Path.stat", lambda self: fake)
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        act_as_owner(config)
        assert became == []
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        act_as_owner(config)
        assert became == [("setgroups", []), ("setgid", 4321), ("setuid", 1234)]


class TestAppPassword:
    def test_add_shows_it_once(self, run: Run, house: MemoryHouse) -> None:
        made = run(
            "user", "app-password", "add", "Alice@example.org", "--label", "phone", "--protocol", "pop3",
            "--protocol", "smtp", "--json",
        ).json  # fmt: skip
        assert (made["address"], made["label"], made["protocols"]) == ("alice@example.org", "phone", ["smtp", "pop3"])
        assert len(made["password"]) == 29
        shown = run("user", "app-password", "add", "alice@example.org", "--label", "tablet").out
        assert "for       all" in shown
        listed = run("user", "app-password", "list", "alice@example.org", "--json")
        assert [(row["label"], row["protocols"], row["last_used"]) for row in listed.json] == [
            ("phone", ["smtp", "pop3"], ""),
            ("tablet", [], ""),
        ]
        table = run("user", "app-password", "list", "alice@example.org").out
        assert "never" in table
        assert made["password"] not in listed.out + table + run("user", "show", "alice@example.org", "--json").out

    def test_remove(self, run: Run) -> None:
        run("user", "app-password", "add", "alice@example.org", "--label", "phone")
        assert run("user", "app-password", "remove", "alice@example.org", "--label", "phone").code == 0
        assert run("user", "app-password", "list", "alice@example.org", "--json").json == []
        ended = run("user", "app-password", "remove", "alice@example.org", "--label", "phone")
        assert ended.code == 1
        assert "postroom user app-password list alice@example.org" in ended.err

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("zoe@example.org", "--label", "phone"), "there is no account"),
            (("info@example.org", "--label", "phone"), "is an alias"),
            (("alice@example.org", "--label", " "), "cannot be a label"),
            (("alice@example.org", "--label", "x" * 65), "cannot be a label"),
            (("alice@example.org", "--label", "a\nb"), "cannot be a label"),
            (("alice@example.org", "--label", "phone", "--protocol", "imap"), "is no protocol"),
            (("alice@example.org", "--label", "taken"), "has an app password"),
        ],
    )
    def test_add_refused(self, run: Run, words: tuple[str, ...], says: str) -> None:
        run("user", "app-password", "add", "alice@example.org", "--label", "taken")
        ended = run("user", "app-password", "add", *words)
        assert (ended.code, ended.out) == (1, "")
        assert says in ended.err

    def test_they_alone(self, run: Run, house: MemoryHouse) -> None:
        ended = run("user", "set", "alice@example.org", "--app-passwords-only")
        assert ended.out == "alice@example.org logs in by app passwords only\n"
        assert the_account(house, "alice@example.org").app_passwords_only
        assert run("user", "show", "alice@example.org", "--json").json["app_passwords_only"] is True
        assert "app passwords only" in run("user", "list").out
        assert run("user", "set", "alice@example.org", "--own-password").code == 0
        assert not the_account(house, "alice@example.org").app_passwords_only
        assert run("user", "set", "alice@example.org").code == 2
