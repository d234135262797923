"""Everything here starts the real program; what it is given stands in fixtures.py, which tests/interop shares."""

from pathlib import Path

import pytest
from tests.system.fixtures import down_sink, make_program, nameserver, open_folder, sink, templates

__all__ = ["down_sink", "make_program", "nameserver", "open_folder", "sink", "templates"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, so that they can be chosen or left out."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.system)
