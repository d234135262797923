"""Whether an address is in networks that the settings name; addresses that were asked for lately are remembered."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address

from postroom.config.section import Network

_KEPT = 4096


def member_of(networks: Sequence[Network]) -> Callable[[str], bool]:
    """A test for textual addresses. What is no address (a path, a name) is in no network."""
    wanted = tuple(networks)

    @lru_cache(maxsize=_KEPT)
    def is_member(address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in wanted)

    return is_member if wanted else _nobody


def _nobody(_: str) -> bool:
    return False
