"""What --apply would do to a zone: ours is brought up to date, others' records stay."""

import pytest
from tests.fakes.zone_editor import MemoryZones

from postroom.admin.dnsrecords.applying import Plan, apply, plan
from postroom.admin.dnsrecords.making import records_for
from postroom.admin.dnsrecords.model import DkimRecord, Facts, Published, Service, TlsKey
from postroom.admin.stspolicy import StsOffer
from postroom.dns.record import ZoneRecord, txt_data
from postroom.mail.session import Role

HOST, DOMAIN = "mx.example.org", "example.org"
KEY = DkimRecord(f"s1._domainkey.{DOMAIN}", "v=DKIM1; k=ed25519; p=abc", "active")


def wanted(**changed: object) -> Published:
    known = {
        "hostname": HOST,
        "addresses": ("192.0.2.1",),
        "keys": (TlsKey("ab" * 32),),
        "services": (Service(Role.SUBMISSION, 587),),
        "sts": StsOffer("testing", (HOST,), 604800),
    }
    return records_for(DOMAIN, Facts(**{**known, **changed}), [KEY])  # type: ignore[arg-type]


def txt(name: str, text: str) -> ZoneRecord:
    return ZoneRecord(name, "TXT", txt_data(text))


async def look(*standing: ZoneRecord, replace: bool = False, **changed: object) -> tuple[Plan, MemoryZones]:
    zones = MemoryZones((DOMAIN,), list(standing))
    return await plan(wanted(**changed), zones, replace=replace), zones


async def test_an_empty_zone_gets_everything_in_one_update() -> None:
    planned, zones = await look()
    (change,) = planned.changes
    assert change.remove == ()
    await apply(planned, zones)
    assert len(zones.changes) == 1
    again = await plan(wanted(), zones, replace=False)
    assert again.changes == ()
    assert not any(each.kind == "PTR" for each in zones.records)


@pytest.mark.parametrize(
    ("old", "text"),
    [
        (txt(f"_mta-sts.{DOMAIN}", "v=STSv1; id=old"), "v=STSv1"),
        (txt(KEY.name, "v=DKIM1; p="), KEY.text),
        (ZoneRecord(f"_25._tcp.{HOST}", "TLSA", "3 1 1 " + "CD" * 32), "3 1 1 abab"),
    ],
)
async def test_ours_is_replaced(old: ZoneRecord, text: str) -> None:
    (change,) = (await look(old))[0].changes
    assert change.remove == (old,)
    assert any(each.name == old.name and text in each.data for each in change.add)


@pytest.mark.parametrize(
    "old",
    [
        txt(DOMAIN, "v=spf1 include:elsewhere.example -all"),
        txt(f"_dmarc.{DOMAIN}", "v=DMARC1; p=reject"),
        txt(f"_smtp._tls.{DOMAIN}", "v=TLSRPTv1; rua=mailto:a@example.net"),
        ZoneRecord(DOMAIN, "MX", "10 mx.elsewhere.example."),
        ZoneRecord(HOST, "A", "192.0.2.99"),
        ZoneRecord(f"_imap._tcp.{DOMAIN}", "SRV", "0 1 143 imap.elsewhere.example."),
        ZoneRecord(f"autoconfig.{DOMAIN}", "CNAME", "elsewhere.example."),
    ],
)
async def test_what_others_decided_is_replaced_when_asked_alone(old: ZoneRecord) -> None:
    planned, _ = await look(old)
    (change,) = planned.changes
    assert change.remove == ()
    assert not any(each.name == old.name and each.kind == old.kind for each in change.add)
    (left,) = [each for each in planned.left if each.record.name == old.name]
    assert old.data in left.why
    (forced,) = (await look(old, replace=True))[0].changes
    assert forced.remove == (old,)
    assert any(each.name == old.name and each.kind == old.kind for each in forced.add)


async def test_strangers_stay_even_then() -> None:
    strangers = (txt(DOMAIN, "google-site-verification=1"), txt(f"_25._tcp.{HOST}", "hello"))
    old = ZoneRecord(f"_25._tcp.{HOST}", "TLSA", "2 1 1 " + "CD" * 32)
    (change,) = (await look(*strangers, old, replace=False))[0].changes
    assert change.remove == ()
    (forced,) = (await look(*strangers, replace=True))[0].changes
    assert forced.remove == ()


async def test_no_alias_beside_other_records() -> None:
    planned, _ = await look(ZoneRecord(f"autoconfig.{DOMAIN}", "A", "192.0.2.5"))
    assert any(each.record.name.startswith("autoconfig") and "records of its own" in each.why for each in planned.left)
    planned, _ = await look(ZoneRecord(f"_dmarc.{DOMAIN}", "CNAME", "dmarc.elsewhere.example."))
    assert any(each.record.name.startswith("_dmarc") and "is an alias" in each.why for each in planned.left)


async def test_what_is_not_known_or_not_ours_is_left() -> None:
    planned, _ = await look(addresses=(), hostname="mx.example.net")
    whys = {each.why for each in planned.left}
    assert any("public_addresses" in why for why in whys)
    assert any("no [[zone]]" in why for why in whys)


async def test_an_equal_record_in_other_words_stays() -> None:
    same = ZoneRecord(f"_25._tcp.{HOST}", "TLSA", "3 1 1 " + "AB" * 16 + " " + "AB" * 16)
    (change,) = (await look(same))[0].changes
    assert not any(each.kind == "TLSA" for each in (*change.add, *change.remove))
