"""The settings: frozen, every field described, given to the rooms by section (DESIGN §2).

The descriptions are the settings reference: ``docs/settings.md`` is generated from them.
Durations are seconds (written as a number, or as text such as ``"4h"``), sizes octets (a number, or ``"50MiB"``).
What guards the door stands in ``guard``, who may log in and how in ``identity``, certificates in ``certificates``,
where mail goes in ``road``, what the outside sees of us in ``sending``, what our mail is signed with in ``trust``, how
incoming mail is checked in ``mailauth``, what the DNS says of us in ``publishing``.
"""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from postroom.config.certificates import AcmeSettings, TlsSettings
from postroom.config.dmarcreports import DmarcReportSettings
from postroom.config.guard import AlertSettings, FloodSettings, LimitSettings, LockoutSettings
from postroom.config.identity import AuthSettings, LdapSettings, OauthSettings
from postroom.config.mailauth import MailauthSettings
from postroom.config.pages import AutoconfigSettings, HttpsSettings
from postroom.config.publishing import PublishSettings, ZoneSettings
from postroom.config.replysettings import ReplyRuleSettings
from postroom.config.reports import ReportsSettings
from postroom.config.road import (
    CommandSettings,
    MaildirSettings,
    OutboundSettings,
    ReturnsSettings,
    RouteSettings,
    ScheduleSettings,
    SmarthostSettings,
    SuppressionSettings,
    TlsrptSettings,
)
from postroom.config.section import DomainName, Duration, Network, Section, Size
from postroom.config.sending import PoolSettings, ShapingSettings, SourceSettings, WarmupSettings
from postroom.config.trust import DkimSettings
from postroom.mail.dsntexts.choosing import LANGUAGES, look_up
from postroom.mail.session import Role


class ListenerSettings(Section):
    """One ``[[listener]]``: where a role is offered."""

    role: Role = Field(description="mx, submission, submissions, lmtp, pop3 or pop3s.")
    addresses: tuple[str, ...] = Field(("127.0.0.1", "::1"), description="Addresses to listen on.")
    port: int = Field(ge=0, le=65535, description="Port to listen on; 0 lets the system choose.")
    proxy_networks: tuple[Network, ...] = Field(
        (),
        description="Load balancers that begin each connection with a PROXY header, version 1 or 2. From them it is "
        "required, from others it is not understood.",
    )


class SmtpSettings(Section):
    """``[smtp]``: what the SMTP listeners accept."""

    max_size: Size = Field(50 << 20, ge=65536, description="Largest message, in octets (announced by SIZE).")
    max_recipients: int = Field(
        1000, ge=100, description="Recipients of one message (RFC 5321 §4.5.3.1.8 asks for 100 at least)."
    )
    max_line: int = Field(8192, ge=998, description="Longest line of content, in octets without CRLF.")
    max_hops: int = Field(50, ge=10, description="Received fields after which a message is looping (RFC 5321 §6.3).")
    max_errors: int = Field(20, ge=1, description="Refused commands after which a session is ended.")
    normalise_newlines: bool = Field(
        False, description="Turn bare CR or LF in content into CRLF instead of refusing the message."
    )
    xclient_networks: tuple[Network, ...] = Field(
        (), description="Proxies and filters that may say whom they speak for, by XCLIENT."
    )
    trusted_networks: tuple[Network, ...] = Field((), description="Clients that may relay on the mx port without AUTH.")
    command_timeout: Duration = Field(300, description="Longest wait for a command (RFC 5321 §4.5.3.2.7: 5 minutes).")
    content_timeout: Duration = Field(
        180, description="Longest wait for a piece of content (RFC 5321 §4.5.3.2.5: 3 minutes)."
    )
    max_transactions: int = Field(
        0, ge=0, description="Messages in one session before it is ended with 421; 0 for no limit. Announced by LIMITS."
    )
    max_hold: Duration = Field(
        30 * 86400,
        description="Longest time that a submitter may ask to wait before release (FUTURERELEASE); 0 for off.",
    )
    min_deliver_by: Duration = Field(
        0, description="Shortest time that DELIVERBY with mode R may ask for (announced); 0 for any."
    )
    fix_sender: Literal["off", "sender", "refuse"] = Field(
        "sender",
        description="A submitted message whose From is not the account's: off leaves it, sender adds a Sender field "
        "with the account's address (RFC 6409 §8.1), refuse answers 550.",
    )


class ConnectionSettings(Section):
    """``[connections]``: ceilings on what clients may hold open, over all listeners."""

    total: int = Field(10000, ge=1, description="Open sessions in total.")
    per_address: int = Field(100, ge=1, description="Open sessions of one client address (of one /64 for IPv6).")
    unlimited_networks: tuple[Network, ...] = Field(
        (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")),
        description="Clients to whom the ceiling per address does not apply.",
    )
    tls_timeout: Duration = Field(30, description="Longest TLS handshake.")
    drain_timeout: Duration = Field(30, description="How long open sessions may go on after SIGTERM.")


class Pop3Settings(Section):
    """``[pop3]``: collection."""

    idle_timeout: Duration = Field(
        600, ge=10, description="Idle time after which a session ends without deleting (RFC 1939 §3: 10 minutes)."
    )
    max_errors: int = Field(20, ge=1, description="Refused commands after which a session is ended.")


class DeliverySettings(Section):
    """``[delivery]``: how addresses of ours are understood."""

    plus_separator: str = Field("+", max_length=1, description="user+tag@domain reaches user@domain; empty for off.")
    postmaster: str = Field("", description="Who receives postmaster mail of a domain that has no postmaster itself.")
    default_quota: Size = Field(1 << 30, description="Quota of new accounts, in octets; 0 for none.")
    max_alias_depth: int = Field(10, ge=1, le=50, description="How deep aliases may name aliases.")
    max_alias_targets: int = Field(1000, ge=1, description="How many recipients one address may expand to.")


def _spoken(tag: str) -> str:
    if look_up(tag) is None:
        raise ValueError(f"no such language here; there are {', '.join(sorted(LANGUAGES))}")
    return tag


class QueueSettings(Section):
    """``[queue]``: retries and bounces."""

    first_retry: Duration = Field(300, gt=0, description="Wait after the first Deferred.")
    retry_factor: float = Field(2.0, ge=1, description="By how much each wait grows.")
    longest_retry: Duration = Field(4 * 3600, gt=0, description="Longest wait between attempts.")
    retry_jitter: float = Field(0.15, ge=0, lt=1, description="Random part of each wait, as a share of it.")
    lifetime: Duration = Field(
        5 * 86400, gt=0, description="Age at which a message is given up (RFC 5321 §4.5.4.1: 4 to 5 days)."
    )
    dsn_lifetime: Duration = Field(86400, gt=0, description="Age at which a DSN of ours is given up.")
    delay_warning: Duration = Field(4 * 3600, description="Age at which the sender is told of a delay; 0 for never.")
    dsn_language: Annotated[str, AfterValidator(_spoken)] = Field(
        "en",
        description="Language of reports to senders whose messages ask for none (Accept-Language, Content-Language).",
    )
    tell_postmaster: bool = Field(
        False,
        description="Tell the postmaster of bounces that cannot be delivered either (RFC 3461 §5.2). Forged senders "
        "can make many of them.",
    )
    lease: Duration = Field(900, ge=60, description="How long a node may hold a recipient without renewing.")
    poll: Duration = Field(
        1.0, gt=0, description="How often the store is asked for mail that others queued or released."
    )
    ready: int = Field(10000, ge=1, description="Recipients held ready in memory, over all sites.")
    ready_per_site: int = Field(2000, ge=1, description="Recipients held ready in memory for one site.")
    ready_octets: Size = Field(
        64 << 20, description="Content of fresh messages kept in memory until its first attempt."
    )
    history: Duration = Field(30 * 86400, description="How long history is kept.")
    apart: Literal["auto"] | bool = Field(
        "auto",
        description="Whether the queue, with all that writes to the store, has a process of its own beside the one "
        'with the doors: true, false, or "auto", where there are two cores or more.',
    )


class DnsSettings(Section):
    """``[dns]``: the resolver."""

    servers: tuple[str, ...] = Field(
        (), description='Resolvers as "address" or "address:port" ("[v6]:port"); empty: the system\'s.'
    )
    timeout: Duration = Field(10, gt=0, description="Longest wait for one answer, over all tries.")
    cache: int = Field(10000, ge=0, description="Answers kept in memory.")
    watch: Duration = Field(
        3600,
        description="How often the records of our domains are compared with what should be published; 0: never.",
    )


class WebSettings(Section):
    """``[web]``: metrics, health, and the API for programs."""

    enabled: bool = Field(True, description="Whether the web port is open.")
    address: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8025, ge=0, le=65535, description="Port to listen on; 0 lets the system choose.")
    token_file: Path | None = Field(
        None,
        description="File whose first line is the token that programs bring to use the API; none: no API.",
    )


class LogSettings(Section):
    """``[log]``: what is told, and where to."""

    format: Literal["auto", "json", "console"] = Field("auto", description="auto: console on a terminal, else json.")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is shown.")


class StoreSettings(Section):
    """``[store]``: the embedded database."""

    file: Path = Field(Path("postroom.db"), description="Database file. Relative to the data folder.")
    max_batch: int = Field(500, ge=1, description="Most writes in one commit.")
    reserve: Size = Field(32 << 20, description="Free octets on the disk below which no new mail is accepted (452).")


class Settings(Section):
    """The whole file."""

    hostname: DomainName = Field(description="This host's full name: greeting, Received fields, DSNs.")
    data: Path = Field(Path("data"), description="Data folder. Relative to the settings file.")
    node: str = Field("", description="Name of this node; empty: the hostname.")
    user: str = Field(
        "", description="User to become after binding ports as root; empty: postroom if it exists, else none."
    )
    loop: Literal["uvloop", "asyncio"] = Field("uvloop", description="Event loop.")
    listener: tuple[ListenerSettings, ...] = Field((), description="Listeners; empty: the standard roles and ports.")
    tls: TlsSettings = Field(default_factory=TlsSettings)
    acme: AcmeSettings = Field(default_factory=AcmeSettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
    ldap: LdapSettings = Field(default_factory=LdapSettings)
    oauth: OauthSettings = Field(default_factory=OauthSettings)
    smtp: SmtpSettings = Field(default_factory=SmtpSettings)
    connections: ConnectionSettings = Field(default_factory=ConnectionSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    lockout: LockoutSettings = Field(default_factory=LockoutSettings)
    flood: FloodSettings = Field(default_factory=FloodSettings)
    alert: tuple[AlertSettings, ...] = Field((), description="Whom to alert, and when.")
    pop3: Pop3Settings = Field(default_factory=Pop3Settings)
    delivery: DeliverySettings = Field(default_factory=DeliverySettings)
    queue: QueueSettings = Field(default_factory=QueueSettings)
    outbound: OutboundSettings = Field(default_factory=OutboundSettings)
    route: tuple[RouteSettings, ...] = Field((), description="Rules of routing, the first that matches is taken.")
    smarthost: tuple[SmarthostSettings, ...] = Field((), description="Servers that relay for us.")
    maildir: tuple[MaildirSettings, ...] = Field((), description="Maildirs that routes deliver to.")
    command: tuple[CommandSettings, ...] = Field((), description="Commands that routes hand mail to.")
    source: tuple[SourceSettings, ...] = Field((), description="Addresses that mail goes out from.")
    pool: tuple[PoolSettings, ...] = Field((), description="Source addresses that routes choose among.")
    warmup: tuple[WarmupSettings, ...] = Field((), description="Plans by which new source addresses are warmed up.")
    shaping: tuple[ShapingSettings, ...] = Field((), description="Rules of traffic to sites, before the built-in ones.")
    reply: tuple[ReplyRuleSettings, ...] = Field(
        (), description="What replies of other servers mean, before the built-in rules."
    )
    schedule: tuple[ScheduleSettings, ...] = Field((), description="Schedules of retries that routes name.")
    returns: ReturnsSettings = Field(default_factory=ReturnsSettings)
    suppression: SuppressionSettings = Field(default_factory=SuppressionSettings)
    tlsrpt: TlsrptSettings = Field(default_factory=TlsrptSettings)
    dkim: DkimSettings = Field(default_factory=DkimSettings)
    mailauth: MailauthSettings = Field(default_factory=MailauthSettings)
    reports: ReportsSettings = Field(default_factory=ReportsSettings)
    dmarc_reports: DmarcReportSettings = Field(default_factory=DmarcReportSettings)
    dns: DnsSettings = Field(default_factory=DnsSettings)
    publish: PublishSettings = Field(default_factory=PublishSettings)
    zone: tuple[ZoneSettings, ...] = Field((), description="Zones that this server may change by itself.")
    web: WebSettings = Field(default_factory=WebSettings)
    https: HttpsSettings = Field(default_factory=HttpsSettings)
    autoconfig: AutoconfigSettings = Field(default_factory=AutoconfigSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)


STANDARD_PORTS = {Role.MX: 25, Role.SUBMISSION: 587, Role.SUBMISSIONS: 465, Role.POP3: 110, Role.POP3S: 995}
UNPRIVILEGED_PORTS = {role: port + 2000 for role, port in STANDARD_PORTS.items()}
