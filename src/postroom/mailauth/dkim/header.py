"""Header fields as signatures see them: chosen, put into canonical form, hashed (RFC 6376 §3.4, §3.7, §5.4.2)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from postroom.mail.headers import Field

_SIGNATURE_VALUE = re.compile(rb"((?:\A|;)[ \t\r\n]*b[ \t\r\n]*=)[^;]*")
_LINE_END = b"\r\n"


class SignedHeader:
    """A header that several signatures are about; each field is put into its relaxed form once.

    ``text`` is the header with its line ends, in which the places of ``fields`` are.
    """

    def __init__(self, text: bytes, fields: Sequence[Field]) -> None:
        self.fields = fields
        self._text = text
        self._places: dict[bytes, list[int]] = {}
        for place, field in enumerate(fields):
            self._places.setdefault(field.name.lower(), []).append(place)
        self._relaxed: dict[int, bytes] = {}

    def places(self, name: bytes) -> Sequence[int]:
        """Where the fields of a name in lower case are, from top to bottom."""
        return self._places.get(name, ())

    def digest(self, names: Iterable[bytes], signature: Field, *, relaxed: bool, place: int = -1) -> bytes:
        """SHA-256 of the fields that ``names`` say and of the signature itself without its value (RFC 6376 §3.7).

        ``place`` is where the signature stands in the header, -1 if it does not yet: h= never means the very field
        that it is in.
        """
        own = relax_field if relaxed else _simple
        data = self.signed_fields(names, relaxed=relaxed, place=place)
        return sha256(data + own(signature.name, without_value(signature.value))).digest()

    def signed_fields(self, names: Iterable[bytes], *, relaxed: bool, place: int = -1) -> bytes:
        """The fields that ``names`` say, in canonical form, as they are hashed before the signature."""
        canonical = self.relaxed if relaxed else self.simple
        return b"".join([canonical(chosen) for chosen in self._chosen(names, place)])

    def relaxed(self, place: int) -> bytes:
        """A field in its relaxed form, with its CRLF (RFC 6376 §3.4.2)."""
        form = self._relaxed.get(place)
        if form is None:
            field = self.fields[place]
            form = self._relaxed[place] = relax_field(field.name, field.value) + _LINE_END
        return form

    def simple(self, place: int) -> bytes:
        """A field as it stands, with its CRLF (RFC 6376 §3.4.1)."""
        field = self.fields[place]
        form = self._text[field.start : field.end]
        return form if form.endswith(_LINE_END) else form + _LINE_END  # RFC 6376 §3.7: each has one

    def _chosen(self, names: Iterable[bytes], place: int) -> Iterator[int]:
        """The fields that are meant: of each name from the bottom up, nothing where there are no more
        (RFC 6376 §5.4.2, §3.5 h=).
        """
        left: dict[bytes, Iterator[int]] = {}
        for name in names:
            chosen = left.get(name)
            if chosen is None:
                places = self._places.get(name, ())
                chosen = left[name] = reversed(
                    [each for each in places if each != place] if place in places else places
                )
            found = next(chosen, None)
            if found is not None:
                yield found


def relax_field(name: bytes, value: bytes) -> bytes:
    """A field in its relaxed form, without a line end (RFC 6376 §3.4.2)."""
    return name.lower() + b":" + relax_line(value.replace(_LINE_END, b"")).strip(b" ")


def relax_line(text: bytes) -> bytes:
    """Each run of spaces and tabs made one space (RFC 6376 §3.4.2, §3.4.4).

    Runs are halved until none is left: a few searches at the speed of C instead of a step for each space.
    """
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


def without_value(value: bytes) -> bytes:
    """The value of a signature field with nothing after ``b=`` (RFC 6376 §3.7)."""
    return _SIGNATURE_VALUE.sub(rb"\1", value, count=1)


def _simple(name: bytes, value: bytes) -> bytes:
    return name + b":" + value
