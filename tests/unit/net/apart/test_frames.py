"""Frames: whole, in any pieces, and what is none."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.net.apart.frames import MAX_FRAME, FrameReader, WireError, frame

FRAMES = [(1, b""), (2, b"x" * 300), (5, b"\0\0\0\5\5[]")]
WIRE = b"".join(frame(kind, body) for kind, body in FRAMES)


def fed(reader: FrameReader, data: bytes) -> list[tuple[int, bytes]]:
    return [(kind, bytes(body)) for kind, body in reader.feed(data)]


def test_whole() -> None:
    assert fed(FrameReader(), WIRE) == FRAMES


def test_byte_by_byte() -> None:
    reader = FrameReader()
    assert [found for octet in WIRE for found in fed(reader, bytes([octet]))] == FRAMES


@given(st.lists(st.integers(0, len(WIRE)), max_size=6))
def test_any_pieces(cuts: list[int]) -> None:
    reader = FrameReader()
    places = [0, *sorted(cuts), len(WIRE)]
    found = [each for first, last in itertools.pairwise(places) for each in fed(reader, WIRE[first:last])]
    assert found == FRAMES


def test_what_comes_after_a_frame_is_kept() -> None:
    reader = FrameReader()
    assert fed(reader, WIRE[:7]) == FRAMES[:1]
    assert fed(reader, WIRE[7:]) == FRAMES[1:]


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\xff\xff\xff\xff\1"])
def test_garbage(garbage: bytes) -> None:
    with pytest.raises(WireError):
        FrameReader().feed(garbage)


def test_a_length_beyond_all_reason_is_not_waited_for() -> None:
    with pytest.raises(WireError):
        FrameReader().feed((MAX_FRAME + 1).to_bytes(4, "big") + b"\2")
