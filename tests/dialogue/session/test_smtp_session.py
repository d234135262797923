"""The transcripts of this folder, played to real SMTP sessions over a stream in memory."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.dialogue.auth import BINDINGS
from tests.dialogue.transcript import Player, Transcript, read_transcript
from tests.fakes.checked_world import make_checks
from tests.fakes.clock import settle
from tests.fakes.smtp_house import NOW, SmtpHouse
from tests.fakes.stream import MemoryStream

from postroom.config.model import SmtpSettings
from postroom.config.road import SuppressionSettings
from postroom.directory.model import Usage
from postroom.inbound.service import SmtpService
from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.mail.message import read_queue_id
from postroom.mail.session import Client, Role, TlsFacts
from postroom.report.history import HistoryRow
from postroom.reputation.noting import of_bounce

TRANSCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))
OURS = {
    "role",
    "accounts",
    "aliases",
    "full",
    "certificate",
    "binding",
    "token",
    "peer_names",
    "locked",
    "delay",
    "sent",
    "suppressed",
    "mailauth",
}


class SessionPeer:
    """The client's end. ``size``: octets of one piece."""

    def __init__(self, transcript: Transcript, size: int) -> None:
        settings = transcript.settings
        smtp = {name: value for name, value in settings.items() if name not in OURS}
        for name in ("trusted_networks", "xclient_networks"):
            if name in smtp:
                smtp[name] = smtp[name].split()  # type: ignore[assignment] # pydantic reads it
        house = SmtpHouse(
            SmtpSettings.model_validate(smtp), hostname="mx.local.example", offers_tls="certificate" in settings
        )
        for entry in settings.get("accounts", "").split():
            address, _, password = entry.partition(":")
            house.people.add_account(address, password="set", quota=1000)
            house.checker.passwords[address] = password
        for entry in settings.get("aliases", "").split():
            address, _, target = entry.partition("=")
            house.people.add_alias(address, target)
        if "sent" in settings:
            queue_id, _, sender = settings["sent"].partition(" ")
            row = HistoryRow(read_queue_id(queue_id), NOW, "accepted", detail=json.dumps({"from": sender}))
            house.store.history.append(row)
        for entry in settings.get("suppressed", "").split():
            cause, domain, address = entry.split(":")
            one = of_bounce(
                SuppressionSettings(), domain, Address.parse(address), Cause(cause), reason="", now=NOW, queue_id=0
            )
            house.suppressed.listed[one.key] = one
        if "mailauth" in settings:  # a table in JSON
            wanted = json.loads(settings["mailauth"])
            checks = make_checks(house.clock, house.reports.append, **wanted)
            house.house = replace(house.house, checks=checks)
        if "full" in settings:
            house.people.usages = dict.fromkeys(range(1, 10), Usage(1000, 1))
        token, _, owner = settings.get("token", "").partition("=")
        house.checker.tokens[token] = owner
        house.guard.locked.update(settings.get("locked", "").split())
        house.guard.delay = float(settings.get("delay", "0"))
        role = Role(settings.get("role", "mx"))
        peer_names = tuple(settings.get("peer_names", "").split())
        facts = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", peer_names=peer_names)
        tls = facts if role is Role.SUBMISSIONS else None
        self.house = house
        self.stream = MemoryStream(tls_facts=facts, bindings=BINDINGS if "binding" in settings else {})
        self.stream.tls = tls is not None
        self._size = size
        self._taken = 0
        client = Client(1, role, "192.0.2.1", 4711, tls=tls)
        self.task = asyncio.create_task(SmtpService(role, house.house).run(self.stream, client))

    async def send(self, data: bytes) -> None:
        if not data:
            self.stream.feed_eof()
        self.stream.feed(*(data[at : at + self._size] for at in range(0, len(data), self._size)))

    async def receive(self) -> bytes:
        await settle(500)
        return self.stream.take_sent()

    async def shake_hands(self) -> None:
        assert self.stream.tls

    async def next_message(self) -> bytes:
        draft = self.house.door.drafts[self._taken]
        self._taken += 1
        assert draft.content is not None
        return draft.prefix + draft.content

    @property
    def is_closed(self) -> bool:
        return self.stream.closed


@pytest.mark.parametrize("size", [65536, 1], ids=["whole", "octets"])
@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
async def test_dialogue(path: Path, size: int) -> None:
    transcript = read_transcript(path)
    peer = SessionPeer(transcript, size)
    await Player(transcript, peer).play()
    peer.stream.feed_eof()
    await peer.task
    assert peer.stream.closed
