"""The maildrop of one session: sizes, unique ids and deletion marks, fixed at login (RFC 1939 §4, §5)."""

from collections.abc import Iterator, Sequence

from postroom.protocol.pop3.answers import Answer, ok

_LINES_PER_PIECE = 1000  # some 20 KB: a listing of any length is sent in pieces like this


class Maildrop:
    """Messages are numbered from 1. ``count`` and ``octets`` leave out what is marked as deleted."""

    __slots__ = ("count", "deleted", "ids", "octets", "sizes")

    def __init__(self, ids: Sequence[int], sizes: Sequence[int]) -> None:
        self.ids = ids
        self.sizes = sizes
        self.deleted: set[int] = set()
        self.count = len(sizes)
        self.octets = sum(sizes)

    @property
    def summary(self) -> Answer:
        """+OK, with a text for people."""
        return ok("{} message ({} octets)" if self.count == 1 else "{} messages ({} octets)", self.count, self.octets)

    def has(self, number: int) -> bool:
        """There is such a message, and it is not marked as deleted."""
        return 1 <= number <= len(self.sizes) and number not in self.deleted

    def mark(self, number: int) -> None:
        """Mark a message that it ``has`` as deleted."""
        self.deleted.add(number)
        self.count -= 1
        self.octets -= self.sizes[number - 1]

    def unmark_all(self) -> None:
        """RSET."""
        self.deleted.clear()
        self.count = len(self.sizes)
        self.octets = sum(self.sizes)

    def marked_numbers(self) -> tuple[int, ...]:
        """What QUIT removes, in order."""
        return tuple(sorted(self.deleted))

    def lines(self, values: Sequence[int]) -> Iterator[bytes]:
        """The lines of LIST or UIDL with the termination octet, in pieces."""
        for start in range(0, len(values), _LINES_PER_PIECE):
            numbers = range(start + 1, min(start + _LINES_PER_PIECE, len(values)) + 1)
            lines = [f"{number} {values[number - 1]}\r\n" for number in numbers if number not in self.deleted]
            if lines:
                yield "".join(lines).encode("ascii")
        yield b".\r\n"
