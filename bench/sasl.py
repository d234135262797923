"""Dovecot's authentication service for the bench's Postfix, as Debian's manuals set the two up together."""

import shutil
import subprocess
from pathlib import Path

from bench.processes import BenchError, family, stop_pids, wait_until
from postroom.directory.passwords import hash_password


def dovecot() -> str | None:
    """The path of Dovecot's master program, or None."""
    return shutil.which("dovecot", path="/usr/sbin:/usr/bin:/usr/local/sbin")


class DovecotSasl:
    """Answers SASL for one account on a socket in Postfix's queue folder.

    The password stands there in the clear until ``hash_alike``: Dovecot does not remember what it verified from a file,
    as Postroom does, so that hashing as Postroom hashes (argon2id) bounds the number of its logins.
    """

    def __init__(self, folder: Path, queue: Path, *, address: str, password: str) -> None:
        self._folder = folder
        self._socket = queue / "private" / "auth"
        self._address = address
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait for its socket; Postfix must have made its queue folder."""
        program = dovecot()
        if program is None:
            raise BenchError("dovecot not found: install dovecot-core (Debian: apt-get install dovecot-core)")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o755)
        self._write_user("{PLAIN}" + self._password)
        settings = self._folder / "dovecot.conf"
        settings.write_text(
            f"base_dir = {self._folder}/run\nstate_dir = {self._folder}/state\nlog_path = {self._folder}/log\n"
            "protocols =\nssl = no\nauth_mechanisms = plain login\n"
            f"passdb {{\n driver = passwd-file\n args = {self._folder}/users\n}}\n"
            "userdb {\n driver = static\n args = uid=5000 gid=5000 home=/nonexistent\n}\n"
            "service auth {\n"
            f" unix_listener {self._socket} {{\n mode = 0660\n user = postfix\n group = postfix\n }}\n}}\n"
        )
        self._process = subprocess.Popen([program, "-F", "-c", str(settings)], stdin=subprocess.DEVNULL)
        wait_until(self._socket.exists, seconds=20, what="Dovecot did not open its socket")

    def hash_alike(self) -> None:
        """From now on the password is hashed as Postroom hashes it; Dovecot reads the file anew."""
        self._write_user("{ARGON2ID}" + hash_password(self._password))

    def _write_user(self, password: str) -> None:
        fresh = self._folder / "users.new"
        fresh.write_text(f"{self._address}:{password}\n")
        fresh.rename(self._folder / "users")

    def stop(self) -> None:
        """Stop it and every process of it."""
        if self._process is not None:
            stop_pids(family(self._process.pid))
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int | None:
        """The master process."""
        return None if self._process is None else self._process.pid
