"""Delivery into Maildirs: whole, on disk, readable for the owner alone, never twice, and never out of its place."""

import asyncio
import errno
import os
import stat
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.outbound.making import CONTENT, PREFIX, StoredContent, make_request

from postroom.config.road import MaildirSettings
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Delivered, DeliveryRequest, RouteKind, Site
from postroom.mail.envelope import Body
from postroom.mail.message import QueueId
from postroom.mail.trouble import StoreUnavailable
from postroom.outbound.job import ONE_WRITE
from postroom.outbound.maildir import MaildirCarrier, encode_part, fill_path

SITE = Site("maildir:boxes", RouteKind.MAILDIR, route="boxes")
WRITTEN = b"Return-Path: <from@example.net>\nDelivered-To: to@example.org\n" + (PREFIX + CONTENT).replace(
    b"\r\n", b"\n"
)


@pytest.fixture
def carrier(tmp_path: Path) -> MaildirCarrier:
    return make(tmp_path, StoredContent([CONTENT]))


def make(folder: Path, content: Any, path: str = "{domain}/{local}") -> MaildirCarrier:
    settings = MaildirSettings(name="boxes", path=f"{folder}/mail/{path}")
    return MaildirCarrier([settings], content, hostname="us.example.net")


def messages(folder: Path, box: str = "example.org/to") -> list[Path]:
    return sorted((folder / "mail" / box / "new").iterdir())


async def test_a_message_is_placed_with_its_envelope(carrier: MaildirCarrier, tmp_path: Path) -> None:
    outcomes = await carrier.deliver(make_request(site=SITE))
    assert isinstance(outcomes[1], Delivered)
    (file,) = messages(tmp_path)
    assert file.read_bytes() == WRITTEN
    # Dovecot reads the sizes from the name: in the file, and with CRLF
    assert file.name.endswith(f",S={len(WRITTEN)},W={len(WRITTEN) + WRITTEN.count(bytes([10]))}")
    assert "us.example.net" in file.name
    assert ":" not in file.name


async def test_nobody_else_can_read_it(carrier: MaildirCarrier, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        await carrier.deliver(make_request(site=SITE))
    finally:
        os.umask(before)
    (file,) = messages(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    box = tmp_path / "mail" / "example.org" / "to"
    for folder in (box, box.parent, *(box / name for name in ("tmp", "new", "cur"))):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_an_attempt_after_a_crash_does_not_place_it_again(carrier: MaildirCarrier, tmp_path: Path) -> None:
    await carrier.deliver(make_request(site=SITE))
    again = again_of(make_request(site=SITE))
    assert isinstance((await carrier.deliver(again))[1], Delivered)
    (file,) = messages(tmp_path)
    file.rename(file.parent.parent / "cur" / f"{file.name}:2,S")  # read meanwhile
    outcome = (await carrier.deliver(again))[1]
    assert isinstance(outcome, Delivered)
    assert outcome.detail
    assert messages(tmp_path) == []


def again_of(request: DeliveryRequest) -> DeliveryRequest:
    """The same as it comes from the store."""
    return replace(request, content=None)


async def test_what_a_crash_left_in_tmp_is_overwritten(carrier: MaildirCarrier, tmp_path: Path) -> None:
    await carrier.deliver(make_request(site=SITE))
    (file,) = messages(tmp_path)
    stem = file.name.partition(",")[0]
    file.unlink()
    (file.parent.parent / "tmp" / stem).write_bytes(b"half of a much longer " * 100)
    assert isinstance((await carrier.deliver(again_of(make_request(site=SITE))))[1], Delivered)
    (file,) = messages(tmp_path)
    assert file.read_bytes() == WRITTEN


async def test_two_messages_are_two_files(carrier: MaildirCarrier, tmp_path: Path) -> None:
    for number in (1, 2):
        request = make_request(site=SITE)
        await carrier.deliver(replace(request, message=replace(request.message, queue_id=QueueId(number))))
    assert len(messages(tmp_path)) == 2


async def test_one_box_gets_one_copy(carrier: MaildirCarrier, tmp_path: Path) -> None:
    outcomes = await carrier.deliver(
        make_request("to@example.org", "To+tag@example.org", "other@example.org", site=SITE)
    )
    assert all(isinstance(outcome, Delivered) for outcome in outcomes.values())
    assert len(messages(tmp_path)) == 1
    assert len(messages(tmp_path, "example.org/other")) == 1


async def test_tags_can_be_folders(tmp_path: Path) -> None:
    carrier = make(tmp_path, StoredContent(), "{address}/{tag}")
    await carrier.deliver(make_request("ann+Lists@example.org", site=SITE))
    assert len(messages(tmp_path, "ann@example.org/lists")) == 1


async def test_large_content_streams_and_lines_may_be_cut_anywhere(tmp_path: Path) -> None:
    line = b"0123456789abcdef\r\n"
    content = line * (ONE_WRITE // len(line) + 1000)
    cut = [content[:17], content[17:18], content[18:1001], content[1001:]]  # between CR and LF too
    source = StoredContent(cut)
    carrier = make(tmp_path, source)
    await carrier.deliver(make_request(site=SITE, content=None, size=len(content)))
    (file,) = messages(tmp_path)
    assert file.read_bytes().endswith(content.replace(b"\r\n", b"\n"))
    assert source.reads == 1


async def test_binary_content_stays_as_it_is(carrier: MaildirCarrier, tmp_path: Path) -> None:
    content = b"Content-Type: image/png\r\n\r\n\x00\r\n\r\r\n"
    await carrier.deliver(make_request(site=SITE, content=content, body=Body.BINARY))
    (file,) = messages(tmp_path)
    assert file.read_bytes().endswith(content)


@pytest.mark.parametrize("size", [10, ONE_WRITE + 10])
async def test_a_store_that_fails_defers_and_leaves_nothing(tmp_path: Path, size: int) -> None:
    source = StoredContent([b"x" * (size // 2)] * 2, StoreUnavailable("the disk is gone"), fail_after=1)
    outcomes = await make(tmp_path, source).deliver(make_request(site=SITE, content=None, size=size))
    assert isinstance(outcomes[1], Deferred)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_half_of_the_content_does_not_pass_for_all_of_it(tmp_path: Path) -> None:
    source = StoredContent([b"x" * ONE_WRITE])
    outcomes = await make(tmp_path, source).deliver(make_request(site=SITE, content=None, size=2 * ONE_WRITE))
    assert isinstance(outcomes[1], Deferred)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 452), (errno.EDQUOT, 452), (errno.EIO, 451)])
@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
async def test_a_disk_that_fails_defers(
    carrier: MaildirCarrier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, code: int
) -> None:
    await carrier.deliver(make_request("warm@example.org", site=SITE))

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, refuse)
    outcome = (await carrier.deliver(make_request("warm@example.org", site=SITE)))[1]
    monkeypatch.undo()
    assert isinstance(outcome, Deferred)
    assert (outcome.reply.code, outcome.cause) == (code, Cause.LOCAL)
    assert str(tmp_path) in outcome.detail
    assert str(tmp_path) not in outcome.reply.text
    assert not list((tmp_path / "mail/example.org/warm/tmp").iterdir())


async def test_a_box_that_cannot_be_made_defers(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file stands in the way")
    outcome = (await make(tmp_path, StoredContent()).deliver(make_request(site=SITE)))[1]
    assert isinstance(outcome, Deferred)


async def test_a_maildir_that_is_not_in_the_settings_defers(carrier: MaildirCarrier) -> None:
    outcome = (await carrier.deliver(make_request(site=replace(SITE, route="gone"))))[1]
    assert isinstance(outcome, Deferred)
    assert outcome.reply.status == "4.3.5"


async def test_a_link_in_tmp_is_not_followed(carrier: MaildirCarrier, tmp_path: Path) -> None:
    await carrier.deliver(make_request(site=SITE))
    (file,) = messages(tmp_path)
    (file.parent.parent / "tmp" / file.name.partition(",")[0]).symlink_to(tmp_path / "victim")
    (tmp_path / "victim").write_text("precious")
    file.unlink()
    outcome = (await carrier.deliver(make_request(site=SITE)))[1]
    assert isinstance(outcome, Deferred)
    assert (tmp_path / "victim").read_text() == "precious"


# Hostile names.


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("..", "%2E."),
        (".", "%2E"),
        ("a/b", "a%2Fb"),
        ("/etc/passwd", "%2Fetc%2Fpasswd"),
        ("a%2Fb", "a%252Fb"),
        ("a b", "a%20b"),
        ("a:2,S", "a%3A2,S"),
        ("dörte", "dörte"),
        ("x\x00", "x%00"),
        ("", ""),
        ("plain.name-1_2", "plain.name-1_2"),
    ],
)
def test_names_that_mean_something_in_paths_are_encoded(text: str, encoded: str) -> None:
    assert encode_part(text) == encoded


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_address_leads_out_of_its_place(local: str, tag: str) -> None:
    local, tag = (text.encode("utf-8", "replace").decode() for text in (local, tag))
    words = {"local": local, "tag": tag, "domain": "example.org", "address": f"{local}@example.org"}
    path = fill_path("/var/mail/{domain}/x{local}/{tag}y", words)
    assert os.path.normpath(path) == str(path)
    assert len(path.parts) == 6
    assert path.parts[:4] == ("/", "var", "mail", "example.org")


@given(st.text(max_size=20), st.text(max_size=20))
def test_different_names_stay_different(one: str, other: str) -> None:
    one, other = (text.encode("utf-8", "replace").decode() for text in (one, other))
    assert (encode_part(one) == encode_part(other)) == (one == other)


class EndlessContent:
    """Content that never ends."""

    async def read_content(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000


async def test_cancelled_in_the_midst_leaves_nothing(tmp_path: Path) -> None:
    carrier = make(tmp_path, EndlessContent())
    task = asyncio.create_task(carrier.deliver(make_request(site=SITE, content=None, size=1 << 40)))
    for _ in range(10_000):
        if list(tmp_path.rglob("tmp/*")):
            break
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_cancelled_while_a_piece_is_written_the_file_stays_open_until_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()
    closed: list[str] = []
    real_write, real_close = os.write, os.close

    def write(handle: int, data: bytes) -> int:
        began.set()
        go_on.wait(10)
        closed.append("write")
        return real_write(handle, data)

    def close(handle: int) -> None:
        closed.append("close")
        real_close(handle)

    carrier = make(tmp_path, EndlessContent())
    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "close", close)
    task = asyncio.create_task(carrier.deliver(make_request(site=SITE, content=None, size=1 << 40)))
    assert await asyncio.to_thread(began.wait, 10)
    closed.clear()
    task.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.undo()
    assert closed == ["write", "close"]
