"""Mail clients as people have them: they submit, and they collect."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.system.fixtures import MakeProgram
from tests.system.program import PASSWORD, Program
from tests.system.setups import added_to, content

ALICE, BOB = "alice@example.org", "bob@example.net"
PLAIN = (  # getmail writes header fields anew and turns what is not ASCII into its own form
    b"From: Alice <alice@example.org>\r\nSubject: %s\r\n\r\n"
    b".\r\n..\r\n.dot in front\r\ntrailing blanks \t \r\n\r\n\r\nend\r\n"
)


@pytest.fixture
def program(make_program: MakeProgram) -> Program:
    """Two domains, an account in each."""
    return make_program().add(ALICE, BOB).start()


def run(*command: str, typed: str = "", code: int = 0) -> str:
    done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, f"{command[0]}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def the_message(program: Program, sent: bytes) -> bytes:
    (received,) = program.inbox(BOB)
    return added_to(received, sent)


@pytest.mark.needs("swaks")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("role", ["submission", "submissions"])
def test_swaks_submits(program: Program, tmp_path: Path, role: str, mechanism: str) -> None:
    sent = b"From: alice@example.org\r\nSubject: from swaks\r\n\r\n.dots\r\ncaf\xc3\xa9\r\n"
    (tmp_path / "message").write_bytes(sent.removesuffix(b"\r\n"))  # swaks ends the last line itself
    server = ["--server", "127.0.0.1", "--port", str(program.port(role)), "--helo", "client.example"]
    tls = ["--tls" if role == "submission" else "--tls-on-connect", "--tls-verify"]
    tls += ["--tls-ca-path", str(program.folder / "authority.pem")]
    login = ["--auth", mechanism, "--auth-user", ALICE, "--auth-password", PASSWORD]
    mail = ["--from", ALICE, "--to", BOB, "--data", f"@{tmp_path / 'message'}"]
    run("swaks", *server, *tls, *login, *mail)
    assert b"with ESMTPSA" in the_message(program, sent)


@pytest.mark.needs("swaks")
def test_swaks_is_told_what_is_wrong(program: Program) -> None:
    server = ["swaks", "--server", "127.0.0.1", "--helo", "client.example", "--from", ALICE, "--to"]
    wrong = ["--tls-on-connect", "--auth", "PLAIN", "--auth-user", ALICE, "--auth-password", "wrong"]
    assert "535 5.7.8" in run(*server, BOB, "--port", str(program.port("submissions")), *wrong, code=28)
    relaying = run(*server, "x@remote.example", "--port", str(program.port("mx")), code=24)
    assert "550 5.7.1" in relaying
    without_tls = ["--auth", "PLAIN", "--auth-user", ALICE, "--auth-password", PASSWORD]
    clear = run(*server, BOB, "--port", str(program.port("submission")), *without_tls, code=28)
    assert "Host did not advertise authentication" in clear


@pytest.mark.needs("curl")
@pytest.mark.parametrize(("scheme", "role"), [("smtp", "submission"), ("smtps", "submissions")])
def test_curl_submits_and_fetches(program: Program, tmp_path: Path, scheme: str, role: str) -> None:
    sent = content(f"curl-{role}")
    (tmp_path / "message").write_bytes(sent)
    curl = ["curl", "--silent", "--show-error", "--max-time", "30", "--cacert", str(program.folder / "authority.pem")]
    url = f"{scheme}://127.0.0.1:{program.port(role)}/client.example"
    mail = ["--mail-from", ALICE, "--mail-rcpt", BOB, "--upload-file", str(tmp_path / "message")]
    run(*curl, "--ssl-reqd", "--user", f"{ALICE}:{PASSWORD}", *mail, url)
    fetched = tmp_path / "fetched"
    inbox = f"pop3s://127.0.0.1:{program.port('pop3s')}/1"
    run(*curl, "--user", f"{BOB}:{PASSWORD}", "--output", str(fetched), inbox)
    added_to(fetched.read_bytes(), sent)
    stls = f"pop3://127.0.0.1:{program.port('pop3')}/1"
    run(*curl, "--ssl-reqd", "--user", f"{BOB}:{PASSWORD}", "--output", str(fetched), stls)
    added_to(fetched.read_bytes(), sent)


@pytest.mark.needs("msmtp")
@pytest.mark.parametrize("role", ["submission", "submissions"])
def test_msmtp_submits(program: Program, tmp_path: Path, role: str) -> None:
    settings = tmp_path / "msmtprc"
    settings.write_text(
        f"account default\nhost 127.0.0.1\nport {program.port(role)}\nfrom {ALICE}\ndomain client.example\n"
        f"auth on\nuser {ALICE}\npassword {PASSWORD}\ntls on\ntls_starttls {'on' if role == 'submission' else 'off'}\n"
        f"tls_trust_file {program.folder / 'authority.pem'}\n"
    )
    settings.chmod(0o600)
    run("msmtp", "-C", str(settings), "--", BOB, typed="Subject: from msmtp\n\n.dot\nlast line\n")
    (received,) = program.inbox(BOB)
    assert received.endswith(b"\r\n\r\n.dot\r\nlast line\r\n")
    assert b"Subject: from msmtp\r\n" in received


@pytest.mark.needs("s-nail")
def test_s_nail_submits(program: Program, tmp_path: Path) -> None:
    settings = tmp_path / "mailrc"
    user = ALICE.replace("@", "%40")
    settings.write_text(
        "set v15-compat ttycharset=utf-8 sendwait\n"
        f"set mta=submissions://{user}:{PASSWORD.replace(' ', '%20')}@localhost:{program.port('submissions')}\n"
        f"set tls-ca-file={program.folder / 'authority.pem'} tls-verify=strict smtp-auth=plain\n"
        f"set from={ALICE} hostname=client.example\n"
    )
    run("s-nail", "-:/", "-X", f"source {settings}", "-s", "from s-nail", BOB, typed="grüße\n")
    (received,) = program.inbox(BOB)
    assert b"Subject: from s-nail\r\n" in received


def send(program: Program, *sent: bytes) -> list[bytes]:
    with program.smtp() as client:
        for message in sent:
            client.sendmail("x@elsewhere.example", [BOB], message, mail_options=["BODY=8BITMIME"])
    return list(sent)


def check_maildir(folder: Path, sent: list[bytes]) -> None:
    collected = [path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for path in folder.iterdir()]
    assert len(collected) == len(sent)
    for message in sent:
        assert any(other.endswith(message) for other in collected)


def maildir(folder: Path) -> Path:
    for name in ("cur", "new", "tmp"):
        (folder / name).mkdir(parents=True)
    return folder


@pytest.mark.needs("mpop")
@pytest.mark.parametrize("role", ["pop3", "pop3s"])
def test_mpop_collects(program: Program, tmp_path: Path, role: str) -> None:
    sent = send(program, content("one"), content("two"), content("three") + b"x\r\n" * 50_000)
    box = maildir(tmp_path / "box")
    settings = tmp_path / "mpoprc"
    settings.write_text(
        f"account default\nhost 127.0.0.1\nport {program.port(role)}\nuser {BOB}\npassword {PASSWORD}\n"
        f"tls on\ntls_starttls {'on' if role == 'pop3' else 'off'}\n"
        f"tls_trust_file {program.folder / 'authority.pem'}\nuidls_file {tmp_path / 'uidls'}\n"
        f"keep on\ndelivery maildir {box}\n"
    )
    settings.chmod(0o600)
    run("mpop", "-C", str(settings))
    check_maildir(box / "new", sent)
    run("mpop", "-C", str(settings))  # it knows them by their UIDL
    check_maildir(box / "new", sent)
    settings.write_text(settings.read_text().replace("keep on", "keep off"))
    run("mpop", "-C", str(settings))
    assert program.inbox(BOB) == []


@pytest.mark.needs("getmail")
def test_getmail_collects(program: Program, tmp_path: Path, open_folder: Path) -> None:
    sent = send(program, PLAIN % b"one", PLAIN % b"two", PLAIN % b"three" + b"x\r\n" * 50_000)
    box = maildir(open_folder / "box")
    user = pwd.getpwuid(os.geteuid()).pw_name
    if user == "root":  # getmail delivers as anybody but root
        user = "nobody"
        for folder in (box, *box.iterdir()):
            shutil.chown(folder, user)
    (tmp_path / "getmailrc").write_text(
        "[retriever]\ntype = SimplePOP3SSLRetriever\nserver = 127.0.0.1\n"
        f"port = {program.port('pop3s')}\nusername = {BOB}\npassword = {PASSWORD}\n"
        f"ca_certs = {program.folder / 'authority.pem'}\n"
        f"[destination]\ntype = Maildir\npath = {box}/\nuser = {user}\n"
        "[options]\ndelete = true\nread_all = false\ndelivered_to = false\nreceived = false\n"
    )
    run("getmail", "--getmaildir", str(tmp_path))
    check_maildir(box / "new", sent)
    assert program.inbox(BOB) == []
