"""What a node asks of its process and of the system: files, the collector, the service manager."""

import contextlib
import gc
import os
import resource
import socket

from postroom.config.model import Settings

COLLECTOR_THRESHOLDS = (20_000, 50, 100)
"""Objects between two collections of each generation. A session under way has some hundred, so the youngest generation
still is a few megabytes at most.
"""


def show_host(address: str) -> str:
    """An address as it stands before a port."""
    return f"[{address}]" if ":" in address else address


def tell_service_manager(state: str) -> None:
    """The notification of sd_notify(3), where the service manager asks for it."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, contextlib.suppress(OSError):
        notify.connect(f"\0{path[1:]}" if path.startswith("@") else path)
        notify.send(state.encode())


def calm_collector() -> None:
    """What has been built lives as long as the process: no collection needs to look at it again (docs/adr/0005)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def cores() -> int:
    """How many processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # systems that cannot say
        return os.cpu_count() or 1


def allow_files(settings: Settings) -> None:
    """Each session is a file descriptor: raise our own limit as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.connections.total + settings.outbound.concurrency + 200
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
