"""Return paths and complaints that would lead nowhere are told before mail is lost by them."""

from tests.fakes.directory_store import MemoryDirectoryStore
from tests.fakes.hand_clock import HandClock

from postroom.admin.finding import Finding, Level
from postroom.admin.returncheck import check_returns
from postroom.config.model import DeliverySettings, Settings
from postroom.directory.directory import Directory


async def findings(**returns: object) -> list[Finding]:
    people = MemoryDirectoryStore()
    people.add_account("alice@example.org")
    people.add_alias("fbl@example.org", "alice@example.org")
    settings = Settings.model_validate({"hostname": "mx.example.org", "returns": returns})
    directory = Directory(people, DeliverySettings(), HandClock())
    return [finding async for finding in check_returns(settings, directory)]


async def test_what_exists() -> None:
    assert await findings() == []
    assert await findings(domain="example.org", complaints=["fbl@example.org", "alice@example.org"]) == []


async def test_what_does_not() -> None:
    (domain, nobody, elsewhere) = await findings(
        domain="bounces.example.org", complaints=["fbl@example.org", "nobody@example.org", "fbl@elsewhere.example"]
    )
    assert {finding.level for finding in (domain, nobody, elsewhere)} == {Level.ERROR}
    assert "bounces.example.org" in domain.what
    assert "postroom domain add bounces.example.org" in domain.remedy
    assert "nobody@example.org" in nobody.what
    assert "fbl@elsewhere.example" in elsewhere.what
