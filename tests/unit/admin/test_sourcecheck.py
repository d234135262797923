"""``postroom check`` tries out who knows passwords and tokens."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.issuer import Issuer, key_set, make_keys

from postroom.admin.finding import Finding, Level
from postroom.admin.sourcecheck import check_sources
from postroom.config.model import Settings
from postroom.directory.passwords import hash_password


async def look(**sections: Any) -> list[Finding]:
    settings = Settings.model_validate({"hostname": "mx.example.org"} | sections)
    return [finding async for finding in check_sources(settings, ManualClock())]


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[Issuer]:
    issuer = await Issuer(tmp_path, keys=key_set(*make_keys().values())).start()
    yield issuer
    await issuer.stop()


async def test_the_directory_alone_needs_nothing() -> None:
    assert await look() == []


async def test_file(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    (missing,) = await look(auth={"sources": ["file"], "file": path})
    assert (missing.level, str(path) in missing.what) == (Level.ERROR, True)
    path.write_text(f"anna@example.org:{hash_password('secret')}\nbert@example.org:secret\n")
    bad, good = await look(auth={"sources": ["directory", "file"], "file": path})
    assert (bad.level, bad.what.startswith(f"{path}:2: ")) == (Level.ERROR, True)
    assert bad.remedy
    assert (good.level, good.what) == (Level.OK, f"{path} knows 1 accounts")
    assert await look(auth={"sources": ["file"]}) == []


async def test_callable() -> None:
    (good,) = await look(auth={"sources": ["callable"], "callable": "os.path:samefile"})
    (bad,) = await look(auth={"sources": ["callable"], "callable": "os.path:nothing"})
    assert (good.level, bad.level) == (Level.OK, Level.ERROR)


async def test_keys(issuer: Issuer, tmp_path: Path) -> None:
    oauth = {"issuer": "x", "jwks_url": f"{issuer.url}/keys", "ca_file": issuer.authority}
    (good,) = await look(oauth=oauth)
    assert (good.level, good.what) == (Level.OK, f"{issuer.url}/keys answers")
    issuer.status = 404
    (bad,) = await look(oauth=oauth)
    assert (bad.level, "404" in bad.what) == (Level.ERROR, True)
    path = tmp_path / "keys.json"
    (absent,) = await look(oauth={"issuer": "x", "jwks_file": path})
    assert absent.level is Level.ERROR
    path.write_text(json.dumps(issuer.keys))
    (present,) = await look(oauth={"issuer": "x", "jwks_file": path})
    assert present.level is Level.OK
    (unusable,) = await look(oauth=oauth | {"ca_file": tmp_path / "missing"})
    assert "ca_file" in unusable.what


async def test_introspection(issuer: Issuer) -> None:
    oauth = {"introspection_url": f"{issuer.url}/introspect", "ca_file": issuer.authority, "client_id": "wrong"}
    (bad,) = await look(oauth=oauth)
    assert (bad.level, "401" in bad.what) == (Level.ERROR, True)
