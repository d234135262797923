"""Authentication-Results: ours read back by authres, forged ones taken out, those of sealers read (RFC 8601)."""

import re
import time
from dataclasses import replace

import authres
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.mailauth.model import (
    ArcCheck,
    Authentication,
    DkimCheck,
    DmarcCheck,
    Policy,
    Result,
    SpfCheck,
    SpfIdentity,
)
from postroom.mailauth.results import MAX_SIGNATURES, Finding, read_results, without_forged, write_results

OURS = "mx.receiver.example"
SPF = SpfCheck(Result.PASS, SpfIdentity.MAIL_FROM, "example.org", "a@example.org")
HELO = SpfCheck(Result.NONE, SpfIdentity.HELO, "mail.example.org", "postmaster@mail.example.org")
DKIM = DkimCheck(Result.PASS, "example.org", "s1", "rsa-sha256", "@example.org", "aB+/c12=")
DMARC = DmarcCheck(Result.PASS, "example.org", "example.org")


def unfolded(field: bytes) -> str:
    assert field.endswith(b"\r\n")
    return field.decode("ascii").replace("\r\n", "")


def value(field: bytes) -> str:
    return unfolded(field).removeprefix("Authentication-Results:")


def test_the_field_as_it_stands() -> None:
    found = Authentication(
        spf=replace(SPF, result=Result.FAIL, mechanism="-all"),
        helo=replace(HELO, result=Result.PASS),
        dkim=(
            DKIM,
            DkimCheck(
                Result.FAIL, "list.example", "s2", "ed25519-sha256", "joe@list.example", "zz", "the body changed"
            ),
        ),
        arc=ArcCheck(Result.PASS, ("list.example",), ("",), 0),
        dmarc=DmarcCheck(Result.FAIL, "example.org", "example.org", policy=Policy.REJECT, reason="nothing is aligned"),
    )
    assert write_results(OURS, found, "2001:db8::1") == (
        b"Authentication-Results: mx.receiver.example;\r\n"
        b' spf=fail reason="matches -all" smtp.mailfrom=example.org;\r\n'
        b" spf=pass smtp.helo=mail.example.org;\r\n"
        b" dkim=pass header.d=example.org header.i=@example.org header.s=s1\r\n"
        b' header.a=rsa-sha256 header.b="aB+/c12=";\r\n'
        b' dkim=fail reason="the body changed" header.d=list.example\r\n'
        b" header.i=joe@list.example header.s=s2 header.a=ed25519-sha256 header.b=zz;\r\n"
        b' arc=pass header.oldest-pass=0 smtp.remote-ip="2001:db8::1";\r\n'
        b' dmarc=fail reason="nothing is aligned" header.from=example.org\r\n'
        b" policy.dmarc=reject\r\n"
    )


def test_nothing_was_checked() -> None:
    assert write_results(OURS, Authentication()) == b"Authentication-Results: mx.receiver.example;\r\n none\r\n"


def test_an_unsigned_message() -> None:
    assert "dkim=none" in unfolded(write_results(OURS, Authentication(spf=SPF)))


def test_a_helo_name_that_nobody_speaks_for_is_left_out() -> None:
    assert "helo" not in unfolded(write_results(OURS, Authentication(spf=SPF, helo=HELO)))
    assert "smtp.helo=mail.example.org" in unfolded(write_results(OURS, Authentication(helo=HELO)))


def test_a_key_in_test_mode_and_a_part_of_the_body_are_told() -> None:
    found = Authentication(dkim=(replace(DKIM, testing=True), replace(DKIM, covered=False)))
    assert [each.properties["reason"] for each in read_results(value(write_results(OURS, found)))] == [
        "the key is being tested",
        "part of the body is not signed",
    ]


def test_authres_reads_what_we_write() -> None:
    found = Authentication(spf=SPF, dkim=(DKIM, replace(DKIM, result=Result.NEUTRAL, reason="odd")), dmarc=DMARC)
    read = authres.AuthenticationResultsHeader.parse(unfolded(write_results(OURS, found)))
    assert read.authserv_id == OURS
    spf, first, second, dmarc = read.results
    assert (spf.method, spf.result, spf.smtp_mailfrom) == ("spf", "pass", "example.org")
    assert {(p.name, p.value) for p in first.properties} == {
        ("d", "example.org"), ("i", "@example.org"), ("s", "s1"), ("a", "rsa-sha256"), ("b", "aB+/c12=")
    }  # fmt: skip
    assert (second.result, second.reason) == ("neutral", "odd")
    assert (dmarc.method, dmarc.result) == ("dmarc", "pass")
    assert [(p.type, p.name, p.value) for p in dmarc.properties] == [("header", "from", "example.org")]


HOSTILE = st.text(max_size=300) | st.sampled_from(
    ["a;dkim=pass", "x\r\nX: y", '"', "\\", "a b", "(", ")", "a\0b", "=?utf-8?q?x?=", "bücher.example",
     "a" * 5000, "a@b@c"]
)  # fmt: skip


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_strangers_words_stay_in_their_place(one: str, two: str, three: str, four: str) -> None:
    found = Authentication(
        spf=SpfCheck(Result.FAIL, SpfIdentity.MAIL_FROM, one, two, three, four, two),
        helo=SpfCheck(Result.FAIL, SpfIdentity.HELO, two, reason=one),
        dkim=(DkimCheck(Result.FAIL, one, two, three, four, one, two),),
        arc=ArcCheck(Result.FAIL, reason=three),
        dmarc=DmarcCheck(Result.FAIL, four, policy=Policy.NONE, reason=one),
    )
    field = write_results(OURS, found, three)
    assert re.fullmatch(rb"(?:[ -~]+\r\n(?: |\Z))+", field)
    expected = [("spf", "fail"), ("spf", "fail"), ("dkim", "fail"), ("arc", "fail"), ("dmarc", "fail")]
    assert [(each.method, each.result) for each in read_results(value(field))] == expected
    read = authres.AuthenticationResultsHeader.parse(unfolded(field))
    assert [(each.method, each.result) for each in read.results] == expected
    # Who splits at semicolons and looks for words finds no more either.
    assert [part.split()[0] for part in value(field).split(";")[1:]] == ["=".join(pair) for pair in expected]
    assert len(field) < 5000


@pytest.mark.parametrize("length", [10, 60, 75, 100, 250])
def test_lines_are_short_where_they_can_be(length: int) -> None:
    reason = "why " * (length // 4)
    field = write_results(OURS, Authentication(spf=replace(SPF, result=Result.FAIL, reason=reason), dkim=(DKIM,) * 5))
    assert max(len(line) for line in field.split(b"\r\n")) < 78


def test_signatures_are_bounded() -> None:
    assert unfolded(write_results(OURS, Authentication(dkim=(DKIM,) * 500))).count("dkim=") == MAX_SIGNATURES


FORGED = [
    b"Authentication-Results: mx.receiver.example; spf=pass\r\n",
    b"authentication-RESULTS: MX.Receiver.Example; spf=pass\r\n",
    b"Authentication-Results : mx.receiver.example; spf=pass\r\n",
    b"Authentication-Results\t \t:mx.receiver.example;spf=pass\r\n",
    b"Authentication-Results\r\n : mx.receiver.example; spf=pass\r\n",
    b"Authentication-Results:\r\n mx.receiver.example;\r\n\tspf=pass\r\n",
    b"Authentication-Results:\r\n\t\r\n mx.receiver.example; none\r\n",
    b'Authentication-Results: "mx.receiver.example"; spf=pass\r\n',
    b'Authentication-Results: "mx\\.receiver.exam\\ple"; spf=pass\r\n',
    b"Authentication-Results: (a) mx.receiver.example (b); spf=pass\r\n",
    b"Authentication-Results: (a(b\\)(c))) mx.receiver.example; spf=pass\r\n",
    b"Authentication-Results: (a;b) mx.receiver.example; spf=pass\r\n",
    b'Authentication-Results: (") mx.receiver.example; spf=pass\r\n',
    b"Authentication-Results: (a(b) mx.receiver.example; spf=pass\r\n",
    b"Authentication-Results: (a(b) mx.receiver.example ) other.example; spf=pass\r\n",
    b"Authentication-Results: mx.receiver.example 1; spf=pass\r\n",
    b"Authentication-Results: mx.receiver.example/1; spf=pass\r\n",
    b"Authentication-Results: mx.receiver.example (v) 99; spf=pass\r\n",
    b"Authentication-Results: mx.receiver.example.; spf=pass\r\n",
    b"Authentication-Results: mx.receiver.example\r\n",
    b"Authentication-Results: mx.receiver.example spf=pass\r\n",
    b'Authentication-Results: "other; mx.receiver.example; spf=pass\r\n',
    b"Authentication-Results: =?utf-8?q?mx.receiver.example?=; spf=pass\r\n",
    b"Authentication-Results: =?utf-8?q?mx=2Ereceiver=2Eexample?=; spf=pass\r\n",
    b"Authentication-Results: =?us-ascii?B?bXgucmVjZWl2ZXI=?= =?x?q?=2Eexample=3B_spf=3Dpass?=\r\n",
    b"Authentication-Results: \x00mx.receiver.example; spf=pass\r\n",
    b"Authentication-Results: mx.receiver.example\x00.other; spf=pass\r\n",
    b"Authentication-Results: mx.re\x00cei\x7fver.example; spf=pass\r\n",
    "Authentication-Results: \u200bmx.receiver\u00ad.example\ufeff; spf=pass\r\n".encode(),
    b"Authentication-Results:\x0bmx.receiver.example; spf=pass\r\n",
    b"Authentication-Results:\rmx.receiver.example; spf=pass\r\n",
    b"Authentication-Results: mx.receiver.example;\rAuthentication-Results: other.example; spf=pass\r\n",
]

OTHERS = [
    b"Authentication-Results: other.example; spf=pass\r\n",
    b"Authentication-Results: x.mx.receiver.example; spf=pass\r\n",
    b"Authentication-Results: receiver.example; spf=pass\r\n",
    b"Authentication-Results: mx.receiver.example.org; spf=pass\r\n",
    b"Authentication-Results: amx.receiver.example; spf=pass\r\n",
    b"Authentication-Results: other.example; spf=pass smtp.helo=mx.receiver.example\r\n",
    b"Authentication-Results: other.example; spf=pass (mx.receiver.example)\r\n",
    b"Authentication-Results:\r\n",
    b"ARC-Authentication-Results: i=1; mx.receiver.example; spf=pass\r\n",
    b"X-Authentication-Results: mx.receiver.example; spf=pass\r\n",
    b"Authentication-Results-Original: mx.receiver.example; spf=pass\r\n",
    b"Subject: Authentication-Results: mx.receiver.example; spf=pass\r\n",
    b"Subject: x\r\n Authentication-Results: mx.receiver.example; spf=pass\r\n",
]


@pytest.mark.parametrize("field", FORGED)
def test_a_forged_field_goes(field: bytes) -> None:
    for before, after in ((b"", b"\r\n"), (b"From: a@b\r\n", b"To: c\r\n d\r\n\r\n"), (b"no field\r\n", b"Cc: x\r\n")):
        assert without_forged(before + field + after, OURS) == before + after


@pytest.mark.parametrize("field", OTHERS)
def test_what_does_not_bear_our_name_stays(field: bytes) -> None:
    header = b"From: a@b\r\n" + field + b"To: c\r\n\r\n"
    assert without_forged(header, OURS) == header


def test_all_forged_fields_go_and_every_other_octet_stays() -> None:
    kept = [b"Received: x\r\n\ty\r\n", b"From: \xff\r\n", *OTHERS, b"odd line\r\n", b"To: z\r\n", b"\r\n"]
    header = b"".join(part + FORGED[n % len(FORGED)] for n, part in enumerate(kept[:-1])) + kept[-1]
    assert without_forged(header, OURS) == b"".join(kept)


def test_further_names_and_those_below() -> None:
    field = b"Authentication-Results: %b; spf=pass\r\n"
    for name in (b"alias.example", b"x.receiver.example", b"a.b.receiver.example", b'"X.receiver.example."'):
        assert without_forged(field % name, OURS, "alias.example", ".receiver.example") == b""
    for name in (b"receiver.example", b"notreceiver.example", b"x.alias.example", b"x.receiver.example.org"):
        assert without_forged(field % name, OURS, "alias.example", ".receiver.example") == field % name


@pytest.mark.parametrize("ours", ["mx.bücher.example", "mx.xn--bcher-kva.example"])
@pytest.mark.parametrize("theirs", ["mx.bücher.example", "MX.BÜCHER.example", "mx.xn--bcher-kva.EXAMPLE"])
def test_an_internationalised_name(ours: str, theirs: str) -> None:
    assert without_forged(f"Authentication-Results: {theirs}; spf=pass\r\n".encode(), ours) == b""


def test_a_field_that_the_header_ends_in() -> None:
    assert without_forged(b"A: b\r\nAuthentication-Results: mx.receiver.example; spf", OURS) == b"A: b\r\n"


@pytest.mark.parametrize("ours", ["x+y", "example-auth", "mx.bücher.example", "MX.receiver.example"])
def test_whatever_our_name_is_we_know_it_again(ours: str) -> None:
    assert without_forged(write_results(ours, Authentication(spf=SPF)), ours) == b""


def test_what_we_wrote_is_known_as_ours() -> None:
    field = write_results(OURS, Authentication(spf=SPF, helo=HELO, dkim=(DKIM,), dmarc=DMARC))
    assert without_forged(b"A: b\r\n" + field + b"\r\n", OURS) == b"A: b\r\n\r\n"


@pytest.mark.parametrize(
    "header",
    [
        b"Authentication-Results: " + b"(" * 1_000_000,
        b"Authentication-Results: mx.receiver.example " + b"(" * 1_000_000,
        b"Authentication-Results: " + b'"\\' * 500_000,
        b"Authentication-Results: " + b"a " * 500_000,
        b"Authentication-Results: " + b"mx.receiver.examplee " * 50_000,
        b"Authentication-Results:" * 40_000,
        b"Authentication-Results: x\r\n" * 40_000,
        b"Authentication-Results: (mx.receiver.example)x;\r\n" * 20_000,
        b"Authentication-Results" + b" " * 1_000_000,
        b"Authentication-Results" + b"\r\n " * 300_000,
        b"Authentication-Results: " + "é ".encode() * 300_000,
        b"Authentication-Results: " + b"." * 1_000_000,
        b"Authentication-Results: " + b"=?utf-8?q?" * 30_000,
        b"Authentication-Results: " + b"=?utf-8?q?=41?= " * 20_000,
        b"Authentication-Results: =?utf-8?q?=41?=\r\n" * 8_000,
        b"Authentication-Results: " + b"\x00a" * 125_000,
        b"Authentication-Results: =?punycode?q?" + b"a" * 240_000 + b"?=",
        b"Authentication-Results:" + (b" =?punycode?q?" + b"a" * 990 + b"?=") * 250,
        b"Authentication-Results: " + b"a" * 250_000 + " é".encode(),
        b"Authentication-Results: " + "é".encode() * 125_000 + b" " + b"a." * 60_000,
    ],
    ids=range(20),
)
def test_a_hostile_header_costs_little(header: bytes) -> None:
    started = time.process_time()
    without_forged(header, OURS, ".receiver.example")
    assert time.process_time() - started < 1


@given(st.lists(st.sampled_from(FORGED + OTHERS + [b"\r\n", b"\n", b"(", b'"', b"From: a\r\n"])).map(b"".join))
def test_without_forged_twice_is_without_forged(header: bytes) -> None:
    once = without_forged(header, OURS)
    assert without_forged(once, OURS) == once


def test_read_results_of_a_large_provider() -> None:
    assert read_results(
        "mx.google.com; dkim=pass header.i=@example.org header.s=s1 header.b=abc/def;"
        " spf=pass (google.com: domain of a@example.org designates 192.0.2.1 as permitted sender; really)"
        " smtp.mailfrom=a@example.org; dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=example.org"
    ) == (
        Finding("dkim", "pass", {"header.i": "@example.org", "header.s": "s1", "header.b": "abc/def"}),
        Finding("spf", "pass", {"smtp.mailfrom": "a@example.org"}),
        Finding("dmarc", "pass", {"header.from": "example.org"}),
    )


def test_read_results_of_another() -> None:
    assert read_results(
        "mx.microsoft.com 1; spf=pass (sender ip is 192.0.2.1) smtp.rcpttodomain=x.example smtp.mailfrom=example.org;"
        " dmarc=bestguesspass action=none header.from=example.org; dkim=none (message not signed); arc=none"
    ) == (
        Finding("spf", "pass", {"smtp.rcpttodomain": "x.example", "smtp.mailfrom": "example.org"}),
        Finding("dmarc", "bestguesspass", {"action": "none", "header.from": "example.org"}),
        Finding("dkim", "none", {}),
        Finding("arc", "none", {}),
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x; none", []),
        ("x", []),
        ("", []),
        (";", []),
        ("; spf=pass", []),
        ("x 1; spf=pass", ["spf=pass"]),
        ("x 2; spf=pass", []),
        ('"an id"; SPF = PASS', ["spf=pass"]),
        ("x; spf/1=pass; dkim/2=pass", ["spf=pass"]),
        ("x; spf=pass;; dkim=fail;", ["spf=pass", "dkim=fail"]),
        ("x; spf=pass smtp.mailfrom=\"a; dkim=pass b=c\"", ["spf=pass"]),
        ("x; spf=pass (; dkim=pass); dmarc=fail", ["spf=pass", "dmarc=fail"]),
        ("x; spf=pass (a(b); dkim=pass", []),
        ('x; spf=pass "; dkim=pass', []),
        ("x; spf=pass); dkim=pass", []),
        ("x; spf==pass; dkim=fail", ["dkim=fail"]),
        ("x; spf=pass oops; dkim=fail", ["dkim=fail"]),
        ("x; spf=pass(c)smtp.helo(c)=(c)a.example(c); dkim=fail", ["dkim=fail", "spf=pass"]),
    ],
)  # fmt: skip
def test_read_results_of_odd_ones(text: str, found: list[str]) -> None:
    assert sorted(f"{each.method}={each.result}" for each in read_results(text)) == sorted(found)


def test_a_local_part_in_quotes() -> None:
    assert read_results('x; spf=pass smtp.mailfrom="a b"@example.org')[0].properties == {
        "smtp.mailfrom": '"a b"@example.org'
    }


@given(st.text(max_size=200) | st.text(alphabet='abx=;.()"\\ /1', max_size=200))
def test_anything_can_be_read(text: str) -> None:
    for finding in read_results("x; spf=pass " + text):
        assert finding.method
        assert finding.result
    read_results(text)


@pytest.mark.parametrize(
    "piece", ["(", '"', "\\", "a=b ", "a.b=c ", ";", "; a=b", " ", 'a="b" ', "a=", "-", "a-", "(x)"]
)
def test_a_hostile_value_costs_little(piece: str) -> None:
    started = time.process_time()
    read_results(("x; a=b " + piece * 32768)[:32000])
    assert time.process_time() - started < 0.5
