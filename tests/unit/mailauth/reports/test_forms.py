"""Reports in the forms that large receivers send: what is read, whatever the mail around it looks like."""

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import xmlschema
from tests.fakes import reported_mail as samples
from tests.fakes.reported_mail import DAY, mail, mixed, zipped

from postroom.mailauth.reports.model import (
    AggregateReport,
    AuthResult,
    ComplaintReport,
    FailureReport,
    Override,
    Published,
    Record,
    Report,
    TlsFailure,
    TlsPolicyResult,
    TlsReport,
    Unreadable,
)
from postroom.mailauth.reports.unpack import read_file, read_message


def schema() -> Path:
    """The schema of RFC 9990, which lies beside the house and not in it."""
    for parent in Path(__file__).resolve().parents:
        found = parent / "shared" / "rfc" / "dmarc-xml-0.2.xsd"
        if found.is_file():
            return found
    pytest.skip("no shared/rfc/dmarc-xml-0.2.xsd")


def aggregate(data: bytes | str) -> AggregateReport:
    (report,) = read_file(data if isinstance(data, bytes) else data.encode())
    assert isinstance(report, AggregateReport)
    return report


def test_plain_form() -> None:
    report = aggregate(samples.PLAIN_FORM)
    assert (report.reporter, report.contact) == ("big.example", "noreply-dmarc-support@big.example")
    assert (report.report_id, report.begin, report.end) == ("4711081547110815", DAY, DAY + 86399)
    assert report.published == Published("example.org", "none", "none", "none", "r", "r", "", "100")
    assert report.records == (
        Record(
            "192.0.2.10", 120, "none", "pass", "pass", header_from="example.org",
            results=(AuthResult("dkim", "example.org", "pass", "s2026a"), AuthResult("spf", "example.org", "pass")),
        ),
        Record(
            "198.51.100.7", 3, "none", "fail", "fail", (Override("local_policy", "arc=pass"),), "news.example.org",
            results=(AuthResult("spf", "bounce.example.net", "pass"),),
        ),
    )  # fmt: skip
    assert (report.passed, report.failed) == (120, 3)


def test_enterprise_form() -> None:
    (record,) = aggregate(samples.ENTERPRISE_FORM).records
    assert record.source == "2001:db8::25"
    assert (record.envelope_to, record.envelope_from) == ("enterprise.example", "lists.example.com")
    assert [each.selector for each in record.results] == ["s2026a", "k1", ""]
    assert record.results[2] == AuthResult("spf", "lists.example.com", "pass", scope="mfrom")
    assert record.passed


def test_terse_form() -> None:
    report = aggregate(samples.TERSE_FORM)
    assert report.reporter == "Terse & Sons Mail"
    assert report.published.domain == "example.org"
    (record,) = report.records
    assert (record.header_from, record.disposition, record.passed) == ("example.org", "reject", False)
    assert record.results[1] == AuthResult("dkim", "example.org", "fail", human="bad signature")


def test_form_of_rfc_9990() -> None:
    """RFC 9990 §3.1: its namespace, testing and discovery; §5: extensions are passed over, what they hold too."""
    report = aggregate(samples.NEW_FORM)
    assert report.published == Published(
        "example.org", "quarantine", "quarantine", "reject", "s", "r", "1", "", "y", "treewalk"
    )
    assert (report.generator, report.errors) == ("Reporter 3.1", ("sp= is not valid",))
    assert [record.count for record in report.records] == [40, 2]
    assert report.records[0].disposition == "none"  # "pass": it passed, nothing was done
    assert report.records[1].overrides == (Override("policy_test_mode"), Override("mailing_list", "by List-Id"))


def test_our_sample_has_the_form_of_the_schema() -> None:
    xmlschema.XMLSchema(str(schema())).validate(samples.NEW_FORM)


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "the file": lambda data: data,
    "gzip": gzip.compress,
    "gzip in two members": lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]) + b"\0" * 20,
    "zip": zipped,
    "a mail that is a zip archive": lambda data: mail(zipped(data)),
    "a mail that is XML": lambda data: mail(data, "text/xml", name="report.xml"),
    "a mail with words, a picture and gzip": lambda data: mixed(gzip.compress(data)),
    "gzip that is called zip": lambda data: mail(gzip.compress(data), "application/zip", name="report.zip"),
    "zip that is called XML": lambda data: mail(zipped(data), "application/xml", name="report.xml"),
    "a type that says nothing": lambda data: mixed(zipped(data), "application/octet-stream", "report"),
    "a bare LF": lambda data: mixed(gzip.compress(data)).replace(b"\r\n", b"\n"),
    "without the last boundary": lambda data: mixed(gzip.compress(data)).removesuffix(b"--=_x--\r\n"),
    "a byte order mark and empty lines": lambda data: b"\xef\xbb\xbf\r\n\n" + data,
    "UTF-16": lambda data: data.decode().replace("UTF-8", "UTF-16").replace("utf-8", "UTF-16").encode("utf-16"),
    "quoted-printable": lambda data: (
        b"Content-Type: text/xml\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + data.replace(b"=", b"=3D")
    ),
    "base64 on one line": lambda data: (
        b"Content-Type: application/gzip\r\nContent-Transfer-Encoding: BASE64\r\n\r\n"
        + base64.b64encode(gzip.compress(data))
    ),
}


@pytest.mark.parametrize("form", samples.AGGREGATES)
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_container_does_not_matter(container: str, form: str) -> None:
    data = samples.AGGREGATES[form].encode()
    packed = CONTAINERS[container](data)
    is_mail = b"Content-Type:" in packed[:2000]
    assert (read_message if is_mail else read_file)(packed) == read_file(data)


def test_an_archive_of_several_reports() -> None:
    data = zipped(samples.PLAIN_FORM.encode(), "a.xml", samples.TERSE_FORM.encode(), b"not a report")
    assert [report.reporter for report in read_file(data)] == ["big.example", "Terse & Sons Mail"]


ODD = {
    "without policy_evaluated": ("<policy_evaluated>", "</policy_evaluated>"),
    "without identifiers": ("<identifiers>", "</identifiers>"),
    "without auth_results": ("<auth_results>", "</auth_results>"),
    "without a range": ("<date_range>", "</date_range>"),
    "without an id": ("<report_id>", "</report_id>"),
    "without a name": ("<org_name>", "</org_name>"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_missing_is_missed(what: str) -> None:
    start, end = ODD[what]
    text = samples.PLAIN_FORM
    while start in text:
        text = text[: text.index(start)] + text[text.index(end) + len(end) :]
    report = aggregate(text)
    assert len(report.records) == 2
    assert report.reporter == "big.example"  # else that of the contact
    assert report.report_id == aggregate(text).report_id != ""


def test_odd_words_and_numbers() -> None:
    text = (
        samples.PLAIN_FORM.replace("<count>120<", "<count> 1e3 <")
        .replace("<count>3<", f"<count>{'9' * 25}<")
        .replace("<disposition>none</disposition>", "<disposition>Delivered To\x85Junk</disposition>")
        .replace("192.0.2.10", "not an address")
        .replace("198.51.100.7", "::ffff:198.51.100.7")
        .replace(f"<begin>{DAY}", "<begin>-1")
        .replace(f"<end>{DAY + 86399}", "<end>2027-01-14T23:59:59Z")
        .replace("big.example<", "b\u202eig\u200b .\texample" + "x" * 3000 + "<", 1)
    )
    report = aggregate(text)
    assert [(each.source, each.count) for each in report.records] == [("", 0), ("198.51.100.7", 10**9)]
    assert report.records[0].disposition == "delivered to junk"
    assert (report.begin, report.end) == (DAY + 86399, DAY + 86399)
    assert report.reporter.startswith("big . examplexxx")
    assert len(report.reporter) == 200


def test_rows_that_are_too_many_are_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.mailauth.reports.aggregate.MOST_RECORDS", 1)
    report = aggregate(samples.PLAIN_FORM)
    assert [record.count for record in report.records] == [120]
    assert (report.rest.rows, report.rest.failed, report.failed) == (1, 3, 3)


NONE = {
    "no domain": samples.PLAIN_FORM.replace("<domain>example.org</domain>\n    <adkim>", "<adkim>"),
    "no rows": samples.PLAIN_FORM.replace("record>", "recorded>"),
    "another document": "<html><record/></html>",
    "cut off": samples.PLAIN_FORM[:900],
    "nothing": "",
    "words": "hello",
    "JSON of something else": '{"policies": 3}',
    "JSON without a domain": '{"policies": [{"policy": {}}]}',
    "a list": "[1]",
    "broken JSON": '{"policies": [',
}


@pytest.mark.parametrize("what", NONE)
def test_what_is_no_report(what: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read_file(NONE[what].encode())
    assert "\n" not in str(refused.value)


TLS = TlsReport(
    "Big Inc.",
    "smtp-tls-reporting@big.example",
    "2027-01-14T00:00:00Z_example.org",
    DAY,
    DAY + 86399,
    (
        TlsPolicyResult(
            "sts",
            "example.org",
            326,
            3,
            ("mail.example.org",),
            ("version: STSv1", "mode: enforce", "mx: mail.example.org", "max_age: 604800"),
            (
                TlsFailure(
                    "certificate-expired",
                    2,
                    "203.0.113.5",
                    "mail.example.org",
                    receiving_ip="192.0.2.10",
                    code="X509_V_ERR_CERT_HAS_EXPIRED",
                ),
                TlsFailure("starttls-not-supported", 1),
            ),
        ),
    ),
)


@pytest.mark.parametrize(
    "content",
    [
        samples.tls_mail(),
        mail(json.dumps(samples.TLS_FORM).encode(), "application/tlsrpt+json", name="report.json"),
        mixed(gzip.compress(json.dumps(samples.TLS_FORM).encode()), "application/tlsrpt+gzip", "r.json.gz"),
        mixed(zipped(json.dumps(samples.TLS_FORM).encode(), "r.json"), "application/zip", "r.zip"),
    ],
)
def test_tls_reports(content: bytes) -> None:
    """RFC 8460 §5.3, as multipart/report and as plain attachments."""
    assert read_message(content) == (TLS,)


def test_tls_report_of_odd_types() -> None:
    """RFC 8460 §4.4 in other words: numbers as text, one host as text, null for no details."""
    odd = {
        "organization-name": None,
        "contact-info": "tls@odd.example",
        "report-id": 7,
        "policies": [
            {
                "policy": {"policy-type": "NO-POLICY-FOUND", "policy-domain": "Example.ORG.", "mx-host": "a.example"},
                "summary": {"total-successful-session-count": "12", "total-failure-session-count": -3},
                "failure-details": None,
            },
            "nonsense",
            {"policy": None, "failure-details": [1, {"failed-session-count": 2.0}]},
        ],
    }
    (report,) = read_file(json.dumps(odd).encode())
    assert isinstance(report, TlsReport)
    assert (report.reporter, report.report_id, report.domain) == ("odd.example", "7", "example.org")
    assert [(one.successes, one.failures, one.hosts) for one in report.policies] == [
        (12, 0, ("a.example",)),
        (0, 2, ()),
    ]


def test_failure_report() -> None:
    """RFC 6591 §3.1, with the fields of RFC 5965."""
    assert read_message(samples.FAILURE) == (
        FailureReport(
            "isp.example",
            "example.org",
            "signature",
            at=DAY + 43200,
            source="192.0.2.77",
            delivery="reject",
            alignment="none",
            header_from="example.org",
            mail_from="somespammer@example.net",
            recipient="user@isp.example",
            message_id="<87913910.1318094604546@out.example.org>",
            dkim_domain="example.org",
            dkim_selector="s2026a",
            results="mail.isp.example; dkim=fail header.d=example.org",
        ),
    )


def test_complaint() -> None:
    """RFC 5965 §3."""
    assert read_message(samples.COMPLAINT) == (
        ComplaintReport(
            "isp.example",
            "example.org",
            "abuse",
            source="192.0.2.10",
            sender="alice@example.org",
            recipient="user@isp.example",
            message_id="<8787KJKJ3K4J3K4J3K4J3.mail@example.org>",
        ),
    )


@pytest.mark.parametrize("content", [b"", b"\r\n", b"Subject: x\r\n\r\nhello\r\n", b"\xff\xfe\x00", b"--b\r\n" * 50])
def test_mail_that_is_no_report(content: bytes) -> None:
    with pytest.raises(Unreadable):
        read_message(content)


def test_a_picture_before_the_report_does_not_hide_it() -> None:
    found: tuple[Report, ...] = read_message(mixed(zipped(samples.PLAIN_FORM.encode()), "application/zip", "r.zip"))
    assert [report.reporter for report in found] == ["big.example"]
