"""Private keys in the store: nobody reads them without the key file, and the wrong file is named."""

from pathlib import Path

import pytest

from postroom.mailauth.keys.sealing import Sealer, SealError, is_sealed, new_secret, open_sealer

NAME = ("example.org", "r1")
PRIVATE = b"-----BEGIN PRIVATE KEY-----\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dkim.key"
    path.write_bytes(new_secret())
    return path


def test_without_a_key_file_keys_stand_in_the_clear() -> None:
    kept = Sealer().seal(NAME, PRIVATE)
    assert not is_sealed(kept)
    assert Sealer().open(NAME, kept) == PRIVATE


def test_a_sealed_key_opens_with_the_same_file_alone(file: Path, tmp_path: Path) -> None:
    kept = open_sealer(file).seal(NAME, PRIVATE)
    assert is_sealed(kept)
    assert PRIVATE[:10] not in kept
    assert open_sealer(file).open(NAME, kept) == PRIVATE
    other = tmp_path / "other"
    other.write_bytes(new_secret())
    with pytest.raises(SealError, match="another key file than") as caught:
        open_sealer(other).open(NAME, kept)
    assert "postroom dkim encrypt --old" in caught.value.remedy
    with pytest.raises(SealError, match="the settings name no key file") as caught:
        Sealer().open(NAME, kept)
    assert "[dkim]" in caught.value.remedy


def test_the_same_key_is_never_sealed_the_same_twice(file: Path) -> None:
    sealer = open_sealer(file)
    assert sealer.seal(NAME, PRIVATE) != sealer.seal(NAME, PRIVATE)


def test_a_row_that_changed_places_does_not_open(file: Path) -> None:
    sealer = open_sealer(file)
    kept = sealer.seal(NAME, PRIVATE)
    for name in (("example.org", "r2"), ("example.net", "r1"), ("example", "org\0r1")):
        with pytest.raises(SealError, match="damaged"):
            sealer.open(name, kept)


def test_every_change_of_an_octet_is_noticed(file: Path) -> None:
    sealer = open_sealer(file)
    kept = sealer.seal(NAME, PRIVATE)
    for at in range(len(kept)):
        changed = kept[:at] + bytes([kept[at] ^ 4]) + kept[at + 1 :]
        with pytest.raises(SealError):
            sealer.open(NAME, changed)
    for length in range(len(kept)):
        with pytest.raises(SealError):
            sealer.open(NAME, kept[:length])


def test_clear_keys_still_open_once_a_file_is_there(file: Path) -> None:
    assert open_sealer(file).open(NAME, Sealer().seal(NAME, PRIVATE)) == PRIVATE


@pytest.mark.parametrize("content", [b"", b"too short", b"x" * 5000])
def test_a_key_file_must_be_fit(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(SealError, match=r"too (short|long)"):
        open_sealer(path)


def test_a_missing_key_file_names_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(SealError, match="cannot be read") as caught:
        open_sealer(tmp_path / "none")
    assert "postroom dkim encrypt" in caught.value.remedy


def test_nothing_shows_the_secret(file: Path) -> None:
    secret = file.read_text().strip()
    assert secret not in repr(open_sealer(file))
