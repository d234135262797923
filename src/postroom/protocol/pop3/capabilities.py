"""What a POP3 server offers: its options, and what CAPA tells of them (RFC 2449 §5, §6)."""

from postroom.mail.value import value


@value(frozen=True, slots=True)
class Pop3Options:
    """What this side announces and enforces."""

    implementation: str = "Postroom"
    stls: bool = True
    """There is a certificate: STLS is offered, where TLS is not up already."""
    auth_mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    """What AUTH knows, until ``Pop3Server.offer_mechanisms`` says otherwise for a session."""
    auth_without_tls: bool = False
    """USER, PASS and AUTH are accepted in the clear (RFC 5034 §4 wants this off)."""
    max_errors: int = 20
    """Commands out of order or malformed, after which the session is over."""
    max_logins: int = 5
    """Refused logins, after which the session is over."""


def capabilities(
    options: Pop3Options, mechanisms: tuple[str, ...], *, tls: bool, logged_in: bool, utf8: bool
) -> list[str]:
    """The lines of CAPA; ``mechanisms`` are those that this session may use."""
    lines = ["TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "EXPIRE NEVER"]  # RFC 2449 §6, RFC 3206 §6
    lines += ["UTF8 USER", "LANG"]  # RFC 6856 §2, §3
    if options.stls and not tls and not logged_in and not utf8:  # RFC 2595 §4: where it is permitted now
        lines.append("STLS")
    if tls or options.auth_without_tls:
        lines.append("USER")
        if mechanisms:
            lines.append("SASL " + " ".join(mechanisms))  # RFC 5034 §3: after login too
    lines.append(f"IMPLEMENTATION {options.implementation}")
    return lines
