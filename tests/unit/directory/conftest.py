"""A house with one account, and a stand-in for the slow hash."""

from collections.abc import AsyncIterator

import pytest
from tests.fakes.credential_house import CredentialHouse, Verifier

from postroom.directory import hashing


@pytest.fixture
async def house() -> AsyncIterator[CredentialHouse]:
    house = CredentialHouse()
    yield house
    await house.credentials.close()


@pytest.fixture
def verifier(monkeypatch: pytest.MonkeyPatch) -> Verifier:
    verifier = Verifier()
    monkeypatch.setattr(hashing, "verify_password", verifier)
    return verifier
