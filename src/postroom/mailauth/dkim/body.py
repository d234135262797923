"""The canonical forms of a body, hashed in one pass over pieces cut anywhere (RFC 6376 §3.4.3, §3.4.4, §3.7).

Nothing here goes octet by octet, and nothing keeps more than a piece: empty lines that may turn out to be the last ones
are counted, not kept.
"""

import re
from collections.abc import Iterable
from hashlib import sha256

from postroom.mail.value import value
from postroom.mailauth.dkim.header import relax_line

_LINE_END = b"\r\n"
_LINE_ENDS_BACKWARDS = re.compile(rb"(?:\n\r)*+")
_MANY = 1 << 14
_MANY_LINE_ENDS = _LINE_END * _MANY

BodyForm = tuple[bool, int | None]
"""Whether it is relaxed, and how many octets of it count (l=), None for all."""


@value(frozen=True, slots=True)
class BodyHash:
    """The SHA-256 of a form, b"" if it is shorter than its l=; ``whole``: it goes to the end of the body."""

    digest: bytes
    whole: bool


class BodyHasher:
    """Hashes a body in every form that is asked for; each canonicalisation is done and hashed once.

    Not to be used from two threads at once; hashing large pieces lets other threads run.
    """

    def __init__(self, forms: Iterable[BodyForm]) -> None:
        limits: dict[bool, set[int]] = {}
        for relaxed, limit in forms:
            limits.setdefault(relaxed, set()).update(() if limit is None else (limit,))
        self._canons = {relaxed: (_Relaxed if relaxed else _Simple)(_Meter(cuts)) for relaxed, cuts in limits.items()}

    def feed(self, piece: bytes) -> None:
        """The next piece of the body."""
        for canon in self._canons.values():
            canon.feed(piece)

    def finish(self) -> None:
        """The body is at its end; once, before the results are asked for."""
        for canon in self._canons.values():
            canon.finish()

    def result(self, form: BodyForm) -> BodyHash:
        """The hash of a form that was asked for at the beginning."""
        relaxed, limit = form
        meter = self._canons[relaxed].meter
        if limit is None or limit == meter.length:
            return BodyHash(meter.digest, whole=True)
        return BodyHash(meter.digests.get(limit, b""), whole=False)


class _Meter:
    """One running hash, with the digests at each length that some l= names."""

    def __init__(self, cuts: Iterable[int]) -> None:
        self.length = 0
        self.digest = b""
        self.digests: dict[int, bytes] = {}
        self._cuts = sorted(cuts, reverse=True)
        self._hash = sha256()

    def add(self, data: bytes) -> None:
        while self._cuts and self.length + len(data) >= self._cuts[-1]:
            at = self._cuts.pop()
            self._hash.update(data[: at - self.length])
            data = data[at - self.length :]
            self.length = at
            self.digests[at] = self._hash.digest()  # of what was added so far; it goes on from there
        self._hash.update(data)
        self.length += len(data)

    def finish(self) -> None:
        self.add(b"")  # l=0 of a body that has nothing
        self.digest = self._hash.digest()


class _Canon:
    """What both canonicalisations share: line ends that may be the last are held back as a number."""

    def __init__(self, meter: _Meter) -> None:
        self.meter = meter
        self._rest = b""  # what cannot be judged before more is seen: a CR, or white space
        self._ends = 0  # line ends that count only if something comes after them

    def _hold_ends(self, data: bytes) -> None:
        """Add what certainly belongs to the body, hold back the line ends at its end."""
        bare = data.rstrip(_LINE_END)
        found = _LINE_ENDS_BACKWARDS.match(data[len(bare) :][::-1])
        held = found.end() if found else 0
        if held < len(data):
            self._add(data[: len(data) - held] if held else data)
        self._ends += held // 2

    def _add(self, data: bytes) -> None:
        while self._ends:
            count = min(self._ends, _MANY)
            self.meter.add(_MANY_LINE_ENDS[: 2 * count])
            self._ends -= count
        self.meter.add(data)


class _Simple(_Canon):
    """RFC 6376 §3.4.3: nothing is changed but the empty lines at the end."""

    def feed(self, piece: bytes) -> None:
        data = self._rest + piece if self._rest else piece
        self._rest = b""
        if data.endswith(b"\r"):
            self._rest, data = b"\r", data[:-1]
        self._hold_ends(data)

    def finish(self) -> None:
        if self._rest:
            self._add(self._rest)
        self.meter.add(_LINE_END)  # also where there was none, or no body at all
        self.meter.finish()


class _Relaxed(_Canon):
    """RFC 6376 §3.4.4: white space within a line is one space, none is left at its end."""

    def feed(self, piece: bytes) -> None:
        data = relax_line(self._rest + piece if self._rest else piece)
        if b" \r\n" in data:
            data = data.replace(b" \r\n", _LINE_END)
        at = len(data)
        at -= data.endswith(b"\r", 0, at)
        at -= data.endswith(b" ", 0, at)
        self._rest = data[at:]
        self._hold_ends(data[:at])

    def finish(self) -> None:
        if self._rest.endswith(b"\r"):  # a bare CR is no line end
            self._add(self._rest)
        if self.meter.length:
            self.meter.add(_LINE_END)
        self.meter.finish()
