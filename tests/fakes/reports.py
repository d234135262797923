"""One report of every kind, about the same client and the same message."""

from typing import get_args

from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Delivered, Failed, Peer, RecipientState, RouteKind, Site
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.message import Message, QueueId
from postroom.mail.reply import Reply
from postroom.mail.session import Client, Role, TlsFacts
from postroom.report import checking, events, keys, received, road, zones
from postroom.report.events import Report

QUEUE_ID = QueueId(0x0123456789ABCDEF)
SHOWN_ID = "028t5cy4tqkff"
CLIENT = Client(
    7, Role.SUBMISSION, "192.0.2.7", 51234, "laptop.example", True, TlsFacts("TLSv1.3", "AES"), "alice@example.org"
)
STRANGER = Client(8, Role.MX, "2001:db8::8", 51235)
ALICE = Address("alice", "example.org")
BOB = Address("bob", "example.net")
MESSAGE = Message(
    QUEUE_ID,
    1_800_000_000.0,
    Envelope(ALICE, (Recipient(BOB),)),
    b"Received: x\r\n",
    1000,
    "alice@example.org",
    "192.0.2.7",
    "<m@example.org>",
)
SITE = Site("mx.example.net", RouteKind.MX, (("mx.example.net",),))
PEER = Peer("mx.example.net", "192.0.2.25", 25, "TLSv1.3 AES")
NO = Reply.of(550, "5.1.1", "No such user")
LATER = Reply.of(451, "4.3.0", "Try again later")
YES = Reply.of(250, "2.0.0", "Accepted")

ATTEMPTS: tuple[events.AttemptMade, ...] = (
    events.AttemptMade(QUEUE_ID, str(BOB), SITE, Delivered(YES, PEER), RecipientState.RELAYED, 2, None, 0.25),
    events.AttemptMade(
        QUEUE_ID,
        str(BOB),
        SITE,
        Deferred(LATER, PEER, True, "connection lost"),
        RecipientState.DEFERRED,
        1,
        1_800_000_300.0,
        30.0,
    ),
    events.AttemptMade(QUEUE_ID, str(BOB), None, Failed(NO, detail="null MX"), RecipientState.FAILED, 1, None, 0.001),
)

REPORTS: tuple[Report, ...] = (
    events.ServerReady(("mx 127.0.0.1:2025",)),
    events.ServerDraining(3),
    events.SettingsReloaded(),
    events.SettingsReloaded("hostname: bad"),
    events.SettingsReloaded(waiting=("smtp", "queue")),
    events.SessionOpened(CLIENT),
    events.SessionClosed(CLIENT, "quit", 1.5, 2),
    events.SessionRefused("mx", "192.0.2.9", "address"),
    events.ListenerPaused("mx", "Too many open files", 1.0),
    events.TlsFailed(STRANGER, "no shared cipher"),
    events.CommandRefused(STRANGER, "RCPT", "RCPT TO:<x@y>", NO),
    events.LoginSucceeded(CLIENT, "PLAIN"),
    events.LoginFailed(STRANGER, "PLAIN", "alice@example.org", "wrong password", 3, 2),
    events.LockedOut("address", "192.0.2.9", "192.0.2.9", "10 failed logins", 1_800_000_900.0),
    events.LockoutLifted("account", "alice@example.org", "postroom bans lift"),
    events.AbuseSeen(STRANGER, "pregreet", "EHLO spam.example"),
    events.LimitNear("account_messages", "alice@example.org", "60/1m", 0.8),
    events.LimitReached("address_messages", "192.0.2.9", "600/1m", 1_800_000_060.0, "192.0.2.9"),
    events.CertificateExpiring(("mail.example.org",), "cert.pem", 1_800_000_000.0),
    events.CertificateRenewed(("mail.example.org",), 1_807_776_000.0),
    events.CertificateTrouble(("mail.example.org",), "the authority cannot be reached", 1_800_003_600.0),
    events.AlertRaised("lockout", 3, "hooks.example.org"),
    events.AlertRaised("lockout", 3, "hooks.example.org", "connection refused"),
    events.RecipientRefused(STRANGER, "a@b.example", "nobody@example.org", NO, "no such account"),
    events.SenderRefused(STRANGER, "a@b.example", NO, "blocked"),
    events.MessageRefused(STRANGER, "a@b.example", 2, 5000, LATER, "store full"),
    events.MessageAccepted(MESSAGE, CLIENT, ("carol@example.org",), ("bob@example.net",), 0.0012),
    events.MessageAccepted(MESSAGE, None, (), ("bob@example.net",), 0.0012),
    *ATTEMPTS,
    events.LeaseLost(QUEUE_ID, str(BOB)),
    events.DsnMade(QUEUE_ID, QueueId(5), "failed", str(BOB)),
    events.QueueActed("hold", 5, "domain example.net"),
    events.StoreTrouble("disk full"),
    events.SourceTrouble("file", "passwords:3: it is not address:hash"),
    events.StoreTrouble("disk full", recovered=True),
    events.MailboxOpened(CLIENT, 3, 3000),
    events.MailboxClosed(CLIENT, 2, 1),
    road.SiteBlocked("mx.example.net", "", "421 too many connections", 1_800_000_300.0),
    road.SiteReopened("mx.example.net", ""),
    road.SiteShaped("mx.example.net", "out-a", "rate", 60.0, 45.0, "450 slow down"),
    road.WarmupFull("out-a", "google", 50, 1_800_000_300.0),
    road.TlsDowngraded("mx.example.net", "mx.example.net", "verified", "none"),
    road.StsPolicyFetched("example.net", "enforce", "20261126"),
    road.StsPolicyFetched("example.net", "none", "", "the certificate is not valid"),
    road.TlsReportSent("example.net", "mailto:tls@example.net", 100, 3),
    road.TlsReportSent("example.net", "mailto:tls@example.net", 100, 3, "connection refused"),
    road.DmarcReportSent("example.net", "dmarc@example.net", 100),
    road.DmarcReportSent("example.net", "", 0, "no answer for _dmarc.example.net TXT: SERVFAIL"),
    road.BounceReturned(QUEUE_ID, str(BOB), Cause.MAILBOX_UNKNOWN, True, "verp"),
    road.ComplaintReturned(QUEUE_ID, str(BOB), "abuse"),
    road.AddressSuppressed("example.org", str(BOB), "mailbox_unknown", 1_807_776_000.0),
    road.QueuePaused("domain", "example.net", "postroom queue pause"),
    road.QueuePaused("domain", "example.net", "postroom queue resume", resumed=True),
    keys.DkimKeyChanged("example.org", "r1", "rsa-sha256", "active", "r1._domainkey.example.org"),
    keys.DkimKeyChanged("example.org", "r1", "rsa-sha256", "seen", "r1._domainkey.example.org", "t=y"),
    keys.DkimKeyWaits("example.org", "r1", "r1._domainkey.example.org", "publish", "ns1 does not have it"),
    keys.DkimKeyWaits("example.org", "r1", "r1._domainkey.example.org", "remove"),
    keys.DkimTrouble("example.org", "r1", "the zone could not be changed"),
    checking.MailChecked(
        STRANGER,
        "a@b.example",
        QUEUE_ID,
        (("spf", "pass", "b.example"), ("dkim", "fail", "b.example"), ("dmarc", "fail", "bank.example")),
        "bank.example",
        "tag",
        "DMARC fails for bank.example, which asks for p=reject; 192.0.2.9 forwards to us",
        "trusted_forwarder",
        0.0012,
    ),
    checking.MailChecked(STRANGER, "", QUEUE_ID, (("spf", "fail", "b.example"),), "", "refuse", "SPF fails", "", 0.1),
    received.ReportReceived(QUEUE_ID, "dmarc", "example.org", "google.com", "1", 120, 3, "google.com", "new"),
    received.ReportReceived(QUEUE_ID, "tls", "example.org", "isp.example", "2", 7, 0, None, "too many"),
    received.ReportUnread(QUEUE_ID, "example.org", "isp.example", "there is no report in it"),
    zones.DnsBroken(
        "example.org", "spf-several", "example.org", "error", "example.org has 2 SPF records", "they fail", "keep one"
    ),
    zones.DnsBroken("", "ptr-missing", "192.0.2.1", "warning", "it points back to no name", "refused", "ask for one"),
    zones.DnsMended("example.org", "spf-several", "example.org", "example.org has 2 SPF records", 1_800_000_000.0),
    zones.DnsLooked(3, 1, 2),
    road.CarriersEnded("signal 9", 3, 0.1),
    road.CarriersEnded("exit 1", 0, 0.2, "the carriers did not get ready: the process ended"),
    road.CarriersReady(4711),
    road.QueueEnded("signal 9", 3, 0.1),
    road.QueueEnded("exit 1", 0, 0.2, "the queue's process did not get ready: the process ended"),
    road.QueueBack(4712),
    events.InternalError("session", "ValueError('x')", "Traceback\n  line"),
)

assert {type(report) for report in REPORTS} == set(get_args(Report)), "a kind of report has no sample"
