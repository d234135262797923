"""Every kind of write has its name, and is found under it."""

import pkgutil
from importlib import import_module

from postroom.storage import sqlite
from postroom.storage.batch import Kind
from postroom.storage.sqlite.kinds import KINDS


def test_each_kind_is_known_by_a_name_of_its_own() -> None:
    modules = [import_module(f"{sqlite.__name__}.{found.name}") for found in pkgutil.iter_modules(sqlite.__path__)]
    kinds = {id(one): one for module in modules for one in vars(module).values() if isinstance(one, Kind)}
    assert len(kinds) > 30
    assert sorted(kind.name for kind in kinds.values()) == sorted(KINDS)
    assert all(KINDS[kind.name] is kind for kind in kinds.values())
