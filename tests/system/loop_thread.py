"""An event loop in a thread, so that blocking clients in a test can talk to servers in the same test."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.fakes.dns_server import DnsServer

from postroom.dns.zone import Zone

T = TypeVar("T")


class LoopThread:
    """Runs from the start until ``close``."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do the work there, wait for it here."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        """End the loop and the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Nameserver:
    """The fake DNS server in a thread. Change ``zone`` as the test goes on; what answers is its present state."""

    def __init__(self, records: dict[str, dict[str, list[str]]]) -> None:
        self.zone = Zone.of(records)
        self._loop = LoopThread()
        self._server = DnsServer(self.zone)
        self._loop.run(self._server.__aenter__())

    @property
    def address(self) -> str:
        """As the settings write a resolver."""
        return self._server.address

    def close(self) -> None:
        """Stop it."""
        self._loop.run(self._server.__aexit__(None, None, None))
        self._loop.close()
