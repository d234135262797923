"""`python -m bench.signatures`: CPU that checking and signing take, for one message of 10 KB, dkimpy beside it.

Times are those of the process, the event loop included, medians of rounds that alternate.
"""

import argparse
import asyncio
import statistics
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import dkim

from postroom.clock import SystemClock
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mailauth.dkim.checking import SignatureChecker
from postroom.mailauth.dkim.signing import sign
from postroom.mailauth.dkim.signingkey import Algorithm, SigningKey, key_record, make_key, write_key
from postroom.mailauth.model import Result

MEASUREMENTS = ("signing",)
OCTETS = 10_240
ROUNDS, TIMES = 7, 200
_HEADER = b"""Received: from client.example.org (client.example.org [192.0.2.1])
\tby mx.example.org with ESMTPSA id 0123456789
\tfor <someone@example.net>; Thu, 26 Nov 2026 10:00:00 +0000
From: "Somebody of Example" <somebody@example.org>
To: Someone <someone@example.net>,
\tSomeone Else <else@example.net>
Subject: What we have talked about the other day, and what came of it
Date: Thu, 26 Nov 2026 10:00:00 +0000
Message-ID: <20261126100000.0123456789@example.org>
In-Reply-To: <20261125100000.0123456789@example.net>
References: <20261124100000.0123456789@example.org>
\t<20261125100000.0123456789@example.net>
MIME-Version: 1.0
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: 8bit

""".replace(b"\n", b"\r\n")
_LINE = b"It is a line of some length, as people write them, with spaces in between.\r\n"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table, in milliseconds of CPU. ``at_most`` is what issue and design ask for, None for nothing."""

    what: str
    postroom: float
    dkimpy: float | None
    at_most: float | None


def message() -> bytes:
    """10 KB of text."""
    return _HEADER + _LINE * ((OCTETS - len(_HEADER)) // len(_LINE))


async def signing() -> list[Line]:
    """Both keys over one message, and one signature of each kind verified, the key at hand."""
    keys = [SigningKey("example.org", each.name.lower(), each, make_key(each)) for each in Algorithm]
    resolver = ZoneResolver(Zone.of({key.name: {"TXT": [f'"{key_record(key)}"']} for key in keys}))
    checker = SignatureChecker(resolver, SystemClock())
    content, now = message(), time.time()
    by_rsa = await sign(content, b"", keys[:1], now) + content
    by_ed25519 = await sign(content, b"", keys[1:], now) + content
    by_both = await sign(content, b"", keys, now) + content
    for each in (by_rsa, by_ed25519, by_both):
        assert {check.result for check in (await checker.check(each)).dkim} == {Result.PASS}
    pem, record = write_key(keys[0].private), key_record(keys[0]).encode()
    names = [b"from", b"to", b"subject", b"date", b"message-id", b"mime-version", b"content-type"]
    relaxed = (b"relaxed", b"relaxed")
    theirs = partial(dkim.sign, content, b"rsa", b"example.org", pem, canonicalize=relaxed, include_headers=names)
    verify = partial(dkim.verify, by_rsa, dnsfunc=lambda name, timeout=5: record)
    assert verify()
    measured = {
        "sign, RSA-2048 and Ed25519": lambda: sign(content, b"", keys, now),
        "sign, RSA-2048": lambda: sign(content, b"", keys[:1], now),
        "verify, RSA-2048": lambda: checker.check(by_rsa),
        "verify, Ed25519": lambda: checker.check(by_ed25519),
        "verify, both": lambda: checker.check(by_both),
        "no signature": lambda: checker.check(content),
    }
    ours: dict[str, list[float]] = {what: [] for what in measured}
    others: dict[str, list[float]] = {"sign, RSA-2048": [], "verify, RSA-2048": []}
    for _ in range(ROUNDS):
        for what, act in measured.items():
            ours[what].append(await _cpu(act))
        for what, call in (("sign, RSA-2048", theirs), ("verify, RSA-2048", verify)):
            others[what].append(_cpu_of_calls(call))
    limits = {"sign, RSA-2048 and Ed25519": 1.0, "verify, RSA-2048": 0.6}
    return [
        Line(
            what,
            statistics.median(found),
            statistics.median(others[what]) if what in others else None,
            limits.get(what),
        )
        for what, found in ours.items()
    ]


def in_two_threads() -> float:
    """How much sooner two threads have signed than one after the other: 2 where neither holds up the other."""
    key = SigningKey("example.org", "rsa", Algorithm.RSA, make_key(Algorithm.RSA))

    def work() -> None:
        for _ in range(500):
            key.sign(b"x" * 32)

    start = time.perf_counter()
    work()
    work()
    one = time.perf_counter() - start
    threads = [threading.Thread(target=work) for _ in range(2)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return one / (time.perf_counter() - start)


async def _cpu(act: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds of CPU for one time."""
    start = time.process_time()
    for _ in range(TIMES):
        await act()
    return (time.process_time() - start) / TIMES * 1000


def _cpu_of_calls(call: Callable[[], object], times: int = 20) -> float:
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times * 1000


def main() -> None:
    """Measure, show."""
    parser = argparse.ArgumentParser(prog="python -m bench.signatures", description="What trust costs, in CPU.")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=MEASUREMENTS, help="only these measurements")
    parser.parse_args()
    lines = asyncio.run(signing())
    print(f"{'CPU for a message of 10 KB, in ms':<36}{'Postroom':>10}{'dkimpy':>10}{'ratio':>8}{'at most':>9}")
    for line in lines:
        theirs = f"{line.dkimpy:>10.2f}{line.dkimpy / line.postroom:>8.1f}" if line.dkimpy else " " * 18
        limit = f"{line.at_most:>9.1f}" if line.at_most else ""
        print(f"{line.what:<36}{line.postroom:>10.3f}{theirs}{limit}")
    print(f"two threads sign {in_two_threads():.1f} times as fast as one")


if __name__ == "__main__":
    main()
