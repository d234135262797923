"""What each packet of a TLS session asks of OpenSSL, asked directly.

pyOpenSSL's own words cost an exception and a buffer each time: a tenth of all the work for a message that comes
in a session of its own (docs/adr/0010).
"""

from typing import NoReturn

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

_SIZE = 64 * 1024  # octets: four records


class Scratch:
    """Room for what is read, which the connections of one thread share: nothing stays in it between two calls."""

    __slots__ = ("buffer", "view")

    def __init__(self) -> None:
        self.buffer = ffi.new("char[]", _SIZE)
        self.view = ffi.buffer(self.buffer)


class Pipe:
    """The octets of one connection, which works in memory."""

    __slots__ = ("_connection", "_from_peer", "_scratch", "_ssl", "_to_peer")

    def __init__(self, connection: SSL.Connection, scratch: Scratch) -> None:
        self._connection = connection  # it owns what the next three point to
        self._ssl = connection._ssl
        self._from_peer = connection._into_ssl
        self._to_peer = connection._from_ssl
        self._scratch = scratch

    def feed(self, cipher_text: bytes) -> None:
        """Take what the peer sent. MemoryError if there is no room for it."""
        if lib.BIO_write(self._from_peer, cipher_text, len(cipher_text)) != len(cipher_text):
            raise MemoryError("OpenSSL has no memory for what came")

    def read(self) -> bytes:
        """Clear text, ``b""`` if no record is complete. Raises SSL.Error, SSL.ZeroReturnError at the peer's end."""
        count = lib.SSL_read(self._ssl, self._scratch.buffer, _SIZE)
        if count > 0:
            return bytes(self._scratch.view[0:count])
        if lib.SSL_get_error(self._ssl, count) != lib.SSL_ERROR_WANT_READ:
            self._fail(count)
        return b""

    def write(self, clear_text: bytes) -> None:
        """Cipher it for ``drain``. Raises SSL.Error."""
        size, done = len(clear_text), 0
        data = ffi.from_buffer(clear_text)
        while done < size:  # pyOpenSSL's contexts have one record written at a time
            count = lib.SSL_write(self._ssl, data + done, size - done)
            if count <= 0:
                self._fail(count)
            done += count

    def drain(self) -> bytes:
        """All that waits to be sent."""
        buffer, view = self._scratch.buffer, self._scratch.view
        count = lib.BIO_read(self._to_peer, buffer, _SIZE)
        if count < _SIZE:
            return bytes(view[0:count]) if count > 0 else b""
        pieces = []
        while count > 0:
            pieces.append(bytes(view[0:count]))
            count = lib.BIO_read(self._to_peer, buffer, _SIZE)
        return b"".join(pieces)

    def _fail(self, result: int) -> NoReturn:
        self._connection._raise_ssl_error(self._ssl, result)
        raise SSL.Error("OpenSSL failed without a reason")
