"""What is made to exhaust the reader is refused, and cheaply: time and memory are measured in a process apart."""

import gzip
import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fakes import reported_mail as samples
from tests.fakes.reported_mail import mail, zipped

from postroom.mailauth.reports.expanding import MOST_EXPANDED
from postroom.mailauth.reports.model import Unreadable
from postroom.mailauth.reports.unpack import MOST_CONTENT, read_file, read_message

MIB = 1 << 20
SECONDS = 60.0  # of CPU; a few, but where coverage is measured
"""CPU time that one may take on a slow and busy machine: as long as an honest report of the largest size."""

MEMORY = 64 * MIB
"""Growth of the process, of which the mail itself may be a part twice: as it came, and decoded."""

HEAD, TAIL = samples.PLAIN_FORM[: samples.PLAIN_FORM.index("<record>")], "</feedback>"
RECORD = samples.PLAIN_FORM[samples.PLAIN_FORM.index("<record>") : samples.PLAIN_FORM.index("</feedback>")]

LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(f'<!ENTITY lol{n} "{f"&lol{n - 1 or str()};" * 10}">' for n in range(1, 10))
    + "]><feedback>&lol9;</feedback>"
)
QUADRATIC = f'<!DOCTYPE x [<!ENTITY a "{"a" * 50000}">]><feedback>{"&a;" * 50000}</feedback>'
EXTERNAL = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><feedback><version>&e;</version></feedback>'
PARAMETER = '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/evil.dtd"><feedback/>'


def nested_zip(depth: int) -> bytes:
    data = samples.PLAIN_FORM.encode()
    for _ in range(depth):
        data = zipped(data, "inner.zip")
    return data


def overlapping_zip() -> bytes:
    """All entries share the data of the first."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.xml", bytes(20 * MIB))
    data = stream.getvalue()
    at = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[at:end]
    closing = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 5, 5, len(entry) * 5, at, 0)
    return data[:at] + entry * 5 + closing


def zip_of(count: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number}", b"x")
    return stream.getvalue()


def lying_zip() -> bytes:
    """It says that the file has a few octets; it has many more."""
    data = bytearray(zipped(bytes(300 * MIB)))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 100)
    return bytes(data)


def encrypted_zip() -> bytes:
    data = bytearray(zipped(b"<feedback/>"))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def stored_expanded() -> bytes:
    """As large as anything may become: an honest report of that size takes as long."""
    rows = RECORD * ((MOST_EXPANDED - MIB) // len(RECORD))
    return gzip.compress((HEAD + rows + TAIL).encode(), 1)


def deep_mime(depth: int) -> bytes:
    opening = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(depth))
    return opening.encode() + samples.mail(gzip.compress(samples.PLAIN_FORM.encode()), "application/gzip", name="a.gz")


def many_parts(count: int) -> bytes:
    part = b"--b\r\nContent-Type: application/zip\r\n\r\nPK\x03\x04\r\n"
    return b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + part * count + b"--b--\r\n"


BOMBS: dict[str, Callable[[], bytes]] = {
    "a gzip bomb": lambda: gzip.compress(bytes(1000 * MIB), 9),
    "a gzip bomb that begins like a report": lambda: gzip.compress(HEAD.encode() + b" " * 1000 * MIB, 9),
    "a zip bomb that begins like a report": lambda: zipped((HEAD + RECORD * 300_000).encode()),
    "gzip bombs one after the other": lambda: gzip.compress(b" " * 3 * MIB) * 300,
    "a zip bomb": lambda: zipped(bytes(1000 * MIB)),
    "a zip that lies about its size": lying_zip,
    "a zip in a zip": lambda: nested_zip(2),
    "zips in zips": lambda: nested_zip(30),
    "a zip with overlapping files": overlapping_zip,
    "a zip of too many files": lambda: zip_of(60_000),
    "an encrypted zip": encrypted_zip,
    "gzip in gzip": lambda: gzip.compress(gzip.compress(samples.PLAIN_FORM.encode())),
    "billion laughs": LAUGHS.encode,
    "quadratic blow-up": QUADRATIC.encode,
    "an external entity": EXTERNAL.encode,
    "an external document type": PARAMETER.encode,
    "deep XML": lambda: b"<feedback>" + b"<a>" * 1_000_000,
    "deep XML of other names": lambda: b"<feedback xmlns:e='u'>" + b"<e:a>" * 1_000_000,
    "many elements": lambda: gzip.compress(b"<feedback>" + b"<a/>" * 7_000_000 + b"</feedback>", 1),
    "a tag without end": lambda: gzip.compress(b'<feedback a="' + bytes(range(48, 58)) * 3_000_000, 1),
    "a tag with many attributes": lambda: b"<feedback " + b" ".join(b'a%d="1"' % n for n in range(600_000)) + b"/>",
    "a text without end": lambda: gzip.compress(
        (HEAD + "<record>" + "<x>" + "y" * (31 * MIB) + "</x></record>").encode(), 1
    ),
    "deep JSON": lambda: b'{"policies":' + b"[" * 3_000_000,
    "wide JSON": lambda: b'{"policies":[' + b"[]," * 1_300_000 + b"1]}",
    "JSON of many numbers": lambda: b'{"policies":[' + b"1," * 2_000_000 + b"1]}",
    "large JSON": lambda: gzip.compress(b'{"policies":[' + b" " * (30 * MIB) + b"]}"),
    "no end of white space": lambda: gzip.compress(b" " * (31 * MIB), 1),
}

MAILS: dict[str, Callable[[], bytes]] = {
    "deep MIME": lambda: deep_mime(2000),
    "many parts": lambda: many_parts(100_000),
    "too large": lambda: mail(b"", "application/gzip", name="x.gz") + b"A" * MOST_CONTENT,
    "just not too large": lambda: mail(b"", "application/gzip", name="x.gz") + b"A" * (MOST_CONTENT - 2000),
    "lines like a boundary": lambda: b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + b"--b x\r\n" * 2_000_000,
    "a header without end": lambda: b"X-A: " + b"a" * (15 * MIB),
    "header fields without end": lambda: b"A: b\r\n" * 2_500_000,
    "parameters without end": lambda: b"Content-Type: multipart/mixed" + b"; a=b" * 2_500_000 + b"\r\n\r\n",
}

_MEASURE = """
import json, sys, time
from postroom.mailauth.reports.model import Unreadable
from postroom.mailauth.reports.unpack import read_file, read_message

def peak():  # in KiB, since the program began
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

data = open(sys.argv[2], "rb").read()
before = peak()
started = time.process_time()
try:
    found = (read_file if sys.argv[1] == "file" else read_message)(data)
    told = f"read {len(found)}"
except Unreadable as error:
    told = str(error)
print(json.dumps([told, time.process_time() - started, (peak() - before) * 1024]))
"""


def measure(kind: str, data: bytes, folder: Path) -> tuple[str, float, int]:
    """What was told, seconds of CPU, octets by which the process grew."""
    (folder / "bomb").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, kind, str(folder / "bomb")],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    told, seconds, octets = json.loads(done.stdout)
    return told, seconds, octets


@pytest.mark.parametrize("bomb", BOMBS)
def test_files(bomb: str, tmp_path: Path) -> None:
    told, seconds, octets = measure("file", BOMBS[bomb](), tmp_path)
    assert not told.startswith("read "), told
    assert seconds < SECONDS
    assert octets < MEMORY


@pytest.mark.parametrize("bomb", MAILS)
def test_mails(bomb: str, tmp_path: Path) -> None:
    told, seconds, octets = measure("mail", MAILS[bomb](), tmp_path)
    assert not told.startswith("read "), told
    assert seconds < SECONDS
    assert octets < MEMORY


def test_the_largest_honest_report_is_read(tmp_path: Path) -> None:
    """It bounds what any bomb may cost."""
    told, seconds, octets = measure("file", stored_expanded(), tmp_path)
    assert told == "read 1"
    assert seconds < SECONDS
    assert octets < MEMORY


def test_a_file_that_is_itself() -> None:
    """A zip archive whose file is that archive (a quine) is not opened again, for archives in archives never are."""
    with pytest.raises(Unreadable, match="archive in an archive"):
        read_file(nested_zip(2))


def test_an_entity_is_never_resolved(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("example.org")
    text = samples.PLAIN_FORM.replace("?>", f'?><!DOCTYPE feedback [<!ENTITY e SYSTEM "{secret.as_uri()}">]>', 1)
    with pytest.raises(Unreadable, match="document type"):
        read_file(text.replace("<domain>example.org<", "<domain>&e;<", 1).encode())


def test_a_stop_is_heard_between_pieces() -> None:
    class Stop(Exception):
        pass

    calls = 0

    def breathe() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Stop

    with pytest.raises(Stop):
        read_message(mail(stored_expanded(), "application/gzip", name="a.gz"), breathe)
    assert calls == 3


def test_what_is_repeated_is_not_expanded_without_end() -> None:
    """The ratio that is allowed is far above that of an honest report, whose rows differ little."""
    rows = "".join(RECORD.replace("192.0.2.10", f"192.0.{n >> 8 & 255}.{n & 255}") for n in range(3000))
    data = (HEAD + rows + TAIL).encode()
    assert len(data) / len(zlib.compress(data)) < 150
    assert len(read_file(gzip.compress(data))) == 1
