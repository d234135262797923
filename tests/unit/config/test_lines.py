"""Every key is found on the line where a person reads it."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from postroom.config.lines import find_lines, nearest_line, show_path

TEXT = '''a = 1
"b c" = "x # not a comment" # a comment
'd' = [
  1, # one ]
  "]",
]
e.f.g = { h = 1, i = "}" }
s = """
not = "a key"
[neither]
"""
l = \'\'\'
x = 1
\'\'\'
after = 2

[ t . "u.v" ]
k = 1
[[arr]]
x = 1
[[arr.inner]]
y = 1
[[arr.inner]]
y = 2
[arr.sub]
z = 1
[[arr]]

x = 2
[arr.sub]
z = 2
'''


def test_lines() -> None:
    lines = find_lines(TEXT)
    tomllib.loads(TEXT)
    expected: dict[tuple[str | int, ...], int] = {
        ("a",): 1,
        ("b c",): 2,
        ("d",): 3,
        ("e", "f", "g"): 7,
        ("s",): 8,
        ("l",): 12,
        ("after",): 15,
        ("t", "u.v", "k"): 18,
        ("arr", 0, "x"): 20,
        ("arr", 0, "inner", 0, "y"): 22,
        ("arr", 0, "inner", 1, "y"): 24,
        ("arr", 0, "sub", "z"): 26,
        ("arr", 1): 27,
        ("arr", 1, "x"): 29,
        ("arr", 1, "sub", "z"): 31,
    }
    assert {path: lines.get(path) for path in expected} == expected
    assert ("not",) not in lines
    assert ("neither",) not in lines


def test_nearest() -> None:
    lines = find_lines(TEXT)
    assert nearest_line(lines, ("e", "f", "g", "h")) == 7
    assert nearest_line(lines, ("nowhere", "x")) == 0


def test_shown_as_people_count() -> None:
    assert show_path(("listener", 0, "addresses", 1)) == "listener[1].addresses[2]"
    assert show_path(()) == ""


_KEYS = st.sampled_from(["a", "b", '"c d"', "'e'"])
_VALUES = st.sampled_from(
    ["1", '"x]"', "'#'", "[1,\n2]", '["]",\n# ]\n]', '"""a\n[b]\n"""', "'''\nc = 1\n'''", "{x = [1]}", '"\\""']
)


@given(st.lists(st.tuples(_KEYS, _VALUES), max_size=8))
def test_every_key_of_every_table_has_its_line(pairs: list[tuple[str, str]]) -> None:
    text, expected, line = "", [], 1
    for key, value in pairs:
        statement = f"[[t]]\n{key} = {value} # end\n"
        expected.append(line + 1)
        text += statement
        line += statement.count("\n")
    lines = find_lines(text)
    tables = tomllib.loads(text).get("t", [])
    assert [lines["t", number, next(iter(table))] for number, table in enumerate(tables)] == expected
