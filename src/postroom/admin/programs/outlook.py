"""Autodiscover: the "plain old XML" that Outlook and some others ask for by POST, with the address inside."""

from xml.etree import ElementTree as Xml
from xml.parsers import expat

from postroom.admin.programs.offer import Offer, Security, Service

PATH = "/autodiscover/autodiscover.xml"
HOST = "autodiscover"
"""The label in front of a domain where programs ask."""

MOST_OCTETS = 16 * 1024
"""Of a request; a real one has some hundred."""

_RESPONSE = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
_OUTLOOK = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
_LONGEST_ADDRESS = 1000


def asked_address(request: bytes) -> str:
    """The EMailAddress of a request. ValueError where there is none, or it is no such request."""
    if len(request) > MOST_OCTETS:
        raise ValueError(f"the request has more than {MOST_OCTETS} octets")
    reading, texts = [False], list[str]()

    def start(name: str, _attributes: dict[str, str]) -> None:
        reading[0] = name.rpartition(":")[2].lower() == "emailaddress" and not texts

    def data(text: str) -> None:
        if reading[0]:
            texts.append(text)

    def end(_name: str) -> None:
        reading[0] = False

    def refuse(*_declared: object) -> None:
        raise ValueError("a request has no DOCTYPE")  # nor entities: nothing is to be expanded

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(request, True)
    except expat.ExpatError as error:
        raise ValueError(f"the request is no XML: {error}") from error
    address = "".join(texts).strip()
    if not address or len(address) > _LONGEST_ADDRESS:
        raise ValueError("the request has no EMailAddress")
    return address


def autodiscover(address: str, name: str, offer: Offer) -> bytes:
    """The answer for an address: an account with the first incoming and the first outgoing service."""
    root = Xml.Element("Autodiscover", xmlns=_RESPONSE)
    response = Xml.SubElement(root, "Response", xmlns=_OUTLOOK)
    user = Xml.SubElement(response, "User")
    Xml.SubElement(user, "DisplayName").text = name
    account = Xml.SubElement(response, "Account")
    Xml.SubElement(account, "AccountType").text = "email"
    Xml.SubElement(account, "Action").text = "settings"
    for service in (*offer.incoming[:1], *offer.outgoing[:1]):
        _protocol(account, service, address)
    return bytes(Xml.tostring(root, encoding="utf-8", xml_declaration=True))


def _protocol(account: Xml.Element, service: Service, address: str) -> None:
    protocol = Xml.SubElement(account, "Protocol")
    encrypted = service.security is Security.TLS
    for tag, text in (
        ("Type", service.protocol.upper()),
        ("Server", service.host),
        ("Port", str(service.port)),
        ("LoginName", address),
        ("SPA", "off"),
        ("SSL", "on" if encrypted else "off"),
        ("Encryption", "SSL" if encrypted else "TLS"),
        ("AuthRequired", "on"),
    ):
        Xml.SubElement(protocol, tag).text = text
