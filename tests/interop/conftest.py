"""Other people's programs as clients and peers. A program that is not installed skips its tests by name."""

import shutil
from pathlib import Path

import pytest
from tests.system.fixtures import down_sink, make_program, nameserver, open_folder, sink, templates

__all__ = ["down_sink", "make_program", "nameserver", "open_folder", "sink", "templates"]

_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/usr/lib/dovecot"


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marker that names what a test needs."""
    config.addinivalue_line("markers", "needs(*programs): skipped where one of these programs is not installed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, so that they can be chosen or left out; skip those whose program is missing."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.interop)
            for marker in item.iter_markers("needs"):
                missing = [name for name in marker.args if shutil.which(name, path=_PATH) is None]
                if missing:
                    item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)}"))
