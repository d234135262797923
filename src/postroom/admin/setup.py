"""Lays out a new server's folder: settings file, data folder, certificate. Nothing is ever overwritten."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from postroom.admin.certificate import make_self_signed, write_new
from postroom.admin.refusal import Refused
from postroom.config.load import FILE_NAME
from postroom.config.model import STANDARD_PORTS

_HEAD = """\
# The settings of this Postroom node. docs/settings.md explains every key; an unknown key is an error.
# Who lives here is not in this file: see postroom domain, postroom user, postroom alias.

# The full name of this machine, as the DNS knows it: greeting, Received fields, bounces.
hostname = "{hostname}"

# Mail, queue, accounts and history, in one database. Relative to this file.
data = "data"
"""

_TLS = """
[tls]
certificate = "tls/certificate.pem"
key = "tls/key.pem"
"""

_ACME = """
# The certificate comes from Let's Encrypt and is renewed by itself. Its servers must reach port 80 of this machine by
# the hostname.
[acme]
enabled = true
agree = true   # to https://letsencrypt.org/repository/
# contact = "you@example.org"
"""

_COMMENTED = """
# Without listeners: mx 2025, submission 2587, submissions 2465, pop3 2110, pop3s 2995, on the loopback only.
# For the public, take the comment signs off (and start as root: privileges are dropped once the ports are open).
"""

_MORE = """
# [smtp]
# max_size = "50MiB"
# trusted_networks = ["192.0.2.0/24"]   # may relay through the mx port without AUTH

# A server that relays for us, and what goes there:
# [[smarthost]]
# name = "provider"
# host = "smtp.example.net"
# user = "me@example.net"
# password_file = "provider.password"
#
# [[route]]
# domains = ["*"]
# via = "provider"
"""


@dataclass(frozen=True, slots=True)
class Laid:
    """What was made; ``certificate`` is None where an authority will give one."""

    settings: Path
    data: Path
    certificate: Path | None


def lay_out(folder: Path, hostname: str, now: float, *, public: bool, acme: bool = False) -> Laid:
    """Make a server's folder. ``public``: the standard ports on all addresses; ``acme``: the certificate from an
    authority instead of a self-signed one. Refused where something is there.
    """
    if acme and find_spec("acme") is None:
        raise Refused("the library for ACME is not installed", "install postroom[acme], or leave --acme out")
    settings = folder / FILE_NAME
    data, tls = folder / "data", folder / "tls"
    certificate, key = tls / "certificate.pem", tls / "key.pem"
    for path in (settings, certificate, key):
        if path.exists():
            raise Refused(f"{path} is there already", "nothing was changed; choose another folder, or remove it first")
    for path, mode in ((folder, 0o755), (data, 0o700)):
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    data.chmod(0o700)
    if not acme:
        tls.mkdir(mode=0o755, exist_ok=True)
        make_self_signed(hostname, certificate, key, now)
    write_new(settings, settings_text(hostname, public=public, acme=acme).encode(), 0o644)
    return Laid(settings, data, None if acme else certificate)


def settings_text(hostname: str, *, public: bool, acme: bool = False) -> str:
    """A minimal settings file with comments."""
    listeners = "".join(
        f'\n[[listener]]\nrole = "{role.value}"\naddresses = ["0.0.0.0", "::"]\nport = {port}\n'
        for role, port in STANDARD_PORTS.items()
    )
    if not public:
        listeners = (
            _COMMENTED + "\n".join(f"# {line}" if line else "#" for line in listeners.strip().split("\n")) + "\n"
        )
    return _HEAD.format(hostname=hostname) + (_ACME if acme else _TLS) + listeners + _MORE
