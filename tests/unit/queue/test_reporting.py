"""Addresses that reports come to: which they are, who gets the mail besides, and what is noted of it."""

from dataclasses import replace

import pytest

from postroom.admin.reportsroom import report_addresses
from postroom.config.model import Settings
from postroom.config.reports import ReportsSettings, report_address
from postroom.directory.model import Account, NotLocal, Resolution, Resolved, Unknown
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.message import QueueId
from postroom.mail.session import Client, Role
from postroom.mailauth.model import Authentication, DmarcCheck, DmarcRecord, Policy, Result
from postroom.mailauth.results import write_results
from postroom.queue.model import Draft
from postroom.queue.reporting import ReportAddresses, author_of
from postroom.queue.reportmodel import ReportNote

HOST = "mx.ours.example"
ANN = Account(1, Address.parse("ann@ours.example"), "", 0, True, 0.0)
PEER = Client(1, Role.MX, "192.0.2.1", 999)
PASSED = (
    b"Authentication-Results: mx.ours.example;\r\n\tspf=fail smtp.mailfrom=x.example;\r\n"
    b" dmarc=pass (p=reject dis=none) header.from=Big.example\r\n"
)


def addresses(feedback: tuple[str, ...] = (), **settings: object) -> ReportAddresses:
    async def resolve(address: Address) -> Resolution:
        if address.domain not in ("ours.example", "too.example"):
            return NotLocal()
        return Resolved((ANN,)) if address.local == "ann" else Unknown()

    async def is_local(domain: str) -> bool:
        return domain in ("ours.example", "too.example")

    return ReportAddresses(
        ReportsSettings.model_validate(settings),
        hostname=HOST,
        separator="+",
        resolve=resolve,
        is_local=is_local,
        feedback=feedback,
    )


async def resolves_nothing(_: Address) -> Resolution:
    return Unknown()


async def is_ours(domain: str) -> bool:
    return domain == "ours.example"


def draft(*names: str, prefix: bytes = b"", client: Client | None = PEER, account: str = "") -> Draft:
    recipients = tuple(Recipient(Address.parse(name)) for name in names)
    return Draft(QueueId(1), 0.0, Envelope(None, recipients), b"", prefix=prefix, client=client, account=account)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dmarc-reports@ours.example", Resolved(())),
        ("DMARC-Reports@too.example", Resolved(())),
        ("tls-reports@ours.example", Resolved(())),
        ("dmarc-reports+google@ours.example", Resolved(())),
        ("dmarc-reports@elsewhere.example", NotLocal()),
        ("nobody@ours.example", Unknown()),
        ("ann@ours.example", Resolved((ANN,))),
    ],
)
async def test_there_without_an_account_at_every_domain(name: str, expected: Resolution) -> None:
    assert await addresses().resolve(Address.parse(name)) == expected


async def test_one_full_address_for_all_domains() -> None:
    found = addresses(dmarc="rua@ours.example", failures="rua@ours.example", addresses=["Abuse-FBL"])
    for name, known in (
        ("rua@ours.example", True),
        ("RUA@ours.example", True),
        ("rua@too.example", False),
        ("dmarc-reports@ours.example", False),
        ("abuse-fbl@too.example", True),
    ):
        assert isinstance(await found.resolve(Address.parse(name)), Resolved) is known


async def test_kept_in_a_mailbox_where_that_is_wanted() -> None:
    name = Address.parse("dmarc-reports@ours.example")
    assert await addresses(keep_in="ann@ours.example").resolve(name) == Resolved((ANN,))
    assert await addresses(keep_in="gone@ours.example").resolve(name) == Resolved(())


async def test_off() -> None:
    found = addresses(enabled=False)
    assert await found.resolve(Address.parse("dmarc-reports@ours.example")) == Unknown()
    assert found.note_of(draft("dmarc-reports@ours.example"), [Resolved((ANN,))]) is None


def test_what_is_noted() -> None:
    found = addresses()
    name = "dmarc-reports@ours.example"
    assert found.note_of(draft("ann@ours.example", name), [Resolved((ANN,)), Resolved(())]) == ReportNote((name,))
    assert found.note_of(draft(name), [Resolved((ANN,))]) == ReportNote((name,))  # an alias of that name
    assert found.note_of(draft("ann@ours.example"), [Resolved((ANN,))]) is None
    assert found.note_of(draft(name.replace("ours", "elsewhere")), [NotLocal()]) is None
    assert found.note_of(draft(name, prefix=PASSED), [Resolved(())]) == ReportNote((name,), "big.example")
    # What this server reports to itself is as true as its word
    assert found.note_of(draft(name, client=None), [Resolved(())]) == ReportNote((name,), HOST)


def test_what_is_read_for_complaints_already_is_not_read_twice() -> None:
    found = addresses(feedback=("dmarc-reports@ours.example",))
    names = "dmarc-reports@ours.example", "dmarc-reports@too.example"
    note = found.note_of(draft(*names), [Resolved((ANN,)), Resolved(())])
    assert note == ReportNote(names[1:])


async def test_the_name_in_our_results_may_be_that_of_the_site() -> None:
    """``mailauth.authserv_id``."""
    settings = Settings.model_validate({"hostname": HOST, "mailauth": {"authserv_id": "site.ours.example"}})
    found = report_addresses(settings, resolves_nothing, is_ours)
    passed = PASSED.replace(HOST.encode(), b"site.ours.example")
    name = "dmarc-reports@ours.example"
    assert found.note_of(draft(name, prefix=passed), [Resolved(())]) == ReportNote((name,), "big.example")
    assert found.note_of(draft(name, prefix=PASSED), [Resolved(())]) == ReportNote((name,), None)
    assert found.note_of(draft(name, client=None), [Resolved(())]) == ReportNote((name,), HOST)


@pytest.mark.parametrize(
    ("prefix", "author"),
    [
        (PASSED, "big.example"),
        (PASSED.replace(b"dmarc=pass", b"dmarc=fail"), ""),
        (PASSED.replace(b"dmarc=pass", b"dkim=pass"), None),
        (b"", None),
        (PASSED.replace(b"mx.ours.example", b"mx.evil.example"), None),
        (b"Received: x\r\n" + PASSED, "big.example"),
        (b"X-Y: a\r\n Authentication-Results: mx.ours.example; dmarc=pass header.from=evil.example\r\n", None),
        (b"authentication-results:mx.ours.example;dmarc=pass header.from=a.example;dkim=pass", "a.example"),
        (b"Authentication-Results: mx.ours.example; dmarc=pass; dkim=pass header.from=a.example\r\n", ""),
    ],
)
def test_whose_mail_it_was(prefix: bytes, author: str | None) -> None:
    """RFC 8601 §2.2; by the field that we put there ourselves."""
    assert author_of(prefix, HOST.encode()) == author


def test_the_field_that_we_write_is_the_one_that_is_read() -> None:
    record = DmarcRecord("big.example", Policy.REJECT)
    forged = "no; dmarc=pass header.from=evil.example"
    passed = DmarcCheck(Result.PASS, "big.example", "big.example", record, dkim_aligned="big.example", reason=forged)
    failed = DmarcCheck(Result.FAIL, "big.example", "big.example", record, Policy.REJECT, reason=forged)
    for check, author in ((passed, "big.example"), (failed, ""), (None, None)):
        assert author_of(write_results(HOST, Authentication(dmarc=check)), HOST.encode()) == author


def test_the_address_to_publish() -> None:
    settings = ReportsSettings()
    assert report_address(settings, "ours.example", "dmarc") == "dmarc-reports@ours.example"
    assert report_address(settings, "ours.example", "failures") == "dmarc-reports@ours.example"
    assert report_address(settings, "ours.example", "tls") == "tls-reports@ours.example"
    central = ReportsSettings.model_validate({"dmarc": "rua@central.example"})
    assert report_address(central, "ours.example", "dmarc") == "rua@central.example"


def test_the_published_address_is_taken() -> None:
    found = addresses(tls="tls@ours.example")
    settings = ReportsSettings.model_validate({"tls": "tls@ours.example"})
    for domain in ("ours.example", "too.example"):
        assert found.covers(Address.parse(report_address(settings, domain, "dmarc")))
        assert found.covers(Address.parse(report_address(settings, domain, "tls")))
    assert replace(ReportNote(("a",)), author="x") == ReportNote(("a",), "x")
