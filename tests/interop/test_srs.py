"""Chains of forwarders, of which some run Mail::SRS (Debian's srs) and some this server: both ways there and back."""

import subprocess
import time

import pytest

from postroom.mail.address import Address
from postroom.mail.returnpath import Forwarded, ReturnPaths

pytestmark = pytest.mark.needs("srs")

OURS = ReturnPaths(b"s" * 32, 14 * 86400.0)
SENDER = Address.parse("Sam+l=x@a.example")


def srs(*words: str) -> Address:
    """What the other program makes of an address."""
    command = ["srs", "--secret=shared by nobody else", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return Address.parse(done.stdout.strip())


def theirs(sender: Address, domain: str) -> Address:
    return srs("--forward", f"--alias={domain}", f"--address={sender}")


def back(path: Address) -> Address:
    return srs("--reverse", f"--address={path}")


def ours(sender: Address, domain: str) -> Address:
    path = OURS.srs(sender, domain, time.time())
    assert path is not None
    return path


def read(path: Address) -> Address:
    found = OURS.read(path, time.time())
    assert isinstance(found, Forwarded)
    return found.original


def test_ours_first() -> None:
    first = ours(SENDER, "ours.example")
    second = theirs(first, "theirs.example")
    assert second.local.startswith("SRS1=")
    assert back(second) == first
    assert read(first) == SENDER


def test_theirs_first() -> None:
    first = theirs(SENDER, "theirs.example")
    second = ours(first, "o.example")
    assert second.local.startswith("SRS1=")
    assert read(second) == first
    assert back(first) == SENDER


def test_theirs_twice_and_ours_between() -> None:
    short = Address.parse("sam@a.example")
    first = theirs(short, "b.example")
    second = ours(first, "c.example")
    third = srs("--forward", "--alias=d.example", f"--address={second}")
    assert back(third) == first  # from the last to the first, past those between
    assert read(second) == first
    assert back(first) == short


def test_both_write_the_day_alike() -> None:
    mine, other = ours(SENDER, "ours.example"), theirs(SENDER, "theirs.example")
    assert mine.local.split("=")[2:] == other.local.split("=")[2:]
