"""`python -m bench`: both servers in alternating rounds; a table on the terminal, JSON in bench/results/."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from bench import measure, milters, trust
from bench.crowd import backlog, crowd, million
from bench.far import SITES, FarSink, spread
from bench.generators import MANY_SESSIONS, Sink, send_many
from bench.measure import ACCOUNTS, DOMAIN, LOCAL, PASSWORD, Server
from bench.postfix import Postfix, tool, why_not
from bench.postroom import (
    GUARD_OFF,
    GUARD_ON,
    SUBMITTING,
    Postroom,
    by_mx,
    by_sink,
    make_certificate,
    past_a_dead_site,
)
from bench.processes import BenchError
from bench.result import Findings, machine_facts, show_table, table_lines

MEASUREMENTS = (
    "stored",
    "relayed",
    "crowded",
    "secured",
    "sites",
    "submitted",
    "checked",
    "signed",
    "guarded",
    "latency",
    "memory",
    "big",
    "million",
    "backlog",
)
_RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured, of whom."""

    servers: tuple[str, ...]
    what: tuple[str, ...]
    rounds: int
    messages: int
    latency_seconds: float
    big_octets: int
    deferred: int


def main() -> int:
    """Measure, show, write down."""
    plan, folder = _asked()
    trouble = why_not()
    if tool("smtp-source") is None or tool("smtp-sink") is None or ("postfix" in plan.servers and trouble):
        print(f"bench: {trouble}; --server postroom leaves Postfix out", file=sys.stderr)
        return 1
    work = Path(tempfile.mkdtemp(prefix="postroom-bench-", dir=folder))
    work.chmod(0o755)  # Postfix's processes pass here as other users
    try:
        facts = machine_facts(work)
        if facts["file system"] == "tmpfs":
            print("bench: the work folder is in memory, where fsync costs nothing; choose another with --dir")
            return 1
        found, ceiling = _measure(plan, work)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _tell(plan, facts, found, ceiling)
    return 0


def _asked() -> tuple[Plan, Path]:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Postroom and Postfix, side by side.")
    parser.add_argument("--quick", action="store_true", help="small runs, as CI makes them")
    parser.add_argument("--rounds", type=int, help="alternating rounds (default 5, quick 2)")
    parser.add_argument("--messages", type=int, help="messages of one run (default 5000, quick 1500)")
    parser.add_argument(
        "--deferred", type=int, help="recipients of the long queue (default 1,000,000, quick 100,000; half for backlog)"
    )
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=MEASUREMENTS, help="only these measurements")
    parser.add_argument("--server", choices=("both", "postfix", "postroom"), default="both", help="only this server")
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp"), help="on which disk to work (default /var/tmp)")
    asked = parser.parse_args()
    plan = Plan(
        servers=("postfix", "postroom") if asked.server == "both" else (asked.server,),
        what=tuple(asked.only),
        rounds=asked.rounds or (2 if asked.quick else 5),
        messages=asked.messages or (1500 if asked.quick else 5000),
        latency_seconds=4 if asked.quick else 15,
        big_octets=100_000_000,
        deferred=asked.deferred or (100_000 if asked.quick else 1_000_000),
    )
    return plan, asked.dir


def _measure(plan: Plan, work: Path) -> tuple[dict[str, Findings], float]:
    sink = Sink(work)
    sink.start()
    try:
        found = {name: Findings() for name in plan.servers}
        ceiling = plan.messages / send_many(sink.port, measure.REMOTE, plan.messages)
        _say(f"smtp-source against smtp-sink alone: {ceiling:,.0f}/s")
        if {"stored", "relayed", "crowded"} & set(plan.what):
            for number in range(plan.rounds):
                for name in plan.servers:
                    with _running(name, work, sink) as server:
                        _round(plan, server, sink, found[name])
                    _say(f"round {number + 1} of {plan.rounds}: {_last(found[name])}")
        if "secured" in plan.what:
            _secure(plan, work, found)
        if "sites" in plan.what and "postroom" in found:
            _spread(plan, work, found["postroom"])
        if "submitted" in plan.what:
            _submit(plan, work, sink, found)
        if {"checked", "signed"} & set(plan.what):
            _trust(plan, work, sink, found)
        if {"million", "backlog"} & set(plan.what) and "postroom" in found:
            _crowd(plan, work, sink, found["postroom"])
        if "guarded" in plan.what and "postroom" in found:
            _guard(plan, work, sink, found["postroom"])
        for name in plan.servers:
            _apart(plan, name, work, sink, found[name])
        return found, ceiling
    finally:
        sink.stop()


@contextmanager
def _running(name: str, work: Path, sink: Sink, *, warm: int = 200) -> Iterator[Server]:
    """A fresh server in a fresh folder, warmed up with so many messages each way, gone afterwards."""
    folder = work / name
    server: Server
    if name == "postfix":
        server = Postfix(folder, domain=DOMAIN, accounts=ACCOUNTS, settings=_relay(sink))
    else:
        server = Postroom(folder, domain=DOMAIN, accounts=ACCOUNTS, road=by_sink(sink.port))
    with _up(server, folder):
        measure.warm_up(server, sink, warm)
        yield server


def _relay(sink: Sink) -> dict[str, str]:
    return {"relayhost": f"[127.0.0.1]:{sink.port}"}


@contextmanager
def _up(server: Server, folder: Path) -> Iterator[None]:
    """The server while it runs; its folder is gone afterwards."""
    try:
        server.start()
        yield
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _round(plan: Plan, server: Server, sink: Sink, found: Findings) -> None:
    if "stored" in plan.what:
        found.stored.append(measure.stored(server, plan.messages))
    if "relayed" in plan.what:
        found.relayed.append(measure.relayed(server, sink, plan.messages))
    if "crowded" in plan.what:
        os.sync()
        found.crowded.append(measure.relayed(server, sink, plan.messages, partial(send_many, sessions=MANY_SESSIONS)))


def _apart(plan: Plan, name: str, work: Path, sink: Sink, found: Findings) -> None:
    """What is measured once, each on a server of its own so that one does not change the other's memory."""
    parts: dict[str, Callable[[Server], None]] = {
        "latency": lambda server: _latency(plan, server, sink, found),
        "memory": lambda server: found.memory.append(measure.peak_memory(server, sink, plan.messages)),
        "big": lambda server: found.big.append(measure.big(server, sink, plan.big_octets)),
    }
    for what in plan.what:
        if what in parts:
            # Memory that an earlier load took and gave back would hide what the big message takes.
            with _running(name, work, sink, warm=2 if what == "big" else 200) as server:
                parts[what](server)
            _say(f"{name}: {what} measured")


def _submit(plan: Plan, work: Path, sink: Sink, found: dict[str, Findings]) -> None:
    """Submission over TLS with AUTH, in turns, with the same certificate. Dovecot has the password in the clear first,
    and then hashed as Postroom's is, which is slow enough for few messages to tell.
    """
    certificate, key = make_certificate(work)
    for number in range(plan.rounds):
        for name in plan.servers:
            folder = work / name
            server: Server
            if name == "postfix":
                postfix = Postfix(folder, domain=DOMAIN, accounts=ACCOUNTS, settings=_relay(sink))
                postfix.offer_submissions(certificate, key, work / "sasl", address=LOCAL, password=PASSWORD)
                server = postfix
            else:
                server = Postroom(folder, domain=DOMAIN, accounts=ACCOUNTS, road=by_sink(sink.port), further=SUBMITTING)
            with _up(server, folder):
                measure.submitted(server, sink, 100)
                os.sync()
                found[name].submitted.append(measure.submitted(server, sink, plan.messages // 2))
                alike = found[name].submitted[-1]
                if isinstance(server, Postfix):
                    server.hash_alike()
                    alike = measure.submitted(server, sink, plan.messages // 20)
                found[name].submitted_alike.append(alike)
            last = found[name].submitted[-1]
            _say(
                f"round {number + 1} of {plan.rounds}: {name} submitted {last.accepted:,.0f}/s, "
                f"{last.complete:,.0f}/s complete"
            )


def _trust(plan: Plan, work: Path, sink: Sink, found: dict[str, Findings]) -> None:
    """Mail that is checked when it comes in, and signed when it goes out, in turns."""
    if trouble := milters.why_not():
        _say(f"checked and signed are left out: {trouble}")
        return
    origin = trust.Origin(work)
    origin.names.start()
    try:
        for number in range(plan.rounds):
            for name in plan.servers:
                if "checked" in plan.what:
                    server = trust.checking_server(name, work / name, origin)
                    with _up(server, work / name):
                        trust.checked(server, origin, 200)
                        os.sync()
                        found[name].checked.append(trust.checked(server, origin, plan.messages // 2))
                    _say(
                        f"round {number + 1} of {plan.rounds}: {name} checked {found[name].checked[-1].complete:,.0f}/s"
                    )
                if "signed" in plan.what:
                    server = trust.signing_server(name, work / name, sink)
                    with _up(server, work / name):
                        trust.signed(server, sink, 200)
                        os.sync()
                        found[name].signed.append(trust.signed(server, sink, plan.messages // 2))
                    _say(f"round {number + 1} of {plan.rounds}: {name} signed {found[name].signed[-1].complete:,.0f}/s")
    finally:
        origin.names.stop()


def _secure(plan: Plan, work: Path, found: dict[str, Findings]) -> None:
    """Relaying over TLS: as each does it by itself, and with connections reused, which Postfix has to be told."""
    sink = FarSink(work, tls=make_certificate(work))
    sink.start()
    try:
        for number in range(plan.rounds):
            for name in plan.servers:
                for reuse in (False, True) if name == "postfix" else (False,):
                    rates = _secured(plan, work, sink, name, reuse=reuse)
                    (found[name].secured_reuse if reuse else found[name].secured).append(rates)
                    if name == "postroom":
                        found[name].secured_reuse.append(rates)
                    _say(f"round {number + 1} of {plan.rounds}: {name} over TLS {rates.complete:,.0f}/s complete")
    finally:
        sink.stop()


def _secured(plan: Plan, work: Path, sink: FarSink, name: str, *, reuse: bool) -> measure.Rates:
    folder = work / name
    server: Server
    if name == "postfix":
        settings = {"relayhost": f"[127.0.0.1]:{sink.port}", "smtp_tls_security_level": "may"}
        settings |= {"smtp_tls_connection_reuse": "yes"} if reuse else {}
        server = Postfix(folder, domain=DOMAIN, accounts=ACCOUNTS, settings=settings)
    else:
        server = Postroom(folder, domain=DOMAIN, accounts=ACCOUNTS, road=by_sink(sink.port, "opportunistic"))
    with _up(server, folder):
        measure.relayed(server, sink, 200)
        os.sync()
        return measure.relayed(server, sink, plan.messages // 2)


def _spread(plan: Plan, work: Path, found: Findings) -> None:
    """To many sites at a distance: what the machine gives, or what the sites allow."""
    sink = FarSink(work, hosts=SITES, latency=0.02)
    sink.start()
    try:
        for number in range(plan.rounds):
            server = Postroom(work / "spread", domain=DOMAIN, accounts=ACCOUNTS, road=by_mx(sink.port, sink.dns_port))
            with _up(server, work / "spread"):
                spread(server, sink, sites=SITES, messages=SITES * 2)
                found.spread.append(spread(server, sink, sites=SITES, messages=plan.messages * 3))
            _say(f"round {number + 1} of {plan.rounds}: {SITES} sites, {found.spread[-1].rate:,.0f}/s")
    finally:
        sink.stop()


def _guard(plan: Plan, work: Path, sink: Sink, found: Findings) -> None:
    """The mx role with every limit on and with none, in turns."""
    for number in range(plan.rounds):
        rates = []
        for further in (GUARD_OFF, GUARD_ON):
            server = Postroom(
                work / "guarded", domain=DOMAIN, accounts=ACCOUNTS, road=by_sink(sink.port), further=further
            )
            with _up(server, work / "guarded"):
                measure.stored(server, 200)
                os.sync()
                rates.append(measure.stored(server, plan.messages).accepted)
        found.guarded.append(rates[1] / rates[0])
        _say(f"round {number + 1} of {plan.rounds}: {rates[0]:,.0f}/s without a limit, {rates[1]:,.0f}/s with all")


def _crowd(plan: Plan, work: Path, sink: Sink, found: Findings) -> None:
    """Long queues, beside a server without one."""
    empty = Postroom(work / "empty", domain=DOMAIN, accounts=ACCOUNTS, road=past_a_dead_site(sink.port))
    for what, recipients in (("million", plan.deferred), ("backlog", plan.deferred // 2)):
        if what not in plan.what:
            continue
        folder = work / what
        crowded = crowd(folder, sink, domain=DOMAIN, accounts=ACCOUNTS, recipients=recipients, dead=what == "backlog")
        with _up(empty, work / "empty"), _up(crowded, folder):
            if what == "million":
                found.million.append(million(crowded, empty, recipients, plan.messages, plan.rounds))
            else:
                found.backlog.append(backlog(crowded, empty, recipients, 50, 4 * plan.latency_seconds))
        _say(f"{what}: {recipients:,} recipients measured")


def _latency(plan: Plan, server: Server, sink: Sink, found: Findings) -> None:
    """At half of this server's own top rate; the client against the sink shows what of it is the client's own."""
    top = sorted(rates.accepted for rates in found.stored or [measure.stored(server, plan.messages)])
    rate = top[len(top) // 2] / 2
    client = measure.latency(sink.port, rate, plan.latency_seconds / 2)
    _say(
        f"load client against smtp-sink at {client.rate:,.0f}/s: p50 {client.due_p50} ms, p99 {client.due_p99} ms, "
        f"late by {client.lag_p50} ms (p50), {client.client_cpu:.0%} of one core"
    )
    found.latency.append(measure.latency(server.smtp_port, rate, plan.latency_seconds))


def _last(found: Findings) -> str:
    parts = []
    if found.stored:
        parts.append(f"stored {found.stored[-1].accepted:,.0f}/s, {found.stored[-1].complete:,.0f}/s complete")
    if found.relayed:
        parts.append(f"relayed {found.relayed[-1].accepted:,.0f}/s, {found.relayed[-1].complete:,.0f}/s complete")
    if found.crowded:
        parts.append(f"from {MANY_SESSIONS} sessions {found.crowded[-1].complete:,.0f}/s complete")
    return "; ".join(parts)


def _tell(plan: Plan, facts: dict[str, str], found: dict[str, Findings], ceiling: float) -> None:
    lines = table_lines(found)
    print()
    for name, value in facts.items():
        print(f"{name + ':':<13} {value}")
    print(
        f"{'runs:':<13} median of {plan.rounds} x {plan.messages} messages of 10 KiB, each a new connection, 20 at once"
    )
    print(f"{'reference:':<13} smtp-source against smtp-sink alone {ceiling:,.0f}/s")
    print(f"\n{show_table(lines)}\n")
    _RESULTS.mkdir(exist_ok=True)
    path = _RESULTS / time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime())
    whole = {
        "machine": facts,
        "plan": asdict(plan),
        "ceiling": ceiling,
        "table": [asdict(line) for line in lines],
        "rounds": {name: asdict(findings) for name, findings in found.items()},
    }
    path.write_text(json.dumps(whole, indent=1) + "\n")
    print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
