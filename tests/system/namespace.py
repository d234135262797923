"""A network namespace with many addresses, joined to this machine by a cable of its own; needs root and `ip`."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.system.program import wait_until


@dataclass(frozen=True, slots=True)
class Namespace:
    """``prefix`` runs a command in it; it has ``addresses``, and reaches this machine at ``host``."""

    prefix: tuple[str, ...]
    addresses: tuple[str, ...]
    host: str


def why_not() -> str:
    """What is missing to make one; ``""`` if nothing is."""
    if shutil.which("ip") is None:
        return "not installed: ip"
    if os.geteuid() != 0:
        return "only root can make a network namespace"
    name = _name()
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode == 0:
        _ip("netns", "delete", name)
    return f"no network namespaces here: {made.stderr.strip()}" if made.returncode else ""


@contextmanager
def namespace(count: int) -> Iterator[Namespace]:
    """A namespace with ``count`` addresses, at most 250; it is gone afterwards, whatever happens."""
    name = _name()
    near, far = f"{name}a", f"{name}b"
    network = _free_network()
    addresses = tuple(f"{network}.{number}" for number in range(1, count + 1))
    host = f"{network}.254"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        _ip("address", "add", f"{host}/24", "dev", near)
        _ip("link", "set", near, "up")
        lines = [f"address add {address}/24 dev {far}" for address in addresses]
        _ip("-n", name, "-batch", "-", typed="\n".join([*lines, f"link set {far} up", ""]))
        wait_until(lambda: " state UP " in _ip("-o", "link", "show", near), "the cable is plugged in")
        yield Namespace(("ip", "netns", "exec", name), addresses, host)
    finally:
        # With the namespace goes its end of the cable, and with that end the other; be sure of it all the same.
        subprocess.run(["ip", "link", "delete", near], capture_output=True, check=False)
        _ip("netns", "delete", name)


def _name() -> str:
    """Unique, and short enough to name an interface by."""
    return f"pr{secrets.token_hex(5)}"


def _free_network() -> str:
    """A /24 of the network for tests of devices (RFC 2544, 198.18.0.0/15) that nobody here uses."""
    taken = _ip("-o", "-4", "address", "show")
    for _ in range(100):
        network = f"198.{18 + secrets.randbelow(2)}.{secrets.randbelow(256)}"
        if f" {network}." not in taken:
            return network
    raise AssertionError("every network is taken")


def _ip(*words: str, typed: str = "") -> str:
    done = subprocess.run(["ip", *words], input=typed, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout
