"""EHLO of each role lists what is obeyed and nothing else: each line of the reply is put to use."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from tests.fakes.clock import settle
from tests.fakes.smtp_house import NOW, SmtpHouse
from tests.fakes.stream import MemoryStream

from postroom.config.model import SmtpSettings
from postroom.inbound.service import SMTP_ROLES, SmtpService
from postroom.mail.envelope import Body, ByMode, DeliverBy, Notify, Ret
from postroom.mail.session import Client, Role, TlsFacts

TLS = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")
LOGIN = base64.b64encode(b"\0bob@local.example\0secret").decode()
SETTINGS = SmtpSettings.model_validate(
    {"max_recipients": 100, "max_transactions": 2, "max_size": 65536, "xclient_networks": ["192.0.2.0/24"]}
)
EVERYWHERE = {
    "PIPELINING",
    "SIZE",
    "8BITMIME",
    "ENHANCEDSTATUSCODES",
    "DSN",
    "CHUNKING",
    "BINARYMIME",
    "SMTPUTF8",
    "DELIVERBY",
    "MT-PRIORITY",
    "LIMITS",
    "XCLIENT",
}


@dataclass
class Caller:
    """A client of one role."""

    role: Role
    house: SmtpHouse
    stream: MemoryStream

    async def say(self, *lines: str) -> list[str]:
        """Replies to lines that are sent in one piece."""
        return await self.send("".join(f"{line}\r\n" for line in lines).encode())

    async def send(self, data: bytes) -> list[str]:
        """Replies to octets."""
        self.stream.feed(data)
        await settle(400)
        return self.stream.take_sent().decode().splitlines()

    async def hello(self) -> dict[str, str]:
        """What is offered."""
        word = "LHLO" if self.role is Role.LMTP else "EHLO"
        lines = await self.say(f"{word} client.example")
        assert all(line.startswith("250") for line in lines), lines
        return dict([(*line[4:].split(" ", 1), "")[:2] for line in lines[1:]])  # type: ignore[misc] # two of them

    async def ready(self) -> dict[str, str]:
        """As far as MAIL may be said; what was offered before the login."""
        offer = await self.hello()
        if self.role is Role.SUBMISSION and "STARTTLS" in offer:
            await self.say("STARTTLS")
            offer = await self.hello()
        if self.role in (Role.SUBMISSION, Role.SUBMISSIONS):
            assert (await self.say(f"AUTH PLAIN {LOGIN}"))[0].startswith("235")
        return offer

    async def deliver(self, mail: str, content: bytes = b"From: bob@local.example\r\n\r\n", rcpt: str = "") -> None:
        """A message by BDAT, which must be taken."""
        said = await self.say(f"MAIL FROM:<bob@local.example> {mail}", f"RCPT TO:<bob@local.example> {rcpt}")
        assert [line[:3] for line in said] == ["250", "250"], said
        said = await self.send(b"BDAT %d LAST\r\n%s" % (len(content), content))
        assert [line[:3] for line in said] == ["250"], said


Make = Callable[[Role], Awaitable[Caller]]


@pytest.fixture
async def call() -> AsyncIterator[Make]:
    tasks: list[tuple[MemoryStream, asyncio.Task[None]]] = []

    async def make(role: Role) -> Caller:
        house = SmtpHouse(SETTINGS)
        house.people.add_account("bob@local.example", password="set")
        house.checker.passwords["bob@local.example"] = "secret"
        stream = MemoryStream()
        client = Client(1, role, "192.0.2.1", 4711, tls=TLS if role is Role.SUBMISSIONS else None)
        tasks.append((stream, asyncio.create_task(SmtpService(role, house.house).run(stream, client))))
        await settle(20)
        assert stream.take_sent().startswith(b"220 ")
        return Caller(role, house, stream)

    yield make
    for stream, task in tasks:
        stream.close()
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 5)


@pytest.mark.parametrize("role", SMTP_ROLES, ids=lambda role: role.value)
async def test_what_is_offered(call: Make, role: Role) -> None:
    caller = await call(role)
    submission = role in (Role.SUBMISSION, Role.SUBMISSIONS)
    expected = EVERYWHERE | ({"FUTURERELEASE", "ETRN"} if submission else set())  # RFC 4865 §4.2 (2), RFC 1985
    offer = await caller.hello()
    if role is Role.SUBMISSIONS:
        assert set(offer) == expected | {"AUTH", "REQUIRETLS"}
        return
    assert set(offer) == expected | {"STARTTLS"}
    await caller.say("STARTTLS")
    assert set(await caller.hello()) == expected | {"REQUIRETLS"} | ({"AUTH"} if submission else set())


# A use of each line.


async def _pipelining(caller: Caller, _: str) -> None:
    """RFC 2920 §3.2."""
    said = await caller.say("MAIL FROM:<bob@local.example>", "RCPT TO:<bob@local.example>", "DATA")
    assert [line[:3] for line in said] == ["250", "250", "354"]


async def _size(caller: Caller, parameter: str) -> None:
    """RFC 1870 §6.1."""
    assert (await caller.say(f"MAIL FROM:<bob@local.example> SIZE={int(parameter) + 1}"))[0].startswith("552 5.3.4")
    await caller.deliver(f"SIZE={parameter}")


async def _eight_bit(caller: Caller, _: str) -> None:
    """RFC 6152 §3."""
    content = b"From: bob@local.example\r\n\r\n" + bytes(range(128, 256))
    await caller.deliver("BODY=8BITMIME", content)
    assert caller.house.door.drafts[0].content == content


async def _status_codes(caller: Caller, _: str) -> None:
    """RFC 2034 §4."""
    said = await caller.say("NOOP", "MAIL FROM:<bob@local.example>", "RCPT TO:<x@local.example>", "FOO", "RSET", "QUIT")
    assert [line[4:9] for line in said] == ["2.0.0", "2.1.0", "5.1.1", "5.5.1", "2.0.0", "2.0.0"]


async def _dsn(caller: Caller, _: str) -> None:
    """RFC 3461 §4."""
    await caller.deliver("RET=HDRS ENVID=a+2Bb", rcpt="NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@z.example")
    envelope = caller.house.door.drafts[0].envelope
    recipient = envelope.recipients[0]
    assert (envelope.ret, envelope.envid) == (Ret.HDRS, "a+b")
    assert (recipient.notify, recipient.orcpt) == (Notify.SUCCESS | Notify.DELAY, "rfc822;x+y@z.example")


async def _chunking(caller: Caller, _: str) -> None:
    """RFC 3030 §2."""
    await caller.deliver("", b"From: bob@local.example\r\n\r\n.\r\n")
    assert caller.house.door.drafts[0].content == b"From: bob@local.example\r\n\r\n.\r\n"


async def _binary(caller: Caller, _: str) -> None:
    """RFC 3030 §3; the recipient is a mailbox, which is given text."""
    header = b"From: bob@local.example\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
    await caller.deliver("BODY=BINARYMIME", header + b"Content-Transfer-Encoding: binary\r\n\r\n\n\0\r")
    draft = caller.house.door.drafts[0]
    assert draft.content == header + b"Content-Transfer-Encoding: base64\r\n\r\nCgAN\r\n"
    assert draft.envelope.body is Body.EIGHT_BIT


async def _smtputf8(caller: Caller, _: str) -> None:
    """RFC 6531 §3.1."""
    said = await caller.say("MAIL FROM:<bob@local.example> SMTPUTF8", "RCPT TO:<jürgen@local.example>")
    assert [line[:9] for line in said] == ["250 2.1.0", "550 5.1.1"]


async def _requiretls(caller: Caller, _: str) -> None:
    """RFC 8689 §4.1."""
    await caller.deliver("REQUIRETLS")
    assert caller.house.door.drafts[0].envelope.require_tls


async def _deliver_by(caller: Caller, _: str) -> None:
    """RFC 2852 §4."""
    await caller.deliver("BY=600;RT")
    assert caller.house.door.drafts[0].envelope.deliver_by == DeliverBy(600, ByMode.RETURN, trace=True)


async def _priority(caller: Caller, _: str) -> None:
    """RFC 6710 §4.1."""
    await caller.deliver("MT-PRIORITY=-3")
    draft = caller.house.door.drafts[0]
    assert draft.envelope.priority == -3
    assert b"\r\n\tPRIORITY -3;" in draft.prefix


async def _limits(caller: Caller, parameter: str) -> None:
    """RFC 9422 §4."""
    limits = dict([word.split("=") for word in parameter.split()])
    await caller.say("MAIL FROM:<bob@local.example>")
    said = await caller.say(*["RCPT TO:<bob@local.example>"] * (int(limits["RCPTMAX"]) + 1), "RSET")
    assert [line[:3] for line in said] == ["250"] * int(limits["RCPTMAX"]) + ["452", "250"]
    for _ in range(int(limits["MAILMAX"])):
        await caller.deliver("")
    assert (await caller.say("MAIL FROM:<bob@local.example>"))[0].startswith("421")


async def _future_release(caller: Caller, parameter: str) -> None:
    """RFC 4865 §4.2."""
    longest, _, latest = parameter.partition(" ")
    await caller.deliver(f"HOLDFOR={longest}")
    await caller.deliver(f"HOLDUNTIL={latest}")
    first, second = caller.house.door.drafts
    assert first.envelope.hold_until == second.envelope.hold_until == NOW + int(longest)


async def _xclient(caller: Caller, parameter: str) -> None:
    values = {"ADDR": "198.51.100.7", "PORT": "25", "PROTO": "ESMTP", "LOGIN": "bob@local.example", "DESTPORT": "25"}
    said = await caller.say(
        "XCLIENT " + " ".join([f"{name}={values.get(name, 'a.example')}" for name in parameter.split()])
    )
    assert [line[:3] for line in said] == ["220"]
    assert "XCLIENT" in await caller.hello()
    await caller.deliver("")
    client = caller.house.door.drafts[0].client
    assert client is not None
    assert (client.address, client.proxy, client.account) == ("198.51.100.7", "192.0.2.1", "bob@local.example")


async def _etrn(caller: Caller, parameter: str) -> None:
    """RFC 1985: it has no parameters, and tells whether something waits."""
    assert not parameter
    assert (await caller.say("ETRN far.example"))[0].startswith("251")


async def _starttls(caller: Caller, _: str) -> None:
    """RFC 3207 §4.2."""
    assert (await caller.say("STARTTLS"))[0].startswith("220")
    assert "STARTTLS" not in await caller.hello()


async def _auth(caller: Caller, parameter: str) -> None:
    """RFC 4954 §4: each mechanism that is listed begins an exchange, and another one does not."""
    for mechanism in parameter.split():
        assert (await caller.say(f"AUTH {mechanism}"))[0].startswith("334"), mechanism
        assert (await caller.say("*"))[0].startswith("501")
    assert (await caller.say("AUTH X-UNHEARD-OF"))[0].startswith("504")
    assert (await caller.say(f"AUTH PLAIN {LOGIN}"))[0].startswith("235")
    assert "AUTH" not in await caller.hello()


AFTER_LOGIN = {
    "PIPELINING": _pipelining,
    "SIZE": _size,
    "8BITMIME": _eight_bit,
    "ENHANCEDSTATUSCODES": _status_codes,
    "DSN": _dsn,
    "CHUNKING": _chunking,
    "BINARYMIME": _binary,
    "SMTPUTF8": _smtputf8,
    "REQUIRETLS": _requiretls,
    "DELIVERBY": _deliver_by,
    "MT-PRIORITY": _priority,
    "LIMITS": _limits,
    "FUTURERELEASE": _future_release,
    "XCLIENT": _xclient,
    "ETRN": _etrn,
}
BEFORE_LOGIN = {"STARTTLS": _starttls, "AUTH": _auth}


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("role", SMTP_ROLES, ids=lambda role: role.value)
async def test_each_line_is_obeyed(call: Make, role: Role, secure: bool) -> None:
    offer = await (await call(role)).hello()
    if secure:
        caller = await call(role)
        if await caller.hello() and role is not Role.SUBMISSIONS:
            await caller.say("STARTTLS")
        offer = await caller.hello()
    for keyword, parameter in offer.items():
        caller = await call(role)
        if keyword in BEFORE_LOGIN:
            await caller.hello()
            if secure and role is not Role.SUBMISSIONS:
                await caller.say("STARTTLS")
                await caller.hello()
            await BEFORE_LOGIN[keyword](caller, parameter)
            continue
        await caller.hello()
        if secure and role in (Role.MX, Role.LMTP):
            await caller.say("STARTTLS")
        await caller.ready()
        await AFTER_LOGIN[keyword](caller, parameter)
