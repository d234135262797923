"""parsedmarc reads the same reports: the same messages, sources and results as ours."""

import gzip
import json
import random
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import reported_mail as samples
from tests.fakes.reported_mail import DAY, mail, mixed, zipped

from postroom.mailauth.reports.model import AggregateReport, FailureReport, Record, TlsReport
from postroom.mailauth.reports.unpack import read_file, read_message

pytest.importorskip("parsedmarc")

_ORACLE = """
import json, logging, sys
logging.disable(logging.CRITICAL)
from parsedmarc import parse_report_file
answers = {}
for path in sys.argv[1:]:
    found = parse_report_file(path, offline=True, always_use_local_files=True, normalize_timespan_threshold_hours=1e9)
    answers[path] = found
print(json.dumps(answers, default=str))
"""
_SEED = 20261126
_MANY = 60


def ask(*paths: Path) -> dict[str, Any]:
    """What parsedmarc says, by name of the file."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ORACLE, *map(str, paths)],
        capture_output=True, text=True, timeout=110, check=True,
    )  # fmt: skip
    return {Path(path).name: found for path, found in json.loads(done.stdout).items()}


def record_by_oracle(record: dict[str, Any]) -> tuple[object, ...]:
    """One row of parsedmarc's in our terms."""
    evaluated, identifiers, results = (record[name] for name in ("policy_evaluated", "identifiers", "auth_results"))
    return (
        str(ip_address(record["source"]["ip_address"])),
        record["count"],
        {"pass": "none"}.get(evaluated["disposition"], evaluated["disposition"]),
        evaluated["dkim"],
        evaluated["spf"],
        record["alignment"]["dmarc"],
        tuple((each["type"], each["comment"] or "") for each in evaluated["policy_override_reasons"]),
        identifiers["header_from"],
        tuple((each["domain"], each["selector"], each["result"]) for each in results["dkim"]),
        tuple((each["domain"], each["scope"], each["result"]) for each in results["spf"]),
    )


def record_by_us(record: Record) -> tuple[object, ...]:
    dkim = [each for each in record.results if each.method == "dkim"]
    spf = [each for each in record.results if each.method == "spf"]
    return (
        record.source,
        record.count,
        record.disposition,
        record.dkim,
        record.spf,
        record.passed,
        tuple((each.kind, each.comment) for each in record.overrides),
        record.header_from,
        tuple((each.domain, each.selector or "none", each.result) for each in dkim),
        tuple((each.domain, each.scope or "mfrom", each.result) for each in spf),
    )


def compare(report: AggregateReport, oracle: dict[str, Any]) -> None:
    assert oracle["report_type"] == "aggregate"
    theirs = oracle["report"]
    metadata, policy = theirs["report_metadata"], theirs["policy_published"]
    assert (report.reporter, report.contact) == (metadata["org_name"], metadata["org_email"])
    assert report.report_id.strip("<>").partition("@")[0] == metadata["report_id"]
    assert report.published.domain == policy["domain"].lower()
    assert report.published.policy == policy["p"]
    assert [record_by_us(record) for record in report.records] == [record_by_oracle(r) for r in theirs["records"]]


def test_the_samples_in_their_containers(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for name, text in samples.AGGREGATES.items():
        data = text.encode()
        files |= {f"{name}.xml": data, f"{name}.xml.gz": gzip.compress(data), f"{name}.zip": zipped(data)}
        files |= {f"{name}-1.eml": mail(zipped(data)), f"{name}-2.eml": mixed(gzip.compress(data))}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    answers = ask(*[tmp_path / name for name in files])
    for name, data in files.items():
        (report,) = (read_message if name.endswith("eml") else read_file)(data)
        assert isinstance(report, AggregateReport)
        compare(report, answers[name])


def test_many_reports_by_chance(tmp_path: Path) -> None:
    chance = random.Random(_SEED)
    files = {f"{number}.xml": a_report(chance, number) for number in range(_MANY)}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    answers = ask(*[tmp_path / name for name in files])
    for name, text in files.items():
        (report,) = read_file(text.encode())
        assert isinstance(report, AggregateReport)
        compare(report, answers[name])


def test_tls_and_failure_reports(tmp_path: Path) -> None:
    (tmp_path / "tls.json").write_text(json.dumps(samples.TLS_FORM))
    (tmp_path / "tls.eml").write_bytes(samples.tls_mail())
    (tmp_path / "failure.eml").write_bytes(samples.FAILURE)
    answers = ask(*[tmp_path / name for name in ("tls.json", "tls.eml", "failure.eml")])
    (tls,) = read_message(samples.tls_mail())
    assert isinstance(tls, TlsReport)
    for name in ("tls.json", "tls.eml"):
        theirs = answers[name]["report"]
        (policy,), (ours,) = theirs["policies"], tls.policies
        assert (theirs["organization_name"], theirs["report_id"]) == (tls.reporter, tls.report_id)
        counts = policy["successful_session_count"], policy["failed_session_count"]
        assert (policy["policy_domain"], *counts) == (ours.domain, ours.successes, ours.failures)
        assert [(each["result_type"], each["failed_session_count"]) for each in policy["failure_details"]] == [
            (each.result, each.count) for each in ours.details
        ]
    (failure,) = read_message(samples.FAILURE)
    assert isinstance(failure, FailureReport)
    theirs = answers["failure.eml"]["report"]
    assert theirs["source"]["ip_address"] == failure.source
    assert theirs["reported_domain"] == failure.domain
    assert theirs["delivery_result"] == failure.delivery
    assert theirs["original_mail_from"].strip("<>") == failure.mail_from


def a_report(chance: random.Random, number: int) -> str:
    """A report of random size and form, as the two standards allow."""
    new = chance.random() < 0.5
    rows = "".join(_row(chance, new=new) for _ in range(chance.randint(1, 12)))
    root = '<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">' if new else "<feedback>"
    extra = "<testing>n</testing>" if new else "<pct>100</pct>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{root}<version>1.0</version><report_metadata>'
        f"<org_name>Reporter {number} &lt;ümlaut&gt;</org_name><email>r{number}@reporter.example</email>"
        f"<report_id>{chance.getrandbits(64):x}.{number}</report_id>"
        f"<date_range><begin>{DAY}</begin><end>{DAY + 86400}</end></date_range></report_metadata>"
        f"<policy_published><domain>example.org</domain><p>{chance.choice(('none', 'quarantine', 'reject'))}</p>"
        f"<sp>none</sp><adkim>r</adkim><aspf>s</aspf>{extra}</policy_published>{rows}</feedback>"
    )


def _row(chance: random.Random, *, new: bool) -> str:
    def maybe(text: str) -> str:
        return text if chance.random() < 0.6 else ""

    def verdict() -> str:
        return chance.choice(("pass", "fail"))

    v4 = ".".join(str(chance.randint(1, 223)) for _ in range(4))
    source = v4 if chance.random() < 0.7 else f"2001:db8::{chance.getrandbits(16):x}"
    dkim = "".join(
        f"<dkim><domain>d{n}.example</domain><selector>s{n}</selector>"
        f"<result>{chance.choice(('pass', 'fail', 'temperror', 'neutral'))}</result>"
        f"{maybe('<human_result>words</human_result>')}</dkim>"
        for n in range(chance.randint(0, 3))
    )
    scope = "<scope>mfrom</scope>" if new else maybe("<scope>helo</scope>")
    spf = f"<spf><domain>e.example</domain>{scope}<result>{chance.choice(('pass', 'softfail', 'none'))}</result></spf>"
    kind = chance.choice(("mailing_list", "local_policy", "other"))
    reason = maybe(f"<reason><type>{kind}</type><comment>because</comment></reason>")
    disposition = chance.choice(("none", "quarantine", "reject", *(("pass",) if new else ())))
    return (
        f"<record><row><source_ip>{source}</source_ip><count>{chance.randint(1, 99999)}</count><policy_evaluated>"
        f"<disposition>{disposition}</disposition><dkim>{verdict()}</dkim><spf>{verdict()}</spf>{reason}"
        f"</policy_evaluated></row><identifiers><header_from>Sub{chance.randint(0, 9)}.Example.Org</header_from>"
        f"{maybe('<envelope_from>e.example</envelope_from>')}</identifiers>"
        f"<auth_results>{dkim}{spf}</auth_results></record>"
    )
