"""Finds the line of each key in a TOML text that has been parsed already, so that errors can name it."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field

KeyPath = tuple[str | int, ...]
"""Keys and, in arrays of tables, positions counted from 0."""

_KEY = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)\s*""")
_SKIP = re.compile(r"[^\"'#\[\]{}\n]+")
_MULTILINE_BASIC = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL)
_MULTILINE_LITERAL = re.compile(r"'''.*?'{3,5}", re.DOTALL)
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_COMMENT = re.compile(r"#[^\n]*")


@dataclass(slots=True)
class _Scan:
    """Where the walk over the text stands."""

    lines: dict[KeyPath, int] = field(default_factory=dict)
    counts: dict[KeyPath, int] = field(default_factory=dict)
    table: KeyPath = ()


def find_lines(text: str) -> Mapping[KeyPath, int]:
    """The line, counted from 1, of every key and table header. ``text`` must be valid TOML.

    Keys inside inline tables are not listed: the line of the key that holds the table is as near as it gets.
    """
    scan = _Scan()
    position, line = 0, 1
    while position < len(text):
        character = text[position]
        if character == "\n":
            position, line = position + 1, line + 1
        elif character in " \t\r":
            position += 1
        elif character == "#":
            position = _end_of_line(text, position)
        else:
            end = _end_of_line(text, position) if character == "[" else _end_of_value(text, position)
            _note(scan, text[position:end], line)
            line += text.count("\n", position, end)
            position = end
    return scan.lines


def nearest_line(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of the longest beginning of ``path`` that has one; 0 if none has."""
    for length in range(len(path), 0, -1):
        line = lines.get(path[:length])
        if line is not None:
            return line
    return 0


def show_path(path: KeyPath) -> str:
    """``listener[2].port``: positions are counted from 1, as people do."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part + 1}]"
        else:
            shown += f".{part}" if shown else part
    return shown


def _note(scan: _Scan, statement: str, line: int) -> None:
    """Remember the keys that one statement (header or key = value) names."""
    if statement.startswith("[["):
        array = _resolve(scan, _read_keys(statement, 2))
        index = scan.counts.get(array, 0)
        scan.counts[array] = index + 1
        scan.table = (*array, index)
        scan.lines.setdefault(array, line)
    elif statement.startswith("["):
        scan.table = _resolve(scan, _read_keys(statement, 1))
    else:
        _remember(scan, (*scan.table, *_read_keys(statement, 0)), line)
        return
    _remember(scan, scan.table, line)


def _remember(scan: _Scan, path: KeyPath, line: int) -> None:
    for length in range(1, len(path) + 1):
        scan.lines.setdefault(path[:length], line)


def _resolve(scan: _Scan, keys: KeyPath) -> KeyPath:
    """A header's path: below an array of tables it means the array's last table (TOML 1.0, Array of Tables)."""
    path: KeyPath = ()
    for number, key in enumerate(keys):
        path = (*path, key)
        if path in scan.counts and number < len(keys) - 1:
            path = (*path, scan.counts[path] - 1)
    return path


def _read_keys(statement: str, position: int) -> KeyPath:
    """The dotted key that begins at ``position``."""
    keys: list[str] = []
    while match := _KEY.match(statement, position):
        keys.append(_unquote(match[1]))
        position = match.end()
        if statement[position : position + 1] != ".":
            break
        position += 1
    return tuple(keys)


def _unquote(key: str) -> str:
    if key[0] not in "\"'":
        return key
    return next(iter(tomllib.loads(f"{key} = 0")))


def _end_of_line(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _end_of_value(text: str, position: int) -> int:
    """Where ``key = value`` ends: at the first newline outside of strings and brackets."""
    depth = 0
    while position < len(text):
        character = text[position]
        if character == "\n" and depth == 0:
            return position
        if character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        position = _step(text, position)
    return position


def _step(text: str, position: int) -> int:
    """Past the string, comment, run of plain characters or single character at ``position``."""
    for pattern in (_SKIP, _MULTILINE_BASIC, _MULTILINE_LITERAL, _BASIC, _LITERAL, _COMMENT):
        match = pattern.match(text, position)
        if match is not None:
            return match.end()
    return position + 1
