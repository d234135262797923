"""Programs, far ends and nameservers for a test; whatever happens, all are stopped afterwards."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.system.loop_thread import Nameserver
from tests.system.program import Program
from tests.system.setups import MX_ZONE
from tests.system.sink import Sink

MakeProgram = Callable[..., Program]


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Databases with accounts, made once."""
    return tmp_path_factory.mktemp("templates")


@pytest.fixture
def make_program(tmp_path: Path, templates: Path) -> Iterator[MakeProgram]:
    """Make programs in folders of their own. A program that told of an internal error fails its test."""
    programs: list[Program] = []

    def make(settings: Mapping[str, Any] | None = None) -> Program:
        programs.append(Program(tmp_path / f"server{len(programs)}", settings, templates))
        return programs[-1]

    try:
        yield make
        for program in programs:
            program.stop()
            assert not program.told("internal_error")
    finally:
        for program in programs:
            program.kill()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A far end that takes mail."""
    far = Sink()
    yield far
    far.close()


@pytest.fixture
def down_sink() -> Iterator[Sink]:
    """A far end that refuses connections until ``up``."""
    far = Sink(up=False)
    yield far
    far.close()


@pytest.fixture
def nameserver() -> Iterator[Nameserver]:
    """remote.example has one MX, on loopback."""
    server = Nameserver(MX_ZONE)
    yield server
    server.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may pass; pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="postroom-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
