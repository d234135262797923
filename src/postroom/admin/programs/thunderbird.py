"""Autoconfig: the format of Thunderbird, which K-9, Evolution, KMail and others read too."""

from xml.etree import ElementTree as Xml

from postroom.admin.programs.offer import Offer, Security, Service

PATHS = ("/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml")
HOST = "autoconfig"
"""The label in front of a domain where programs ask."""

_SOCKETS = {Security.TLS: "SSL", Security.STARTTLS: "STARTTLS"}


def autoconfig(domain: str, name: str, offer: Offer) -> bytes:
    """The file for accounts of ``domain``; the program fills the address in by itself."""
    root = Xml.Element("clientConfig", version="1.1")
    provider = Xml.SubElement(root, "emailProvider", id=domain)
    for tag, text in (("domain", domain), ("displayName", name), ("displayShortName", name)):
        Xml.SubElement(provider, tag).text = text
    for each in offer.incoming:
        _server(provider, "incomingServer", each)
    for each in offer.outgoing:
        _server(provider, "outgoingServer", each)
    return bytes(Xml.tostring(root, encoding="utf-8", xml_declaration=True))


def _server(provider: Xml.Element, tag: str, service: Service) -> None:
    server = Xml.SubElement(provider, tag, type=service.protocol)
    for name, text in (
        ("hostname", service.host),
        ("port", str(service.port)),
        ("socketType", _SOCKETS[service.security]),
        ("username", "%EMAILADDRESS%"),
        ("authentication", "password-cleartext"),  # within TLS, which both kinds of socket demand
    ):
        Xml.SubElement(server, name).text = text
