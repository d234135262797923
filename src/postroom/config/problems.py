"""What is wrong with the settings: where, what, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = Path("environment")
"""Stands for the file where a POSTROOM_* variable is at fault."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. ``line`` counts from 1, 0 where no line is to blame; ``column`` likewise (syntax errors only).

    ``key`` is the dotted path (``smtp.max_size``, ``listener[2].port``) or ``""``.
    """

    file: Path
    line: int
    key: str
    what: str
    remedy: str
    column: int = 0

    @property
    def place(self) -> str:
        """``file:line:column`` as editors understand it, as far as it is known."""
        place = str(self.file)
        if self.line:
            place += f":{self.line}"
        if self.column:
            place += f":{self.column}"
        return place

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        return f"{self.place}: {key}{self.what}\n    remedy: {self.remedy}"


class SettingsError(Exception):
    """The settings cannot be used; ``problems`` has everything that was found, in order of lines."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
