"""Bodies in canonical form, hashed in pieces cut anywhere (RFC 6376 §3.4.3, §3.4.4, §3.7)."""

import itertools
import time
import tracemalloc
from base64 import b64decode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.dkim_signer import relaxed_body, simple_body

from postroom.mailauth.dkim.body import BodyForm, BodyHash, BodyHasher

SIMPLE: BodyForm = (False, None)
RELAXED: BodyForm = (True, None)

BODIES = st.lists(
    st.sampled_from(
        [b"\r\n", b"\r", b"\n", b" ", b"  ", b"\t", b"a", b"bc", b"\x00", b"\xff", b".", b" \r\n", b"\x0b"]
    ),
    max_size=30,
).map(b"".join)


def hashed(pieces: list[bytes], *forms: BodyForm) -> list[BodyHash]:
    hasher = BodyHasher(forms)
    for piece in pieces:
        hasher.feed(piece)
    hasher.finish()
    return [hasher.result(form) for form in forms]


def single(body: bytes) -> list[bytes]:
    return [body[at : at + 1] for at in range(len(body))]


@pytest.mark.parametrize(
    ("body", "simple", "relaxed"),
    [
        (b"", b"\r\n", b""),
        (b"\r\n", b"\r\n", b""),
        (b"\r\n\r\n\r\n", b"\r\n", b""),
        (b" \r\n", b" \r\n", b""),
        (b" ", b" \r\n", b""),
        (b" \t\r\n \r\n", b" \t\r\n \r\n", b""),
        (b"a", b"a\r\n", b"a\r\n"),
        (b"a\r\n", b"a\r\n", b"a\r\n"),
        (b"a\r\n\r\n\r\n", b"a\r\n", b"a\r\n"),
        (b"a\r\n\r\n\r\nb", b"a\r\n\r\n\r\nb\r\n", b"a\r\n\r\n\r\nb\r\n"),
        (b"a \t\r\n \r\n", b"a \t\r\n \r\n", b"a\r\n"),
        (b"a  b\t\tc \t d\r\n", b"a  b\t\tc \t d\r\n", b"a b c d\r\n"),
        (b"  a\r\n\tb", b"  a\r\n\tb\r\n", b" a\r\n b\r\n"),
        (b"a\n", b"a\n\r\n", b"a\n\r\n"),
        (b"a\r", b"a\r\r\n", b"a\r\r\n"),
        (b"a \r", b"a \r\r\n", b"a \r\r\n"),
        (b"a\r\r\n", b"a\r\r\n", b"a\r\r\n"),
        (b"a\n\r\n\r\n", b"a\n\r\n", b"a\n\r\n"),
        (b"a \n b", b"a \n b\r\n", b"a \n b\r\n"),
        (b"\xe4\x00\x0b \x0c\r\n", b"\xe4\x00\x0b \x0c\r\n", b"\xe4\x00\x0b \x0c\r\n"),
    ],
)
def test_canonical_forms(body: bytes, simple: bytes, relaxed: bytes) -> None:
    """RFC 6376 §3.4.3, §3.4.4. What is no CRLF ends no line."""
    wanted = [BodyHash(sha256(form).digest(), whole=True) for form in (simple, relaxed)]
    assert hashed([body], SIMPLE, RELAXED) == wanted
    assert hashed(single(body), SIMPLE, RELAXED) == wanted
    assert (simple_body(body), relaxed_body(body)) == (simple, relaxed)  # the other signer of the tests agrees
    for at in range(len(body) + 1):
        assert hashed([body[:at], body[at:]], SIMPLE, RELAXED) == wanted


def test_hashes_of_nothing() -> None:
    """The SHA-256 values that RFC 6376 §3.4.3 and RFC 6376 §3.4.4 name."""
    simple, relaxed = hashed([], SIMPLE, RELAXED)
    assert simple.digest == b64decode("frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=")
    assert relaxed.digest == b64decode("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")


def test_the_examples_of_the_standard() -> None:
    """RFC 6376 §3.4.5."""
    body = b" C \r\nD \t E\r\n\r\n\r\n"
    simple, relaxed = hashed([body], SIMPLE, RELAXED)
    assert simple.digest == sha256(b" C \r\nD \t E\r\n").digest()
    assert relaxed.digest == sha256(b" C\r\nD E\r\n").digest()


def test_only_so_much_of_it() -> None:
    """RFC 6376 §3.5 l=: octets of the canonical body; §3.7: truncated after it is made canonical."""
    body = b"a  b \r\n\r\n"  # relaxed: "a b\r\n"
    digests = [sha256(b"a b\r\n"[:limit]).digest() for limit in range(6)]
    forms: list[BodyForm] = [(True, limit) for limit in (*range(8), 10**76)]
    for pieces in ([body], single(body)):
        found = hashed(pieces, *forms)
        assert [each.digest for each in found] == [*digests, b"", b"", b""]
        assert [each.whole for each in found] == [False] * 5 + [True] + [False] * 3
    assert hashed([], (True, 0)) == [BodyHash(sha256(b"").digest(), whole=True)]
    assert hashed([], (False, 1)) == [BodyHash(sha256(b"\r").digest(), whole=False)]


@given(BODIES, st.lists(st.integers(0, 60), max_size=5), st.lists(st.integers(0, 60), max_size=4))
def test_any_cut_gives_the_same(body: bytes, cuts: list[int], limits: list[int]) -> None:
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    pieces = [body[start:end] for start, end in itertools.pairwise(places)]
    forms: list[BodyForm] = [SIMPLE, RELAXED, *[(relaxed, limit) for limit in limits for relaxed in (False, True)]]
    wanted = []
    for relaxed, limit in forms:
        whole = relaxed_body(body) if relaxed else simple_body(body)
        part = whole if limit is None else whole[:limit]
        digest = sha256(part).digest() if limit is None or limit <= len(whole) else b""
        wanted.append(BodyHash(digest, whole=limit is None or limit == len(whole)))
    assert hashed(pieces, *forms) == wanted
    assert hashed(single(body), *forms) == wanted


@pytest.mark.parametrize(
    "piece", [b"\r\n" * 32768, b" " * 65536, b" \r\n" * 20000, b"\n\r" * 32768, b"a " * 32768, b"\t\r" * 32768]
)
def test_large_bodies_of_anything_cost_little(piece: bytes) -> None:
    """Nothing is kept but a piece, and nothing goes back over what was seen."""
    hasher = BodyHasher([SIMPLE, RELAXED, *[(True, limit) for limit in range(0, 5000, 100)]])
    start = time.process_time()
    tracemalloc.start()
    for _ in range(300):
        hasher.feed(piece)
    hasher.feed(b"x")
    hasher.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.process_time() - start < 5
    assert peak < 1 << 20
