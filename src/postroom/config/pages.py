"""The settings for the pages that everyone may see: what sets mail programs up, and the port by HTTPS."""

from pydantic import Field

from postroom.config.section import OptionalDomainName, Section


class AutoconfigSettings(Section):
    """``[autoconfig]``: what mail programs are told about this server, so that people need not type it."""

    enabled: bool = Field(True, description="Whether the web port tells them.")
    host: OptionalDomainName = Field("", description="Host that they are to connect to; empty: the hostname.")
    name: str = Field("", max_length=100, description="What to call the service; empty: the domain of the account.")


class HttpsSettings(Section):
    """``[https]``: a port by HTTPS for everyone, with the MTA-STS policy and the pages for mail programs alone."""

    enabled: bool = Field(
        False,
        description="Whether the port is open. Leave it closed where a web server passes these pages on from [web].",
    )
    address: str = Field("::", description='Address to listen on; "::" for IPv6 and IPv4.')
    port: int = Field(443, ge=0, le=65535, description="Port to listen on; 0 lets the system choose.")
