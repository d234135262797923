"""Queue ids and the message's own arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.mail.envelope import Envelope
from postroom.mail.message import Message, QueueId, QueueIds, read_queue_id, show_queue_id


@given(st.integers(0, (1 << 63) - 1))
def test_a_shown_id_reads_back(number: int) -> None:
    shown = show_queue_id(number)
    assert len(shown) == 13
    assert read_queue_id(shown) == number
    assert read_queue_id(f" {shown.upper()} ") == number


def test_look_alikes_are_understood() -> None:
    assert read_queue_id("OOOOOOOOOOOIL") == read_queue_id("0000000000011")


@pytest.mark.parametrize("text", ["", "0" * 12, "0" * 14, "u" * 13, "z" * 13, "000000000000-", "00000000000 0"])
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match="is not a queue id"):
        read_queue_id(text)


def test_ids_grow_whatever_the_clock_does() -> None:
    times = iter([1_800_000_000.0] * 3000 + [1_700_000_001.0] * 3000 + [1_900_000_000.0])
    ids = QueueIds(lambda: next(times), node=5)
    made = [ids.next() for _ in range(6001)]
    assert made == sorted(set(made))
    assert [show_queue_id(one) for one in made] == sorted(show_queue_id(one) for one in made)


def test_nodes_never_make_the_same() -> None:
    first, second = QueueIds(lambda: 1_800_000_000.0, node=1), QueueIds(lambda: 1_800_000_000.0, node=2)
    assert not {first.next() for _ in range(3000)} & {second.next() for _ in range(3000)}


def test_size_is_prefix_and_content() -> None:
    assert Message(QueueId(1), 0.0, Envelope(None), b"X: y\r\n", 100).size == 106
