"""The load and the far end: Postfix's smtp-source and smtp-sink, and a plain sender for one huge message."""

import re
import socket
import subprocess
import time
from pathlib import Path

from bench.postfix import tool
from bench.processes import BenchError, answers, free_port, stop_pids, wait_until

SESSIONS = 20
MANY_SESSIONS = 100
MESSAGE_SIZE = 10240
_PIECE = (b"x" * 78 + b"\r\n") * 4096
_COUNT = re.compile(rb"mesg=(\d+)")


class Sink:
    """An smtp-sink that takes everything, keeps nothing and counts."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._counter = folder / "sink.count"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it as the user postfix, as it refuses to be root."""
        program = tool("smtp-sink") or "smtp-sink"
        with self._counter.open("wb") as counter:
            command = [program, "-c", "-u", "postfix", f"127.0.0.1:{self.port}", "1000"]
            self._process = subprocess.Popen(command, stdout=counter, stderr=subprocess.PIPE)
        wait_until(lambda: answers(self.port), seconds=10, what="smtp-sink did not open its port")

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            stop_pids([self._process.pid])
            self._process.wait()
            if self._process.stderr is not None:
                self._process.stderr.close()

    def count(self) -> int:
        """Messages that arrived since the start."""
        with self._counter.open("rb") as counter:
            counter.seek(max(0, counter.seek(0, 2) - 400))
            found = _COUNT.findall(counter.read())
        return int(found[-1]) if found else 0


def send_many(
    port: int, recipient: str, messages: int, sender: str = "sender@origin.example", sessions: int = SESSIONS
) -> float:
    """``messages`` of 10 KB, each on a new connection, so many at a time; the seconds that took."""
    program = tool("smtp-source") or "smtp-source"
    command = [program, "-s", str(sessions), "-l", str(MESSAGE_SIZE), "-m", str(messages)]
    command += ["-M", "origin.example", "-f", sender, "-t", recipient, f"inet:127.0.0.1:{port}"]
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise BenchError(f"smtp-source stopped: {done.stderr.strip()}")
    return time.monotonic() - begun


def send_big(port: int, recipient: str, octets: int) -> float:
    """One message of ``octets`` in pieces; the seconds until its ``250``."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=120) as peer:
        replies = peer.makefile("rb")

        def expect(code: bytes) -> None:
            line = replies.readline()
            while line[3:4] == b"-":
                line = replies.readline()
            if not line.startswith(code):
                raise BenchError(f"expected {code.decode()}, got {line.decode(errors='replace').strip()!r}")

        expect(b"220")
        for command, code in (
            (b"EHLO origin.example", b"250"),
            (b"MAIL FROM:<sender@origin.example> SIZE=%d" % octets, b"250"),
            (b"RCPT TO:<%s>" % recipient.encode(), b"250"),
            (b"DATA", b"354"),
        ):
            peer.sendall(command + b"\r\n")
            expect(code)
        peer.sendall(b"From: <sender@origin.example>\r\nSubject: big\r\n\r\n")
        for _ in range(octets // len(_PIECE)):
            peer.sendall(_PIECE)
        peer.sendall(b".\r\n")
        expect(b"250")
        seconds = time.monotonic() - begun
        peer.sendall(b"QUIT\r\n")
        expect(b"221")
        replies.close()
    return seconds
