"""What a client's address counts as where clients are counted."""

from ipaddress import IPv6Address


def network_of(address: str) -> str:
    """What an address counts as: itself for IPv4; its /64 for IPv6, which is what one customer has."""
    if ":" not in address:
        return address
    try:
        packed = IPv6Address(address.partition("%")[0]).packed
    except ValueError:
        return address
    return f"{IPv6Address(packed[:8] + bytes(8))}/64"
