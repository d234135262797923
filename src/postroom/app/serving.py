"""Runs one node as a process, and turns what keeps it from starting into a sentence and an exit code."""

import asyncio
import logging
import sys
from pathlib import Path

import uvloop

from postroom.app.node import Node
from postroom.config.model import Settings
from postroom.mail.trouble import StoreUnavailable
from postroom.net.privileges import PrivilegeError
from postroom.net.sockets import BindError
from postroom.report.log import LibraryHandler, open_log


def serve(settings: Settings, config_path: Path) -> int:
    """Run the server until SIGTERM or SIGINT. Returns the exit code."""
    log = open_log(settings.log.level, settings.log.format)
    logging.getLogger().addHandler(LibraryHandler(log))
    factory = uvloop.new_event_loop if settings.loop == "uvloop" else asyncio.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(Node(settings, config_path, log).run())
    except (BindError, PrivilegeError, StoreUnavailable, OSError, ValueError) as error:
        print(f"postroom: {error}", file=sys.stderr)  # noqa: T201 - the person who started it reads this
        return 1
    finally:
        log.close()
    return 0
