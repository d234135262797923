"""Configuration profiles for iPhone, iPad and Mac: a property list, signed with the server's certificate."""

import plistlib
import uuid
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7SignatureBuilder

from postroom.admin.programs.offer import Offer, Security
from postroom.net.certificates import Certificate

PATH = "/profile.mobileconfig"
MEDIA_TYPE = "application/x-apple-aspen-config"

_SPACE = uuid.UUID("7b0f1c53-4c0e-5d55-9a51-3f1d7d1c2a90")
"""The same account has the same identifiers always, so that a profile that is installed anew replaces the old one."""


def profile(address: str, name: str, offer: Offer) -> bytes:
    """The profile of an account with POP3 and SMTP, unsigned. ValueError where one of the two is not offered."""
    if not offer.incoming or not offer.outgoing:
        raise ValueError("the server has no listener at which mail programs can log in")
    incoming, outgoing = offer.incoming[0], offer.outgoing[0]
    domain = address.rpartition("@")[2]
    backwards = ".".join(reversed(domain.split(".")))
    account: dict[str, object] = {
        "EmailAccountDescription": name,
        "EmailAccountType": "EmailTypePOP",
        "EmailAddress": address,
        "IncomingMailServerAuthentication": "EmailAuthPassword",
        "IncomingMailServerHostName": incoming.host,
        "IncomingMailServerPortNumber": incoming.port,
        "IncomingMailServerUseSSL": incoming.security is Security.TLS,
        "IncomingMailServerUsername": address,
        "OutgoingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingMailServerHostName": outgoing.host,
        "OutgoingMailServerPortNumber": outgoing.port,
        "OutgoingMailServerUseSSL": outgoing.security is Security.TLS,
        "OutgoingMailServerUsername": address,
        "OutgoingPasswordSameAsIncomingPassword": True,
        "PayloadDisplayName": f"Mail of {address}",
        **_payload("com.apple.mail.managed", f"{backwards}.mail", f"account {address}"),
    }
    whole: dict[str, object] = {
        "PayloadContent": [account],
        "PayloadDisplayName": f"Mail of {address}",
        "PayloadDescription": f"Sets up {address} in the mail program; it asks for the password.",
        "PayloadOrganization": name,
        **_payload("Configuration", f"{backwards}.profile", f"profile {address}"),
    }
    return plistlib.dumps(whole)


def sign(unsigned: bytes, certificate: Certificate) -> bytes:
    """The profile in a PKCS #7 envelope (RFC 5652 §5), or as it is where the key is of a kind that cannot sign one."""
    key = certificate.key
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        return unsigned
    builder = PKCS7SignatureBuilder().set_data(unsigned).add_signer(certificate.leaf, key, SHA256())
    for authority in certificate.chain[1:]:
        builder = builder.add_certificate(authority)
    return builder.sign(Encoding.DER, [])


def _payload(kind: str, identifier: str, seed: str) -> Mapping[str, object]:
    return {
        "PayloadType": kind,
        "PayloadIdentifier": identifier,
        "PayloadUUID": str(uuid.uuid5(_SPACE, seed)).upper(),
        "PayloadVersion": 1,
    }
