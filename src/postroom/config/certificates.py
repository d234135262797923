"""The settings for certificates: which there are, and how new ones are got."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from postroom.config.section import DomainName, Duration, Section


class CertificateSettings(Section):
    """One ``[[tls.more]]``: a further certificate, chosen where a client asks for a name that it carries."""

    certificate: Path = Field(description="PEM file with the certificate chain. Relative to the settings file.")
    key: Path = Field(description="PEM file with the private key. Relative to the settings file.")


class TlsSettings(Section):
    """``[tls]``: certificates and keys of this host."""

    certificate: Path | None = Field(
        None, description="PEM file with the certificate chain. Relative to the settings file."
    )
    key: Path | None = Field(None, description="PEM file with the private key. Relative to the settings file.")
    more: tuple[CertificateSettings, ...] = Field(
        (), description="Further certificates (each a table with certificate and key), chosen by SNI."
    )
    minimum: Literal["1.2", "1.3"] = Field("1.2", description="Lowest TLS version that is offered.")
    client_ca: Path | None = Field(
        None,
        description="PEM file with the authorities whose client certificates are taken for AUTH EXTERNAL; "
        "none: clients are not asked for certificates.",
    )
    warn_before: Duration = Field(
        14 * 86400, description="How long before a certificate expires the check, the log and alerts warn."
    )


class AcmeSettings(Section):
    """``[acme]``: certificates from an ACME authority (RFC 8555) by HTTP-01; needs the extra ``acme``."""

    enabled: bool = Field(False, description="Get and renew the certificate by itself. [tls] is not needed then.")
    directory: str = Field(
        "https://acme-v02.api.letsencrypt.org/directory", description="URL of the authority's directory."
    )
    domains: tuple[DomainName, ...] = Field((), description="Names in the certificate; empty: the hostname.")
    contact: str = Field("", description="Mail address for the authority's notices; empty for none.")
    agree: bool = Field(False, description="Whether you agree to the authority's terms of service; it must be true.")
    ca_file: Path | None = Field(
        None, description="PEM file with the authorities to trust for its HTTPS, instead of the system's."
    )
    eab_kid: str = Field("", description="Key id of an external account binding, where the authority asks for one.")
    eab_key_file: Path | None = Field(None, description="File with the external account binding's HMAC key, base64url.")
    address: str = Field(
        "0.0.0.0",  # noqa: S104 - the authority comes from outside
        description='Address on which HTTP-01 challenges are answered; "::" for IPv6 and IPv4.',
    )
    port: int = Field(
        80, ge=0, le=65535, description="Port of the same, open while the server runs; 0: the web port alone answers."
    )
    keep_key: bool = Field(
        True,
        description="Renew with the key of the certificate that there is, so that TLSA records stay right. false: each "
        "certificate has a new key; it is made one renewal ahead, so that postroom dns can show its TLSA record too.",
    )
    renew_before: Duration = Field(
        0, description="How long before its end a certificate is renewed; 0: a third of its life."
    )
