"""How other people's clients are told to log in by one mechanism; each answers whether it was let in."""

import os
import poplib
import shutil
import smtplib
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.system.program import PATIENCE, Program

ALICE, BOB = "alice@example.org", "bob@example.org"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login as ALICE. ``secret`` is a password or a token; with EXTERNAL ``certificate`` (and key, in one file) is
    what counts. ``folder`` is for the client's own files.
    """

    program: Program
    mechanism: str
    secret: str
    certificate: Path
    folder: Path

    @property
    def authority(self) -> str:
        return str(self.program.folder / "authority.pem")

    @property
    def is_token(self) -> bool:
        return self.mechanism in ("OAUTHBEARER", "XOAUTH2")


Client = Callable[[Attempt], bool]
MESSAGE = f"From: {ALICE}\r\nTo: {BOB}\r\nSubject: who am I\r\n\r\nhello\r\n"


def _run(*command: str, typed: str = "", **more: str) -> bool:
    done = subprocess.run(
        command, input=typed, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **more}
    )
    (Path(command[0]).name, done.stdout, done.stderr)  # what a debugger wants to see
    return done.returncode == 0


def _curl(attempt: Attempt, url: str, *more: str) -> bool:
    secret = ["--oauth2-bearer", attempt.secret] if attempt.is_token else []
    user = ALICE if attempt.is_token or attempt.mechanism == "EXTERNAL" else f"{ALICE}:{attempt.secret}"
    if attempt.mechanism == "EXTERNAL":
        user = f"{ALICE}:"
        secret = ["--cert", str(attempt.certificate)]
    return _run(
        "curl", "--silent", "--show-error", "--max-time", "30", "--cacert", attempt.authority, "--user", user, *secret,
        "--login-options", f"AUTH={attempt.mechanism}", *more, url,
    )  # fmt: skip


def curl_smtp(attempt: Attempt) -> bool:
    mail = attempt.folder / "mail"
    mail.write_text(MESSAGE)
    url = f"smtps://127.0.0.1:{attempt.program.port('submissions')}/client.example"
    return _curl(attempt, url, "--mail-from", ALICE, "--mail-rcpt", BOB, "--upload-file", str(mail))


def curl_pop3(attempt: Attempt) -> bool:
    return _curl(attempt, f"pop3s://127.0.0.1:{attempt.program.port('pop3s')}/")


def swaks(attempt: Attempt) -> bool:
    return _run(
        "swaks", "--server", "127.0.0.1", "--port", str(attempt.program.port("submission")), "--tls",
        "--auth", attempt.mechanism, "--auth-user", ALICE, "--auth-password", attempt.secret,
        "--from", ALICE, "--to", BOB, "--helo", "client.example",
    )  # fmt: skip


def _lamberts_settings(attempt: Attempt, port: int) -> str:
    """msmtp and mpop are of one hand."""
    text = (
        f"host 127.0.0.1\nport {port}\nauth {attempt.mechanism.lower()}\nuser {ALICE}\ntls on\ntls_starttls off\n"
        f"tls_trust_file {attempt.authority}\n"
    )
    if attempt.mechanism == "EXTERNAL":
        return text + f"tls_cert_file {attempt.certificate}\ntls_key_file {attempt.certificate}\n"
    return text + f'password "{attempt.secret}"\n'


def msmtp(attempt: Attempt) -> bool:
    settings = attempt.folder / "msmtprc"
    port = attempt.program.port("submissions")
    settings.write_text(f"account default\nfrom {ALICE}\ndomain client.example\n{_lamberts_settings(attempt, port)}")
    settings.chmod(0o600)
    return _run("msmtp", "-C", str(settings), "--", BOB, typed=MESSAGE)


def mpop(attempt: Attempt) -> bool:
    settings = attempt.folder / "mpoprc"
    box = attempt.folder / "box"
    for name in ("cur", "new", "tmp"):
        (box / name).mkdir(parents=True, exist_ok=True)
    own = _lamberts_settings(attempt, attempt.program.port("pop3s"))
    settings.write_text(f"account default\nuidls_file {box}/uidls\nkeep on\ndelivery maildir {box}\n{own}")
    settings.chmod(0o600)
    return _run("mpop", "-C", str(settings))


def mutt(attempt: Attempt) -> bool:
    settings = attempt.folder / "muttrc"
    sent = attempt.folder / "sent"
    settings.write_text(
        f'set smtp_url="smtps://{ALICE.replace("@", "%40")}@127.0.0.1:{attempt.program.port("submissions")}/"\n'
        f'set smtp_pass="{attempt.secret}"\nset smtp_authenticators="{attempt.mechanism.lower()}"\n'
        f'set smtp_oauth_refresh_command="printf %s {attempt.secret}"\n'
        f'set ssl_ca_certificates_file="{attempt.authority}" certificate_file="{attempt.authority}"\n'
        f'set from="{ALICE}" record="{sent}" ssl_verify_host=no ssl_usesystemcerts=no\n'
    )
    return _run("mutt", "-F", str(settings), "-s", "who am I", "--", BOB, typed="hello\n", HOME=str(attempt.folder))


def s_nail(attempt: Attempt) -> bool:
    settings = attempt.folder / "mailrc"
    secret = attempt.secret.replace(" ", "%20").replace("@", "%40")
    user = ALICE.replace("@", "%40")
    own = f"{user}@" if attempt.mechanism == "EXTERNAL" else f"{user}:{secret}@"
    word = "oauthbearer" if attempt.mechanism == "XOAUTH2" else attempt.mechanism.lower()  # what it calls so is XOAUTH2
    certificate = f"set tls-config-pairs=Certificate={attempt.certificate},PrivateKey={attempt.certificate}\n"
    settings.write_text(
        "set v15-compat ttycharset=utf-8 sendwait\n"
        f"set mta=submissions://{own}localhost:{attempt.program.port('submissions')}\n"
        f"set tls-ca-file={attempt.authority} tls-verify=strict smtp-auth={word}\n"
        f"set from={ALICE} hostname=client.example\n" + (certificate if attempt.mechanism == "EXTERNAL" else "")
    )
    return _run("s-nail", "-:/", "-X", f"source {settings}", "-s", "who am I", BOB, typed="hello\n")


def python_smtplib(attempt: Attempt) -> bool:
    with attempt.program.smtp("submissions") as client:
        client.user, client.password = ALICE, attempt.secret
        method = {"PLAIN": client.auth_plain, "LOGIN": client.auth_login}[attempt.mechanism]
        try:
            client.auth(attempt.mechanism, method)
        except smtplib.SMTPAuthenticationError:
            return False
        client.sendmail(ALICE, [BOB], MESSAGE)
        return True


def python_poplib(attempt: Attempt) -> bool:
    client = poplib.POP3_SSL(
        "127.0.0.1", attempt.program.port("pop3s"), timeout=PATIENCE, context=attempt.program.trust
    )
    try:
        client.user(ALICE)
        client.pass_(attempt.secret)
        client.stat()
    except poplib.error_proto:
        return False
    finally:
        with suppress(poplib.error_proto, OSError):  # a refused login may have been the session's last word
            client.quit()
    return True


_NODE = """
const mailer = require('nodemailer');
const given = JSON.parse(process.env.GIVEN);
const auth = given.mechanism === 'XOAUTH2'
  ? {type: 'OAuth2', user: given.user, accessToken: given.secret} : {user: given.user, pass: given.secret};
mailer.createTransport({
  host: 'localhost', port: given.port, secure: true, name: 'client.example', auth: auth, authMethod: given.mechanism,
  tls: {ca: require('fs').readFileSync(given.authority)},
}).sendMail({from: given.user, to: given.to, subject: 'who am I', text: 'hello'}, (error) => {
  if (error) { console.error(error.message); }
  process.exit(error ? 1 : 0);
});
"""


def nodemailer(attempt: Attempt) -> bool:
    import json

    given = {
        "mechanism": attempt.mechanism, "user": ALICE, "secret": attempt.secret, "to": BOB,
        "port": attempt.program.port("submissions"), "authority": attempt.authority,
    }  # fmt: skip
    return _run("node", "-e", _NODE, GIVEN=json.dumps(given), NODE_PATH="/usr/share/nodejs:/usr/lib/nodejs")


def gsasl(attempt: Attempt) -> bool:
    without = [] if attempt.mechanism.endswith("-PLUS") else ["--no-cb"]  # it could bind, and would be right to insist
    return _run(
        "gsasl", *without, "--smtp", "--starttls", "--no-client-first", f"--mechanism={attempt.mechanism}",
        f"--authentication-id={ALICE}", f"--password={attempt.secret}", f"--x509-ca-file={attempt.authority}",
        f"--connect=127.0.0.1:{attempt.program.port('submission')}", "--quiet", "--hostname=localhost",
    )  # fmt: skip


def has_nodemailer() -> bool:
    return shutil.which("node") is not None and any(
        Path(folder, "nodemailer").is_dir() for folder in ("/usr/share/nodejs", "/usr/lib/nodejs")
    )
