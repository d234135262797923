"""The settings of the road: where mail goes, by whom it is relayed, and how it leaves the house."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from postroom.config.section import Duration, Network, OptionalDomainName, Section

Names = Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)]
"""One name or a list of names."""


class RouteSettings(Section):
    """One ``[[route]]``: a rule. Every condition that is given must hold; the first rule that matches is taken. Without
    a match local domains go to their mailboxes, others to their MX.
    """

    name: str = Field("", description="What commands and history call it; empty: its place, such as route 3.")
    domains: tuple[str, ...] = Field(
        ("*",), description='Recipient domains; ".example.org" matches all below, "*" all but those of ours.'
    )
    recipients: tuple[str, ...] = Field((), description="Recipient addresses.")
    senders: tuple[str, ...] = Field(
        (),
        description='Reverse-paths: "ann@example.org", "@example.org", "@.example.org" (all domains below), "<>" (the '
        "null sender).",
    )
    accounts: tuple[str, ...] = Field((), description='Accounts that submitted; "*" any, "@example.org" of a domain.')
    clients: tuple[Network, ...] = Field((), description="Networks that the client is in.")
    headers: dict[str, str] = Field(
        {},
        description='Fields of the header and what they must match, such as { List-Id = "*news.example.org*" }; "*" '
        'and "?" as in file names, case does not matter. Looked at when the message comes in.',
    )
    tags: tuple[str, ...] = Field(
        (), description="Tags of the message, any of them: values of an X-Postroom-Tag field of submitted mail."
    )
    via: Names = Field(
        ("mx",),
        description='"mx", "mailbox", "discard", "hold" (until an operator releases it), or the name of a smarthost, '
        "maildir or command. With a list of smarthosts the next is tried where one fails.",
    )
    weights: tuple[int, ...] = Field(
        (), description="For a list of smarthosts: shares of the mail that each gets first; empty: the first gets all."
    )
    pool: str = Field("", description="The pool of source addresses, or one [[source]].")
    schedule: str = Field("", description="The [[schedule]] of retries; empty: that of [queue].")


class SmarthostSettings(Section):
    """One ``[[smarthost]]``: a server that relays for us."""

    name: str = Field(description="What routes call it.")
    host: str = Field(
        description="Host name or address literal; MX records are not looked up. For lmtp also the path of a socket."
    )
    port: int = Field(587, ge=1, le=65535, description="Port.")
    protocol: Literal["smtp", "lmtp"] = Field("smtp", description="smtp, or lmtp (RFC 2033) for a delivery server.")
    tls: Literal["none", "opportunistic", "required", "implicit"] = Field(
        "required",
        description="none, opportunistic (STARTTLS if offered), required (STARTTLS or defer, certificate verified), "
        "implicit (TLS from the start, verified).",
    )
    ca_file: Path | None = Field(
        None, description="PEM file with the authorities that are trusted, instead of the system's."
    )
    certificate: Path | None = Field(None, description="PEM file with a client certificate and its chain.")
    key: Path | None = Field(None, description="PEM file with the key of the client certificate.")
    user: str = Field("", description="AUTH user; empty for none.")
    password: SecretStr = Field(SecretStr(""), description="AUTH password. Better: password_file.")
    password_file: Path | None = Field(None, description="File whose first line is the AUTH password.")
    mechanisms: tuple[str, ...] = Field(
        (), description="SASL mechanisms to use, in order; empty: the best that the server offers."
    )
    token_url: str = Field(
        "", description="OAuth token endpoint (HTTPS), for XOAUTH2 and OAUTHBEARER; access tokens are got and renewed."
    )
    client_id: str = Field("", description="OAuth client id.")
    client_secret_file: Path | None = Field(None, description="File whose first line is the OAuth client secret.")
    refresh_token_file: Path | None = Field(
        None,
        description="File whose first line is the refresh token. It is written anew where the endpoint gives another. "
        "None: the client credentials grant.",
    )
    scope: str = Field("", description="OAuth scope to ask for.")
    token_ca_file: Path | None = Field(None, description="PEM file with the authorities to trust for the endpoint.")


class MaildirSettings(Section):
    """One ``[[maildir]]``: delivery into Maildirs."""

    name: str = Field(description="What routes call it.")
    path: str = Field(
        description="Path of the Maildir: {local} (without its tag), {domain}, {address} and {tag} stand for parts of "
        'the address, such as "/var/mail/{domain}/{local}". It is made where it is missing.'
    )


class CommandSettings(Section):
    """One ``[[command]]``: a program that takes a message on standard input."""

    name: str = Field(description="What routes call it.")
    command: tuple[str, ...] = Field(
        min_length=1,
        description="Program and arguments, no shell: {sender}, {recipient}, {local}, {domain}, {tag} and {queue_id} "
        "are filled in. Exit codes as in sysexits(3): 0 done; 65 to 69, 72, 73, 76 and 77 for good; all others later.",
    )
    timeout: Duration = Field(60, gt=0, description="How long it may take before it is ended.")
    concurrency: int = Field(4, ge=1, description="How many may run at once.")


class ScheduleSettings(Section):
    """One ``[[schedule]]``: other times of retry than those of [queue]; what is not given is as there."""

    name: str = Field(description="What routes call it.")
    first_retry: Duration | None = Field(None, gt=0, description="Wait after the first Deferred.")
    retry_factor: float | None = Field(None, ge=1, description="By how much each wait grows.")
    longest_retry: Duration | None = Field(None, gt=0, description="Longest wait between attempts.")
    lifetime: Duration | None = Field(None, gt=0, description="Age at which a message is given up.")
    delay_warning: Duration | None = Field(None, description="Age at which the sender is told of a delay; 0: never.")


class OutboundSettings(Section):
    """``[outbound]``: carrying mail to other servers."""

    hostname: OptionalDomainName = Field("", description="Name given in EHLO; empty: the server's hostname.")
    source_addresses: tuple[str, ...] = Field(
        (),
        description="Local addresses to connect from, one of each family at most. Where there are several of a family, "
        "name them as [[source]].",
    )
    port: int = Field(25, ge=1, le=65535, description="Port of MX hosts.")
    processes: Literal["auto"] | Annotated[int, Field(ge=0, le=16)] = Field(
        "auto",
        description="Processes that carry mail to other servers, beside the one that has the queue. 0: none, that one "
        'does it; "auto": one where there are more cores than other processes. Several share the sites, and the '
        "concurrency.",
    )
    concurrency: int = Field(500, ge=1, description="Connections in total.")
    concurrency_per_site: int = Field(20, ge=1, description="Connections to one site.")
    messages_per_connection: int = Field(100, ge=1, description="Messages after which a connection is closed.")
    idle_timeout: Duration = Field(5, description="How long an unused connection is kept.")
    connect_timeout: Duration = Field(30, gt=0, description="Longest wait for a connection to one address.")
    greeting_timeout: Duration = Field(300, gt=0, description="Longest wait for the greeting (RFC 5321 §4.5.3.2.1).")
    command_timeout: Duration = Field(
        300, gt=0, description="Longest wait for a reply to MAIL or RCPT (RFC 5321 §4.5.3.2.2, §4.5.3.2.3)."
    )
    data_timeout: Duration = Field(120, gt=0, description="Longest wait for the reply to DATA (RFC 5321 §4.5.3.2.4).")
    block_timeout: Duration = Field(
        180, gt=0, description="Longest wait to send a piece of content (RFC 5321 §4.5.3.2.5)."
    )
    final_timeout: Duration = Field(
        600, gt=0, description="Longest wait for the reply to the final dot (RFC 5321 §4.5.3.2.6)."
    )
    max_hosts: int = Field(10, ge=1, description="Addresses tried in one attempt.")
    tls: bool = Field(True, description="Use STARTTLS where it is offered.")
    ipv6: bool = Field(True, description="Use IPv6 where there is a route.")
    allow_loopback: bool = Field(False, description="Deliver to MX hosts on loopback addresses (tests, demos).")
    dane: bool = Field(
        True,
        description="Obey TLSA records of MX hosts (RFC 7672). Needs a validating resolver of your own, reached over a "
        "path that nobody can tamper with: on this machine, best.",
    )
    mta_sts: bool = Field(True, description="Obey MTA-STS policies of recipient domains (RFC 8461).")
    sts_ca_file: Path | None = Field(
        None,
        description="PEM file with the authorities that are trusted for MTA-STS: policy hosts and MX hosts; none: the "
        "system's.",
    )
    adapt: bool = Field(
        True, description="Let concurrency and rates to a site follow its replies, within what the rules allow."
    )


class ReturnsSettings(Section):
    """``[returns]``: mail that comes back: bounces, complaints, and replies to forwarded mail."""

    domain: OptionalDomainName = Field(
        "",
        description="Domain of the return paths that we make (VERP, SRS); its mail must reach this server. Empty: the "
        "domain of the sender for VERP, that of the forwarding address for SRS.",
    )
    verp: bool = Field(
        False,
        description="Send each recipient's copy with a return path of its own, so that a bounce tells who it is about "
        "whatever its form. For mail that accounts submit.",
    )
    srs: bool = Field(
        True, description="Forward mail to the outside with a return path of ours, so that SPF holds (SRS)."
    )
    lifetime: Duration = Field(14 * 86400, gt=0, description="How long our return paths are good for.")
    complaints: tuple[str, ...] = Field(
        (), description="Accounts or aliases to which feedback loops send complaints (ARF, RFC 5965)."
    )


class SuppressionSettings(Section):
    """``[suppression]``: addresses that are not written to again after hard bounces and complaints."""

    enabled: bool = Field(True, description="Whether submitted mail to such addresses is refused.")
    bounce_expiry: Duration = Field(90 * 86400, gt=0, description="How long a hard bounce counts.")
    complaint_expiry: Duration = Field(2 * 365 * 86400, gt=0, description="How long a complaint counts.")
    bounces: int = Field(1, ge=1, description="Hard bounces of one address, for one sending domain, before it stands.")


class TlsrptSettings(Section):
    """``[tlsrpt]``: daily reports to other domains on how TLS with them went (RFC 8460)."""

    enabled: bool = Field(False, description="Whether reports are sent to domains that ask for them.")
    organization: str = Field("", description="Who reports; empty: the hostname.")
    contact: str = Field(
        "", description="Mail address for questions, and From of the reports; empty: postmaster@hostname."
    )
