"""Zones changed by signed updates at BIND's own server (RFC 2136, RFC 8945)."""

import base64
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import dns.rcode
import pytest
from bench.processes import free_port
from tests.interop.named import READER, ZONE, Named
from tests.system.fixtures import MakeProgram
from tests.system.program import HOSTNAME

from postroom.admin.dnsrecords.applying import apply, plan
from postroom.admin.dnsrecords.making import records_for
from postroom.admin.dnsrecords.model import DkimRecord, Facts, Published, Service, TlsKey
from postroom.admin.stspolicy import StsOffer
from postroom.config.publishing import ZoneSettings
from postroom.dns.record import PublishFailed, ZoneRecord, txt_data, txt_text
from postroom.dns.update import ZoneUpdater
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.session import Role
from postroom.mailauth.publishing import Publisher

pytestmark = pytest.mark.needs("named", "tsig-keygen")

NOBODY = ZoneResolver(Zone.of({"ns.example.org": {"A": ["127.0.0.1"]}}))


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Named]:
    server = Named(tmp_path_factory.mktemp("named"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def updater(settings: ZoneSettings) -> ZoneUpdater:
    return ZoneUpdater([settings], NOBODY, seconds=10)


async def texts(zones: ZoneUpdater, name: str, kind: str = "TXT") -> set[str]:
    return {txt_text(each.data) if kind == "TXT" else each.data for each in await zones.current(name, kind)}


def txt(name: str, text: str, ttl: int = 600) -> ZoneRecord:
    return ZoneRecord(f"{name}.{ZONE}" if name else ZONE, "TXT", txt_data(text), ttl)


async def test_records_come_and_go(named: Named) -> None:
    zones: Publisher = updater(named.settings())
    seen = updater(named.settings())
    key = "v=DKIM1; k=rsa; p=" + base64.b64encode(os.urandom(294)).decode()
    record = txt("s1._domainkey", key)
    await zones.change([record])
    assert await texts(seen, record.name) == {key}
    (kept,) = await seen.current(record.name, "TXT")
    assert kept.ttl == 600
    await zones.change([record])  # there already
    await zones.change([], [record])
    await zones.change([], [record])  # gone already
    assert await seen.current(record.name, "TXT") == ()


async def test_others_records_stay_with_their_ttl(named: Named) -> None:
    zones = updater(named.settings())
    ours = txt("", "v=STSv1; id=1")
    await zones.change([ours])
    assert await texts(zones, ZONE) == {"v=spf1 mx -all", "a-stranger=1", "v=STSv1; id=1"}
    assert {each.ttl for each in await zones.current(ZONE, "TXT")} == {900}
    await zones.change([txt("", "v=STSv1; id=2")], [ours])
    await zones.change([], [txt("", "v=STSv1; id=2")])
    assert await texts(zones, ZONE) == {"v=spf1 mx -all", "a-stranger=1"}


async def test_a_change_is_all_of_it_or_nothing(named: Named) -> None:
    zones = updater(named.settings())
    good, bad = txt("half", "one"), txt("refused", "two")
    with pytest.raises(PublishFailed, match="REFUSED"):
        await zones.change([good, bad])
    assert await zones.current(good.name, "TXT") == ()


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("A", "192.0.2.1"),
        ("AAAA", "2001:db8::1"),
        ("MX", f"10 ns.{ZONE}."),
        ("SRV", f"0 1 587 mx.{ZONE}."),
        ("TLSA", "3 1 1 " + "ab" * 32),
        ("CAA", '0 issue "letsencrypt.org"'),
    ],
)
async def test_every_kind_that_we_publish(named: Named, kind: str, data: str) -> None:
    zones = updater(named.settings())
    record = ZoneRecord(f"kinds.{ZONE}", kind, data)
    await zones.change([record])
    assert await texts(zones, record.name, kind) == {data}
    await zones.change([], [record])
    assert await zones.current(record.name, kind) == ()


async def test_a_record_cut_otherwise_is_the_same(named: Named) -> None:
    zones = updater(named.settings())
    await zones.change([ZoneRecord(f"cut.{ZONE}", "TXT", '"v=one; " "two"')])
    await zones.change([txt("cut", "v=one; two")])
    assert len(await zones.current(f"cut.{ZONE}", "TXT")) == 1
    await zones.change([], [txt("cut", "v=one; two")])
    assert await zones.current(f"cut.{ZONE}", "TXT") == ()


async def test_aliases(named: Named) -> None:
    zones = updater(named.settings())
    alias = ZoneRecord(f"autoconfig.{ZONE}", "CNAME", f"ns.{ZONE}.")
    await zones.change([alias])
    moved = ZoneRecord(alias.name, "CNAME", f"www.{ZONE}.")
    await zones.change([moved], [alias])
    assert await texts(zones, alias.name, "CNAME") == {f"www.{ZONE}."}
    with pytest.raises(PublishFailed, match="is an alias of"):  # RFC 2136 §3.4.2.2: ignored without a word
        await zones.change([txt("autoconfig", "lost")])
    with pytest.raises(PublishFailed, match="other records stand"):
        await zones.change([ZoneRecord(f"ns.{ZONE}", "CNAME", f"www.{ZONE}.")])
    await zones.change([], [moved])


async def test_whoever_is_overtaken_tries_again(named: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our reading and our update somebody else changes the same records."""
    zones, other = updater(named.settings()), updater(named.settings())
    primary = zones._primaries[ZONE]
    real = primary.update
    overtaken: list[dns.rcode.Rcode] = []

    async def late(message):  # type: ignore[no-untyped-def]
        if not overtaken:
            await other.change([txt("race", "theirs")])
        code = await real(message)
        overtaken.append(code)
        return code

    monkeypatch.setattr(primary, "update", late)
    await zones.change([txt("race", "ours")])
    assert [code.name for code in overtaken] == ["YXRRSET", "NOERROR"]
    assert await texts(zones, f"race.{ZONE}") == {"ours", "theirs"}
    await other.change([], [txt("race", "ours"), txt("race", "theirs")])


async def fails(settings: ZoneSettings, name: str = "any") -> str:
    with pytest.raises(PublishFailed) as failure:
        await updater(settings).change([ZoneRecord(f"{name}.{settings.name}", "TXT", '"x"')])
    return str(failure.value)


async def test_a_refused_name(named: Named) -> None:
    assert "let the key postroom do it" in await fails(named.settings(), "refused")


async def test_a_key_that_may_only_read(named: Named) -> None:
    settings = named.settings(key=READER, algorithm="hmac-sha512", secret_file=named.reader_file)
    assert await updater(settings).current(ZONE, "TXT")
    assert "REFUSED" in await fails(settings)


async def test_a_key_that_the_server_does_not_know(named: Named) -> None:
    assert "BADKEY" in await fails(named.settings(key="stranger"))


async def test_a_wrong_algorithm(named: Named) -> None:
    assert "BADKEY" in await fails(named.settings(algorithm="hmac-sha512"))


async def test_a_wrong_secret(named: Named, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    secret = base64.b64encode(os.urandom(32)).decode()
    file.write_text(f"{secret}\n")
    told = await fails(named.settings(secret_file=file))
    assert "BADSIG" in told
    assert secret not in told


async def test_a_wrong_clock(named: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    real = time.time
    monkeypatch.setattr("dns.message.time.time", lambda: real() - 3600)
    assert "BADTIME" in await fails(named.settings())


async def test_a_secret_that_is_none(named: Named, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("not base64!\n")
    told = await fails(named.settings(secret_file=file))
    assert "holds no secret" in told
    assert "not base64" not in told
    assert "cannot be read" in await fails(named.settings(secret_file=tmp_path / "missing"))


async def test_a_zone_that_takes_no_updates(named: Named) -> None:
    assert "refused the update" in await fails(named.settings(name="fixed.example"))


async def test_a_zone_that_the_server_does_not_have(named: Named) -> None:
    assert "example.net" in await fails(named.settings(name="example.net"))


async def test_nobody_answers(named: Named) -> None:
    assert "cannot be reached" in await fails(named.settings(port=free_port()))


async def test_silence(named: Named) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        zones = ZoneUpdater([named.settings(port=deaf.getsockname()[1])], NOBODY, seconds=0.2)
        with pytest.raises(PublishFailed, match="did not answer within"):
            await zones.change([txt("any", "x")])


async def test_a_server_by_name(named: Named) -> None:
    assert await updater(named.settings(server="ns.example.org")).current(ZONE, "TXT")
    assert "has no address" in await fails(named.settings(server="missing.example.org"))


async def test_the_longest_zone_is_asked(named: Named) -> None:
    zones = ZoneUpdater([named.settings(), named.settings(name=f"sub.{ZONE}")], NOBODY)
    assert zones.zone_of(f"a.sub.{ZONE}.") == f"sub.{ZONE}"
    assert zones.zone_of(ZONE.upper()) == ZONE
    assert not zones.covers("notexample.org")
    with pytest.raises(PublishFailed, match="in several zones"):
        await zones.change([txt("a", "x"), txt("a.sub", "x")])
    with pytest.raises(PublishFailed, match="no \\[\\[zone\\]\\]"):
        await zones.change([ZoneRecord("example.net", "TXT", '"x"')])


async def test_all_that_a_domain_should_publish(named: Named) -> None:
    """``postroom dns DOMAIN --apply`` on a real zone: put there, there, and another key after that."""
    zones = updater(named.settings())

    def wanted(text: str) -> Published:
        facts = Facts(
            hostname=f"mx.{ZONE}",
            addresses=("192.0.2.1", "2001:db8::1"),
            services=(Service(Role.MX, 25), Service(Role.SUBMISSIONS, 465)),
            keys=(TlsKey("ab" * 32),),
            sts=StsOffer("testing", (f"mx.{ZONE}",), 604800),
        )
        return records_for(ZONE, facts, [DkimRecord(f"s2._domainkey.{ZONE}", text, "active")])

    first = await plan(wanted("v=DKIM1; p=" + "A" * 392), zones, replace=False)
    assert [left.record.name for left in first.left] == [ZONE]  # a stranger's SPF
    await apply(first, zones)
    assert (await plan(wanted("v=DKIM1; p=" + "A" * 392), zones, replace=False)).changes == ()
    second = await plan(wanted("v=DKIM1; p=" + "B" * 392), zones, replace=True)
    (change,) = second.changes
    assert {txt_text(each.data)[:20] for each in change.remove} == {"v=spf1 mx -all", "v=DKIM1; p=AAAAAAAAA"}
    await apply(second, zones)
    assert await texts(zones, f"s2._domainkey.{ZONE}") == {"v=DKIM1; p=" + "B" * 392}
    assert await texts(zones, ZONE) == {f"v=spf1 a:mx.{ZONE} -all", "a-stranger=1"}


def test_the_command_changes_the_zone(named: Named, make_program: MakeProgram) -> None:
    zone = {
        "name": ZONE,
        "server": "127.0.0.1",
        "port": named.port,
        "key": "postroom",
        "secret_file": str(named.secret_file),
    }
    program = make_program({"zone": [zone], "publish": {"public_addresses": ["192.0.2.9"]}})
    program.command("domain", "add", f"program.{ZONE}")
    shown = program.command("dns", f"program.{ZONE}", "--apply", code=1)
    assert f"+ program.{ZONE}. 3600 IN MX 10 {HOSTNAME}." in shown
    done = program.command("dns", f"program.{ZONE}", "--apply", "--yes")
    assert f"changed {ZONE}" in done
    again = program.command("dns", f"program.{ZONE}", "--apply")
    assert "nothing to change" in again
    assert json.loads(program.command("dns", f"program.{ZONE}", "--json"))["domain"] == f"program.{ZONE}"
