"""The settings of checking incoming mail: who is checked, by which methods, and what follows from the results."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from postroom.config.section import Duration, Network, OptionalDomainName, Section
from postroom.mail.domain import normalise_domain

_LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_MAILBOX = re.compile(r"[^\s@]+(@[^\s@]+)?")

Act = Literal["tag", "quarantine", "refuse"]
"""What is done with a message that fails: it is taken and the result written into it, put aside, or refused."""


def _domain_pattern(text: str) -> str:
    dot = "." if text.startswith(".") else ""
    return dot + normalise_domain(text.removeprefix("."))


DomainPattern = Annotated[str, AfterValidator(_domain_pattern)]
"""A domain; with a dot before it all below."""


def read_forwarder(text: str) -> Network | str:
    """The network or host name that an entry of ``trusted_forwarders`` means. ValueError if it is neither."""
    if re.fullmatch(r"[0-9./]+|[0-9a-fA-F:./]*:[0-9a-fA-F:./]*", text):
        return ip_network(text)
    return _domain_pattern(text)


def _forwarder(text: str) -> str:
    return str(read_forwarder(text))


def _exempt(text: str) -> str:
    if not _MAILBOX.fullmatch(text):
        raise ValueError('write a local part such as "postmaster", or a whole address')
    return text.lower()


class AuthorOverrideSettings(Section):
    """One ``[[mailauth.override]]``: authors whose mail is known to fail, or to which other rules apply."""

    domains: tuple[DomainPattern, ...] = Field(
        min_length=1, description='Domains in From; ".example.org" matches all below.'
    )
    at_most: Literal["tag", "quarantine"] = Field(
        "tag", description="What is done at most with their mail when it fails SPF or DMARC."
    )


class MailauthSettings(Section):
    """``[mailauth]``: whether incoming mail comes from where it says (SPF, DKIM, DMARC, ARC), and what follows.

    Clients that logged in, or that ``smtp.trusted_networks`` lets relay, are not checked.
    """

    roles: tuple[Literal["mx", "lmtp"], ...] = Field(
        ("mx",),
        description="Listeners whose mail is checked; empty for none. On lmtp the client is a mail system of ours: SPF "
        "is asked only where it says by XCLIENT whom it speaks for, and without SPF nothing is refused.",
    )
    exempt_networks: tuple[Network, ...] = Field(
        _LOOPBACK, description="Clients whose mail is taken unchecked, besides smtp.trusted_networks."
    )
    authserv_id: OptionalDomainName = Field(
        "",
        description="The name in our Authentication-Results fields; empty: the hostname. Fields of others that bear it "
        "are taken out on the way in. The same on all hosts of a site.",
    )
    spf: bool = Field(True, description="Whether SPF is checked.")
    dkim: bool = Field(True, description="Whether DKIM signatures and the ARC chain are checked.")
    dmarc: bool = Field(True, description="Whether DMARC is evaluated; needs spf and dkim.")
    timeout: Duration = Field(
        30,
        gt=0,
        le=300,
        description="Longest that a message waits for the DNS at the end of its content; what is not known by then "
        "counts as temperror.",
    )
    on_spf_fail: Act = Field(
        "tag",
        description="SPF fails and DMARC does not pass: forwarded mail fails SPF too, so refuse only if you know that "
        "nobody forwards to you.",
    )
    on_dmarc_reject: Act = Field("refuse", description="DMARC fails and the author's domain asks for p=reject.")
    on_dmarc_quarantine: Act = Field(
        "quarantine", description="DMARC fails and the author's domain asks for p=quarantine."
    )
    on_temperror: Literal["tag", "defer"] = Field(
        "tag",
        description="The DNS could not be asked, so that DMARC comes to no result: tag takes the message, defer "
        "answers 451 until the DNS works again.",
    )
    on_several_authors: Act = Field(
        "refuse",
        description="More than one From field, one that only some programs would see, or one with more authors than "
        "are looked at (four domains): no honest message has them, and DMARC cannot be evaluated (RFC 9989 §11.5).",
    )
    on_list: Act = Field(
        "refuse",
        description="At most this is done with mail that fails DMARC and comes from a mailing list which itself passes "
        "(its List-Id is of a domain that SPF or DKIM vouches for). refuse: no exception is made. A forger can pass "
        "for a list.",
    )
    quarantine: Literal["tag", "hold"] = Field(
        "tag",
        description="How mail is put aside. tag: delivered with an X-Postroom-Quarantine field for filters, and with "
        'the tag "quarantine" for [[route]]. hold: kept in the queue, for recipients here too, until an operator '
        "releases it (postroom queue release).",
    )
    trusted_sealers: tuple[DomainPattern, ...] = Field(
        (),
        description='Domains (d=) whose ARC seals are believed; ".example.org" matches all below. Mail that fails '
        "DMARC here, and passed there, is not refused or put aside.",
    )
    trusted_forwarders: tuple[Annotated[str, AfterValidator(_forwarder)], ...] = Field(
        (),
        description="Networks and host names that forward to us; for their mail failures of SPF and DMARC are expected "
        'and change nothing. ".example.org" matches all hosts below. A name counts where SPF passes for HELO, or '
        "where the address points to it and it back.",
    )
    exempt_recipients: tuple[Annotated[str, AfterValidator(_exempt)], ...] = Field(
        ("postmaster", "abuse"),
        description="Local parts or addresses that get failing mail all the same: those who are to be told that "
        "something fails (RFC 5321 §4.5.1, RFC 2142). It is refused if others are among its recipients.",
    )
    override: tuple[AuthorOverrideSettings, ...] = Field(
        (), description="Authors whose mail is known to fail; the first that matches counts."
    )
