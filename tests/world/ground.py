"""A world that stands: certificates, zones, a validating resolver, all hosts; gone when the block ends."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import free_port
from tests.system.sideprogram import SideProgram
from tests.world import atlas, resolver
from tests.world.model import World
from tests.world.papers import Papers
from tests.world.record import Connection, Record, Transaction
from tests.world.resolver import Unbound
from tests.world.zones import zone_files

DNS_PORT = 53
"""As resolv.conf knows no other."""


def why_not() -> str:
    """What is missing to make a world; ``""`` if nothing is."""
    if resolver.program() is None:
        return "not installed: unbound"
    return "" if os.geteuid() == 0 else "only root can have the ports 53 and 443"


@dataclass
class Ground:
    """``world`` is the map, ``papers`` its certificates, ``unbound`` its resolver."""

    world: World
    papers: Papers
    unbound: Unbound
    _hosts: SideProgram
    _record: Path

    @property
    def dns(self) -> str:
        """The resolver, as the settings write it."""
        return f"{self.unbound.address}:{self.unbound.port}"

    def settings(self) -> dict[str, Any]:
        """What a server of ours needs to live here."""
        return {
            "dns": {"servers": [self.dns], "timeout": 5},
            "outbound": {
                "processes": "auto",
                "port": self.world.port,
                "allow_loopback": True,
                "connect_timeout": 1.5,
                "sts_ca_file": str(self.papers.authority),
            },
            "shaping": atlas.shaping(self.world),
        }

    def end(self) -> tuple[Record, dict[str, int]]:
        """Close all hosts; what they wrote down, and how often each policy was fetched."""
        self._hosts.finish()
        told = json.loads(self._record.read_text())
        connections = [Connection(**fields) for fields in told["connections"]]
        return Record(connections, [Transaction(**fields) for fields in told["transactions"]]), told["policies"]


@contextmanager
def standing(folder: Path, messages: int = 1000) -> Iterator[Ground]:
    """A world for so many messages, at addresses of loopback that nobody else uses."""
    network = f"127.{16 + secrets.randbelow(200)}.{secrets.randbelow(256)}"
    world = atlas.world(network, free_port(), messages)
    papers = Papers(folder / "papers", world)
    zones, anchor = zone_files(world, {host.name: papers.tlsa(host) for host in world.hosts.values()})
    unbound = Unbound(folder / "unbound", world.resolver_address, DNS_PORT, zones=zones, anchor=anchor)
    try:
        record = folder / "record.json"
        plan = {"network": network, "port": world.port, "messages": messages}
        plan |= {"papers": str(papers.folder), "record": str(record)}
        with SideProgram("tests.world.inhabited", plan) as hosts:
            assert hosts.hear() == {"ready": True}
            yield Ground(world, papers, unbound, hosts, record)
    finally:
        unbound.stop()
