"""The settings of what the outside sees of us: source addresses, their pools, warm-up, and rules of traffic."""

from datetime import date

from pydantic import Field

from postroom.config.section import Duration, OptionalDomainName, RateText, Section


class SourceSettings(Section):
    """One ``[[source]]``: an address that mail goes out from, with the name that belongs to it."""

    name: str = Field(description="What pools and routes call it.")
    ipv4: str = Field("", description="Local IPv4 address to connect from; empty: no IPv4.")
    ipv6: str = Field("", description="Local IPv6 address to connect from; empty: no IPv6.")
    hostname: OptionalDomainName = Field("", description="Name given in EHLO from here; empty: that of [outbound].")
    warmup: str = Field("", description="The [[warmup]] plan by which it is warmed up; empty: it is warm.")
    since: date | None = Field(None, description="First day of its warm-up, such as 2026-11-26.")


class PoolSettings(Section):
    """One ``[[pool]]``: source addresses among which mail is spread."""

    name: str = Field(description="What routes call it.")
    sources: tuple[str, ...] = Field(min_length=1, description="Names of the [[source]] addresses.")
    weights: tuple[int, ...] = Field((), description="Shares of the mail, in the same order; empty: equal.")


class WarmupSettings(Section):
    """One ``[[warmup]]``: how much a new source address may send to one provider on each day."""

    name: str = Field(description="What sources call it.")
    daily: tuple[int, ...] = Field(
        min_length=1,
        description="Messages to one provider on the first day, the second, and so on; after the last day it is warm. "
        "What is beyond goes out from warm addresses of the pool, or waits.",
    )


class ShapingSettings(Section):
    """One ``[[shaping]]``: a rule of traffic to the sites that match; one of a built-in name changes that one."""

    name: str = Field(description="What it is called, such as google or my-partner.")
    mx: tuple[str, ...] = Field((), description='Patterns of MX host names, such as "*.google.com".')
    domains: tuple[str, ...] = Field((), description="Recipient domains, where the MX does not tell.")
    concurrency: int | None = Field(None, ge=1, description="Connections at once, from each source address.")
    connection_rate: RateText | None = Field(None, description='New connections, such as "10/1s", likewise.')
    message_rates: tuple[RateText, ...] | None = Field(None, description='Messages, such as ["600/1m", "10000/1h"].')
    messages_per_connection: int | None = Field(None, ge=1, description="Messages after which a connection is closed.")
    recipients_per_message: int | None = Field(None, ge=1, description="Recipients of one transaction.")
    idle_timeout: Duration | None = Field(None, description="How long an unused connection is kept.")
    backoff: Duration | None = Field(None, gt=0, description="First pause after the site has blocked us.")
    longest_backoff: Duration | None = Field(None, gt=0, description="Longest such pause.")
    adapt: bool | None = Field(None, description="Whether limits follow the site's replies.")
