"""Whether a Python was built with optimisations is seen in what different builds say of themselves."""

import platform
import runpy
import sys

import pytest

from postroom.admin import pythoncheck
from postroom.admin.finding import Level
from postroom.admin.pythoncheck import check_python, is_optimised

# Every build has these, so they say nothing
ALL = {"PGO_PROF_USE_FLAG": "-fprofile-use -fprofile-correction", "PROFILE_TASK": "-m test --pgo --timeout=1200"}
DEBIAN = ALL | {
    "PGO_PROF_USE_FLAG": "",
    "CONFIG_ARGS": "'--enable-shared' '--prefix=/usr' '--with-dtrace' '--without-ensurepip' 'CC=x86_64-linux-gnu-gcc'",
    "AR": "x86_64-linux-gnu-gcc-ar",
}
DOCKER = ALL | {
    "CONFIG_ARGS": "'--build=x86_64-linux-gnu' '--enable-optimizations' '--enable-shared' '--with-lto'",
    "AR": "ar",
}
PYENV = ALL | {"CONFIG_ARGS": "'--prefix=/opt/pyenv/versions/3.11.7' '--enable-shared'", "AR": "ar"}
UNKNOWN = {"CONFIG_ARGS": None}


@pytest.mark.parametrize("build", [DEBIAN, DOCKER], ids=["debian", "docker"])
def test_with_optimisations(build: dict[str, str]) -> None:
    assert is_optimised(build.get)
    finding = check_python(build.get)
    assert finding.level is Level.OK
    assert finding.what.startswith(platform.python_version())
    assert finding.what.endswith("built with optimisations")


@pytest.mark.parametrize("build", [PYENV, UNKNOWN], ids=["pyenv", "unknown"])
def test_without_optimisations(build: dict[str, str | None]) -> None:
    assert not is_optimised(build.get)
    finding = check_python(build.get)
    assert finding.level is Level.NOTE
    assert "built without optimisations" in finding.what
    assert finding.remedy


def test_as_a_program_it_answers_for_the_python_that_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, pythoncheck.__name__)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(pythoncheck.__name__, run_name="__main__")
    assert ended.value.code == (0 if is_optimised() else 1)
