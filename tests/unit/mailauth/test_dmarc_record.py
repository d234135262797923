"""DMARC records as published (RFC 9989 §4.7, §4.8); what they do is in the table of cases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.mailauth.dmarc.record import MAX_URIS, is_record, read_record
from postroom.mailauth.model import DmarcRecord, Policy


def record(text: str) -> DmarcRecord:
    published = read_record("example.org", text.encode())
    assert published is not None
    assert not published.fault
    return published.record


def test_all_tags() -> None:
    assert record(
        "v=DMARC1; p=quarantine; sp=none; np=reject; adkim=s; aspf=s; t=y; psd=n; "
        "rua=mailto:a@example.org,https://example.org/x; ruf=mailto:f@example.org; fo=1:d:s"
    ) == DmarcRecord(
        "example.org",
        Policy.QUARANTINE,
        Policy.NONE,
        Policy.REJECT,
        strict_dkim=True,
        strict_spf=True,
        testing=True,
        psd="n",
        aggregate=("mailto:a@example.org", "https://example.org/x"),
        failure=("mailto:f@example.org",),
        failure_options=("1", "d", "s"),
    )


def test_defaults() -> None:
    assert record("v=DMARC1; p=reject") == DmarcRecord("example.org", Policy.REJECT)


@pytest.mark.parametrize(
    ("text", "uris"),
    [
        ("mailto:a@example.org", ("mailto:a@example.org",)),
        ("mailto:a@example.org!10m", ("mailto:a@example.org",)),  # RFC 9989 §4.8: the size is ignored
        ("mailto:a@example.org!50", ("mailto:a@example.org",)),
        (" mailto:a@example.org ,\tmailto:b@example.org ", ("mailto:a@example.org", "mailto:b@example.org")),
        ("mailto:a@example.org,mailto:a@example.org", ("mailto:a@example.org",)),
        ("a@example.org", ()),
        ("mailto:", ()),
        ("mailto:nobody", ()),
        ("mailto:a%40b@example.org", ("mailto:a%40b@example.org",)),
        ("mailto:a b@example.org,http://x.example", ("http://x.example",)),
        (",".join(f"mailto:a{n}@example.org" for n in range(30)), tuple(f"mailto:a{n}@example.org" for n in range(10))),
    ],
)
def test_report_uris(text: str, uris: tuple[str, ...]) -> None:
    assert record(f"v=DMARC1; p=none; rua={text}").aggregate == uris
    assert len(uris) <= MAX_URIS


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("0", ("0",)),
        ("1", ("1",)),
        ("d:0", ("d", "0")),
        ("D : S", ("d", "s")),
        ("0:1", ("0",)),  # RFC 9989 §4.7: they exclude one another
        ("x", ("0",)),
        ("", ("0",)),
    ],
)
def test_failure_options(text: str, options: tuple[str, ...]) -> None:
    assert record(f"v=DMARC1; p=none; ruf=mailto:a@example.org; fo={text}").failure_options == options


def test_failure_options_without_an_address_are_ignored() -> None:
    assert record("v=DMARC1; p=none; fo=1:d").failure_options == ("0",)


@pytest.mark.parametrize("text", [b"", b"v=DMARC1.p=none", b"v=DMARC", b"DMARC1; p=none", b"v=spf1 -all", b"\xff"])
def test_no_record(text: bytes) -> None:
    assert not is_record(text)
    assert read_record("example.org", text) is None


@pytest.mark.parametrize("text", ["v=DMARC1", "v=DMARC1;", "v=DMARC1; p=", "v=DMARC1; p=reject; np=maybe"])
def test_a_policy_that_cannot_be_applied(text: str) -> None:
    published = read_record("example.org", text.encode())
    assert published is not None
    assert published.fault
    assert published.record.policy is Policy.NONE


@given(st.binary(max_size=300))
def test_anything_can_be_read(tail: bytes) -> None:
    assert read_record("example.org", b"v=DMARC1;" + tail) is not None
    read_record("example.org", tail)


def test_a_hostile_record_is_bounded() -> None:
    published = read_record("example.org", b"v=DMARC1; p=none; rua=" + b"mailto:a@b.example," * 3000 + b";x=" * 3000)
    assert published is not None
    assert published.record.aggregate == ("mailto:a@b.example",)
