"""docs/standards.md is true: made from the code as it is, with a test for each clause that an engine cites."""

import pytest
from tests.standards import ROOT, Clause, clauses_in, collect, proofs, standards

PROVED = (
    1870, 1939, 2033, 2034, 2449, 2595, 2852, 2920, 3030, 3206, 3207, 3461, 4422, 4616, 4865, 4954, 5034, 5321, 5802,
    5929, 6152, 6409, 6531, 6533, 6710, 6856, 7628, 7677, 8689, 9266, 9422,
)  # fmt: skip
"""The standards whose clauses have a test each, where protocol/ cites them."""


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "standards.md").read_text(encoding="utf-8")
    assert page == standards(), "docs/standards.md is not up to date: run `make standards`"


def test_what_the_engines_cite_is_proved() -> None:
    found = collect()
    bare = {
        f"RFC {rfc} §{clause}": sorted(places.code)
        for (rfc, clause), places in found.items()
        if rfc in PROVED
        and any(place.startswith("protocol/") for place in places.code)
        and not proofs(found, rfc, clause)
    }
    assert not bare, "write a test, or cite the clause in the one that proves it"


def test_nothing_is_missing_from_the_list() -> None:
    """Each of them is cited, else a wrong number would go unnoticed."""
    assert set(PROVED) <= {rfc for (rfc, _), places in collect().items() if places.code}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("# RFC 5321 §4.5.2", [(5321, "4.5.2")]),
        ("# RFC 5321 §4.5.2: as in RFC 3030 §2.", [(5321, "4.5.2"), (3030, "2")]),
        ("the order (RFC 1939 §4 to §6, RFC 6856)", [(1939, "4"), (1939, "5"), (1939, "6"), (6856, "")]),
        ("# RFC 3461 §5.2.1 to §5.2.3 and §9", [(3461, "5.2.1"), (3461, "5.2.2"), (3461, "5.2.3"), (3461, "9")]),
        ("# RFC 4865 §4.2 (7) to (9), §5.2.2; not before", [(4865, "4.2"), (4865, "5.2.2")]),
        ("# RFC 4616", [(4616, "")]),
        ("# RFC 4616, RFC 4422 §A", [(4616, ""), (4422, "A")]),
        ("# DESIGN §4 step 7, §5, and RFC 5321 §4.5.4.1", [(5321, "4.5.4.1")]),
        ("RFC1870, rfc 1870, RFC 1870x", []),
    ],
)
def test_citations(line: str, expected: list[Clause]) -> None:
    assert list(clauses_in(line)) == expected


@pytest.mark.parametrize("line", ["# §4.2", "# §4.2, see RFC 5321", "# RFC 5321 §4.2 to §4.2", "# RFC 5321 §4 to §5.1"])
def test_no_citations(line: str) -> None:
    with pytest.raises(ValueError, match=r"§|standard"):
        list(clauses_in(line))
