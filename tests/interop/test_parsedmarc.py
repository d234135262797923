"""parsedmarc reads the DMARC reports that we send, mail and all, and finds in them what was counted."""

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.hand_clock import HandClock
from tests.unit.outbound.dmarcrpt.seen import DKIM, FAILED, PASSED, note, with_record

from postroom.mail.address import Address
from postroom.mailauth.model import Policy, Result
from postroom.mailauth.overrides import Override, OverrideKind
from postroom.outbound.daily.counts import DAY
from postroom.outbound.dmarcrpt.report import Reporting, compose_mail, make_report
from postroom.outbound.dmarcrpt.tally import DmarcTally

pytestmark = pytest.mark.skipif(importlib.util.find_spec("parsedmarc") is None, reason="not installed: parsedmarc")

_READ = """
import json, sys
import parsedmarc
read = parsedmarc.parse_report_email(sys.stdin.buffer.read(), offline=True, always_use_local_files=True)
json.dump(read, sys.stdout, default=str)
"""

US = Reporting(
    organization="Us & Co", sender=Address("noreply-dmarc", "mail.us.example"), contact="postmaster@us.example",
    extra_contact="https://us.example/", hostname="mail.us.example",
)  # fmt: skip


def read(mail: bytes, folder: Path) -> dict[str, Any]:
    """What parsedmarc makes of it, in a process of its own, without the network."""
    done = subprocess.run(
        [sys.executable, "-c", _READ], input=mail, capture_output=True, timeout=120, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["report_type"] == "aggregate"
    report: dict[str, Any] = found["report"]
    return report


def test_the_same_figures(tmp_path: Path) -> None:
    # RFC 9990
    tally = DmarcTally(HandClock(20_000 * DAY + 100.0), enabled=True)
    for number in range(300):
        note(tally, client=f"192.0.2.{number % 100}", disposition=Policy.NONE)
    for number in range(70):
        note(tally, FAILED, client=f"2001:db8::{number % 7 + 1:x}", disposition=Policy.REJECT)
    broken = replace(DKIM, result=Result.FAIL, reason="the body was <changed> & more")
    listed = (Override(OverrideKind.MAILING_LIST, "a <list>"),)
    note(tally, replace(FAILED, dkim=(broken,)), envelope_from=None, overrides=listed)
    made = make_report(US, tally.of_domain(20_000, "example.org"), ("rua: not used: https://r.example/?a=1&b=2",))
    assert made is not None
    mail = compose_mail(US, made, Address("d", "example.org"), message_id="<1@mail.us.example>", now=20_001 * DAY)

    report = read(mail, tmp_path)

    about = report["report_metadata"]
    assert about["org_name"] == "Us & Co"
    assert about["org_email"] == "postmaster@us.example"
    assert about["report_id"] in {made.report_id, made.report_id.partition("@")[0]}
    assert about["errors"] == ["rua: not used: https://r.example/?a=1&b=2"]
    assert (about["begin_date"], about["end_date"]) == ("2024-10-04 00:00:00", "2024-10-04 23:59:59")
    assert (report["policy_published"]["domain"], report["policy_published"]["p"]) == ("example.org", "reject")
    counts: Counter[tuple[str, str, str]] = Counter()
    for record in report["records"]:
        evaluated = record["policy_evaluated"]
        counts[evaluated["disposition"], evaluated["dkim"], evaluated["spf"]] += record["count"]
    assert counts == {("pass", "pass", "pass"): 300, ("reject", "fail", "fail"): 70, ("none", "fail", "fail"): 1}
    assert len(report["records"]) == 108
    (odd,) = [record for record in report["records"] if record["policy_evaluated"]["disposition"] == "none"]
    assert odd["policy_evaluated"]["policy_override_reasons"] == [{"type": "mailing_list", "comment": "a <list>"}]
    (signature,) = odd["auth_results"]["dkim"]
    assert (signature["domain"], signature["selector"], signature["result"]) == ("example.org", "s1", "fail")
    assert odd["identifiers"]["header_from"] == "example.org"


def test_every_policy_is_read(tmp_path: Path) -> None:
    tally = DmarcTally(HandClock(20_000 * DAY + 100.0), enabled=True)
    seen = with_record(
        PASSED, policy=Policy.QUARANTINE, subdomain_policy=Policy.NONE, nonexistent_policy=Policy.REJECT,
        strict_dkim=True, testing=True, failure_options=("1", "d"),
    )  # fmt: skip
    note(tally, seen)
    made = make_report(US, tally.of_domain(20_000, "example.org"), ())
    assert made is not None
    mail = compose_mail(US, made, Address("d", "example.org"), message_id="<1@mail.us.example>", now=20_001 * DAY)
    published = read(mail, tmp_path)["policy_published"]
    expected = {"p": "quarantine", "sp": "none", "np": "reject", "adkim": "s", "aspf": "r", "fo": "1:d", "testing": "y"}
    assert {name: published[name] for name in expected} == expected
    assert published["discovery_method"] == "treewalk"
