"""What the rules that come with the program make of the replies of servers out there.

The table gives replies as they are known from those servers. A few rules are there for one provider; most must do for
whoever uses the same words.
"""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from postroom.config.replyrules import reply_classifier, shipped_rules
from postroom.config.replysettings import ReplyRuleSettings
from postroom.mail.cause import Cause
from postroom.mail.reply import Reply

CLASSIFIER = reply_classifier()

TABLE = """
# Google
mailbox_unknown  550 5.1.1  l.google.com  The email account that you tried to reach does not exist. Please try double-checking the recipient's email address for typos
mailbox_full     452 4.2.2  l.google.com  The recipient's inbox is out of storage space. Please direct the recipient to https://support.google.com/mail/?p=OverQuotaTemp
mailbox_disabled 550 5.2.1  l.google.com  The email account that you tried to reach is disabled.
rate_limit       421 4.7.28 -             Gmail has detected an unusual rate of unsolicited mail originating from your IP address
rate_limit       450 4.2.1  -             The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered.
authentication   550 5.7.26 -             This mail has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate with either SPF or DKIM.
reputation       550 5.7.1  -             Our system has detected that this message is likely unsolicited mail.
content          552 5.7.0  -             This message was blocked because its content presents a potential security issue.
# Microsoft
mailbox_unknown  550 5.4.1  x.mail.protection.outlook.com  Recipient address rejected: Access denied. [AM7EUR06FT051.eop-eur06.prod.protection.outlook.com]
mailbox_unknown  550 5.5.0  -  Requested action not taken: mailbox unavailable (S2017062302).
mailbox_unknown  550 5.1.10 -  RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup
reputation       550 5.7.1  -  Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).
rate_limit       451 4.7.650 -  The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. (S775)
mailbox_full     554 5.2.2  -  mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException
policy           550 5.7.133 -  RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; delivery restriction check failed because the sender was not authenticated
authentication   550 5.7.509 -  Access denied, sending domain example.com does not pass DMARC verification and has a DMARC policy of reject.
# Yahoo, AOL
rate_limit       421 4.7.0 -  [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1
reputation       553 5.7.1 -  [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list
mailbox_unknown  554 -     -  delivery error: dd This user doesn't have a yahoo.com account (nobody@yahoo.com) [0]
# Apple
mailbox_unknown  550 5.1.1 -  <x@icloud.com>: user does not exist
content          554 5.7.1 -  [CS01] Message rejected due to local policy.
# GMX, WEB.DE, T-Online
mailbox_unknown  550 -     mx00.gmx.net  Requested action not taken: mailbox unavailable
authentication   554 -     -  gmx.net (mxgmx016) Nemesis ESMTP Service not available No SMTP service Bad DNS PTR resource record.
reputation       554 -     -  IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help or to contact tosa@rx.t-online.de to clarify.)
# Mail.ru, Yandex
mailbox_unknown  550 -     -  Message was not accepted -- invalid mailbox.  Local mailbox x@mail.ru is unavailable: user not found
mailbox_disabled 550 -     -  Message was not accepted -- invalid mailbox.  Local mailbox x@mail.ru is unavailable: account is disabled
content          554 5.7.1 -  Message rejected under suspicion of SPAM; https://ya.cc/1IrBc
content          550 -     -  spam message rejected. Please visit http://help.mail.ru/notspam-support/id?c=abc
# QQ, NetEase
mailbox_unknown  550 -     -  Mailbox not found. http://service.mail.qq.com/cgi-bin/help
rate_limit       550 -     -  Connection frequency limited. http://service.mail.qq.com
content          554 -     -  DT:SPM 163 mx1,XXX please see http://mail.163.com/help/help_spam_16.htm
rate_limit       451 -     -  MI:CEL 163 mx2 http://mail.163.com/help/help_spam_16.htm
# Comcast, Orange, Free
rate_limit       421 4.1.0 -  192.0.2.1 Throttled - try again later. Please see http://postmaster.comcast.net/smtp-error-codes.php#RL000001
rate_limit       421 -     -  mwinf5c04 ME Trop de connexions, veuillez verifier votre configuration. Too many connections, slow down. OFR004_104
mailbox_unknown  550 5.1.1 -  Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416
reputation       550 5.7.1 -  spam detecte par free.fr
# Filters
reputation       554 -     -  Blocked - see https://support.proofpoint.com/dnsbl-lookup.cgi?ip=192.0.2.1
policy           550 5.7.1 -  Administrative prohibition - envelope blocked - https://community.mimecast.com/docs/DOC-1369#550
reputation       554 -     -  mx.example Connection refused by policy - bad reputation
reputation       554 -     -  Service unavailable; Client host [192.0.2.1] blocked using Barracuda Reputation; http://www.barracudanetworks.com/reputation/?r=1&ip=192.0.2.1
reputation       554 5.7.1 -  Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1
reputation       550 -     -  rejected because 192.0.2.1 is in a black list at bl.spamcop.net
# Greylisting, in several wordings
greylisted       450 4.2.0 -  <a@b.example>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/b.example.html
greylisted       451 4.7.1 -  Please try again later (graylisted)
greylisted       450 -     -  You have been greylisted
greylisted       451 4.7.1 -  Greylisting in action, please come back later
greylisted       451 -     -  Resources temporarily unavailable - Please try again in 300 seconds
greylisted       550 -     -  Please retry in 300 seconds, greylisting in action
# Rates and connections
rate_limit       421 -     -  too many connections from your IP
rate_limit       421 4.7.0 -  mx.example Error: too many errors
rate_limit       452 4.5.3 -  Error: too many recipients
rate_limit       450 4.7.1 -  Error: too much mail from 192.0.2.1
rate_limit       550 5.4.5 -  Daily sending quota exceeded
rate_limit       451 -     -  Rate limit exceeded, slow down
# The mailbox
mailbox_full     552 5.2.2 -  user is over quota
mailbox_full     550 -     -  Postfach ist voll
mailbox_full     452 4.2.2 -  La boîte aux lettres est pleine
mailbox_full     550 -     -  El buzón del usuario está lleno
mailbox_full     552 -     -  Requested mail action aborted: exceeded storage allocation
mailbox_full     550 -     -  Quota exceeded (mailbox for user is full)
mailbox_full     422 -     -  The recipient's mailbox is over its storage limit
mailbox_full     552 -     -  La casella di posta è piena
mailbox_full     550 -     -  почтовый ящик получателя переполнен
mailbox_disabled 550 -     -  account suspended
mailbox_disabled 550 -     -  Account is locked, please contact the owner
mailbox_disabled 550 5.2.1 -  Mailbox disabled, not accepting messages
mailbox_disabled 525 -     -  x
mailbox_unknown  550 5.1.1 -  <x@example.org>... User unknown
mailbox_unknown  550 -     -  No such user here
mailbox_unknown  550 -     -  unbekannter Benutzer
mailbox_unknown  550 -     -  Utilisateur inconnu
mailbox_unknown  550 -     -  Usuario desconocido
mailbox_unknown  550 -     -  l'indirizzo non esiste
mailbox_unknown  550 -     -  用户不存在
mailbox_unknown  550 -     -  Recipient address rejected: User unknown in virtual mailbox table
mailbox_unknown  550 5.1.1 -  sorry, no mailbox here by that name (#5.1.1)
mailbox_unknown  550 -     -  Unrouteable address
mailbox_unknown  550 -     -  User p.miller (p.miller@example.ch) not listed in Domino Directory
mailbox_unknown  450 4.1.1 -  <x@y>: Recipient address rejected: unverified address: Address lookup failed
# Who may send
policy           554 5.7.1 -  <a@b>: Relay access denied
policy           553 -     -  sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)
policy           550 5.7.1 -  Only members of this list may post
authentication   550 5.7.1 -  Client host rejected: cannot find your reverse hostname, [192.0.2.1]
authentication   450 4.7.1 -  Client host rejected: cannot find your hostname
authentication   550 5.1.8 -  <a@b>: Sender address rejected: Domain not found
authentication   550 5.7.1 -  Email rejected per DMARC policy for example.com
authentication   550 5.7.23 -  SPF validation failed
authentication   535 5.7.8 -  Error: authentication failed
reputation       554 -     -  No SMTP service here
reputation       550 -     -  Your IP address has been blocked due to bad reputation
# Content, size, protocol
content          554 5.6.0 -  Message contains a virus
content          571 -     -  message rejected: spam
content          550 -     -  Blocked by spam filter
content          554 5.7.1 -  This message has been identified as phishing
size             552 5.3.4 -  Message size exceeds fixed maximum message size
size             552 -     -  Message too large for this recipient
loop             554 5.4.6 -  Too many hops
loop             554 -     -  mail loops back to myself
tls              530 5.7.0 -  Must issue a STARTTLS command first
protocol         503 -     -  Bad sequence of commands
protocol         502 5.5.2 -  Error: command not recognized
# Their system, the network, the DNS
busy             452 4.3.1 -  Insufficient system storage
busy             421 4.3.2 -  Service shutting down
busy             451 -     -  Temporary local problem - please try later
busy             421 -     -  x
domain_unknown   550 5.1.2 -  Host unknown
domain_unknown   550 -     -  Domain not found
domain_unknown   556 5.1.10 -  x
dns              451 4.4.3 -  temporary lookup failure in DNS
connection       450 4.4.1 -  connect to mx.example[192.0.2.1]: Connection timed out
expired          554 5.4.7 -  delivery time expired
# Written after the rules had been made for all above, and before they had seen these: 71 of 76 were right at first.
mailbox_unknown  550 5.1.1 -  <bob@example.org>: Email address could not be found, or was misspelled (G8)
mailbox_unknown  550 5.1.1 -  bob@example.org Invalid Recipient - https://community.mimecast.com/docs/DOC-1369#550
mailbox_unknown  550 5.1.1 -  The email account that you tried to reach is not valid at this host
mailbox_unknown  550 -     -  5.1.1 <bob@example.org> is not a valid mailbox
mailbox_unknown  553 5.3.0 -  <bob@example.org>... Addressee unknown, relay=[192.0.2.1]
mailbox_unknown  550 -     -  bob@example.org no such address here
mailbox_unknown  550 5.1.1 -  This mailbox does not exist, sorry
mailbox_unknown  554 -     -  Mailbox does not exist on this server
mailbox_unknown  550 5.2.1 -  The mailbox is not available: no such recipient
mailbox_unknown  551 -     -  User not local; please try <forward-path>
mailbox_unknown  550 5.4.1 -  All recipient addresses rejected : Access denied. AS(201806281)
mailbox_unknown  550 -     -  该用户不存在
mailbox_unknown  550 -     -  Ce destinataire n'existe pas
mailbox_unknown  550 -     -  Empfaenger unbekannt
mailbox_disabled 554 5.7.1 -  <bob@example.org>: Recipient address rejected: account is inactive
mailbox_disabled 550 5.2.1 -  This account has been deactivated by the owner
mailbox_disabled 550 -     -  Mailbox temporarily suspended due to inactivity
mailbox_disabled 550 5.1.6 -  Recipient no longer on server: bob@example.org
mailbox_full     552 -     -  5.2.2 <bob@example.org> Mailbox size limit exceeded
mailbox_full     450 -     -  Requested mail action not taken: mailbox of bob has no more room, over quota
mailbox_full     552 5.7.0 -  Number of 'Incoming Messages' has been exceeded; Account storage limit reached
mailbox_full     550 5.7.1 -  Quota exceeded, bob's inbox cannot take more
greylisted       450 4.7.1 -  <bob@example.org>: Recipient address rejected: Policy Rejection- Please try later; graylisting
greylisted       451 4.7.1 -  Temporarily deferred, please try again after 5 minutes (see greylisting.org)
greylisted       450 -     -  Your message is being delayed as we do not know you: first attempt, please retry
greylisted       421 4.7.1 -  Intentional policy rejection, please try again later
rate_limit       421 4.7.0 -  Try again later, closing connection. (MAIL) too many messages in this session
rate_limit       450 4.2.1 -  The user you are trying to contact is receiving mail too quickly. Please resend your message at a later time.
rate_limit       452 4.2.2 -  Too many messages for this recipient in the last hour
rate_limit       421 4.3.2 -  The maximum number of concurrent server connections has exceeded a per-source limit, closing transmission channel
rate_limit       421 -     -  4.7.1 Messages from 192.0.2.1 temporarily deferred due to excessive rate
rate_limit       554 -     -  Too many concurrent SMTP connections from this IP address; please try again later.
rate_limit       421 -     -  mx.example bizsmtp Temporarily rejected. Reverse DNS ok, but too many connections
reputation       554 -     -  mx.example bizsmtp IB105. Connection refused. IP 192.0.2.1 has poor reputation
reputation       550 5.7.1 -  Mail from 192.0.2.1 was rejected due to listing in Trend Micro RBL+
reputation       550 5.7.1 -  550 5.7.1 Service unavailable; client [192.0.2.1] blocked using b.barracudacentral.org
reputation       521 5.2.1 -  (HVU:B1) https://postmaster.aol.com/error-codes
reputation       550 -     -  JunkMail rejected - mail.example [192.0.2.1] is in an RBL on rbl.example
reputation       554 5.7.0 -  Your IP is temporarily blacklisted by an anti-troll mechanism
reputation       421 4.7.0 -  [192.0.2.1] Our system has detected that your network sends a lot of bulk mail: this IP has a bad reputation
authentication   550 5.7.1 -  SPF Sender Invalid - envelope rejected
authentication   550 -     -  DMARC Sender Invalid - envelope rejected
authentication   554 5.7.5 -  Permanent error evaluating DMARC policy
authentication   550 5.7.25 -  Your sending IP has no PTR record
authentication   450 4.1.8 -  <a@b.example>: Sender address rejected: unverified address
authentication   504 5.5.2 -  <localhost>: Helo command rejected: need fully-qualified hostname
authentication   550 5.7.515 -  Access denied, sending domain b.example doesn't meet the required authentication level.
authentication   554 5.7.0 -  Reject, id=01234-05 - BAD_HEADER - SPF fail
policy           550 5.7.1 -  Unable to relay for bob@example.org
policy           550 5.7.1 -  You are not allowed to send mail to this address
policy           554 5.7.1 -  The message from (<a@b.example>) with the subject of (hi) matches a profile the Internet community may consider undesirable: local policy
policy           550 5.7.1 -  TRANSPORT.RULES.RejectMessage; the message was rejected by organization policy
policy           550 -     -  relay not permitted
policy           550 5.7.1 -  <a@b.example>: Sender address rejected: not accepted here
content          554 5.7.1 -  Rejected as SPAM by filter, id=12345
content          550 5.7.1 -  This message appears to be unsolicited bulk email
content          552 5.7.0 -  Our system detected an illegal attachment on your message
content          554 -     -  Virus Eicar-Test-Signature found
content          550 5.6.0 -  Mail with no Date header not accepted here: missing date
content          554 5.6.1 -  Body type not supported by Remote Host: message contains bare newlines
size             552 -     -  Message exceeds maximum fixed size
size             523 -     -  the message exceeds the recipient's size limit
tls              550 5.7.10 -  Encryption required by recipient domain
tls              454 4.7.0 -  TLS not available due to local problem
loop             554 5.4.14 -  Hop count exceeded - possible mail loop ATTR34
busy             451 4.3.0 -  Error: queue file write error
busy             450 4.3.2 -  Service currently unavailable
busy             431 -     -  The recipient's mail server is experiencing a disk full condition
busy             451 4.3.5 -  Server configuration problem
busy             421 4.4.5 -  Server busy, try again later.
connection       550 5.4.1 -  No answer from host
connection       451 4.4.2 -  Bad connection (io timeout)
dns              451 4.4.4 -  Temporary server error: DNS query failed
domain_unknown   550 5.1.2 -  example.invalid: domain does not exist
domain_unknown   550 5.4.4 -  Invalid domain: no MX record found
expired          550 5.4.7 -  Delivery expired (message too old)
# Nothing is concluded from a bare number about an address.
other            550 -     -  no
other            554 -     -  transaction failed
other            451 -     -  x
"""  # noqa: E501  # replies are as long as servers make them


def rows() -> list[tuple[str, Reply, str]]:
    found = []
    for line in TABLE.strip().splitlines():
        if line.startswith("#"):
            continue
        cause, code, status, host, text = line.split(maxsplit=4)
        reply = Reply.of(int(code), "" if status == "-" else status, text)
        found.append((cause, reply, "" if host == "-" else host))
    return found


@pytest.mark.parametrize(("cause", "reply", "host"), rows(), ids=lambda value: str(value)[:60])
def test_replies_of_servers_out_there(cause: str, reply: Reply, host: str) -> None:
    assert CLASSIFIER.classify(reply, host).value == cause


def test_a_permanent_code_for_what_passes_is_known() -> None:
    assert CLASSIFIER.rule_for(Reply.of(550, "", "Greylisted, come back later")).hard is False
    assert CLASSIFIER.rule_for(Reply.of(554, "5.7.1", "too many connections")).hard is False
    assert CLASSIFIER.rule_for(Reply.of(550, "5.1.1", "user unknown")).hard is None


def test_no_rule_makes_a_temporary_reply_final() -> None:
    assert not [rule for rule in shipped_rules() if rule.hard]


def test_every_cause_that_a_peer_can_give_has_a_rule() -> None:
    ours = {Cause.LOCAL, Cause.SUPPRESSED}
    assert {rule.cause for rule in shipped_rules()} | ours == set(Cause)


def test_a_block_never_says_that_an_address_is_unknown() -> None:
    # Issue 4: a reputation block never suppresses an address, however much it talks of recipients.
    for text in (
        "Recipient address rejected: your IP is blacklisted",
        "<a@b.example>: Recipient address rejected: blocked using zen.spamhaus.org",
        "mailbox unavailable, your server has a poor reputation",
        "Address rejected: SPF check failed",
    ):
        assert not CLASSIFIER.classify(Reply.of(550, "5.1.1", text)).suppresses, text


# The operator's rules.


def test_the_operators_rules_come_first() -> None:
    own = ReplyRuleSettings(hosts=("example.org",), codes=(550,), cause=Cause.RATE_LIMIT, hard=False)
    classifier = reply_classifier([own])
    reply = Reply.of(550, "5.1.1", "user unknown")
    assert classifier.rule_for(reply, "mx.example.org") == own.rule
    assert classifier.classify(reply, "mx.example.net") is Cause.MAILBOX_UNKNOWN


def test_an_entry_of_the_settings_file() -> None:
    text = """
    [[reply]]
    hosts = ["mx.example.org"]
    codes = [450, "5yz"]
    statuses = ["7.*"]
    text = ["slow * down"]
    cause = "rate_limit"
    hard = true
    """
    (entry,) = tomllib.loads(text)["reply"]
    rule = ReplyRuleSettings.model_validate(entry).rule
    assert rule.codes == ("450", "5yz")
    assert rule.cause is Cause.RATE_LIMIT
    assert rule.hard is True


@pytest.mark.parametrize(
    "entry",
    [
        {"cause": "policy"},
        {"codes": [550]},
        {"codes": [550], "cause": "bad luck"},
        {"codes": [99], "cause": "policy"},
        {"codes": [True], "cause": "policy"},
        {"statuses": ["5"], "cause": "policy"},
        {"text": ["*"], "cause": "policy"},
        {"text": ["x"], "cause": "policy", "regex": "x"},
    ],
)
def test_entries_that_mean_nothing_are_errors(entry: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ReplyRuleSettings.model_validate(entry)


# A second opinion, by status alone.

SECOND_OPINION = {
    "InvalidRecipient": {Cause.MAILBOX_UNKNOWN, Cause.DOMAIN_UNKNOWN},
    "BadDomain": {Cause.DOMAIN_UNKNOWN},
    "InactiveMailbox": {Cause.MAILBOX_DISABLED},
    "InvalidSender": {Cause.AUTHENTICATION},
    "QuotaIssues": {Cause.MAILBOX_FULL, Cause.SIZE, Cause.BUSY},
    "NoAnswerFromHost": {Cause.CONNECTION},
    "BadConnection": {Cause.CONNECTION},
    "DNSFailure": {Cause.DNS},
    "RoutingErrors": {Cause.DNS, Cause.LOOP},
    "TransientFailure": {Cause.BUSY},
    "MessageExpired": {Cause.EXPIRED},
    "ProtocolErrors": {Cause.PROTOCOL, Cause.CONTENT, Cause.RATE_LIMIT},
    "AuthenticationFailed": {Cause.AUTHENTICATION, Cause.POLICY, Cause.TLS},
    "PolicyRelated": {Cause.POLICY, Cause.RATE_LIMIT},
    "TooManyRecipients": {Cause.RATE_LIMIT},
}
"""Which of our causes agree with a class of the other list: where the classes are wider, several do."""


def test_status_alone_agrees_with_the_registry_as_others_read_it() -> None:
    for parent in Path(__file__).parents:
        found = parent / "shared" / "data" / "bounce-kumomta-iana" / "iana.toml"
        if found.is_file():
            break
    else:
        pytest.skip("no shared/data/bounce-kumomta-iana")
    rules = tomllib.loads(found.read_text())["rules"]
    asked, wrong = 0, []
    for code in (421, 450, 451, 452, 525, 550, 552, 554):
        for subject in range(1, 8):
            for detail in range(40):
                status = f"{code // 100}.{subject}.{detail}"
                named = [name for name in rules for one in rules[name] if re.match(one, f"{code} {status} ")]
                if not named:
                    continue
                asked += 1
                cause = CLASSIFIER.classify(Reply.of(code, status, ""))
                if not any(cause in SECOND_OPINION[name] for name in named):
                    wrong.append(f"{code} {status}: {cause.value}, not {' or '.join(named)}")
    assert asked > 200
    assert not wrong, f"{len(wrong)} of {asked} differ:\n" + "\n".join(wrong)
