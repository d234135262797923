"""What mail programs are told, in the formats that they read."""

import plistlib
import subprocess
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from postroom.admin.programs import apple, outlook, thunderbird
from postroom.admin.programs.offer import Offer, Security, Service, offer_of
from postroom.config.model import ListenerSettings
from postroom.mail.session import Role
from postroom.net.certificates import self_signed

HOST = "mail.example.org"
OFFER = Offer(
    (Service("pop3", HOST, 995, Security.TLS), Service("pop3", HOST, 110, Security.STARTTLS)),
    (Service("smtp", HOST, 465, Security.TLS), Service("smtp", HOST, 587, Security.STARTTLS)),
)
_RESPONSE = "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"


def listener(role: Role, port: int) -> ListenerSettings:
    return ListenerSettings(role=role, port=port)


def test_what_people_log_in_at_is_offered_tls_from_the_start_first() -> None:
    listeners = [
        listener(Role.MX, 25),
        listener(Role.SUBMISSION, 587),
        listener(Role.POP3, 110),
        listener(Role.SUBMISSIONS, 465),
        listener(Role.POP3S, 995),
        listener(Role.LMTP, 24),
    ]
    assert offer_of(listeners, HOST) == OFFER


def test_a_port_that_the_system_chooses_is_not_offered() -> None:
    assert offer_of([listener(Role.POP3S, 0), listener(Role.SUBMISSIONS, 0)], HOST) == Offer((), ())


def test_the_same_port_on_several_addresses_is_one_service() -> None:
    assert len(offer_of([listener(Role.POP3S, 995), listener(Role.POP3S, 995)], HOST).incoming) == 1


def test_thunderbird_finds_servers_in_order() -> None:
    root = Xml.fromstring(thunderbird.autoconfig("example.org", "Example & Söhne <GmbH>", OFFER))
    provider = root.find("emailProvider")
    assert root.tag == "clientConfig"
    assert provider is not None
    assert provider.findtext("displayName") == "Example & Söhne <GmbH>"
    assert provider.findtext("domain") == "example.org"
    incoming = [
        (each.get("type"), each.findtext("hostname"), each.findtext("port"), each.findtext("socketType"))
        for each in provider.findall("incomingServer")
    ]
    assert incoming == [("pop3", HOST, "995", "SSL"), ("pop3", HOST, "110", "STARTTLS")]
    outgoing = [each.findtext("port") for each in provider.findall("outgoingServer")]
    assert outgoing == ["465", "587"]
    assert {each.findtext("username") for each in provider.iter("incomingServer")} == {"%EMAILADDRESS%"}


def request(address: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">'
        f"<Request><EMailAddress>{address}</EMailAddress><AcceptableResponseSchema>"
        "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
        "</AcceptableResponseSchema></Request></Autodiscover>"
    ).encode()


def test_outlook_is_answered_with_the_best_of_each() -> None:
    assert outlook.asked_address(request(" ann@example.org ")) == "ann@example.org"
    root = Xml.fromstring(outlook.autodiscover("ann@example.org", "Example", OFFER))
    protocols = [
        {child.tag.removeprefix(_RESPONSE): child.text for child in each} for each in root.iter(f"{_RESPONSE}Protocol")
    ]
    assert [(each["Type"], each["Server"], each["Port"], each["SSL"]) for each in protocols] == [
        ("POP3", HOST, "995", "on"),
        ("SMTP", HOST, "465", "on"),
    ]
    assert {each["LoginName"] for each in protocols} == {"ann@example.org"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        b"<a>",
        b"<Autodiscover><Request/></Autodiscover>",
        request("a" * 1100 + "@example.org"),
        request("x" * outlook.MOST_OCTETS),
        b'<!DOCTYPE a [<!ENTITY e "ann@example.org">]><EMailAddress>&e;</EMailAddress>',
        b'<!DOCTYPE a SYSTEM "http://192.0.2.1/x"><EMailAddress>ann@example.org</EMailAddress>',
        b"\xff\xfe\x00",
    ],
    ids=["nothing", "text", "open", "no address", "long address", "long", "entity", "external", "octets"],
)
def test_what_is_no_request_of_outlook_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="request"):
        outlook.asked_address(body)


def test_an_apple_profile_names_the_account() -> None:
    whole = plistlib.loads(apple.profile("ann@example.org", "Example", OFFER))
    (account,) = whole["PayloadContent"]
    assert whole["PayloadType"] == "Configuration"
    assert account["PayloadType"] == "com.apple.mail.managed"
    assert (account["EmailAccountType"], account["EmailAddress"]) == ("EmailTypePOP", "ann@example.org")
    assert (account["IncomingMailServerHostName"], account["IncomingMailServerPortNumber"]) == (HOST, 995)
    assert account["IncomingMailServerUseSSL"] is True
    assert (account["OutgoingMailServerPortNumber"], account["OutgoingMailServerUseSSL"]) == (465, True)
    assert not any(
        "Password" in key and isinstance(value, str) and value != "EmailAuthPassword" for key, value in account.items()
    )


def test_an_apple_profile_keeps_its_identifiers_so_that_it_replaces_itself() -> None:
    first, again = (apple.profile("ann@example.org", "Example", OFFER) for _ in range(2))
    other = apple.profile("bob@example.org", "Example", OFFER)
    assert first == again
    assert plistlib.loads(first)["PayloadUUID"] != plistlib.loads(other)["PayloadUUID"]


def test_without_a_way_to_log_in_there_is_no_profile() -> None:
    with pytest.raises(ValueError, match="log in"):
        apple.profile("ann@example.org", "Example", Offer((), OFFER.outgoing))


def test_a_signed_profile_verifies_with_openssl(tmp_path: Path) -> None:
    unsigned = apple.profile("ann@example.org", "Example", OFFER)
    file = tmp_path / "signed"
    file.write_bytes(apple.sign(unsigned, self_signed(HOST, 1_790_000_000, 900)))
    command = ["openssl", "smime", "-verify", "-noverify", "-inform", "DER", "-in", str(file)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    assert plistlib.loads(done.stdout.replace(b"\r\n", b"\n")) == plistlib.loads(unsigned)
