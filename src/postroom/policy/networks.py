"""What an address counts as, and whether it is in networks that the settings name; both remember for a while."""

from functools import lru_cache

from postroom.directory import networks as counted
from postroom.net.networks import member_of

__all__ = ["member_of", "network_of"]

_KEPT = 4096

network_of = lru_cache(maxsize=_KEPT)(counted.network_of)
"""What an address counts as: itself for IPv4; its /64 for IPv6, which is what one customer has."""
