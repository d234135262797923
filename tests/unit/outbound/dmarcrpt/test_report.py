"""Reports have the form of RFC 9990, whatever was counted."""

import email
import email.policy
import gzip
import re
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import xmlschema
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.hand_clock import HandClock
from tests.unit.outbound.dmarcrpt.seen import FAILED, LETTER, PASSED, note

from postroom.mail.address import Address
from postroom.mailauth.model import (
    Authentication,
    DkimCheck,
    DmarcCheck,
    DmarcRecord,
    Policy,
    Result,
    SpfCheck,
    SpfIdentity,
)
from postroom.mailauth.overrides import Override, OverrideKind
from postroom.outbound.daily.counts import DAY, CountLimits
from postroom.outbound.dmarcrpt.report import NAMESPACE, DmarcReport, Reporting, compose_mail, make_report
from postroom.outbound.dmarcrpt.tally import DmarcTally

SCHEMA = Path(__file__).parents[5] / "shared" / "rfc" / "dmarc-xml-0.2.xsd"
US = Reporting(
    organization='Us & "Co" <Inc>',
    sender=Address("noreply-dmarc", "mail.us.example"),
    contact="postmaster@us.example",
    extra_contact="https://us.example/mail?a=1&b=2",
    hostname="mail.us.example",
)


@pytest.fixture
def tally() -> DmarcTally:
    return DmarcTally(HandClock(20_000 * DAY + 100.0), enabled=True)


def report_on(tally: DmarcTally, errors: tuple[str, ...] = ()) -> DmarcReport:
    made = make_report(US, tally.of_domain(20_000, "example.org"), errors)
    assert made is not None
    return made


def xml_of(report: DmarcReport) -> str:
    return gzip.decompress(report.body).decode()


def values(xml: str, name: str) -> list[str]:
    return re.findall(rf"<{name}>([^<]*)</{name}>", xml)


@pytest.fixture(scope="module")
def schema() -> Any:
    if not SCHEMA.exists():
        pytest.skip(f"not here: {SCHEMA.name}")
    return xmlschema.XMLSchema(str(SCHEMA))


def test_a_report_as_it_stands(tally: DmarcTally) -> None:
    # RFC 9990 §3.1.1
    note(tally)
    note(tally)
    note(tally, FAILED, overrides=(Override(OverrideKind.MAILING_LIST, "<lists> & more"),), envelope_to=())
    report = report_on(tally, ("rua: not used: https://r.example", "rua: b.example does not accept reports"))
    assert report.messages == 3
    mark = report.report_id.partition("@")[0]
    assert (
        xml_of(report)
        == f"""\
<?xml version='1.0' encoding='utf-8'?>
<feedback xmlns="{NAMESPACE}">
 <version>1.0</version>
 <report_metadata>
  <org_name>Us &amp; "Co" &lt;Inc&gt;</org_name>
  <email>postmaster@us.example</email>
  <extra_contact_info>https://us.example/mail?a=1&amp;b=2</extra_contact_info>
  <report_id>{mark}@mail.us.example</report_id>
  <date_range>
   <begin>1728000000</begin>
   <end>1728086399</end>
  </date_range>
  <error>rua: not used: https://r.example; rua: b.example does not accept reports</error>
  <generator>Postroom 0.1.0</generator>
 </report_metadata>
 <policy_published>
  <domain>example.org</domain>
  <discovery_method>treewalk</discovery_method>
  <p>reject</p>
  <adkim>r</adkim>
  <aspf>r</aspf>
  <fo>0</fo>
  <testing>n</testing>
 </policy_published>
 <record>
  <row>
   <source_ip>192.0.2.1</source_ip>
   <count>1</count>
   <policy_evaluated>
    <disposition>none</disposition>
    <dkim>fail</dkim>
    <spf>fail</spf>
    <reason>
     <type>mailing_list</type>
     <comment>&lt;lists&gt; &amp; more</comment>
    </reason>
   </policy_evaluated>
  </row>
  <identifiers>
   <header_from>example.org</header_from>
   <envelope_from>bounce.example.org</envelope_from>
  </identifiers>
  <auth_results>
   <spf>
    <domain>evil.example</domain>
    <scope>mfrom</scope>
    <result>fail</result>
   </spf>
  </auth_results>
 </record>
 <record>
  <row>
   <source_ip>192.0.2.1</source_ip>
   <count>2</count>
   <policy_evaluated>
    <disposition>pass</disposition>
    <dkim>pass</dkim>
    <spf>pass</spf>
   </policy_evaluated>
  </row>
  <identifiers>
   <header_from>example.org</header_from>
   <envelope_from>bounce.example.org</envelope_from>
   <envelope_to>us.example</envelope_to>
  </identifiers>
  <auth_results>
   <dkim>
    <domain>example.org</domain>
    <selector>s1</selector>
    <result>pass</result>
   </dkim>
   <spf>
    <domain>bounce.example.org</domain>
    <scope>mfrom</scope>
    <result>pass</result>
   </spf>
  </auth_results>
 </record>
</feedback>"""
    )


def test_what_was_left_out_is_said(schema: Any) -> None:
    tally = DmarcTally(HandClock(20_000 * DAY), enabled=True, limits=CountLimits(details=3))
    for number in range(10):
        note(tally, client=f"192.0.2.{number}")
    report = report_on(tally)
    assert report.messages == 3
    assert values(xml_of(report), "error") == ["7 more messages are not shown: they differ in too many ways"]
    schema.validate(xml_of(report))


def test_without_a_row_there_is_no_report(tally: DmarcTally) -> None:
    # RFC 9990 §3.1.1.2: at least one record
    long = tuple(DkimCheck(Result.PASS, "d" * 255, "s" * 255, "rsa-sha256") for _ in range(20))
    note(tally, Authentication(dkim=long, dmarc=PASSED.dmarc))
    assert make_report(US, tally.of_domain(20_000, "example.org"), ()) is None


def test_a_report_made_again_is_the_same(tally: DmarcTally) -> None:
    # RFC 9990 §3.5.1, §3.5.2: one name for one report
    note(tally)
    note(tally, FAILED)
    counts = tally.of_domain(20_000, "example.org")
    first, again = make_report(US, counts, ()), make_report(US, counts[::-1], ())
    assert first == again
    other_day = make_report(US, [type(one)(20_001, one.domain, one.policy, one.row, one.count) for one in counts], ())
    assert first is not None
    assert other_day is not None
    assert first.report_id != other_day.report_id


def test_errors_are_bounded(tally: DmarcTally) -> None:
    note(tally)
    assert len(values(xml_of(report_on(tally, ("x" * 600,) * 50)), "error")[0]) == 1000


def test_the_mail_that_carries_it(tally: DmarcTally) -> None:
    # RFC 9990 §3.5.2
    note(tally)
    report = report_on(tally)
    to = Address("dmarc", "example.org")
    content = compose_mail(US, report, to, message_id="<1@mail.us.example>", now=20_001 * DAY)
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message["From"] == "noreply-dmarc@mail.us.example"
    assert message["To"] == "dmarc@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Subject"] == (
        f"Report Domain: example.org Submitter: mail.us.example Report-ID: <{report.report_id}>"
    )
    assert message["Message-ID"] == "<1@mail.us.example>"
    text, attached = message.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert attached.get_content_type() == "application/gzip"
    assert attached.get_content_disposition() == "attachment"
    mark = report.report_id.partition("@")[0]
    assert mark.isalnum()
    assert attached.get_filename() == f"mail.us.example!example.org!1728000000!1728086399!{mark}.xml.gz"
    assert attached.get_content() == report.body
    assert content.isascii()
    assert b"\n" not in content.replace(b"\r\n", b"")


anything = st.text(max_size=40)
domains = st.one_of(st.just("example.org"), st.just("sub.example.org"), anything)
policies = st.sampled_from(Policy)
records = st.builds(
    DmarcRecord,
    domain=st.just("example.org"),
    policy=policies,
    subdomain_policy=st.none() | policies,
    nonexistent_policy=st.none() | policies,
    strict_dkim=st.booleans(),
    strict_spf=st.booleans(),
    testing=st.booleans(),
    aggregate=st.just(("mailto:a@example.org",)),
    failure_options=st.sampled_from([("0",), ("1", "d", "s")]),
)
checks = st.builds(
    DmarcCheck,
    result=st.sampled_from([Result.PASS, Result.FAIL, Result.TEMPERROR, Result.PERMERROR]),
    author=domains,
    organization=st.just("example.org"),
    record=records,
    policy=st.none() | policies,
    dkim_aligned=st.sampled_from(["", "example.org"]),
    spf_aligned=st.sampled_from(["", "example.org"]),
)
spf_results = st.sampled_from([each for each in Result if each is not Result.POLICY])
spf_checks = st.builds(SpfCheck, result=spf_results, identity=st.just(SpfIdentity.MAIL_FROM), domain=domains)
signatures = st.builds(
    DkimCheck,
    result=st.sampled_from([each for each in Result if each is not Result.SOFTFAIL]),
    domain=domains,
    selector=anything,
    algorithm=st.just("rsa-sha256"),
    reason=anything,
)
seen = st.fixed_dictionaries(
    {
        "authentication": st.builds(
            Authentication,
            spf=st.none() | spf_checks,
            dkim=st.tuples() | st.tuples(signatures, signatures),
            dmarc=checks,
        ),
        "header": st.just(LETTER),
        "client": st.ip_addresses().map(str) | anything,
        "envelope_from": st.none() | st.builds(Address, local=anything, domain=domains),
        "envelope_to": st.lists(domains, max_size=2),
        "disposition": policies,
        "overrides": st.lists(st.builds(Override, kind=st.sampled_from(OverrideKind), comment=anything), max_size=7),
    }
)


@settings(max_examples=60, deadline=None)
@given(messages=st.lists(seen, min_size=1, max_size=8), error=anything)
def test_whatever_is_counted_the_schema_holds(schema: Any, messages: list[dict[str, Any]], error: str) -> None:
    # RFC 9990 §A; and every message is in exactly one report
    tally = DmarcTally(HandClock(20_000 * DAY), enabled=True)
    for message in messages:
        tally.note(**message)
    counts = tally.of_domain(20_000, "example.org")
    total = 0
    for policy in {one.policy for one in counts}:
        report = make_report(US, [one for one in counts if one.policy == policy], (error,))
        assert report is not None
        xml = xml_of(report)
        schema.validate(xml)
        total += sum(int(count) for count in values(xml, "count"))
    assert total == len(messages) or len({one.policy for one in counts}) == 4
