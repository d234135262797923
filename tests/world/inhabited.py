"""All hosts of a world as one process: ``python -m tests.world.inhabited``, a side program (tests/system/sideprogram).

Its plan: ``network``, ``port`` and ``messages`` as for ``atlas.world``, ``papers`` (a folder), ``record`` (a new file).
"""

import asyncio
import json
import socket
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.system.sideprogram import run, say
from tests.world import atlas
from tests.world.model import Host, Reach, World
from tests.world.papers import SHOWN
from tests.world.policies import PolicyHost
from tests.world.reception import LONGEST_CONTENT, Reception
from tests.world.record import Record

_BACKLOG = 1000


def context_of(path: Path) -> ssl.SSLContext:
    """A server's context with the certificate and key in one file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def _open(world: World, host: Host, reception: Reception, stack: AsyncExitStack) -> None:
    if host.reach is Reach.REFUSED:
        return
    address = world.address(host)
    if host.reach is Reach.SILENT:
        await _fall_silent(address, world.port, stack)
        return

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reception.serve(host, reader, writer)

    server = await asyncio.start_server(serve, address, world.port, backlog=_BACKLOG, limit=LONGEST_CONTENT)
    stack.callback(server.close)


async def _fall_silent(address: str, port: int, stack: AsyncExitStack) -> None:
    """A socket that nobody accepts from, with a full queue: the kernel drops what else comes, as a black hole does."""
    deaf = stack.enter_context(socket.socket(socket.AF_INET))
    deaf.bind((address, port))
    deaf.listen(0)
    for _ in range(3):
        caller = stack.enter_context(socket.socket(socket.AF_INET))
        caller.setblocking(False)
        caller.connect_ex((address, port))


async def _job(plan: Mapping[str, Any], stop: asyncio.Event) -> Mapping[str, Any]:
    world = atlas.world(plan["network"], plan["port"], plan["messages"])
    papers = Path(plan["papers"])
    shown = [host for host in world.hosts.values() if host.tls in SHOWN]
    contexts = {host.name: context_of(papers / f"{host.name}.pem") for host in shown}
    record = Record()
    async with AsyncExitStack() as stack:
        for site in world.sites.values():
            reception = Reception(site, record, contexts)
            stack.push_async_callback(reception.close)
            for host in site.hosts:
                await _open(world, host, reception, stack)
        policies = PolicyHost(world, context_of(papers / "policies.pem"), context_of(papers / "strange.pem"))
        stack.callback((await policies.start()).close)
        say(ready=True)
        await stop.wait()
    Path(plan["record"]).write_text(json.dumps({**asdict(record), "policies": policies.fetched}))
    return {"connections": len(record.connections), "transactions": len(record.transactions)}


if __name__ == "__main__":
    run(_job)
