"""The program as a whole: help, version, exit codes, and no traceback whatever happens."""

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.text import Text
from tests.unit.cli.conftest import Run

from postroom import __version__
from postroom.cli import main
from postroom.cli.house import RealHouse
from postroom.cli.passwords import invent_password, obtain_password
from postroom.cli.program import make_program
from postroom.config.model import DnsSettings
from postroom.directory.model import Logins
from postroom.mail.address import Address

VERBS = ["init", "serve", "check", "domain", "user", "alias", "queue", "why", "send", "stats", "demo"]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"postroom {__version__}\n"


def test_module(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["postroom", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("postroom", run_name="__main__")
    assert ended.value.code == 0
    assert __version__ in capsys.readouterr().out


def test_help_names_every_verb(run: Run) -> None:
    out = run("--help", bare=True).out
    assert all(f" {verb} " in out for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(run: Run, verb: str) -> None:
    ended = run(verb, "-h", bare=True)
    assert ended.code == 0
    assert "Usage: " in ended.out


def helps(command: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """All that is said about a command, its parameters and those below it, each with its place."""
    yield name, command.help or ""
    for parameter in command.params:
        yield f"{name} {parameter.name}", getattr(parameter, "help", None) or ""
    for below, each in getattr(command, "commands", {}).items():
        yield from helps(each, f"{name} {below}".strip())


def test_help_shows_every_word() -> None:
    """What stands in square brackets may be taken for markup, and is lost then."""
    said = dict(helps(typer.main.get_command(make_program())))
    assert {place: text for place, text in said.items() if Text.from_markup(text).plain != text} == {}


@pytest.mark.parametrize(
    "words", [("nonsense",), ("domain", "nonsense"), ("why",), ("stats", "--top", "0"), ("domain",)]
)
def test_wrong_use_is_2(run: Run, words: tuple[str, ...]) -> None:
    assert run(*words, bare=True).code == 2


def test_failure_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["user", "list", "-c", str(tmp_path / "no.toml")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_bug_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("postroom.cli.serve.find", broken)
    assert main(["serve", "-c", str(tmp_path / "x")]) == 1
    err = capsys.readouterr().err
    assert "internal error: RuntimeError: a bug" in err
    assert "Traceback" not in err


def test_texts_of_peers_cannot_move_the_cursor(run: Run) -> None:
    ended = run("why", "x\x1b[2Jx")
    assert "\x1b" not in ended.err
    assert "\\x1b" in ended.err


def test_the_real_house_has_what_it_promises() -> None:
    house = RealHouse()
    new = house.new_password("long-enough", Address.parse("a@example.org"), b"secret", Logins())
    assert new.hash.startswith("$argon2id$")
    assert [key.algorithm for key in new.keys] == ["SHA-256", "SHA-1"]
    assert house.now() > 1_700_000_000
    assert house.resolver(DnsSettings()) is not None


def test_passwords_are_asked_for_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda text, hide_input, confirmation_prompt: "typed-password")
    assert obtain_password(from_stdin=False) == "typed-password"


def test_invented_passwords_differ_and_need_no_quoting() -> None:
    invented = {invent_password() for _ in range(100)}
    assert len(invented) == 100
    assert all(len(password) == 16 and password.isalnum() for password in invented)
