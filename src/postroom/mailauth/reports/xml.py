"""Reads the XML of a report as a stream of values with their paths: no document type, no entities, bounded in all ways.

What is kept of the document is the text of one element at a time, so that its size costs time only.
"""

from collections.abc import Callable, Iterable
from xml.parsers import expat

from postroom.mailauth.reports.model import Unreadable

MAX_DEPTH = 30
MAX_ELEMENTS = 1_000_000
"""Of these 25 make a row of a report: the time that a document of empty elements may take is bounded by this."""

MAX_TOKEN = 1 << 18
"""Octets of a tag: the parser keeps one until its end has come, and looks at it again with each piece."""

MAX_TEXT = 2000

Path = tuple[str, ...]
"""Names of the elements from the root down, in lower case. Prefixes are left out."""

Handler = Callable[[Path, str], None]


class PathReader:
    """``on_end`` is told of each element when it ends, with its own text: children come before their parents.

    Elements of other namespaces than the root's (extensions, RFC 9990 §5) are passed over with all that is in them.
    """

    def __init__(self, on_end: Handler) -> None:
        self._on_end = on_end
        self._path: list[str] = []
        self._texts: list[list[str]] = []
        self._lengths: list[int] = []
        self._foreign = 0  # depth inside of what is passed over
        self._elements = 0
        self._prefix = self._space = ""
        self._fed = 0
        parser = self._parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        # An entity can only be declared in a document type; without one there is nothing to expand, nothing to fetch
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.EntityDeclHandler = _refuse_doctype
        parser.ExternalEntityRefHandler = _refuse_doctype

    def read(self, pieces: Iterable[bytes], breathe: Callable[[], None]) -> None:
        """The whole document. ``breathe`` is called between pieces. Raises Unreadable."""
        try:
            for piece in pieces:
                self._parser.Parse(piece, False)
                self._fed += len(piece)
                if self._fed - max(self._parser.CurrentByteIndex, 0) > MAX_TOKEN:
                    raise Unreadable("the XML has a tag that does not end")
                breathe()
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            what = expat.errors.messages.get(error.code, "not well-formed")
            raise Unreadable(f"the XML is broken in line {error.lineno}: {what}") from error
        except (UnicodeError, LookupError, ValueError) as error:  # an encoding of its own
            raise Unreadable("the XML is in an encoding that is not understood") from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise Unreadable(f"the XML has more than {MAX_ELEMENTS} elements")
        if len(self._path) + self._foreign >= MAX_DEPTH:
            raise Unreadable(f"the XML nests deeper than {MAX_DEPTH}")
        prefix, _, local = name.rpartition(":")
        space = attributes.get("xmlns", self._space)
        if not self._path:
            self._prefix, self._space = prefix, space
        elif self._foreign or prefix != self._prefix or (not prefix and space != self._space):
            self._foreign += 1
            return
        self._path.append(local.lower())
        self._texts.append([])
        self._lengths.append(0)

    def _text(self, text: str) -> None:
        if self._foreign or not self._path or self._lengths[-1] >= MAX_TEXT:
            return
        self._lengths[-1] += len(text)
        self._texts[-1].append(text[:MAX_TEXT])

    def _end(self, _: str) -> None:
        if self._foreign:
            self._foreign -= 1
            return
        text = "".join(self._texts.pop())[:MAX_TEXT]
        self._lengths.pop()
        path = tuple(self._path)
        self._path.pop()
        self._on_end(path, text)


def _refuse_doctype(*_: object) -> int:
    raise Unreadable("the XML has a document type or entities, which no report needs")
