"""Looks for many phrases in one text at once. Phrases are data: words, no regular expressions; none can hang."""

import re
from collections.abc import Iterable, Iterator

from postroom.mail.value import value

_GAP = 60
"""Characters that ``*`` in a phrase may stand for: enough for an address and a few words, within one sentence."""

_KEY = 4
"""Characters by which phrases are found: a shorter phrase is found by all it has."""

_SPACELESS = "\u2e80"
"""Scripts from here on (Chinese, Japanese, Korean) write no spaces between words."""

_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[^\W_]+")


@value(frozen=True, slots=True)
class _Phrase:
    """``first`` and then each of ``rest``, near the one before; one of the phrases of the group with that number."""

    first: str
    rest: tuple[str, ...]
    group: int

    def end_from(self, text: str, at: int) -> int:
        """Where it ends if it begins there, else -1."""
        if not text.startswith(self.first, at):
            return -1
        at += len(self.first)
        for piece in self.rest:
            at = text.find(piece, at, at + _GAP + len(piece))
            if at < 0:
                return -1
            at += len(piece)
        return at


@value(frozen=True, slots=True)
class Place:
    """A phrase of the group stands in ``text[start:end]``."""

    start: int
    end: int
    group: int


class Phrases:
    """Groups of phrases. ``*`` stands for up to 60 characters; a phrase begins where a word begins.

    Those that begin with a letter or digit are kept by how they begin, and compared only where a word of the text
    begins likewise. The others are few, as are those of scripts that write no spaces between words. ValueError for
    what is no phrase.
    """

    def __init__(self, groups: Iterable[Iterable[str]]) -> None:
        self._by_start: dict[str, list[_Phrase]] = {}
        self._loose: list[_Phrase] = []
        for number, group in enumerate(groups):
            for words in group:
                first, *rest = (piece.strip() for piece in folded(words).split("*"))
                if not first or not all(rest):
                    raise ValueError(f"{words!r} is no phrase: words, with * between them at most")
                found = _Phrase(first, tuple(rest), number)
                if first[0].isalnum() and first[0] < _SPACELESS:
                    self._by_start.setdefault(first[:_KEY], []).append(found)
                else:
                    self._loose.append(found)

    def said_in(self, text: str) -> set[int]:
        """The numbers of the groups of which a phrase stands in the folded text."""
        return {place.group for place in self.places(text)}

    def places(self, text: str) -> Iterator[Place]:
        """Where phrases stand in the folded text, in no particular order; of each loose phrase the first place."""
        for word in _WORD.finditer(text):
            at = word.start()
            for size in range(1, _KEY + 1):
                for known in self._by_start.get(text[at : at + size], ()):
                    end = known.end_from(text, at)
                    if end >= 0:
                        yield Place(at, end, known.group)
        for known in self._loose:
            at = text.find(known.first)
            while at >= 0:
                end = known.end_from(text, at)
                if end >= 0:
                    yield Place(at, end, known.group)
                    break
                at = text.find(known.first, at + 1)


def folded(text: str) -> str:
    """The text in the spelling in which phrases compare: small letters, single spaces."""
    return _SPACE.sub(" ", text).strip().lower()
