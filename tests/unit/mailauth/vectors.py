"""Where the public test vectors are."""

from pathlib import Path

import pytest


def vectors(name: str) -> Path:
    """The folder of that name in shared/data; the test is skipped where it is missing."""
    for parent in Path(__file__).parents:
        folder = parent / "shared" / "data" / name
        if folder.is_dir():
            return folder
    pytest.skip(f"no shared/data/{name}")
