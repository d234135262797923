"""MTA-STS records and policies, by the grammar and the examples of RFC 8461."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.mail.delivery import StsMode
from postroom.outbound.stspolicy import MAX_AGE, MAX_MX, MAX_POLICY, allows, read_policy, read_record

# RFC 8461 §3.2
EXAMPLE = b"""version: STSv1\r
mode: enforce\r
mx: mail.example.com\r
mx: *.example.net\r
mx: backupmx.example.com\r
max_age: 604800\r
"""


@pytest.mark.parametrize(
    ("records", "policy_id"),
    [
        ([b"v=STSv1; id=20160831085700Z;"], "20160831085700Z"),  # RFC 8461 §3.1
        ([b"v=STSv1;id=1"], "1"),
        ([b"v=STSv1 ;\tid=1 ; "], "1"),
        ([b"v=STSv1; x=y; id=1"], "1"),
        ([b"v=STSv1; id=1; id=2"], "1"),  # RFC 8461 §3.2: all entries except for the first are ignored
        ([b"v=spf1 -all", b"v=STSv1; id=1"], "1"),
        ([b"v=STSv1; id=1", b"v=STSv1; id=1"], ""),
        ([b"v=STSv1"], ""),
        ([b"v=STSv1;"], ""),
        ([b"v=STSv1; x=y"], ""),
        ([b"v=STSv10; id=1"], ""),
        ([b"v=stsv1; id=1"], ""),
        ([b" v=STSv1; id=1"], ""),
        ([b"id=1; v=STSv1"], ""),
        ([b"v=STSv1; id="], ""),
        ([b"v=STSv1; id=" + b"a" * 33], ""),
        ([b"v=STSv1; id=" + b"a" * 32], "a" * 32),
        ([b"v=STSv1; id=2026-11"], ""),
        ([b"v=STSv1;; id=1"], ""),
        ([b"v=STSv1; id=1; x"], ""),
        ([b"v=STSv1; id=1; x=a b"], ""),
        ([b"v=STSv1; id=1; \xc3\xbc=1"], ""),
        ([b"v=STSv1; ID=1"], ""),
        ([], ""),
    ],
)
def test_records(records: list[bytes], policy_id: str) -> None:
    assert read_record(records) == policy_id


def test_the_example_of_the_rfc() -> None:
    policy = read_policy("example.com", "1", EXAMPLE, 1000)
    assert policy.mode is StsMode.ENFORCE
    assert policy.mx == ("mail.example.com", "*.example.net", "backupmx.example.com")
    assert policy.expires_at == 1000 + 604800
    assert policy.text == tuple(EXAMPLE.decode().splitlines())
    assert allows(policy, "MAIL.example.com")
    assert allows(policy, "mx9.example.net")
    assert not allows(policy, "example.net")
    assert not allows(policy, "a.b.example.net")
    assert not allows(policy, "mail.example.org")


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE.replace(b"\r\n", b"\n"),
        EXAMPLE.removesuffix(b"\r\n"),
        EXAMPLE.replace(b": ", b":"),
        EXAMPLE.replace(b": ", b":\t \t"),
        EXAMPLE.replace(b"\r\n", b" \t\r\n"),
        EXAMPLE + "x-note: größe und so\r\n".encode(),
        EXAMPLE + b"mode: none\r\nmax_age: 1\r\nversion: STSv9\r\n",  # the first counts
        b"\n".join(reversed(EXAMPLE.splitlines())),
    ],
)
def test_other_ways_to_write_it(text: bytes) -> None:
    policy = read_policy("example.com", "1", text, 0)
    assert policy.mode is StsMode.ENFORCE
    assert len(policy.mx) == 3
    assert policy.expires_at == 604800


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\r\n" + EXAMPLE,
        EXAMPLE + b"\r\n",
        EXAMPLE.replace(b"STSv1", b"STSv2"),
        EXAMPLE.replace(b"version", b"Version"),
        EXAMPLE.replace(b"version: STSv1\r\n", b""),
        EXAMPLE.replace(b"mode: enforce\r\n", b""),
        EXAMPLE.replace(b"enforce", b"Enforce"),
        EXAMPLE.replace(b"max_age: 604800\r\n", b""),
        EXAMPLE.replace(b"604800", b"1 day"),
        EXAMPLE.replace(b"604800", b"-1"),
        EXAMPLE.replace(b"604800", b"12345678901"),
        EXAMPLE.replace(b"604800", "٣".encode()),
        EXAMPLE.replace(b"mail.example.com", b"mail.*.com"),
        EXAMPLE.replace(b"mail.example.com", b"*"),
        EXAMPLE.replace(b"mail.example.com", b".example.com"),
        EXAMPLE.replace(b"mail.example.com", b"mail.example.com, b.example"),
        EXAMPLE.replace(b"mail.example.com", b"m\xc3\xbcller.example"),
        EXAMPLE.replace(b"mail.example.com", b"192.0.2.1/24"),
        b"version: STSv1\nmode: testing\nmax_age: 1\n",
        b"<html>no policy here</html>",
        EXAMPLE + b"x: \xff\n",
        EXAMPLE + b"x: a\x00b\n",
        EXAMPLE + b"x:\n",
        EXAMPLE + b"-x: y\n",
        EXAMPLE + b"x" * 33 + b": y\n",
        EXAMPLE + b"x: " + b"y" * MAX_POLICY,
    ],
)
def test_what_is_no_policy(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_policy("example.com", "1", text, 0)


def test_a_policy_of_none_needs_no_mx_and_ages_are_bounded() -> None:
    policy = read_policy("example.com", "1", b"version: STSv1\nmode: none\nmax_age: 9999999999\n", 0)
    assert policy.mode is StsMode.NONE
    assert policy.mx == ()
    assert policy.expires_at == MAX_AGE


def test_patterns_are_bounded() -> None:
    lines = b"".join(b"mx: mx%d.example.com\n" % number for number in range(MAX_MX + 50))
    policy = read_policy("example.com", "1", b"version: STSv1\nmode: testing\nmax_age: 1\n" + lines, 0)
    assert len(policy.mx) == MAX_MX
    assert len(policy.text) == MAX_MX + 3


@given(st.binary(max_size=300))
def test_rubbish_raises_nothing_but_valueerror(text: bytes) -> None:
    assert read_record([b"v=STSv1;" + text]) == "" or b"id=" in text
    try:
        policy = read_policy("example.com", "1", text, 0)
    except ValueError:
        return
    assert policy.mode is StsMode.NONE or policy.mx


@given(st.lists(st.sampled_from(EXAMPLE.splitlines(keepends=True)), max_size=12))
def test_lines_in_any_number_and_order(lines: list[bytes]) -> None:
    needed = {b"version: STSv1\r\n", b"mode: enforce\r\n", b"max_age: 604800\r\n"}
    good = needed <= set(lines) and any(line.startswith(b"mx") for line in lines)
    try:
        read_policy("example.com", "1", b"".join(lines), 0)
    except ValueError:
        assert not good
    else:
        assert good
