"""Which Python ``make install`` takes, of those that a machine may have."""

import subprocess
import sys
from pathlib import Path

import pytest

from postroom.admin import pythoncheck

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "choose-python"
NEEDS = "Postroom needs Python 3.11 or newer, with venv and pip; set PYTHON=/path/to/python3.11\n"

# `-c` asks whether it will do, `-m` whether it was built with optimisations.
OPTIMISED = "exit 0"
PLAIN = 'case "$*" in *pythoncheck*) exit 1;; esac'
TOO_OLD = "exit 1"  # or without ensurepip, as Debian's without python3-venv, or a name of pyenv with nothing behind it


class Machine:
    """A machine with some Pythons: ``bin`` is searched, ``system`` is where the distribution's are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("bin", "system"):
            (folder / name).mkdir()

    def has(self, **pythons: str) -> None:
        for place, answers in pythons.items():
            folder, name = place.split("_", 1)
            path = self.folder / folder / name.replace("_", ".")
            path.write_text(f"#!/bin/sh\n{answers}\n")
            path.chmod(0o755)

    def chooses(self, *wanted: str) -> tuple[str, str]:
        """What is chosen, and what is said beside."""
        environment = {"PATH": str(self.folder / "bin"), "SYSTEM_BIN": str(self.folder / "system")}
        ended = subprocess.run(
            [SCRIPT, *wanted], env=environment, capture_output=True, text=True, timeout=30, check=False
        )
        assert (ended.returncode == 0) == bool(ended.stdout)
        return ended.stdout.strip().removeprefix(f"{self.folder}/"), ended.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_first_that_was_built_with_optimisations(machine: Machine) -> None:
    machine.has(bin_python3_11=PLAIN, bin_python3=PLAIN, system_python3_11=OPTIMISED, system_python3=OPTIMISED)
    assert machine.chooses() == ("system/python3.11", "")
    machine.has(bin_python3_11=OPTIMISED)
    assert machine.chooses("") == ("bin/python3.11", "")


def test_none_was_built_with_optimisations(machine: Machine) -> None:
    machine.has(bin_python3_11=TOO_OLD, bin_python3=PLAIN, system_python3_11=PLAIN, bin_python3_12=OPTIMISED)
    chosen, said = machine.chooses()
    assert chosen == "system/python3.11"
    assert "was built without optimisations" in said


def test_a_python_that_will_not_do_is_passed_over(machine: Machine) -> None:
    machine.has(bin_python3_11=TOO_OLD, system_python3_11=TOO_OLD, bin_python3=TOO_OLD, system_python3=OPTIMISED)
    assert machine.chooses() == ("system/python3", "")


def test_newer_ones_by_name_only_where_there_is_no_3_11(machine: Machine) -> None:
    machine.has(bin_python3_12=PLAIN, bin_python3_13=OPTIMISED, bin_python3_14=OPTIMISED)
    assert machine.chooses() == ("bin/python3.13", "")
    machine.has(bin_python3=PLAIN, bin_python3_13=TOO_OLD, bin_python3_14=TOO_OLD)
    assert machine.chooses()[0] == "bin/python3"


def test_what_the_user_wants_wins(machine: Machine) -> None:
    machine.has(bin_python3_11=OPTIMISED, bin_mine=PLAIN, system_yours=OPTIMISED, bin_old=TOO_OLD)
    assert machine.chooses("mine")[0] == "bin/mine"
    assert machine.chooses(str(machine.folder / "system" / "yours")) == ("system/yours", "")
    assert machine.chooses("old") == ("", NEEDS)
    assert machine.chooses("nowhere") == ("", NEEDS)


def test_there_is_none(machine: Machine) -> None:
    assert machine.chooses() == ("", NEEDS)
    machine.has(bin_python3=TOO_OLD, system_python3=TOO_OLD)
    assert machine.chooses() == ("", NEEDS)


def test_what_a_real_one_is_asked(machine: Machine) -> None:
    built = pythoncheck.is_optimised()
    machine.has(bin_python3_11=f'exec {sys.executable} "$@"')
    chosen, said = machine.chooses()
    assert chosen == "bin/python3.11"
    assert ("without optimisations" in said) != built


@pytest.mark.parametrize("flaw", ["sys.version_info = (3, 10, 14)", "sys.modules['ensurepip'] = None"])
def test_what_is_wrong_with_a_real_one(machine: Machine, flaw: str) -> None:
    (machine.folder / "flawed.py").write_text(f"import sys\n{flaw}\nexec(sys.argv[2])\n")
    machine.has(bin_python3=f'exec {sys.executable} {machine.folder}/flawed.py "$@"')
    assert machine.chooses() == ("", NEEDS)


class TestMake:
    """In a folder of its own; only the environment is made, and nothing installed there."""

    @pytest.fixture
    def asked(self, machine: Machine) -> Path:
        """Where the Python of the machine writes what it is asked."""
        (machine.folder / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
        (machine.folder / "tools").symlink_to(ROOT / "tools")
        return machine.folder / "asked"

    def make(self, machine: Machine, *words: str) -> int:
        environment = {"PATH": f"{machine.folder}/bin:/usr/bin:/bin"}
        return subprocess.run(["make", *words], cwd=machine.folder, env=environment, timeout=30, check=False).returncode

    def test_asks_once_and_only_where_there_is_no_environment(self, machine: Machine, asked: Path) -> None:
        made = 'case "$*" in *--clear*) mkdir .venv; touch .venv/pyvenv.cfg;; esac'
        machine.has(bin_python3_11=f'echo "$*" >> {asked}\n{made}')
        assert self.make(machine, "help") == 0
        assert not asked.exists()
        for _ in range(2):
            assert self.make(machine, ".venv/pyvenv.cfg") == 0
        lines = asked.read_text().split("\n")
        assert [line[:9] for line in lines if line.startswith("-")] == ["-c import", "-B -m pos", "-m venv -"]

    def test_leaves_nothing_of_an_environment_that_could_not_be_made(self, machine: Machine, asked: Path) -> None:
        machine.has(bin_mine='case "$*" in *--clear*) mkdir .venv; touch .venv/pyvenv.cfg; exit 1;; esac')
        assert self.make(machine, ".venv/pyvenv.cfg", "PYTHON=mine") != 0
        assert not (machine.folder / ".venv").exists()
