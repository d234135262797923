"""The settings for what guards the door: rate limits, lockout, floods, alerts."""

from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from pydantic import Field, SecretStr

from postroom.config.section import Duration, Network, RateText, Section, read_rate

_LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


def _rates(*texts: str) -> tuple[RateText, ...]:
    return tuple([read_rate(text) for text in texts])


class LimitSettings(Section):
    """``[limits]``: how much may come in. Each list is layered: all of its rates hold at once; empty for no limit."""

    account_messages: tuple[RateText, ...] = Field(
        _rates("60/1m", "1000/1h", "5000/1d"), description="Messages that one account may submit."
    )
    account_recipients: tuple[RateText, ...] = Field(
        _rates("500/1m", "5000/1h", "20000/1d"), description="Recipients that one account may send to."
    )
    sender_domain_messages: tuple[RateText, ...] = Field(
        (), description="Messages that all accounts of one domain of ours may submit."
    )
    address_messages: tuple[RateText, ...] = Field(
        _rates("600/1m", "10000/1h"), description="Messages that one client address (a /64 for IPv6) may bring to mx."
    )
    address_recipients: tuple[RateText, ...] = Field(
        _rates("3000/1m"), description="Recipients that one client address may name on mx."
    )
    destination_messages: tuple[RateText, ...] = Field(
        (), description="Messages to one domain elsewhere that all accounts together may submit."
    )
    exempt_networks: tuple[Network, ...] = Field(
        _LOOPBACK, description="Clients whose address is not limited; accounts are limited wherever they are."
    )
    warn_at: float = Field(
        0.8, gt=0, le=1, description="Share of a limit at which the account's owner and the operator are told."
    )
    tell_owner: bool = Field(True, description="Whether the owner gets a message at warn_at and at the limit.")


class LockoutSettings(Section):
    """``[lockout]``: failed logins and abuse bring growing delays, then a ban that ends by itself."""

    delay: Duration = Field(
        0.5, description="Delay of the answer to the second failed login; doubled at each further one."
    )
    longest_delay: Duration = Field(10, description="Where the doubling ends.")
    address_failures: int = Field(
        10, ge=0, description="Failed logins of one address (a /64 for IPv6) within the window that ban it; 0: never."
    )
    account_failures: int = Field(
        20,
        ge=0,
        description="Failed logins for one account within the window, after which it is locked for addresses that "
        "have not logged in to it before; 0: never.",
    )
    abuse: int = Field(
        50,
        ge=0,
        description="Points of abuse within the window that ban an address: a pregreet, an ended command flood or "
        "garbage 10, an unknown recipient 1; 0: never.",
    )
    window: Duration = Field(900, gt=0, description="Failures fade over this time.")
    ban: Duration = Field(900, gt=0, description="Length of a first ban; each next one within a day is twice as long.")
    longest_ban: Duration = Field(86400, gt=0, description="Where the doubling ends.")
    exempt_networks: tuple[Network, ...] = Field((), description="Addresses that are never banned nor delayed.")


class FloodSettings(Section):
    """``[flood]``: bounds on connections and commands."""

    connection_rate: tuple[RateText, ...] = Field(
        _rates("120/1m"), description="Connections of one client address (a /64 for IPv6); beyond, it gets 421."
    )
    exempt_networks: tuple[Network, ...] = Field(
        _LOOPBACK, description="Clients to whom connection_rate does not apply."
    )
    pregreet: bool = Field(True, description="Refuse clients that talk before the greeting (RFC 5321 §4.3.1).")
    greet_delay: Duration = Field(
        0,
        le=30,
        description="How long the greeting of mx waits for early talkers, for addresses that have not passed lately.",
    )
    max_idle_commands: int = Field(
        100, ge=10, description="Commands that bring no mail forward (NOOP, RSET, VRFY, EHLO …) between two messages."
    )
    tarpit: Duration = Field(
        1, le=60, description="Delay of the answer to each refused command beyond the first three; 0 for none."
    )
    min_content_rate: int = Field(
        50, ge=0, description="Octets a second that content must come in with, over each minute; 0 for no bound."
    )
    max_session: Duration = Field(0, description="Longest session whose client has not logged in; 0 for no bound.")


class AlertSettings(Section):
    """One ``[[alert]]``: a webhook or a command that is told when something happens often enough."""

    on: tuple[
        Literal[
            "login_failed",
            "lockout",
            "limit",
            "session_refused",
            "store_trouble",
            "listener_paused",
            "certificate",
            "dkim",
            "dns",
            "dns_mended",
            "internal_error",
        ],
        ...,
    ] = Field(description="What counts; each word by itself.")
    threshold: RateText = Field(_rates("1/1m")[0], description='How often within which time, such as "20/5m".')
    webhook: str = Field("", description="URL that gets a JSON object by POST.")
    secret: SecretStr = Field(
        SecretStr(""), description="Signs the body: header Postroom-Signature, HMAC-SHA256 in hex."
    )
    command: tuple[str, ...] = Field(
        (),
        description="Program (its whole path) and arguments, run without a shell; the JSON comes on its input.",
    )
    pause: Duration = Field(900, description="How long the same word stays silent after an alert.")
    timeout: Duration = Field(10, gt=0, description="Longest time that a webhook or a command may take.")
