"""Who wants reports, by the grammar and the examples of RFC 8460 §3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.outbound.tlsrpt.record import MAX_TARGETS, read_targets


@pytest.mark.parametrize(
    ("records", "targets"),
    [
        ([b"v=TLSRPTv1;rua=mailto:reports@example.com"], ["mailto:reports@example.com"]),  # RFC 8460 §3.1.1
        ([b"v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt"], ["https://reporting.example.com/v1/tlsrpt"]),
        (
            [b"v=TLSRPTv1 ; x=y; rua=mailto:a@example.com , https://b.example/?c=d ;"],
            ["mailto:a@example.com", "https://b.example/?c=d"],
        ),
        ([b"v=TLSRPTv1; rua=mailto:a@b.example", b"something else"], ["mailto:a@b.example"]),
        ([b"v=TLSRPTv1; rua=mailto:a%2Bb@c.example?subject=x"], ["mailto:a+b@c.example"]),
        ([b"v=TLSRPTv1; rua=MAILTO:a@b.example"], ["mailto:a@b.example"]),
        ([b"v=TLSRPTv1; rua=mailto:a@b.example,mailto:a@b.example"], ["mailto:a@b.example"]),
        ([b"v=TLSRPTv1; rua=ftp://a.example,mailto:a@b.example"], ["mailto:a@b.example"]),
        ([b"v=TLSRPTv1; rua=mailto:a@b.example"] * 2, []),
        ([b"v=TLSRPTv1; rua=http://a.example/"], []),
        ([b"v=TLSRPTv1; rua=https://user:secret@a.example/"], []),
        ([b"v=TLSRPTv1; rua=https:///x"], []),
        ([b"v=TLSRPTv1; rua=https://a.example:port/"], []),
        ([b"v=TLSRPTv1; rua=mailto:a@b.example!10m"], []),
        ([b"v=TLSRPTv1; rua=mailto:nobody"], []),
        ([b"v=TLSRPTv1; rua=mailto:a@[127.0.0.1]"], []),
        ([b"v=TLSRPTv1; rua=mailto:a%0d%0aBcc:x@b.example"], []),
        ([b"v=TLSRPTv1; rua=mailto:%ff@b.example"], []),
        ([b"v=TLSRPTv1; rua=mailto:m%C3%BCller@b.example"], []),
        ([b"v=TLSRPTv1; rua="], []),
        ([b"v=TLSRPTv1; rua"], []),
        ([b"v=TLSRPTv1"], []),
        ([b"v=TLSRPTv2; rua=mailto:a@b.example"], []),
        ([b"v=tlsrptv1; rua=mailto:a@b.example"], []),
        ([b"v=TLSRPTv1; rua=mailto:a@b.example; \xff=1"], []),
        ([], []),
    ],
)
def test_records(records: list[bytes], targets: list[str]) -> None:
    assert [str(target) for target in read_targets(records)] == targets


def test_targets_are_bounded() -> None:
    uris = ",".join(f"mailto:a{number}@b.example" for number in range(20))
    assert len(read_targets([f"v=TLSRPTv1;rua={uris}".encode()])) == MAX_TARGETS


@given(st.binary(max_size=200))
def test_rubbish_raises_nothing(text: bytes) -> None:
    for target in read_targets([b"v=TLSRPTv1;rua=mailto:" + text, text]):
        assert "\r" not in str(target)
        assert "\n" not in str(target)
