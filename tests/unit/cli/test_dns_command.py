"""``postroom dns``: records printed for people and programs, and put into zones of ours."""

from pathlib import Path

import pytest
from tests.fakes.memory_house import MemoryHouse
from tests.unit.cli.conftest import Run

from postroom.admin.dnsrecords.model import DkimRecord
from postroom.dns.record import ZoneRecord
from postroom.dns.zone import Zone

ZONE = '[[zone]]\nname = "example.org"\nserver = "192.0.2.53"\nkey = "k"\nsecret_file = "k.key"\n'


@pytest.fixture
def house(house: MemoryHouse, config: Path) -> MemoryHouse:
    (config.parent / "data" / "postroom.db").touch()
    house.addresses = ("8.8.8.8",)
    house.dkim.records["example.org"] = [DkimRecord("s1._domainkey.example.org", "v=DKIM1; p=abc", "active")]
    text = config.read_text().replace("[tls]", '[[listener]]\nrole = "mx"\naddresses = ["::"]\nport = 25\n[tls]')
    config.write_text(text)
    return house


def test_a_zone_file(run: Run, house: MemoryHouse) -> None:
    ended = run("dns", "Example.org")
    assert ended.code == 0, ended.err
    zone = Zone.parse(ended.out)
    assert zone.find("MX", "example.org").texts == ("10 mx.example.org.",)
    assert zone.find("A", "mx.example.org").texts == ("8.8.8.8",)
    assert zone.find("TXT", "s1._domainkey.example.org").texts == ('"v=DKIM1; p=abc"',)
    assert "8.8.8.8.in-addr.arpa. 3600 IN PTR mx.example.org." in ended.out
    assert "no TLSA record for a certificate that cannot be used" in ended.out


def test_a_table(run: Run, house: MemoryHouse) -> None:
    out = run("dns", "example.org", "--table").out
    assert "v=spf1 a:mx.example.org -all" in out
    assert "for others" in out


def test_a_table_is_no_wider_for_a_long_key(run: Run, house: MemoryHouse) -> None:
    house.dkim.records["example.org"] = [DkimRecord("s1._domainkey.example.org", "v=DKIM1; p=" + "A" * 392, "active")]
    out = run("dns", "example.org", "--table").out
    assert "v=DKIM1; p=AAAA" in out
    assert max(map(len, out.splitlines())) < 300


def test_json(run: Run, house: MemoryHouse) -> None:
    found = run("dns", "example.org", "--json").json
    assert found["policy"].startswith("version: STSv1")
    assert {"mx", "spf", "dkim", "dmarc", "srv", "reverse"} <= {each["purpose"] for each in found["records"]}


def test_without_a_store(run: Run, house: MemoryHouse, config: Path) -> None:
    (config.parent / "data" / "postroom.db").unlink()
    assert "no DKIM key" in run("dns", "example.org").out


@pytest.mark.parametrize("words", [("--yes",), ("--replace",)])
def test_wrong_use(run: Run, house: MemoryHouse, words: tuple[str, ...]) -> None:
    assert run("dns", "example.org", *words).code == 2


def test_no_domain_no_zone_no_name(run: Run, house: MemoryHouse, config: Path) -> None:
    assert run("dns", "not a domain").code == 1
    ended = run("dns", "example.org", "--apply")
    assert (ended.code, "[[zone]]" in ended.err) == (1, True)
    config.write_text('hostname = "[192.0.2.1]"\n')
    assert "address literal" in run("dns", "example.org").err


def test_apply_asks_first(run: Run, house: MemoryHouse, config: Path) -> None:
    config.write_text(config.read_text() + ZONE)
    house.zones.records.append(ZoneRecord("example.org", "TXT", '"v=spf1 include:elsewhere.example -all"'))
    ended = run("dns", "example.org", "--apply")
    assert ended.code == 1
    assert "--yes" in ended.err
    assert "+ example.org. 3600 IN MX 10 mx.example.org." in ended.out
    assert "left: example.org TXT" in ended.out
    assert house.zones.changes == []
    ended = run("dns", "example.org", "--apply", "--yes")
    assert (ended.code, "changed example.org" in ended.out) == (0, True)
    assert any(each.kind == "MX" for each in house.zones.records)
    assert "nothing to change" in run("dns", "example.org", "--apply").out
    ended = run("dns", "example.org", "--apply", "--yes", "--replace")
    assert "- example.org. 3600 IN TXT" in ended.out
    assert not any("elsewhere" in each.data for each in house.zones.records)


def test_a_refusal_is_told(run: Run, house: MemoryHouse, config: Path) -> None:
    config.write_text(config.read_text() + ZONE)
    house.zones.failure = "192.0.2.53 refused the update (REFUSED): let the key do it"
    ended = run("dns", "example.org", "--apply", "--yes")
    assert ended.code == 1
    assert "remedy: let the key do it" in ended.err
