"""Whatever stands in a mail to a report address, it is read or refused, in bounds, and what is read can be shown."""

import gzip
import json
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes import reported_mail as samples
from tests.fakes.reported_mail import mail, mixed, zipped

from postroom.mailauth.reports.model import Report, Unreadable
from postroom.mailauth.reports.plain import from_plain, kind_of, to_plain
from postroom.mailauth.reports.unpack import read_file, read_message

SOUND = [
    *[text.encode() for text in samples.AGGREGATES.values()],
    gzip.compress(samples.PLAIN_FORM.encode()),
    zipped(samples.PLAIN_FORM.encode(), "a.xml", samples.TERSE_FORM.encode()),
    json.dumps(samples.TLS_FORM).encode(),
]
MAILS = [
    samples.tls_mail(),
    samples.FAILURE,
    samples.COMPLAINT,
    mail(zipped(samples.PLAIN_FORM.encode())),
    mixed(gzip.compress(samples.NEW_FORM.encode())),
]
EDITS = st.lists(st.tuples(st.integers(0, 1 << 14), st.integers(0, 40), st.binary(max_size=20)), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted({
        "policies", "policy", "summary", "failure-details", "policy-domain", "policy-type", "mx-host", "date-range",
        "start-datetime", "total-successful-session-count", "failed-session-count", "report-id", "policy-string",
    })), inner, max_size=6),
    max_leaves=30,
)  # fmt: skip


def edited(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for at, length, new in edits:
        place = at % (len(data) + 1)
        data = data[:place] + new + data[place + length :]
    return data


def check(reports: tuple[Report, ...]) -> None:
    """Printable, bounded, and the same after it was stored."""
    assert reports
    for report in reports:
        plain = to_plain(report)
        text = json.dumps(plain, ensure_ascii=False)
        assert text.isprintable()
        text.encode()
        assert from_plain(kind_of(report), json.loads(text)) == report


def read_or_refuse(read: Callable[[bytes], tuple[Report, ...]], data: bytes) -> None:
    try:
        reports = read(data)
    except Unreadable:
        return
    check(reports)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(SOUND), EDITS)
def test_broken_files(data: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    read_or_refuse(read_file, edited(data, edits))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(MAILS), EDITS)
def test_broken_mails(data: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    read_or_refuse(read_message, edited(data, edits))


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_any_json(value: object) -> None:
    report = {"policies": [value, {"policy": {"policy-domain": "a.example"}}]}
    read_or_refuse(read_file, json.dumps(report).encode())


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(codec="utf-8"), max_size=300),
    st.sampled_from(["org_name", "report_id", "domain", "source_ip", "count", "begin", "p"]),
)
def test_any_text_in_a_field(text: str, name: str) -> None:
    written = "".join(c for c in text if c >= " " or c in "\t\n").replace("&", "&amp;").replace("<", "&lt;")
    start, end = f"<{name}>", f"</{name}>"
    before, _, rest = samples.PLAIN_FORM.partition(start)
    read_or_refuse(read_file, f"{before}{start}{written}{end}{rest.partition(end)[2]}".encode())
