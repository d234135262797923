"""Clients that mean no good, as a program: idle crowds, floods of connections, dribblers, garbage, guessed passwords.

Run as ``python -m tests.system.flooders`` by ``SideProgram``. The ``kind`` of the plan names one of ``KINDS``; each is
bounded in what it does, and ends at the latest when it is told to.
"""

import asyncio
import base64
import os
import random
import socket
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.system.sideprogram import run, say

MEGABYTE = 1 << 20
_AT_ONCE = 200  # connections that are being opened at a time by those who open many
_PORT_AT_CONNECT = 24  # IP_BIND_ADDRESS_NO_PORT of Linux: a source address does not use up a port for all peers

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def reply(self) -> str:
        """The last line of the next reply; ``""`` once the server has closed."""
        while True:
            line = await self.reader.readline()
            if line[3:4] != b"-":
                return line.decode(errors="replace").strip()

    async def until_closed(self) -> str:
        """The last line that the server says before it closes."""
        last = ""
        with suppress(OSError):
            while line := await self.reply():
                last = line
        return last

    def close(self) -> None:
        """At once."""
        self.writer.transport.abort()


async def dial(host: str, port: int, source: str = "", tls: ssl.SSLContext | None = None) -> Connection:
    """Connect, from a local address if one is given. Raises OSError."""
    made = socket.socket()
    try:
        made.setblocking(False)
        if source:
            made.setsockopt(socket.IPPROTO_IP, _PORT_AT_CONNECT, 1)
            made.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(made, (host, port))
        return Connection(*await asyncio.open_connection(sock=made, ssl=tls, server_hostname="" if tls else None))
    except BaseException:
        made.close()
        raise


async def idle(plan: Mapping[str, Any], stop: asyncio.Event) -> Result:
    """Sessions that say EHLO and then nothing. Says how many it holds, and in the end how many the server closed."""
    gate, held, trouble = asyncio.Semaphore(_AT_ONCE), list[Connection](), Counter[str]()

    async def hold() -> None:
        async with gate:
            try:
                server = await dial("127.0.0.1", plan["port"])
                await server.reply()
                server.writer.write(b"EHLO idle.example\r\n")
                answer = await server.reply()
            except OSError as error:
                answer = str(error)
            if answer.startswith("250"):
                held.append(server)
            else:
                trouble[answer] += 1

    await asyncio.gather(*[hold() for _ in range(plan["sessions"])])
    say(held=len(held), trouble=trouble)
    await stop.wait()
    lost = sum(server.reader.at_eof() for server in held)
    for server in held:
        server.close()
    return {"lost": lost}


async def connect(plan: Mapping[str, Any], stop: asyncio.Event) -> Result:
    """So many connections a second for so many seconds, each closed after the first line, whatever it is."""
    answers, waiting = Counter[str](), set[asyncio.Task[None]]()

    async def one() -> None:
        try:
            server = await dial("127.0.0.1", plan["port"], plan["source"])
        except OSError as error:
            answers[str(error)] += 1
            return
        try:
            answers[(await server.reply())[:3] or "closed"] += 1
        except OSError:
            answers["reset"] += 1
        server.close()

    began, count, most = time.monotonic(), 0, plan["rate"] * plan["seconds"]
    while count < most and not stop.is_set():
        due = min(most, int((time.monotonic() - began) * plan["rate"]))
        while count < due:
            count += 1
            task = asyncio.create_task(one())
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        await asyncio.sleep(0.005)  # the beat of the flood
    took = time.monotonic() - began
    while waiting:
        await asyncio.wait(waiting)
    return {"answers": answers, "rate": count / took}


async def dribble(plan: Mapping[str, Any], stop: asyncio.Event) -> Result:
    """Sessions that send one octet now and then, until the server ends them. ``what``: command, content or tls."""
    last, seconds = Counter[str](), list[float]()

    async def one() -> None:
        server = await dial("127.0.0.1", plan["port"], plan["source"])
        octets = b"EHLO dribble.example.dribble.example"  # its end never comes
        if plan["what"] == "tls":
            octets = bytes([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]) + os.urandom(32)  # the beginning of a ClientHello
        else:
            await server.reply()
        if plan["what"] == "content":
            for line in ("EHLO x.example", "MAIL FROM:<x@x.example>", f"RCPT TO:<{plan['recipient']}>", "DATA"):
                server.writer.write(line.encode() + b"\r\n")
                await server.reply()
            octets = b"Subject"
        began = time.monotonic()
        ended = asyncio.ensure_future(server.until_closed())
        for octet in octets:
            if not ended.done():
                server.writer.write(bytes([octet]))
                await asyncio.wait([ended], timeout=plan["pause"])
        last[(await ended)[:9]] += 1
        seconds.append(time.monotonic() - began)
        server.close()

    await asyncio.gather(*[one() for _ in range(plan["sessions"])])
    return {"last": last, "shortest": min(seconds), "longest": max(seconds)}


async def shout(plan: Mapping[str, Any], stop: asyncio.Event) -> Result:
    """Sessions, one after the other, that send a lot at once; until some have been turned away.

    ``what``: lines, binary or long (all garbage), noop, recipients; or early, which speaks before the greeting.
    """
    load = _LOADS[plan["what"]]()
    last, turned_away, sessions = Counter[str](), 0, 0
    while turned_away < plan["turned_away"] and sessions < plan["sessions"] and not stop.is_set():
        sessions += 1
        server = await dial("127.0.0.1", plan["port"], plan["source"])
        try:
            if plan["what"] == "early":
                server.writer.write(load)
            greeting = await server.reply()
            if not greeting.startswith("220"):
                turned_away += greeting.startswith("421")
                last[greeting[:9]] += 1
                continue
            answer = asyncio.ensure_future(server.until_closed())
            server.writer.write(load)
            last[(await answer)[:9]] += 1
        except OSError:
            last["reset"] += 1
        finally:
            server.close()
    return {"last": last, "sessions": sessions, "turned_away": turned_away}


def _lines() -> bytes:
    chance = random.Random(1)
    words = [b"GET / HTTP/1.1", b"\xff\xfe\x00", b"MAIL", b"RCPT TO:", b"HELO", b"Host: mail", b"AUTH", b"X" * 600, b""]
    data = b""
    while len(data) < MEGABYTE:
        data += b"\r\n".join(chance.choices(words, k=1000)) + b"\r\n"
    return data[:MEGABYTE]


_LOADS: Mapping[str, Callable[[], bytes]] = {
    "lines": _lines,
    "binary": lambda: random.Random(2).randbytes(MEGABYTE),
    "long": lambda: (b"x" * 35_000 + b"\r\n") * 30,
    "noop": lambda: b"NOOP\r\n" * (MEGABYTE // 6),
    "recipients": lambda: b"EHLO x.example\r\nMAIL FROM:<>\r\n" + b"RCPT TO:<bob@example.org>\r\n" * 38_000,
    "early": lambda: b"EHLO early.example\r\nMAIL FROM:<x@x.example>\r\n",
}


async def guess(plan: Mapping[str, Any], stop: asyncio.Event) -> Result:
    """From each of the ``sources``, wrong passwords for ``victim``, or without one each for another name.

    Every guess has a connection of its own, over TLS: by PLAIN, LOGIN and SCRAM in SMTP, by USER in POP3, in turn. A
    source gives up after so many ``guesses``, or once it is turned away. ``least``: the shortest time that the n-th
    answer from a source took.
    """
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    answers, least = Counter[str](), dict[int, float]()

    async def guess_from(number: int, source: str) -> None:
        for turn in range(1, plan["guesses"] + 1):
            name = plan["victim"] or f"user{number}.{turn}@example.org"
            mechanism = tuple(_GUESSES)[(number + turn) % len(_GUESSES)]
            port = plan["pop3s"] if mechanism == "USER" else plan["submissions"]
            try:
                server = await dial(plan["host"], port, source, tls)
            except OSError:
                answers["turned away"] += 1
                return
            try:
                await server.reply()
                began = time.monotonic()
                answer = await _GUESSES[mechanism](server, name)
                if answer[:3] == "535" or "[AUTH]" in answer:
                    least[turn] = min(least.get(turn, 1e9), time.monotonic() - began)
                answers[f"{mechanism} {' '.join(answer.split()[:2])}"] += 1
            except OSError:
                answers["turned away"] += 1
                return
            finally:
                server.close()

    await asyncio.gather(*[guess_from(number, source) for number, source in enumerate(plan["sources"])])
    return {"answers": answers, "least": least}


async def _plain(server: Connection, name: str) -> str:
    return await _auth(server, f"AUTH PLAIN {_b64(f'{chr(0)}{name}{chr(0)}{os.urandom(6).hex()}')}")


async def _login(server: Connection, name: str) -> str:
    return await _auth(server, "AUTH LOGIN", _b64(name), _b64(os.urandom(6).hex()))


async def _scram(server: Connection, name: str) -> str:
    first = f"n,,n={name},r=onlyaguess"
    answer = await _auth(server, f"AUTH SCRAM-SHA-256 {_b64(first)}")
    if not answer.startswith("334"):
        return answer
    nonce = base64.b64decode(answer[4:]).decode().split(",")[0]
    last = f"c=biws,{nonce},p={base64.b64encode(os.urandom(32)).decode()}"
    for line in (_b64(last), ""):  # the challenge that says why is answered with nothing
        answer = await _ask(server, line)
        if not answer.startswith("334"):
            break
    return answer


async def _user(server: Connection, name: str) -> str:
    await _ask(server, f"USER {name}")
    return await _ask(server, f"PASS {os.urandom(6).hex()}")


async def _auth(server: Connection, *lines: str) -> str:
    answer = await _ask(server, "EHLO guess.example")
    for line in lines:
        answer = await _ask(server, line)
        if not answer.startswith("334"):
            break
    return answer


async def _ask(server: Connection, line: str) -> str:
    server.writer.write(line.encode() + b"\r\n")
    return await server.reply()


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


_GUESSES: Mapping[str, Callable[[Connection, str], Awaitable[str]]] = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "SCRAM": _scram,
    "USER": _user,
}

KINDS: Mapping[str, Callable[[Mapping[str, Any], asyncio.Event], Awaitable[Result]]] = {
    "idle": idle,
    "connect": connect,
    "dribble": dribble,
    "shout": shout,
    "guess": guess,
}


async def _job(plan: Mapping[str, Any], stop: asyncio.Event) -> Result:
    return await KINDS[plan["kind"]](plan, stop)


if __name__ == "__main__":
    run(_job)
