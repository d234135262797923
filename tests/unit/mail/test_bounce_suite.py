"""Returned mail of the world: the public suite, where it is present, and wordings of our own."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.unit.mail.bounces.judging import Case, cases, mistake

HERE = Path(__file__).parent
AT_LEAST = 0.95


def measure(suite: Iterable[Case]) -> tuple[float, str]:
    """The share that is right, and each file's figure in words."""
    figures = [(case.name, mistake(case)) for case in suite]
    right = sum(not wrong for _, wrong in figures)
    told = "\n".join(f"{name}: {wrong or 'right'}" for name, wrong in figures)
    return right / len(figures), f"{right} of {len(figures)} right\n{told}"


def public_suite() -> Iterable[Case]:
    for parent in Path(__file__).parents:
        folder = parent / "shared" / "data" / "bounce-flufl"
        if folder.is_dir():
            break
    else:
        pytest.skip("no shared/data/bounce-flufl")
    expected = json.loads((folder / "expected.json").read_text())
    for name, wanted in sorted(expected.items()):
        addresses = frozenset(address.lower() for address in wanted["addresses"])
        yield Case(name, addresses, wanted["temporary"], (folder / "data" / name).read_bytes())


def test_bounces_in_the_wild() -> None:
    share, told = measure(public_suite())
    print(told)
    assert share >= AT_LEAST, told


@pytest.mark.parametrize("name", ["own.txt", "later.txt"])
def test_bounces_in_other_wordings(name: str) -> None:
    share, told = measure(cases(HERE / "bounces" / name))
    assert share == 1, told


def test_there_are_enough_of_our_own() -> None:
    own = [case for name in ("own.txt", "later.txt") for case in cases(HERE / "bounces" / name)]
    assert len(own) >= 50
    assert sum(not case.addresses for case in own) >= 10
