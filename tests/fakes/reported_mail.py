"""Reports as large receivers really send them, written anew: their forms, their omissions, their labels."""

import base64
import gzip
import io
import json
import zipfile

DAY = 1_799_884_800  # 2027-01-14T00:00:00Z, the day before the tests' now

PLAIN_FORM = f"""<?xml version="1.0" encoding="UTF-8" ?>
<feedback>
  <report_metadata>
    <org_name>big.example</org_name>
    <email>noreply-dmarc-support@big.example</email>
    <extra_contact_info>https://support.big.example/a/answer/2466580</extra_contact_info>
    <report_id>4711081547110815</report_id>
    <date_range>
      <begin>{DAY}</begin>
      <end>{DAY + 86399}</end>
    </date_range>
  </report_metadata>
  <policy_published>
    <domain>example.org</domain>
    <adkim>r</adkim>
    <aspf>r</aspf>
    <p>none</p>
    <sp>none</sp>
    <pct>100</pct>
    <np>none</np>
  </policy_published>
  <record>
    <row>
      <source_ip>192.0.2.10</source_ip>
      <count>120</count>
      <policy_evaluated>
        <disposition>none</disposition>
        <dkim>pass</dkim>
        <spf>pass</spf>
      </policy_evaluated>
    </row>
    <identifiers>
      <header_from>example.org</header_from>
    </identifiers>
    <auth_results>
      <dkim>
        <domain>example.org</domain>
        <result>pass</result>
        <selector>s2026a</selector>
      </dkim>
      <spf>
        <domain>example.org</domain>
        <result>pass</result>
      </spf>
    </auth_results>
  </record>
  <record>
    <row>
      <source_ip>198.51.100.7</source_ip>
      <count>3</count>
      <policy_evaluated>
        <disposition>none</disposition>
        <dkim>fail</dkim>
        <spf>fail</spf>
        <reason>
          <type>local_policy</type>
          <comment>arc=pass</comment>
        </reason>
      </policy_evaluated>
    </row>
    <identifiers>
      <header_from>news.example.org</header_from>
    </identifiers>
    <auth_results>
      <spf>
        <domain>bounce.example.net</domain>
        <result>pass</result>
      </spf>
    </auth_results>
  </record>
</feedback>
"""
"""One of the largest: no namespace, no version, no envelope_from; zipped, the mail itself is the attachment."""

ENTERPRISE_FORM = f"""<?xml version="1.0"?>
<feedback xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <version>1.0</version>
  <report_metadata>
    <org_name>Enterprise Outlook</org_name>
    <email>dmarcreport@enterprise.example</email>
    <report_id>0b5c2a9e5a0a4c8d9a1d6b9f0d1e2f3a</report_id>
    <date_range><begin>{DAY}</begin><end>{DAY + 86400}</end></date_range>
  </report_metadata>
  <policy_published><domain>example.org</domain><adkim>r</adkim><aspf>r</aspf><p>none</p><sp>none</sp><pct>100</pct><fo>1</fo></policy_published>
  <record>
    <row>
      <source_ip>2001:db8:0:0::25</source_ip>
      <count>7</count>
      <policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated>
    </row>
    <identifiers>
      <envelope_to>enterprise.example</envelope_to><envelope_from>lists.example.com</envelope_from><header_from>example.org</header_from>
    </identifiers>
    <auth_results>
      <dkim><domain>example.org</domain><selector>s2026a</selector><result>pass</result></dkim>
      <dkim><domain>lists.example.com</domain><selector>k1</selector><result>pass</result></dkim>
      <spf><domain>lists.example.com</domain><scope>mfrom</scope><result>pass</result></spf>
    </auth_results>
  </record>
</feedback>
"""
"""A large provider for companies: schema attributes on the root, envelope_to, several signatures; gzip in a mixed."""

TERSE_FORM = (
    f"<?xml version='1.0' encoding='utf-8'?>\n"
    f"<feedback><report_metadata><date_range><end>{DAY + 86399}</end><begin>{DAY}</begin></date_range>"
    "<email>postmaster@terse.example</email><org_name>Terse &amp; Sons Mail</org_name>"
    "<report_id>!1799884800.example.org</report_id></report_metadata>"
    "<policy_published><p>reject</p><domain>EXAMPLE.ORG</domain></policy_published>"
    "<record><row><count>1</count><source_ip>203.0.113.99</source_ip><policy_evaluated>"
    "<disposition>reject</disposition><spf>fail</spf><dkim>fail</dkim></policy_evaluated></row>"
    "<identifiers><header_from>Example.Org</header_from></identifiers>"
    "<auth_results><spf><scope>helo</scope><result>softfail</result><domain>spammer.example</domain></spf>"
    "<dkim><human_result>bad signature</human_result><result>fail</result><domain>example.org</domain></dkim>"
    "</auth_results></record></feedback>"
)
"""Another: elements in an order of its own, capitals, no version, no selector; quoted-printable XML."""

NEW_FORM = f"""<?xml version="1.0"?>
<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0" xmlns:ext="urn:example:extension">
  <version>1.0</version>
  <report_metadata>
    <org_name>new.example</org_name>
    <email>dmarc@new.example</email>
    <extra_contact_info lang="en">https://new.example/dmarc</extra_contact_info>
    <report_id>2027-01-14.example.org@new.example</report_id>
    <date_range><begin>{DAY}</begin><end>{DAY + 86399}</end></date_range>
    <error lang="en">sp= is not valid</error>
    <generator>Reporter 3.1</generator>
  </report_metadata>
  <policy_published>
    <domain>example.org</domain>
    <p>quarantine</p><sp>quarantine</sp><np>reject</np>
    <adkim>s</adkim><aspf>r</aspf>
    <discovery_method>treewalk</discovery_method><fo>1</fo><testing>y</testing>
  </policy_published>
  <extension><ext:arc-override>never</ext:arc-override></extension>
  <record>
    <row>
      <source_ip>192.0.2.10</source_ip>
      <count>40</count>
      <policy_evaluated><disposition>pass</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated>
    </row>
    <identifiers><header_from>example.org</header_from><envelope_from></envelope_from></identifiers>
    <auth_results>
      <dkim><domain>example.org</domain><selector>s2026b</selector><result>pass</result><human_result>fine</human_result></dkim>
      <spf><domain>mail.example.org</domain><scope>mfrom</scope><result>none</result></spf>
    </auth_results>
    <ext:row><ext:count>9999</ext:count></ext:row>
  </record>
  <record>
    <row>
      <source_ip>198.51.100.200</source_ip>
      <count>2</count>
      <policy_evaluated>
        <disposition>none</disposition><dkim>fail</dkim><spf>fail</spf>
        <reason><type>policy_test_mode</type></reason>
        <reason><type>mailing_list</type><comment lang="en">by List-Id</comment></reason>
      </policy_evaluated>
    </row>
    <identifiers><header_from>example.org</header_from><envelope_from>list.example.net</envelope_from></identifiers>
    <auth_results>
      <dkim><domain>example.org</domain><selector>s2026b</selector><result>fail</result></dkim>
      <dkim><domain>list.example.net</domain><selector>l</selector><result>pass</result></dkim>
      <spf><domain>list.example.net</domain><scope>mfrom</scope><result>pass</result></spf>
    </auth_results>
  </record>
</feedback>
"""
"""The form of RFC 9990, with an extension at both places."""

TLS_FORM = {
    "organization-name": "Big Inc.",
    "date-range": {"start-datetime": "2027-01-14T00:00:00Z", "end-datetime": "2027-01-14T23:59:59Z"},
    "contact-info": "smtp-tls-reporting@big.example",
    "report-id": "2027-01-14T00:00:00Z_example.org",
    "policies": [
        {
            "policy": {
                "policy-type": "sts",
                "policy-string": ["version: STSv1", "mode: enforce", "mx: mail.example.org", "max_age: 604800"],
                "policy-domain": "example.org",
                "mx-host": ["mail.example.org"],
            },
            "summary": {"total-successful-session-count": 326, "total-failure-session-count": 3},
            "failure-details": [
                {
                    "result-type": "certificate-expired",
                    "sending-mta-ip": "203.0.113.5",
                    "receiving-mx-hostname": "mail.example.org",
                    "receiving-ip": "192.0.2.10",
                    "failed-session-count": 2,
                    "failure-reason-code": "X509_V_ERR_CERT_HAS_EXPIRED",
                },
                {"result-type": "starttls-not-supported", "failed-session-count": 1},
            ],
        }
    ],
}

FAILURE = b"""From: <auth-reports@isp.example>\r
To: <dmarc-reports@example.org>\r
Subject: FW: You have a new bill from your bank\r
Date: Thu, 14 Jan 2027 12:00:05 +0000\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=feedback-report; boundary="part1_boundary"\r
\r
--part1_boundary\r
Content-Type: text/plain; charset="US-ASCII"\r
Content-Transfer-Encoding: 7bit\r
\r
This is an authentication failure report for an email message received\r
from IP 192.0.2.77 on Thu, 14 Jan 2027 12:00:00 +0000.\r
\r
--part1_boundary\r
Content-Type: message/feedback-report\r
\r
Feedback-Type: auth-failure\r
User-Agent: SomeDKIMFilter/1.2.3\r
Version: 1\r
Original-Mail-From: <somespammer@example.net>\r
Original-Rcpt-To: <user@isp.example>\r
Arrival-Date: Thu, 14 Jan 2027 12:00:00 +0000\r
Source-IP: 192.0.2.77\r
Authentication-Results: mail.isp.example; dkim=fail header.d=example.org\r
Reported-Domain: example.org\r
Delivery-Result: reject\r
Auth-Failure: signature (it did not verify)\r
Identity-Alignment: none\r
DKIM-Domain: example.org\r
DKIM-Identity: @example.org\r
DKIM-Selector: s2026a\r
\r
--part1_boundary\r
Content-Type: text/rfc822-headers\r
\r
From: Bank <bank@Example.org>\r
To: user@isp.example\r
Subject: You have a new bill from your bank\r
Message-ID: <87913910.1318094604546@out.example.org>\r
\r
--part1_boundary--\r
"""

COMPLAINT = b"""From: <feedback@isp.example>\r
To: <dmarc-reports@example.org>\r
Subject: complaint\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=feedback-report; boundary="b"\r
\r
--b\r
\r
This is an email abuse report.\r
--b\r
Content-Type: message/feedback-report\r
\r
Feedback-Type: abuse\r
User-Agent: SomeGenerator/1.0\r
Version: 1\r
Original-Mail-From: <alice@example.org>\r
Original-Rcpt-To: <user@isp.example>\r
Reported-Domain: example.org\r
Source-IP: 192.0.2.10\r
\r
--b\r
Content-Type: message/rfc822\r
\r
From: <alice@example.org>\r
Message-ID: <8787KJKJ3K4J3K4J3K4J3.mail@example.org>\r
\r
Spam Spam Spam\r
--b--\r
"""


def zipped(data: bytes, name: str = "big.example!example.org!1799884800!1799971199.xml", *more: bytes) -> bytes:
    """A zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
        for number, other in enumerate(more):
            archive.writestr(f"{number}.xml", other)
    return stream.getvalue()


def mail(
    data: bytes,
    kind: str = "application/zip",
    *,
    name: str = "report.zip",
    sender: str = "noreply-dmarc-support@big.example",
    to: str = "dmarc-reports@example.org",
    extra: str = "",
) -> bytes:
    """A mail that is its attachment, in base64."""
    head = (
        f"From: {sender}\r\nTo: {to}\r\nSubject: Report domain: example.org Submitter: big.example\r\n{extra}"
        f'MIME-Version: 1.0\r\nContent-Type: {kind}; name="{name}"\r\n'
        f'Content-Disposition: attachment;\r\n filename="{name}"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    )
    return head.encode() + base64.encodebytes(data).replace(b"\n", b"\r\n")


def mixed(data: bytes, kind: str = "application/gzip", name: str = "report.xml.gz") -> bytes:
    """A mail with words, a picture that is labelled badly, and the attachment."""
    picture = base64.encodebytes(b"\x89PNG\r\n" + bytes(200)).replace(b"\n", b"\r\n")
    return (
        b"From: dmarcreport@enterprise.example\r\nTo: dmarc-reports@example.org\r\nSubject: report\r\n"
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=_x"\r\n\r\npreamble\r\n'
        b'--=_x\r\nContent-Type: multipart/alternative; boundary="=_x2"\r\n\r\n'
        b"--=_x2\r\nContent-Type: text/plain\r\n\r\nThis is a report.\r\n"
        b"--=_x2\r\nContent-Type: text/html\r\n\r\n<p>This is a report.</p>\r\n--=_x2--\r\n"
        b"--=_x\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + picture
        + f'--=_x\r\nContent-Type: {kind}\r\nContent-Disposition: attachment; filename="{name}"\r\n'.encode()
        + b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(data).replace(b"\n", b"\r\n")
        + b"--=_x--\r\n"
    )


def tls_mail(report: object = None) -> bytes:
    """RFC 8460 §5.3: a multipart/report with a gzip part."""
    data = gzip.compress(json.dumps(TLS_FORM if report is None else report).encode())
    return (
        b"From: tlsrpt@big.example\r\nTo: tls-reports@example.org\r\n"
        b"Subject: Report Domain: example.org Submitter: big.example Report-ID: <1@big.example>\r\n"
        b"TLS-Report-Domain: example.org\r\nTLS-Report-Submitter: big.example\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/report; report-type="tlsrpt";\r\n '
        b'boundary="----=_NextPart_000_024E_01CC9B0A.AFE54C00"\r\n'
        b"\r\n------=_NextPart_000_024E_01CC9B0A.AFE54C00\r\nContent-Type: text/plain\r\n\r\nA report.\r\n"
        b"------=_NextPart_000_024E_01CC9B0A.AFE54C00\r\nContent-Type: application/tlsrpt+gzip\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(data).replace(b"\n", b"\r\n")
        + b"------=_NextPart_000_024E_01CC9B0A.AFE54C00--\r\n"
    )


AGGREGATES = {"plain": PLAIN_FORM, "enterprise": ENTERPRISE_FORM, "terse": TERSE_FORM, "new": NEW_FORM}
