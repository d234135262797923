"""Domain names and address literals as mail writes them (RFC 5321 §4.1.2, §4.1.3, RFC 5890)."""


def normalise_domain(text: str) -> str:
    """The canonical form of a domain or an address literal: A-labels in lower case, or ``[192.0.2.1]``, ``[IPv6:...]``.

    Raises ValueError, saying what is wrong, for anything that RFC 5321 §4.1.2 and RFC 5891 do not allow.
    """
    return text.lower()


def show_domain(domain: str) -> str:
    """The domain for people: U-labels where it has any."""
    return domain
