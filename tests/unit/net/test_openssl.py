"""The ``openssl`` program as a client, of either event loop: names, tickets, client certificates, renegotiation."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from tests.unit.net.tlspeer import several, write_leaf

from postroom.config.model import ConnectionSettings, ListenerSettings
from postroom.mail.session import Client, Role
from postroom.net.gate import Gate
from postroom.net.listener import Listener
from postroom.net.sockets import open_listeners
from postroom.net.stream import SocketStream
from postroom.net.sweeper import Sweeper
from postroom.net.tls import ServerTls
from postroom.report.events import Report, TlsFailed
from postroom.report.reporter import Reporter

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


class Greeter:
    """Says what it knows of its client, and ends at QUIT."""

    role = Role.SUBMISSIONS
    busy_line = b"421 busy\r\n"

    def __init__(self) -> None:
        self.clients: list[Client] = []

    async def run(self, stream: SocketStream, client: Client) -> None:
        self.clients.append(client)
        stream.set_timeout(10)
        stream.send(b"220 hello\r\n")
        while data := await stream.receive():
            stream.send(data)
            if b"QUIT" in data:
                return

    def drain(self) -> None:
        """It has nothing to end."""


class Served:
    """A listener with implicit TLS, and the program beside it."""

    def __init__(self, tls: ServerTls) -> None:
        (opened,) = open_listeners([ListenerSettings(role=Role.SUBMISSIONS, addresses=("127.0.0.1",), port=0)])
        self.greeter, self.reports, self.sweeper = Greeter(), list[Report](), Sweeper(0.05)
        settings = ConnectionSettings(tls_timeout=10)
        self.listener = Listener(
            opened.sockets,
            self.greeter,
            gate=Gate(settings),
            settings=settings,
            sweeper=self.sweeper,
            reporter=Reporter([self.reports.append]),
            server_tls=tls,
        )
        self.listener.start()

    async def s_client(self, *options: str, said: bytes = b"QUIT\r\n", folder: Path) -> str:
        """What ``openssl s_client`` prints."""
        _, port = self.listener.addresses[0]
        log = folder / "s_client.txt"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options),
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
            assert process.stdin is not None
            while b"220 hello" not in log.read_bytes() and process.returncode is None:
                await asyncio.sleep(0.01)
            if process.returncode is None:
                process.stdin.write(said)
            await asyncio.wait_for(process.wait(), 20)
        return log.read_text()


@pytest.fixture
async def served(authority: trustme.CA, tmp_path: Path) -> AsyncIterator[Served]:
    settings = several(authority, tmp_path, ("a.example.org",), ("b.example.org",))
    clients = trustme.CA()
    clients.cert_pem.write_to_path(tmp_path / "clients.pem")
    write_leaf(clients.issue_cert("anna@example.org"), tmp_path / "anna.pem", tmp_path / "anna.key")
    write_leaf(trustme.CA().issue_cert("eve@example.org"), tmp_path / "eve.pem", tmp_path / "eve.key")
    made = Served(ServerTls(settings.model_copy(update={"client_ca": tmp_path / "clients.pem"})))
    yield made
    await made.listener.drain(5)
    made.sweeper.stop()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_a_name_a_ticket_and_a_certificate(served: Served, tmp_path: Path, version: str) -> None:
    """RFC 6066 §3, RFC 8446 §4.6.1."""
    ticket = str(tmp_path / "ticket.pem")
    who = ("-cert", str(tmp_path / "anna.pem"), "-key", str(tmp_path / "anna.key"), "-servername", "b.example.org")
    first = await served.s_client(version, *who, "-sess_out", ticket, folder=tmp_path)
    assert "New, TLSv1." in first
    again = await served.s_client(version, *who, "-sess_in", ticket, folder=tmp_path)
    assert "Reused, TLSv1." in again
    facts = [client.tls for client in served.greeter.clients]
    assert [(each.server_name, each.peer_names, each.resumed) for each in facts if each is not None] == [
        ("b.example.org", ("anna@example.org",), False),
        ("b.example.org", ("anna@example.org",), True),
    ]


async def test_a_strangers_certificate_is_borne_with(served: Served, tmp_path: Path) -> None:
    who = ("-cert", str(tmp_path / "eve.pem"), "-key", str(tmp_path / "eve.key"))
    assert "220 hello" in await served.s_client(*who, folder=tmp_path)
    facts = served.greeter.clients[0].tls
    assert facts is not None
    assert facts.peer_names == ()
    assert facts.peer_trouble


async def test_renegotiation_is_refused(served: Served, tmp_path: Path) -> None:
    """RFC 9325 §3.5. s_client renegotiates at a line that begins with R."""
    shown = await served.s_client("-tls1_2", said=b"R\n", folder=tmp_path)
    assert "RENEGOTIATING" in shown
    assert "no renegotiation" in shown.lower() or "error" in shown.lower()


async def test_old_versions_are_refused_with_a_reason(served: Served, tmp_path: Path) -> None:
    """RFC 8996 §5."""
    shown = await served.s_client("-tls1_1", "-cipher", "ALL:@SECLEVEL=0", folder=tmp_path)
    assert "alert protocol version" in shown
    (failed,) = served.reports
    assert isinstance(failed, TlsFailed)
    assert failed.reason == "unsupported protocol"
