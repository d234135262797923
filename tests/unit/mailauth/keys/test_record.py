"""What servers say of a record, and how zone files write one."""

import pytest

from postroom.dns.zone import txt_strings
from postroom.mailauth.keys.making import make_pair
from postroom.mailauth.keys.model import RSA, Sight
from postroom.mailauth.keys.record import judge, zone_text

POINT = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # RFC 8463 §A.2
RECORD = f"v=DKIM1; k=ed25519; h=sha256; t=s; p={POINT}"
OTHER = RECORD.replace("11qY", "12qY")


@pytest.mark.parametrize(
    "found",
    [
        RECORD,
        RECORD + ";",
        f"v=DKIM1;k=ed25519;p={POINT}",
        f"k=ed25519; p={POINT[:10]} {POINT[10:]}",
        f"v=DKIM1; k=ed25519; n=by hand; t=s; p={POINT}",
        f"v=DKIM1; k=ed25519; s=email; h=sha1:sha256; p={POINT}",
    ],
)
def test_what_lets_everybody_verify_is_visible(found: str) -> None:
    assert judge(RECORD, [("ns1", [found.encode()])]).sight is Sight.VISIBLE


@pytest.mark.parametrize(
    "found",
    [
        OTHER,
        "v=DKIM1; k=ed25519; p=",
        "v=spf1 -all",
        f"v=DKIM2; k=ed25519; p={POINT}",
        f"v=DKIM1; k=rsa; p={POINT}",
        f"v=DKIM1; p={POINT}",
        f"v=DKIM1; k=ed25519; h=sha1; p={POINT}",
        f"v=DKIM1; k=ed25519; s=tlsrpt; p={POINT}",
        f"v=DKIM1; k=ed25519; p={POINT}; p={POINT}",
        f"v=DKIM1; k=ed25519; p={POINT[:-6]}",
        "\xff\x00\r\n",
    ],
)
def test_what_does_not_is_wrong(found: str) -> None:
    look = judge(RECORD, [("ns1", [found.encode("latin-1")])])
    assert look.sight is Sight.WRONG
    assert "ns1 has another record" in look.detail
    assert look.detail.isprintable()


def test_two_records_at_one_name_are_wrong_even_if_one_is_right() -> None:
    look = judge(RECORD, [("ns1", [RECORD.encode(), OTHER.encode()])])
    assert look.sight is Sight.WRONG


def test_testing_mode_is_told() -> None:
    look = judge(RECORD, [("ns1", [f"v=DKIM1; k=ed25519; t=y; p={POINT}".encode()])])
    assert look.sight is Sight.VISIBLE
    assert "t=y" in look.detail


def test_one_server_without_it_is_enough() -> None:
    there: list[bytes] = [RECORD.encode()]
    look = judge(RECORD, [("ns1", there), ("ns2", []), ("ns3", []), ("ns4", None)])
    assert look.sight is Sight.ABSENT
    assert look.detail == "ns2 and ns3 do not have it"
    assert judge(RECORD, [("ns1", there), ("ns2", None)]).sight is Sight.VISIBLE
    assert judge(RECORD, [("ns1", None)]).sight is Sight.UNKNOWN
    assert judge(RECORD, []).sight is Sight.UNKNOWN


def test_zone_files_have_strings_of_255_octets() -> None:
    record = make_pair(RSA).record
    text = zone_text(record)
    strings = txt_strings(text)
    assert b"".join(strings) == record.encode()
    assert [len(each) for each in strings] == [255, len(record) - 255]
    assert zone_text('a"b\\c') == '"a\\"b\\\\c"'
