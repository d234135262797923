"""Mail to programs: what they get, what their exit codes mean, and that they are ended in time."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.unit.outbound.making import CONTENT, PREFIX, StoredContent, make_request

from postroom.config.road import CommandSettings
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Delivered, Failed, Outcome, Peer, RouteKind, Site
from postroom.mail.trouble import StoreUnavailable
from postroom.outbound.command import MAX_TEXT, CommandCarrier, fill, outcome_of
from postroom.outbound.job import ONE_WRITE

SITE = Site("command:robot", RouteKind.COMMAND, route="robot")


def make(*command: str, source: StoredContent | None = None, **settings: Any) -> CommandCarrier:
    return CommandCarrier(
        [CommandSettings(name="robot", command=command, **settings)], source or StoredContent([CONTENT])
    )


def python(script: str, *arguments: str, **settings: Any) -> CommandCarrier:
    return make(sys.executable, "-I", "-c", script, *arguments, **settings)


async def run(carrier: CommandCarrier, *recipients: str, **request: Any) -> Outcome:
    return (await carrier.deliver(make_request(*recipients, site=SITE, **request)))[1]


async def test_the_program_gets_the_message_with_its_envelope(tmp_path: Path) -> None:
    out = tmp_path / "out"
    carrier = python("import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())", str(out))
    assert isinstance(await run(carrier), Delivered)
    head = b"Return-Path: <from@example.net>\nDelivered-To: to@example.org\n"
    assert out.read_bytes() == head + (PREFIX + CONTENT).replace(b"\r\n", b"\n")


async def test_the_parts_of_addresses_are_filled_in() -> None:
    script = "import sys; print('|'.join(sys.argv[1:]))"
    carrier = python(script, "{sender}", "{recipient}", "{local}", "{domain}", "<{tag}>", "--id={queue_id}", "{other}")
    outcome = await run(carrier, "ann+x@example.org")
    assert outcome.reply.text == ("from@example.net|ann+x@example.org|ann|example.org|<x>|--id=0000000000007|{other}")
    outcome = await run(carrier, "ann@example.org", sender=None)
    assert outcome.reply.text.startswith("|ann@example.org|ann|example.org|<>|")


async def test_no_shell_reads_the_arguments() -> None:
    outcome = await run(make("/bin/echo", "{local}"), '"$(id);`id`"@example.org')
    assert outcome.reply.text == "$(id);`id`"


def test_an_address_cannot_be_an_option() -> None:
    words = {"recipient": "-oQ@example.org", "sender": "", "local": "-oQ", "domain": "d", "tag": "", "queue_id": "q"}
    assert fill(["/bin/true", "{recipient}"], words) is None
    assert fill(["/bin/true", "-r", "{local}"], words) is None
    assert fill(["/bin/true", "-r{local}", "to={recipient}"], words) == ["/bin/true", "-r-oQ", "to=-oQ@example.org"]


async def test_an_address_that_begins_with_a_hyphen_fails() -> None:
    outcome = await run(make("/bin/echo", "{recipient}"), "-x@example.org")
    assert isinstance(outcome, Failed)
    assert outcome.reply.status == "5.1.3"


async def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_SECRET", "hunter2")
    outcome = await run(make("/usr/bin/env"))
    assert "hunter2" not in outcome.reply.text
    assert {word.partition("=")[0] for word in outcome.reply.text.split()} <= {"PATH", "LANG"}


async def test_each_recipient_has_a_run_of_its_own(tmp_path: Path) -> None:
    script = "import sys; open(sys.argv[1] + '/' + sys.argv[2], 'wb').write(sys.stdin.buffer.read())"
    carrier = python(script, str(tmp_path), "{local}")
    outcomes = await carrier.deliver(make_request("a@example.org", "b@example.org", site=SITE))
    assert all(isinstance(outcome, Delivered) for outcome in outcomes.values())
    assert b"Delivered-To: b@example.org\n" in (tmp_path / "b").read_bytes()


# Exit codes.


@pytest.mark.parametrize(
    ("code", "kind", "status", "cause"),
    [
        (65, Failed, "5.6.0", Cause.CONTENT),
        (67, Failed, "5.1.1", Cause.MAILBOX_UNKNOWN),
        (68, Failed, "5.1.2", Cause.DOMAIN_UNKNOWN),
        (77, Failed, "5.7.0", Cause.POLICY),
        (64, Deferred, "4.3.0", Cause.LOCAL),
        (70, Deferred, "4.3.0", Cause.LOCAL),
        (75, Deferred, "4.3.0", Cause.LOCAL),
        (78, Deferred, "4.3.0", Cause.LOCAL),
        (1, Deferred, "4.3.0", Cause.LOCAL),
        (127, Deferred, "4.3.0", Cause.LOCAL),
        (-9, Deferred, "4.3.0", Cause.LOCAL),
    ],
)
def test_exit_codes(code: int, kind: type[Outcome], status: str, cause: Cause) -> None:
    outcome = outcome_of(code, "", Peer("robot"))
    assert isinstance(outcome, Failed | Deferred)
    assert type(outcome) is kind
    assert (outcome.reply.status, outcome.cause) == (status, cause)
    assert outcome.reply.text


@pytest.mark.parametrize(
    ("code", "output", "shown"),
    [
        (67, "5.1.6 gone to the hills", "550 5.1.6 gone to the hills"),
        (67, "4.1.6 odd", "550 5.1.1 odd"),
        (75, "4.2.2 full", "451 4.2.2 full"),
        (0, "2.1.5 filed under 7", "250 2.1.5 filed under 7"),
        (0, "5.0.0 fine", "250 2.0.0 fine"),
        (0, "", "250 2.0.0 done"),
    ],
)
def test_an_enhanced_status_in_the_output(code: int, output: str, shown: str) -> None:
    assert str(outcome_of(code, output, Peer("robot")).reply) == shown


async def test_what_it_says_becomes_the_reply_and_is_bounded() -> None:
    script = (
        "import sys; sys.stdin.read(); print('no\\x1b[2J\\r\\nway', flush=True)\n"
        "sys.stderr.write('x' * 5000000); sys.exit(67)"
    )
    outcome = await run(python(script))
    assert isinstance(outcome, Failed)
    assert outcome.reply.text.startswith("no [2J way x")
    assert len(outcome.reply.text) <= MAX_TEXT
    assert len(outcome.reply.lines) == 1


async def test_a_program_that_reads_nothing_is_judged_by_its_code() -> None:
    content = b"x" * (ONE_WRITE - 2) + b"\r\n"
    assert isinstance(await run(make("/bin/true"), content=content), Delivered)
    outcome = await run(python("import sys; sys.exit(77)"), content=content)
    assert isinstance(outcome, Failed)


@pytest.mark.parametrize("path", ["/nonexistent/robot", "/etc/passwd", "/tmp"])
async def test_a_program_that_cannot_be_run_defers(path: str) -> None:
    outcome = await run(make(path))
    assert isinstance(outcome, Deferred)
    assert outcome.cause is Cause.LOCAL
    assert path in outcome.detail
    assert path not in outcome.reply.text


# Time and number.


async def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, os\n"
        "child = subprocess.Popen(['/bin/sleep', '1000'])\n"
        "open(sys.argv[1], 'w').write(f'{os.getpid()} {child.pid}')\n"
        "child.wait()"
    )
    pids = tmp_path / "pids"
    carrier = python(script, str(pids), timeout=1.5)
    started = time.monotonic()
    outcome = await run(carrier)
    assert isinstance(outcome, Deferred)
    assert "1.5 seconds" in outcome.reply.text
    assert time.monotonic() - started < 30
    for pid in pids.read_text().split():
        for _ in range(1000):
            if not _runs(int(pid)):
                break
            await asyncio.sleep(0.01)
        assert not _runs(int(pid))


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def test_a_child_that_keeps_the_output_open_holds_nobody_up() -> None:
    started = time.monotonic()
    outcome = await run(make("/bin/sh", "-c", "echo said; sleep 20 & exit 0"))
    assert isinstance(outcome, Delivered)
    assert outcome.reply.text == "said"
    assert time.monotonic() - started < 15


async def test_so_many_at_once(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\n"
        "own = os.path.join(sys.argv[1], str(os.getpid())); open(own, 'w').close()\n"
        "print(len(os.listdir(sys.argv[1]))); time.sleep(0.2); os.unlink(own)"
    )
    carrier = python(script, str(tmp_path), concurrency=2)
    outcomes = await asyncio.gather(*(run(carrier) for _ in range(6)))
    assert max(int(outcome.reply.text) for outcome in outcomes) <= 2


async def test_cancelled_it_is_ended(tmp_path: Path) -> None:
    carrier = python(
        "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(1000)", str(tmp_path / "pid")
    )
    task = asyncio.create_task(run(carrier))
    pid = ""
    for _ in range(1000):
        pid = (tmp_path / "pid").read_text() if (tmp_path / "pid").exists() else ""
        if pid:
            break
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _runs(int(pid))


async def test_a_store_that_fails_defers_and_ends_the_program() -> None:
    source = StoredContent([b"x" * ONE_WRITE] * 2, StoreUnavailable("the disk is gone"), fail_after=1)
    outcome = await run(make("/bin/cat", source=source), content=None, size=2 * ONE_WRITE)
    assert isinstance(outcome, Deferred)
    assert outcome.reply.status == "4.3.0"


async def test_a_command_that_is_not_in_the_settings_defers() -> None:
    carrier = CommandCarrier([], StoredContent())
    assert isinstance(await run(carrier), Deferred)


def test_the_same_on_the_loop_of_production() -> None:
    async def all_of_it() -> list[Outcome]:
        content = b"x" * (ONE_WRITE - 2) + b"\r\n"
        commands = ["/bin/true", "/bin/cat", "/bin/false", "/nonexistent"]
        return [await run(make(command), content=content) for command in commands for _ in range(5)]

    outcomes = uvloop.run(all_of_it())
    assert [type(outcome) for outcome in outcomes] == [Delivered] * 10 + [Deferred] * 10
