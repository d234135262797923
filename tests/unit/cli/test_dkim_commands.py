"""postroom dkim: keys made, shown, looked for, moved by hand, brought from elsewhere, encrypted."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.memory_house import NOW, MemoryHouse
from tests.unit.cli.conftest import Run

from postroom.dns.zone import txt_strings
from postroom.mailauth.dkim.keyrecord import Key, read_key
from postroom.mailauth.dkim.signingkey import Algorithm, make_key, write_key
from postroom.mailauth.keys.model import ED25519, RSA, KeyPair, KeyState, Order
from postroom.mailauth.keys.sealing import is_sealed

DOMAIN = "example.org"


def key_of(house: MemoryHouse, algorithm: str = ED25519) -> KeyPair:
    """The newest of an algorithm."""
    found = [pair for pair in house.store.dkim.pairs.values() if pair.algorithm == algorithm]
    return max(found, key=lambda pair: (pair.made_at, pair.version))


def change(house: MemoryHouse, key: KeyPair, **facts: object) -> KeyPair:
    """As the server would have changed it meanwhile."""
    after = replace(key, **facts)  # type: ignore[arg-type]
    house.store.dkim.pairs[key.domain, key.selector] = after
    return after


def publish(house: MemoryHouse) -> None:
    for key in house.store.dkim.pairs.values():
        house.zone.add(key.name, "TXT", f'"{key.record[:200]}" "{key.record[200:]}"')


@pytest.fixture
def made(run: Run) -> None:
    assert run("dkim", "make", DOMAIN).code == 0


class TestMaking:
    def test_make_prints_the_records_as_a_zone_file_has_them(self, run: Run, house: MemoryHouse) -> None:
        ended = run("dkim", "make", DOMAIN)
        assert ended.code == 0, ended.err
        lines = ended.out.splitlines()
        assert len(lines) == 2
        for line in lines:
            name, ttl, in_, kind, data = line.partition(" ; ")[0].split(" ", 4)
            assert name.endswith("._domainkey.example.org.")
            assert (ttl, in_, kind) == ("3600", "IN", "TXT")
            assert all(len(string) <= 255 for string in txt_strings(data))
            assert isinstance(read_key(b"".join(txt_strings(data))), Key)
        assert {key.algorithm for key in house.store.dkim.pairs.values()} == {RSA, ED25519}

    @pytest.mark.usefixtures("made")
    def test_a_second_time_there_is_nothing_to_make(self, run: Run) -> None:
        ended = run("dkim", "make", DOMAIN)
        assert ended.code == 1
        assert f"postroom dkim rotate {DOMAIN}" in ended.err

    def test_only_for_domains_of_ours_and_the_hostname(self, run: Run) -> None:
        ended = run("dkim", "make", "other.example")
        assert ended.code == 1
        assert "postroom domain add other.example" in ended.err
        assert run("dkim", "make", "mx.example.org", "--algorithm", ED25519).code == 0

    def test_an_unknown_algorithm_is_refused(self, run: Run) -> None:
        assert run("dkim", "make", DOMAIN, "--algorithm", "rsa-sha1").code == 1

    @pytest.mark.usefixtures("made")
    def test_rotate_makes_the_next_where_none_waits(self, run: Run, house: MemoryHouse) -> None:
        assert run("dkim", "rotate", DOMAIN).code == 1
        first = change(house, key_of(house), state=KeyState.ACTIVE, active_at=NOW, sights=2)
        ended = run("dkim", "rotate", DOMAIN)
        assert ended.code == 0
        assert ended.out.count("\n") == 1
        assert key_of(house).selector != first.selector or len(house.store.dkim.pairs) == 3

    def test_a_new_domain_gets_its_keys_and_one_that_goes_retires_them(self, run: Run, house: MemoryHouse) -> None:
        ended = run("domain", "add", "new.example")
        assert ended.out.count("._domainkey.new.example. 3600 IN TXT") == 2
        assert run("domain", "remove", "new.example").code == 0
        assert {(key.state, key.order) for key in house.store.dkim.pairs.values()} == {(KeyState.RETIRED, Order.NEVER)}

    def test_none_where_the_settings_say_so(self, run: Run, house: MemoryHouse, config: Path) -> None:
        config.write_text(config.read_text() + '[dkim]\nunsigned = ["new.example"]\n')
        assert run("domain", "add", "new.example").out == "added new.example\n"
        assert not house.store.dkim.pairs


class TestLooking:
    @pytest.mark.usefixtures("made")
    def test_list_says_where_each_key_is_and_what_comes(self, run: Run, house: MemoryHouse) -> None:
        change(house, key_of(house, RSA), state=KeyState.ACTIVE, active_at=NOW, sights=2, seen_since=NOW)
        rows = {row["algorithm"]: row for row in run("dkim", "list", "--json").json}
        assert rows[RSA]["signs"] is True
        assert rows[RSA]["comes"].startswith("the next is made ")
        assert rows[ED25519]["state"] == "made"
        assert rows[ED25519]["signs"] is False
        assert "signs" in run("dkim", "list").out
        assert run("dkim", "list", "other.example", "--json").json == []

    @pytest.mark.parametrize("state", list(KeyState))
    @pytest.mark.usefixtures("made")
    def test_every_state_can_be_listed(self, run: Run, house: MemoryHouse, state: KeyState) -> None:
        change(house, key_of(house), state=state, seen_since=NOW, retired_at=NOW)
        rows = run("dkim", "list", "--withdrawn", "--json").json
        assert state.value in {row["state"] for row in rows}
        shown = run("dkim", "list", "--json").json
        assert len(shown) == (1 if state is KeyState.WITHDRAWN else 2)

    @pytest.mark.usefixtures("made")
    def test_no_command_shows_a_private_key(self, run: Run, house: MemoryHouse) -> None:
        said = "".join(
            run(*words, "--json").out for words in (("dkim", "list"), ("dkim", "show", DOMAIN), ("dkim", "check"))
        )
        for kept in house.store.dkim.kept.values():
            for line in kept[1:].splitlines()[1:-1]:
                assert line.decode() not in said

    @pytest.mark.usefixtures("made")
    def test_show_prints_what_should_be_published(self, run: Run, house: MemoryHouse) -> None:
        rows = run("dkim", "show", DOMAIN, "--json").json
        assert {row["value"] for row in rows} == {key.record for key in house.store.dkim.pairs.values()}
        assert all(b"".join(txt_strings(row["data"])).decode() == row["value"] for row in rows)
        change(house, key_of(house), state=KeyState.REMOVABLE)
        assert len(run("dkim", "show", DOMAIN, "--json").json) == 1

    def test_show_without_keys_says_how_to_make_some(self, run: Run) -> None:
        ended = run("dkim", "show", DOMAIN)
        assert ended.code == 1
        assert f"postroom dkim make {DOMAIN}" in ended.err

    @pytest.mark.usefixtures("made")
    def test_check_fails_until_all_can_be_seen(self, run: Run, house: MemoryHouse) -> None:
        ended = run("dkim", "check", "--json")
        assert ended.code == 1
        assert {row["sight"] for row in ended.json} == {"absent"}
        publish(house)
        ended = run("dkim", "check")
        assert ended.code == 0
        assert "visible" in ended.out


class TestMoving:
    @pytest.mark.usefixtures("made")
    def test_activate_looks_first(self, run: Run, house: MemoryHouse) -> None:
        key = key_of(house)
        ended = run("dkim", "activate", DOMAIN, key.selector)
        assert ended.code == 1
        assert "cannot be seen" in ended.err
        publish(house)
        assert run("dkim", "activate", DOMAIN, key.selector).code == 0
        after = key_of(house)
        assert (after.state, after.order, after.may_sign) == (KeyState.ACTIVE, Order.NONE, True)

    @pytest.mark.usefixtures("made")
    def test_activate_by_force_for_a_zone_that_cannot_be_seen(self, run: Run, house: MemoryHouse) -> None:
        key = key_of(house)
        assert run("dkim", "activate", DOMAIN, key.selector, "--force").code == 0
        after = key_of(house)
        assert (after.state, after.order, after.may_sign) == (KeyState.ACTIVE, Order.SIGN, True)
        row = next(row for row in run("dkim", "list", "--json").json if row["selector"] == key.selector)
        assert row["signs"] is True

    @pytest.mark.usefixtures("made")
    def test_the_one_that_signed_before_retires(self, run: Run, house: MemoryHouse) -> None:
        old = change(house, key_of(house), state=KeyState.ACTIVE, active_at=NOW, sights=2)
        house.time += 86400
        assert run("dkim", "rotate", DOMAIN, "--algorithm", ED25519).code == 0
        assert run("dkim", "activate", DOMAIN, key_of(house).selector, "--force").code == 0
        assert house.store.dkim.pairs[DOMAIN, old.selector].state is KeyState.RETIRED

    @pytest.mark.usefixtures("made")
    def test_retire_and_remove(self, run: Run, house: MemoryHouse) -> None:
        key = change(house, key_of(house), state=KeyState.ACTIVE, active_at=NOW, sights=2)
        assert run("dkim", "retire", DOMAIN, key.selector).code == 0
        after = key_of(house)
        assert (after.state, after.may_sign) == (KeyState.RETIRED, False)
        assert (DOMAIN, key.selector) in house.store.dkim.kept
        ended = run("dkim", "remove", DOMAIN, key.selector)
        assert ended.code == 0
        assert after.name in ended.out
        assert (DOMAIN, key.selector) not in house.store.dkim.kept
        for verb in ("remove", "retire", "activate"):
            assert run("dkim", verb, DOMAIN, key.selector).code == 1

    def test_an_unknown_key_says_where_to_look(self, run: Run) -> None:
        ended = run("dkim", "retire", DOMAIN, "nope")
        assert ended.code == 1
        assert f"postroom dkim list {DOMAIN}" in ended.err


class TestBringing:
    @pytest.fixture
    def pem(self, tmp_path: Path) -> Path:
        path = tmp_path / "2019.private"
        path.write_bytes(write_key(make_key(Algorithm.ED25519)))
        return path

    def test_a_key_of_another_program_is_taken_over(self, run: Run, house: MemoryHouse, pem: Path) -> None:
        ended = run("dkim", "import", DOMAIN, "Mail-2019", str(pem))
        assert ended.code == 0, ended.err
        assert "mail-2019._domainkey.example.org. 3600 IN TXT" in ended.out
        key = house.store.dkim.pairs[DOMAIN, "mail-2019"]
        assert (key.state, key.algorithm) == (KeyState.PUBLISHED, ED25519)
        publish(house)
        assert run("dkim", "activate", DOMAIN, "mail-2019").code == 0
        assert run("dkim", "import", DOMAIN, "mail-2019", str(pem)).code == 1

    @pytest.mark.parametrize("selector", ["", "a b", "a..b", "ä", "x" * 64, "a;b"])
    def test_what_is_no_selector_is_refused(self, run: Run, pem: Path, selector: str) -> None:
        assert run("dkim", "import", DOMAIN, selector, str(pem)).code == 1

    def test_what_is_no_key_is_refused(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "x"
        path.write_text("hello")
        assert run("dkim", "import", DOMAIN, "s", str(path)).code == 1
        assert run("dkim", "import", DOMAIN, "s", str(tmp_path / "none")).code == 1


class TestEncrypting:
    @pytest.fixture
    def key_file(self, config: Path, tmp_path: Path) -> Path:
        """Introduced later: keys stand there in the clear already."""
        path = tmp_path / "dkim.key"
        config.write_text(config.read_text() + f'[dkim]\nkey_file = "{path}"\n')
        return path

    @pytest.mark.usefixtures("made")
    def test_the_file_is_made_and_all_keys_are_sealed(self, run: Run, house: MemoryHouse, key_file: Path) -> None:
        clear = dict(house.store.dkim.kept)
        ended = run("dkim", "encrypt")
        assert ended.code == 0, ended.err
        assert ended.out.startswith("2 private keys are encrypted")
        assert key_file.stat().st_mode & 0o777 == 0o600
        assert all(is_sealed(kept) for kept in house.store.dkim.kept.values())
        sealed = dict(house.store.dkim.kept)
        assert sealed.keys() == clear.keys()
        assert run("dkim", "encrypt").code == 0, "again, with the file that is there"
        assert run("dkim", "import", DOMAIN, "x", "/dev/null").code == 1
        assert run("domain", "add", "new.example").code == 0
        assert all(is_sealed(kept) for kept in house.store.dkim.kept.values())

    @pytest.mark.usefixtures("made")
    def test_from_one_file_to_another(self, run: Run, house: MemoryHouse, key_file: Path, config: Path) -> None:
        assert run("dkim", "encrypt").code == 0
        other = key_file.with_name("other.key")
        config.write_text(config.read_text().replace(str(key_file), str(other)))
        before = dict(house.store.dkim.kept)
        ended = run("dkim", "encrypt")
        assert ended.code == 1
        assert "postroom dkim encrypt --old" in ended.err
        assert house.store.dkim.kept == before
        assert not other.exists(), "nothing is left of what failed"
        assert run("dkim", "encrypt", "--old", str(key_file)).code == 0
        assert house.store.dkim.kept != before

    def test_without_a_key_file_in_the_settings(self, run: Run) -> None:
        ended = run("dkim", "encrypt")
        assert ended.code == 1
        assert "key_file" in ended.err

    def test_a_missing_key_file_is_said_before_anything_is_made(
        self, run: Run, house: MemoryHouse, key_file: Path
    ) -> None:
        ended = run("domain", "add", "new.example")
        assert ended.code == 1
        assert "postroom dkim encrypt" in ended.err
        assert "new.example" not in json.dumps([key.domain for key in house.store.dkim.pairs.values()])
        assert not key_file.exists()
