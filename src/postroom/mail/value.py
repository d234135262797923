"""Values of the mail path: frozen for the type checker, plain at run time (docs/adr/0006).

A relayed message makes some eighty of them, and a frozen dataclass takes five times as long to make as a plain one.
Nobody may assign to a field all the same: ``mypy --strict`` refuses it, in the tests too. Values that are made now and
then only use ``dataclass(frozen=True, slots=True)`` itself.
"""

import dataclasses
from collections.abc import Callable
from enum import Enum
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass as value
    from enum import Enum as Words
else:

    class Words(Enum):
        """An enumeration whose ``value`` is read without two functions of the library in between: 0.03 us, not 0.09."""

        value = property(attrgetter("_value_"))

    _Class = TypeVar("_Class", bound=type)

    def value(
        *, frozen: bool, slots: bool, eq: bool = True, order: bool = False, kw_only: bool = False
    ) -> Callable[[_Class], _Class]:
        """What ``dataclasses.dataclass`` makes, with the equality and the hash of a frozen class."""
        return dataclasses.dataclass(slots=slots, eq=eq, order=order, kw_only=kw_only, unsafe_hash=frozen and eq)


__all__ = ["Words", "value"]
