"""The settings for logging in: mechanisms, and who knows whether credentials are good."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from postroom.config.section import Duration, Section


class AuthSettings(Section):
    """``[auth]``: logging in, the same for SMTP and POP3."""

    mechanisms: tuple[str, ...] = Field(
        (),
        description="SASL mechanisms that are offered, in order; empty: all that every source can check: "
        "SCRAM-SHA-256-PLUS, SCRAM-SHA-256, SCRAM-SHA-1-PLUS and SCRAM-SHA-1 where the directory is the only source, "
        "OAUTHBEARER and XOAUTH2 where [oauth] is set, EXTERNAL where tls.client_ca is, PLAIN, LOGIN.",
    )
    sources: tuple[Literal["directory", "file", "ldap", "callable"], ...] = Field(
        ("directory",),
        description="Who is asked about a password, in order, until one knows the account. SCRAM needs the directory.",
    )
    file: Path | None = Field(
        None,
        description="File for the source file: lines address:hash, with argon2 hashes ($argon2id$...) or crypt(3)'s "
        "SHA-256 and SHA-512 ($5$, $6$, as openssl passwd -6 makes them); no others. Read anew when it changes.",
    )
    callable: str = Field(
        "",
        description='For the source callable: "package.module:function", plain or async; it gets address and password '
        "and says True, False, or None where it does not know the account.",
    )
    app_passwords: bool = Field(True, description="Whether app passwords are taken beside the account's own.")
    threads: int = Field(
        0, ge=0, description="Threads that verify passwords; 0: as many as there are cores, at most 4."
    )


class LdapSettings(Section):
    """``[ldap]``: the source ldap, a bind as the user; needs the extra ``ldap``."""

    url: str = Field("", description="ldap://host, ldaps://host or ldapi:///path.")
    start_tls: bool = Field(
        True, description="Use StartTLS on ldap://; without it passwords are refused but to loopback."
    )
    ca_file: Path | None = Field(None, description="PEM file with the authorities to trust, instead of the system's.")
    bind_dn: str = Field(
        "",
        description="DN to bind as: {address}, {local} and {domain} stand for the parts of the name, escaped. Or "
        "empty, and the DN is searched for.",
    )
    search_base: str = Field("", description="Where to search for the user.")
    search_filter: str = Field("(mail={address})", description="Filter of the search, with the same placeholders.")
    search_dn: str = Field("", description="DN to search as; empty: anonymously.")
    search_password_file: Path | None = Field(None, description="File whose first line is the password of search_dn.")
    timeout: Duration = Field(5, gt=0, description="Longest wait for an answer.")
    connections: int = Field(8, ge=1, description="Connections at once.")


class OauthSettings(Section):
    """``[oauth]``: OAUTHBEARER and XOAUTH2 (RFC 7628); needs the extra ``oauth``."""

    issuer: str = Field("", description="The iss that tokens must have.")
    audience: str = Field("", description="The aud that tokens must have; empty: not looked at.")
    jwks_url: str = Field("", description="Where the issuer's keys are (HTTPS).")
    jwks_file: Path | None = Field(None, description="File with the issuer's keys, instead of jwks_url.")
    introspection_url: str = Field(
        "", description="Ask there about each token (RFC 7662) instead of checking signatures."
    )
    client_id: str = Field("", description="Who we are to the introspection endpoint.")
    client_secret: SecretStr = Field(SecretStr(""), description="Secret for it. Better: client_secret_file.")
    client_secret_file: Path | None = Field(None, description="File whose first line is that secret.")
    claim: str = Field("email", description="The claim that names the account.")
    scope: str = Field("", description="A scope that tokens must have; empty: none.")
    ca_file: Path | None = Field(None, description="PEM file with the authorities to trust, instead of the system's.")
    timeout: Duration = Field(5, gt=0, description="Longest wait for an answer.")

    @property
    def is_set(self) -> bool:
        """Whether tokens can be checked."""
        return bool(self.jwks_url or self.jwks_file or self.introspection_url)
