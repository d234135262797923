"""What every table of the settings is made of: the Section, and the kinds of values with their spellings."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from postroom.mail.domain import normalise_domain

_UNITS_OF_TIME = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_UNITS_OF_SIZE = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw]?)\s*", value.lower())
    if match is None:
        raise ValueError('write a duration as seconds or as text such as "90s", "15m", "4h", "5d"')
    return float(match[1]) * _UNITS_OF_TIME[match[2]]


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+)\s*([kmgt]?)(?:i?b)?\s*", value.lower())
    if match is None:
        raise ValueError('write a size as octets or as text such as "64KiB", "50MiB", "2GiB"')
    return int(match[1]) * _UNITS_OF_SIZE[match[2]]


Duration = Annotated[float, BeforeValidator(_duration), Field(ge=0)]
Size = Annotated[int, BeforeValidator(_size), Field(ge=0)]
DomainName = Annotated[str, BeforeValidator(lambda v: normalise_domain(v) if isinstance(v, str) else v)]
OptionalDomainName = Annotated[str, BeforeValidator(lambda v: normalise_domain(v) if isinstance(v, str) and v else v)]
"""The same, or ``""``."""
Network = IPv4Network | IPv6Network


class Section(BaseModel):
    """One table of the settings file. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


_RATE = re.compile(r"\s*(\d+)\s*/\s*(\d*)\s*([smhdw])\s*")


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` within ``window`` seconds; written ``"100/1m"``, ``"1000/h"``, ``"5000/1d"``."""

    count: int
    window: float

    def __str__(self) -> str:
        for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60)):
            if self.window % seconds == 0:
                return f"{self.count}/{self.window / seconds:g}{unit}"
        return f"{self.count}/{self.window:g}s"


def read_rate(text: str) -> Rate:
    """The rate that ``text`` writes. ValueError if it writes none."""
    match = _RATE.fullmatch(text.lower())
    window = int(match[2] or 1) * _UNITS_OF_TIME[match[3]] if match is not None else 0
    if match is None or not window or not int(match[1]):
        raise ValueError('write a rate as a number and a window, such as "100/1m", "1000/h", "5000/1d"')
    return Rate(int(match[1]), window)


RateText = Annotated[Rate, BeforeValidator(lambda v: read_rate(v) if isinstance(v, str) else v)]
