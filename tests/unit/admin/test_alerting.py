"""Alerts get out: to a webhook and to a command, in time, signed, and whatever those do."""

import asyncio
import contextlib
import json
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.hand_clock import HandClock

from postroom.admin import alerting
from postroom.admin.alerting import AlertFailed, Alerts, send, sign, target_of
from postroom.config.guard import AlertSettings
from postroom.report.events import AlertRaised, LimitNear, LimitReached, Report, SessionRefused, StoreTrouble
from postroom.report.zones import DnsBroken

REFUSED = SessionRefused("mx", "192.0.2.9", "rate")
BODY = b'{"what": "test"}'


@dataclass
class Hook:
    """A web server for alerts; what it answers are its fields: one status after the other, the last again and again."""

    statuses: list[int] = field(default_factory=lambda: [200])
    hang: bool = False
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    tasks: list["asyncio.Task[None] | None"] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            await self._answer(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode().strip()
        headers: dict[str, str] = {}
        while (header := (await reader.readline()).decode().strip()) != "":
            name, _, value = header.partition(": ")
            headers[name.lower()] = value
        self.requests.append((line, headers, await reader.readexactly(int(headers["content-length"]))))
        if self.hang:
            await reader.read()
        else:
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            writer.write(f"HTTP/1.1 {status} Whatever\r\nContent-Length: 1000000000\r\n\r\n".encode())
            await writer.drain()


@asynccontextmanager
async def hooked(**fields: Any) -> AsyncIterator[Hook]:
    hook = Hook(**fields)
    server = await asyncio.start_server(hook.serve, "127.0.0.1", 0)
    hook.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks/s3cr3t"
    try:
        yield hook
    finally:
        server.close()
        await asyncio.gather(*(task for task in hook.tasks if task is not None))


def settings(**fields: Any) -> AlertSettings:
    return AlertSettings.model_validate({"on": ["session_refused"], "timeout": 10, **fields})


class TestWebhook:
    async def test_gets_a_signed_object_by_post(self) -> None:
        async with hooked() as hook:
            await send(settings(webhook=hook.url, secret="key"), BODY, HandClock())
        ((line, headers, body),) = hook.requests
        assert line == "POST /hooks/s3cr3t HTTP/1.1"
        assert (body, headers["content-type"]) == (BODY, "application/json")
        # What `openssl dgst -sha256 -hmac key` says of this body.
        assert headers["postroom-signature"] == "a8e4c4fc2cdddc61895547ce7899163c72bbac0ed7504867d69b02bea2c50ed8"

    async def test_without_a_secret_there_is_no_signature(self) -> None:
        async with hooked() as hook:
            await send(settings(webhook=hook.url), BODY, HandClock())
        assert "postroom-signature" not in hook.requests[0][1]

    async def test_is_tried_once_more(self) -> None:
        clock = HandClock()
        async with hooked(statuses=[500, 200]) as hook:
            await send(settings(webhook=hook.url), BODY, clock)
        assert len(hook.requests) == 2
        assert clock.time == 1000 + alerting.RETRY_WAIT

    @pytest.mark.parametrize(("status", "requests"), [(500, 2), (503, 2), (429, 2), (400, 1), (404, 1), (302, 1)])
    async def test_refuses(self, status: int, requests: int) -> None:
        async with hooked(statuses=[status]) as hook:
            with pytest.raises(AlertFailed, match=f"the webhook answered {status}"):
                await send(settings(webhook=hook.url), BODY, HandClock())
        assert len(hook.requests) == requests

    async def test_hangs(self) -> None:
        async with hooked(hang=True) as hook:
            with pytest.raises(AlertFailed, match=r"no answer within 1 seconds"):
                await send(settings(webhook=hook.url, timeout=1), BODY, HandClock())
        assert len(hook.requests) == 2

    async def test_is_not_there(self) -> None:
        with pytest.raises(AlertFailed) as caught:
            await send(settings(webhook="http://127.0.0.1:9/s3cr3t"), BODY, HandClock())
        assert "s3cr3t" not in str(caught.value)


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Makes a program of some lines of shell; ``$OUT`` in them is a file in the test's folder."""

    def make(lines: str) -> str:
        path = tmp_path / "alert"
        path.write_text(f"#!/bin/sh\nOUT={tmp_path}/out\n{lines}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return make


def is_alive(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class TestCommand:
    async def test_gets_the_object_on_its_standard_input(self, script: Callable[[str], str], tmp_path: Path) -> None:
        await send(settings(command=[script('cat > "$OUT"; echo "$1" >> "$OUT"'), "$HOME; x"]), BODY, HandClock())
        assert (tmp_path / "out").read_bytes() == BODY + b"$HOME; x\n"

    async def test_sees_nothing_of_our_environment(
        self, script: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("POSTROOM_SECRET", "s3cr3t")
        await send(settings(command=[script('cat > /dev/null; env > "$OUT"; pwd >> "$OUT"')]), BODY, HandClock())
        seen = (tmp_path / "out").read_text().split("\n")
        names = {line.partition("=")[0] for line in seen if "=" in line}
        assert names <= {"PATH", "LANG", "PWD", "OLDPWD", "SHLVL", "_"}
        assert "/" in seen

    async def test_need_not_read(self, script: Callable[[str], str]) -> None:
        await send(settings(command=[script("exit 0")]), b"x" * 1_000_000, HandClock())

    async def test_fails(self, script: Callable[[str], str]) -> None:
        with pytest.raises(AlertFailed, match="exit code 3"):
            await send(settings(command=[script("exit 3")]), BODY, HandClock())

    async def test_is_not_there(self) -> None:
        with pytest.raises(AlertFailed, match="/nowhere/alert cannot be run: No such file"):
            await send(settings(command=["/nowhere/alert"]), BODY, HandClock())

    async def test_hangs_and_is_killed_with_its_children(self, script: Callable[[str], str], tmp_path: Path) -> None:
        path = script('sleep 60 & echo "$$ $!" > "$OUT.new"; mv "$OUT.new" "$OUT"; wait')
        with pytest.raises(AlertFailed, match="longer than 2 seconds and was killed"):
            await send(settings(command=[path], timeout=2), BODY, HandClock())
        async with asyncio.timeout(30):
            while any(is_alive(process) for process in (tmp_path / "out").read_text().split()):
                await asyncio.sleep(0.01)


class TestAlerts:
    """From the report to the sending."""

    @asynccontextmanager
    async def running(self, *chosen: AlertSettings) -> AsyncIterator[tuple[Alerts, list[Report]]]:
        told: list[Report] = []
        alerts = Alerts(chosen, node="n1", hostname="mx.example.org", clock=HandClock())
        alerts.start(told.append)
        yield alerts, told
        await alerts.stop(30)

    async def test_raised_and_told(self) -> None:
        async with hooked() as hook:
            chosen = settings(webhook=hook.url, threshold="2/1m")
            async with self.running(chosen) as (alerts, told):
                alerts.tell(REFUSED)
                alerts.tell(StoreTrouble("disk full"))
                alerts.tell(REFUSED)
                alerts.tell(REFUSED)
            assert told == [AlertRaised("session_refused", 2, hook.url.split("/")[2])]
        ((_, _, body),) = hook.requests
        said = json.loads(body)
        assert (said["what"], said["count"], said["node"], said["hostname"]) == (
            "session_refused",
            2,
            "n1",
            "mx.example.org",
        )
        assert "s3cr3t" not in repr(told)

    async def test_each_word_counts_by_itself(self) -> None:
        async with hooked() as hook:
            chosen = settings(on=["session_refused", "store_trouble"], webhook=hook.url)
            async with self.running(chosen) as (alerts, told):
                alerts.tell(REFUSED)
                alerts.tell(StoreTrouble("disk full"))
        assert [report.on for report in told if isinstance(report, AlertRaised)] == ["session_refused", "store_trouble"]

    async def test_one_that_hangs_does_not_hold_up_another(self) -> None:
        async with hooked(hang=True) as slow, hooked() as quick:
            told: list[Report] = []
            arrived = asyncio.Event()

            def listen(report: Report) -> None:
                told.append(report)
                arrived.set()

            chosen = (settings(webhook=slow.url), settings(webhook=quick.url))
            alerts = Alerts(chosen, node="n", hostname="h", clock=HandClock())
            alerts.start(listen)
            alerts.tell(REFUSED)
            await asyncio.wait_for(arrived.wait(), 5)
            assert told == [AlertRaised("session_refused", 1, target_of(chosen[1]))]
            await alerts.stop(0.01)

    async def test_what_fails_is_told_and_the_next_has_its_chance(self, script: Callable[[str], str]) -> None:
        chosen = settings(command=[script("exit 1")], pause=0)
        async with self.running(chosen) as (alerts, told):
            alerts.tell(REFUSED)
            alerts.tell(REFUSED)
        troubles = [report.trouble for report in told if isinstance(report, AlertRaised)]
        assert [trouble.rpartition(" ended ")[2] for trouble in troubles] == ["with exit code 1"] * 2

    async def test_a_pile_is_bounded(self, script: Callable[[str], str]) -> None:
        chosen = settings(command=[script("exit 0")], pause=0)
        async with self.running(chosen) as (alerts, told):
            for _ in range(alerting.MOST_WAITING + 5):
                alerts.tell(REFUSED)
        assert len(told) == alerting.MOST_WAITING
        assert any(
            "5 further alerts were dropped" in report.trouble for report in told if isinstance(report, AlertRaised)
        )

    async def test_before_the_start_and_without_alerts(self) -> None:
        alerts = Alerts((), node="n", hostname="h", clock=HandClock())
        alerts.tell(REFUSED)
        await alerts.stop(1)

    async def test_only_what_an_alert_is_on_is_heard(self) -> None:
        alerts = Alerts([settings(webhook="https://hooks.example.org/")], node="n", hostname="h", clock=HandClock())
        assert alerts.choose(type(REFUSED)) == alerts.tell
        assert alerts.choose(StoreTrouble) is None
        assert alerts.choose(AlertRaised) is None
        assert alerts.kinds() == {SessionRefused}

    async def test_the_kinds_are_those_of_all_alerts(self) -> None:
        chosen = [settings(on=on, webhook="https://hooks.example.org/") for on in (["limit"], ["limit", "dns"])]
        alerts = Alerts(chosen, node="n", hostname="h", clock=HandClock())
        assert alerts.kinds() == {LimitNear, LimitReached, DnsBroken}
        assert all(alerts.choose(kind) for kind in alerts.kinds())
        assert Alerts((), node="n", hostname="h", clock=HandClock()).kinds() == frozenset()


def test_targets_show_no_secret() -> None:
    assert target_of(settings(webhook="https://user:pw@hooks.example.org/services/T0/s3cr3t")) == "hooks.example.org"
    assert target_of(settings(command=["/usr/bin/alert", "--token=x"])) == "/usr/bin/alert"


def test_the_signature_is_that_of_rfc_2104() -> None:
    # RFC 4231 §4.3: test case 2.
    assert sign("Jefe", b"what do ya want for nothing?") == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
