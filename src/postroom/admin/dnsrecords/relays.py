"""Which SPF mechanism stands for a smarthost: what large providers ask their customers to include."""

from fnmatch import fnmatchcase
from ipaddress import ip_address

INCLUDES = (
    ("smtp*.gmail.com", "_spf.google.com"),
    ("smtp.office365.com", "spf.protection.outlook.com"),
    ("*.mail.protection.outlook.com", "spf.protection.outlook.com"),
    ("email-smtp.*.amazonaws.com", "amazonses.com"),
    ("smtp.sendgrid.net", "sendgrid.net"),
    ("smtp*.mailgun.org", "mailgun.org"),
    ("smtp*.postmarkapp.com", "spf.mtasv.net"),
    ("*.mailjet.com", "spf.mailjet.com"),
    ("smtp-relay.brevo.com", "spf.brevo.com"),
    ("smtp.fastmail.com", "spf.messagingengine.com"),
    ("smtp.mandrillapp.com", "spf.mandrillapp.com"),
    ("*.smtp2go.com", "spf.smtp2go.com"),
)
"""Patterns of host names, and the domain to include."""


def include_of(relay: str) -> str:
    """The domain whose record covers what leaves by a relay; ``""``: not known."""
    return next((included for pattern, included in INCLUDES if fnmatchcase(relay.lower(), pattern)), "")


def mechanism_of(relay: str) -> str:
    """The mechanism for a relay: what its provider asks for, else its own addresses (RFC 7208 §5)."""
    included = include_of(relay)
    if included:
        return f"include:{included}"
    try:
        address = ip_address(relay.strip("[]").removeprefix("IPv6:"))
    except ValueError:
        return f"a:{relay}"
    return f"ip{address.version}:{address}"
