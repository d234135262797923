"""Floods on loopback, and guessing from many addresses: the server stays small, serves who behaves, and tells of it.

What is asserted of time is how long others wait; whoever floods may be as slow as the machine makes it.
"""

import re
import resource
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from tests.system import namespace
from tests.system.fixtures import MakeProgram
from tests.system.namespace import Namespace
from tests.system.program import ROLES, Program, wait_until
from tests.system.siege import MEBIBYTE, Siege

Record = Callable[[str, object], None]

ALICE, BOB = "alice@example.org", "bob@example.org"
FAIL2BAN = re.compile(r'"event":"(?:login_failed|locked_out|abuse_seen)","address":"([^"]*)",')
"""As docs/operations.md has it."""

SLACK = 24 * MEBIBYTE
"""What allocators and the caches of well-behaved traffic may take beside what a flood is counted for."""


def started(make_program: MakeProgram, **settings: Any) -> Program:
    quiet = {"log": {"level": "info"}, "dkim": {"enabled": False}}  # lines are counted: none of keys that are made
    return make_program(quiet | settings).add(ALICE, BOB).start()


def test_ten_thousand_idle_sessions_fit_into_400_mb(make_program: MakeProgram, record_property: Record) -> None:
    # DESIGN §8. Each session is a file on either side.
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    sessions = 10_000 if files == resource.RLIM_INFINITY else min(10_000, files - 500)
    program = started(make_program, connections={"total": 12_000})
    with Siege(program, BOB) as siege:
        crowd = siege.flood("idle", sessions=sessions)
        assert crowd.hear() == {"held": sessions, "trouble": {}}
        total = program.rss()
        assert siege.metric("sessions_open", role="mx") >= sessions
        delivered = siege.metric("messages_accepted_total")
        siege.wait_metric("messages_accepted_total", delivered + 200)  # while they sit there
        assert crowd.finish() == {"lost": 0}
    each = (total - siege.memory_before) / sessions
    fewer = "" if sessions == 10_000 else f"only {sessions} sessions, as {files} files may be open; "
    record_property("told", f"{fewer}{each / 1024:.1f} KiB a session, {total / 1e6:.0f} MB in all; {siege.told()}")
    siege.assert_served()
    assert siege.memory_peak < 400e6
    assert not siege.log_lines  # who does nothing makes no lines
    wait_until(lambda: siege.metric("sessions_open", role="mx") == 0, "they are gone")


def test_a_thousand_connections_a_second_from_one_address(make_program: MakeProgram, record_property: Record) -> None:
    flooder, seconds = "127.0.0.3", 5
    program = started(make_program, flood={"exempt_networks": []})
    # Nobody is exempt: those who behave share ten addresses, so that each stays below the rate.
    with Siege(program, BOB, tuple(f"127.0.1.{number}" for number in range(1, 11))) as siege:
        flood = siege.flood("connect", source=flooder, rate=1000, seconds=seconds).result()
        answers = Counter(flood["answers"])
        siege.wait_metric("sessions_refused_total", answers["421"], role="mx", reason="rate")
    record_property("told", f"{flood['rate']:.0f} connections a second, {dict(answers)}; {siege.told()}")
    siege.assert_served()
    assert siege.memory_grown < SLACK  # those who are turned away are at most 128 sockets
    assert answers.total() == seconds * 1000
    # 120 at once and two a second more may come in, the others are told when to come back.
    assert 120 <= answers["220"] <= 120 + 2 * (seconds + 5)
    assert answers["220"] + answers["421"] == answers.total()

    def refused() -> list[dict[str, Any]]:
        return program.told("session_refused")

    wait_until(lambda: sum(line.get("count", 1) for line in refused()) == answers["421"], "the log tells of each")
    assert {(line["address"], line["role"], line["reason"]) for line in refused()} == {(flooder, "mx", "rate")}
    assert siege.metric("sessions_refused_total", role="mx", reason="rate") == answers["421"]
    assert siege.log_lines.keys() == {"session_refused"}
    assert siege.log_lines["session_refused"] <= 3 + (seconds + 5)  # three by themselves, then one a second


def test_slowloris_holds_nothing_longer_than_its_time(make_program: MakeProgram, record_property: Record) -> None:
    program = started(
        make_program,
        smtp={"command_timeout": 3, "content_timeout": 3},
        connections={"tls_timeout": 3},
        flood={"exempt_networks": [], "connection_rate": ["1000/1m"]},
    )
    floods: dict[str, dict[str, Any]] = {
        "command": {"sessions": 300, "source": "127.0.0.3"},
        "content": {"sessions": 100, "source": "127.0.0.4", "recipient": BOB},
        "tls": {"sessions": 200, "source": "127.0.0.5", "port": program.port("submissions")},
    }
    with Siege(program, BOB, tuple(f"127.0.1.{number}" for number in range(1, 11))) as siege:
        running = {
            what: siege.flood("dribble", what=what, pause=0.2, **({"recipient": BOB} | plan))
            for what, plan in floods.items()
        }
        ended = {what: flood.result() for what, flood in running.items()}
    slowest = {what: f"{result['shortest']:.1f}–{result['longest']:.1f} s" for what, result in ended.items()}
    record_property("told", f"ended after {slowest}; {siege.told()}")
    siege.assert_served()
    assert siege.memory_grown < SLACK + 600 * 64 * 1024  # a session holds a line, a piece of content or a handshake
    # A command or a handshake has its time once, however many pieces it comes in; silent content has it anew.
    assert ended["command"]["last"] == {"421 4.4.2": 300}
    assert ended["content"]["last"] == {"421 4.4.2": 100}
    assert ended["tls"]["last"] == {"": 200}
    for result in ended.values():
        assert result["shortest"] >= 2.0
    assert siege.metric("sessions_closed_total", role="mx", reason="timeout") == 400
    assert siege.metric("tls_failures_total", role="submissions") == 200
    failed = program.told("tls_failed")
    assert {(line["address"], line["reason"]) for line in failed} == {("127.0.0.5", "the peer took too long")}
    assert siege.log_lines.total() <= 200 + 100  # one for each handshake, one for each message that did not come


@pytest.mark.timeout(120)
def test_garbage_noops_and_early_talk_until_the_address_is_banned(
    make_program: MakeProgram, record_property: Record
) -> None:
    program = started(make_program, flood={"tarpit": 0.02, "greet_delay": 0.2})
    shouters = {
        "127.0.0.3": ("lines", "garbage"),
        "127.0.0.4": ("binary", "garbage"),
        "127.0.0.5": ("long", "garbage"),
        "127.0.0.6": ("noop", "commands"),
        "127.0.0.7": ("early", "pregreet"),
    }
    with Siege(program, BOB) as siege:
        running = {
            address: siege.flood("shout", what=what, source=address, sessions=100, turned_away=5)
            for address, (what, _) in shouters.items()
        }
        ended = {address: flood.result() for address, flood in running.items()}
    record_property("told", f"{ended}; {siege.told()}")
    siege.assert_served()
    # What is read ahead of five sessions, and the engine's share of it.
    assert siege.memory_grown < SLACK
    bans = siege.bans(len(shouters))
    for address, (_, kind) in shouters.items():
        assert bans[address]["reason"] == f"50 points of abuse, at last {kind}"
        seen = program.told("abuse_seen", address=address)
        assert [line["kind"] for line in seen] == [kind] * 5  # ten points each, and not one session more
        assert len(program.told("locked_out", address=address, scope="address")) == 1
        assert program.told("session_refused", address=address, reason="banned")
        assert ended[address]["turned_away"] == 5
    assert siege.metric("lockouts_total", scope="address") == len(shouters)
    assert siege.metric("abuse_total", role="mx", kind="garbage") == 15
    assert siege.metric("sessions_refused_total", role="mx", reason="banned") == 25
    assert set(shouters) <= set(FAIL2BAN.findall(program.log_text()))
    # A session is told of line by line up to its twentieth error.
    assert siege.log_lines.total() <= 5 * len(shouters) * 22


def test_recipients_beyond_every_rate(make_program: MakeProgram, record_property: Record) -> None:
    """Nobody is banned for it, as lists do it too; and nobody else waits."""
    limits = {"address_messages": [], "address_recipients": ["900/1m"], "exempt_networks": []}
    program = started(make_program, limits=limits)
    with Siege(program, BOB) as siege:
        plan: dict[str, Any] = {"what": "recipients", "sessions": 3, "turned_away": 1}
        floods = [siege.flood("shout", source=f"127.0.0.{number}", **plan) for number in (3, 4)]
        ended = [flood.result() for flood in floods]
        delivered = siege.metric("messages_accepted_total")
        siege.wait_metric("messages_accepted_total", delivered + 100)
    record_property("told", f"{ended}; {siege.told()}")
    siege.assert_served()
    assert siege.memory_grown < SLACK
    assert [flood["turned_away"] for flood in ended] == [0, 0]
    seen = program.told("abuse_seen")
    assert Counter((line["address"], line["kind"]) for line in seen) == {
        ("127.0.0.3", "refusals"): 3,
        ("127.0.0.4", "refusals"): 3,
    }
    assert siege.metric("limits_reached_total", scope="address_recipients") == 2
    # A hundred of a session's refusals have a line.
    assert siege.log_lines == {"recipient_refused": 6 * 100, "abuse_seen": 6, "limit_reached": 2}


@pytest.fixture
def guessers() -> Iterator[Namespace]:
    missing = namespace.why_not()
    if missing:
        pytest.skip(missing)
    with namespace.namespace(200) as made:
        yield made


def test_guessing_from_two_hundred_addresses(
    make_program: MakeProgram, guessers: Namespace, record_property: Record
) -> None:
    both = {"addresses": [guessers.host, "127.0.0.1"]}
    listeners = [{"role": role, "addresses": ["127.0.0.1"], "port": 0} for role in ROLES]
    listeners = [row | (both if row["role"] in ("submissions", "pop3s") else {}) for row in listeners]
    lockout = {"delay": 0.1, "longest_delay": 1, "address_failures": 5, "account_failures": 20}
    program = started(make_program, listener=listeners, lockout=lockout, limits={"account_messages": []})
    with program.submission(ALICE):
        pass  # from now on Alice is known at 127.0.0.1
    (ready,) = program.told("server_ready")
    places = [place.split() for place in ready["listeners"]]
    ports = {role: int(place.rpartition(":")[2]) for role, place in places if place.startswith(guessers.host)}
    scattered, aimed = guessers.addresses[:100], guessers.addresses[100:]
    with Siege(program, BOB, login=ALICE) as siege:  # mail comes in, and Alice logs in for each message of hers
        target: dict[str, Any] = {"prefix": guessers.prefix, "host": guessers.host, **ports}
        many = siege.flood("guess", **target, sources=scattered, victim="", guesses=8)
        one = siege.flood("guess", **target, sources=aimed, victim=ALICE, guesses=3)
        wait_until(lambda: bool(siege.watch_threads()) and many.is_done and one.is_done, "they have given up", 60)
        at_many, at_one = many.result(), one.result()
    threads = f"threads {siege.threads_before}, at most {siege.threads_most}"
    record_property("told", f"{siege.told()}; {threads}; {at_many['answers']} {at_one['answers']}")
    siege.assert_served()
    # Verifying takes 19 MiB in each thread, of which there are four at most; a session over TLS some 64 KiB.
    assert siege.threads_most <= siege.threads_before + 4
    assert siege.memory_grown < SLACK + 4 * 19 * MEBIBYTE + 200 * 64 * 1024

    # Names one after the other: five failures of an address, each answered later than the one before, then the ban.
    wrong, locked = outcomes(at_many)
    assert (wrong, locked, at_many["answers"]["turned away"]) == (500, 0, 100)
    for turn, seconds in at_many["least"].items():
        assert seconds >= (0.1 * 2 ** (int(turn) - 2) if int(turn) > 1 else 0)
    # One account: twenty failures wherever they come from, however many come at once, then the lock.
    assert outcomes(at_one) == (20, 280)

    bans = siege.bans(101)
    assert bans.keys() == {*scattered, ALICE}
    assert {bans[address]["reason"] for address in scattered} == {"5 failed logins"}
    assert bans[ALICE]["reason"] == "20 failed logins"
    assert siege.metric("lockouts_total", scope="address") == 100
    assert siege.metric("lockouts_total", scope="account") == 1
    assert siege.metric("login_failures_total", reason="locked") == 280
    assert siege.metric("login_failures_total") == 800
    assert siege.metric("sessions_refused_total", reason="banned") == 100
    # Each guess has its line, with its address where fail2ban looks for it; nothing else makes many lines.
    assert siege.log_lines.keys() == {"login_failed", "locked_out", "session_refused"}
    assert (siege.log_lines["login_failed"], siege.log_lines["locked_out"]) == (800, 101)
    assert set(FAIL2BAN.findall(program.log_text())) >= set(guessers.addresses)
    aimed_at = {line["reason"] for line in program.told("login_failed", account=ALICE)}
    assert aimed_at == {
        "wrong password",
        "the account is locked for addresses that it does not know: 20 failed logins",
    }


def outcomes(result: Mapping[str, Any]) -> tuple[int, int]:
    """How many guesses heard that they were wrong, and how many that nobody may try now."""
    wrong = sum(count for answer, count in result["answers"].items() if "535" in answer or "[AUTH]" in answer)
    locked = sum(count for answer, count in result["answers"].items() if "454" in answer or "[SYS/TEMP]" in answer)
    return wrong, locked
