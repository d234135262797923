"""ThreadedShell: an SmtpShell on a real loopback socket, for clients that block."""

import socket
import ssl
import threading
from types import TracebackType

from tests.fakes.smtp_shell import SmtpShell


class ThreadedShell:
    """Serves one connection in a thread. ``context`` is for STARTTLS, or from the start with ``implicit``."""

    def __init__(self, shell: SmtpShell, context: ssl.SSLContext | None = None, *, implicit: bool = False) -> None:
        self.shell = shell
        self._context = context
        self._implicit = implicit
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listening.getsockname()[1])

    def __enter__(self) -> "ThreadedShell":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)

    def _serve(self) -> None:
        try:
            peer, _ = self._listening.accept()
        except OSError:  # the test ended without a connection
            return
        try:
            self._converse(peer)
        except OSError:  # the client left
            pass
        finally:
            peer.close()

    def _converse(self, peer: socket.socket) -> None:
        if self._implicit and self._context is not None:
            peer = self._context.wrap_socket(peer, server_side=True)
        peer.sendall(self.shell.start())
        while data := peer.recv(65536):
            peer.sendall(self.shell.feed(data))
            if self.shell.closed or self.shell.engine is None:
                break
            if self.shell.handshake_due and self._context is not None:
                peer = self._context.wrap_socket(peer, server_side=True)
                self.shell.shake_hands()
        peer.close()
