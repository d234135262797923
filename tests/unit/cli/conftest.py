"""A house in memory, a settings file, and the command line on top of them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.memory_house import MemoryHouse
from typer.testing import CliRunner

from postroom.cli.program import make_program


@dataclass
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture
def house() -> MemoryHouse:
    house = MemoryHouse()
    house.store.directory.add_account("alice@example.org", password="hash of old-password", quota=1 << 30)
    house.store.directory.add_account("bob@example.org", enabled=False)
    house.store.directory.add_alias("info@example.org", "alice@example.org", "bob@example.org")
    return house


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "postroom.toml"
    path.write_text('hostname = "mx.example.org"\n[tls]\ncertificate = "c.pem"\nkey = "k.pem"\n')
    (tmp_path / "data").mkdir()
    return path


@pytest.fixture
def run(house: MemoryHouse, config: Path) -> Run:
    """Runs a command line on the house; ``-c`` is added unless ``bare``."""

    def invoke(*words: str, stdin: str | bytes | None = None, bare: bool = False) -> Ended:
        arguments = list(words) if bare else [*words, "-c", str(config)]
        result = CliRunner().invoke(make_program(), arguments, input=stdin, obj=house, env={"COLUMNS": "200"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    return invoke
