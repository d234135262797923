"""OpenLDAP's own server in a folder, on free ports of the loopback: two people, and TLS."""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import trustme
from bench.processes import answers, free_port
from tests.system.program import wait_until

BASE = "dc=example,dc=org"
SEARCHER, SEARCHER_PASSWORD = f"cn=searcher,{BASE}", "searching"
PEOPLE = {"alice": "secret of alice", "bob": "secret of bob"}

_CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
argsfile {folder}/args
TLSCACertificateFile {folder}/authority.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
allow bind_anon_dn bind_anon_cred
database mdb
maxsize 10485760
suffix "{base}"
rootdn "cn=root,{base}"
rootpw root
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{searcher}" read by anonymous {anonymous} by * none
"""
_ENTRY = """dn: uid={name},ou=people,{base}
objectClass: inetOrgPerson
uid: {name}
cn: {name}
sn: {name}
mail: {name}@example.org
userPassword: {password}

"""


@dataclass
class Slapd:
    """The server. ``host`` is the name that its certificate carries."""

    folder: Path
    host: str = "127.0.0.1"
    anonymous: str = "read"
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def authority(self) -> Path:
        return self.folder / "authority.pem"

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    def prepare(self) -> None:
        """Folder, certificate and people."""
        (self.folder / "data").mkdir(parents=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.authority)
        certificate = authority.issue_cert(self.host, common_name=self.host)
        certificate.private_key_pem.write_to_path(self.folder / "server.key")
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(self.folder / "server.pem", append=True)
        config = self.folder / "slapd.conf"
        config.write_text(
            _CONFIG.format(folder=self.folder, base=BASE, searcher=SEARCHER, anonymous=self.anonymous), "utf-8"
        )
        people = "".join([_ENTRY.format(name=name, base=BASE, password=word) for name, word in PEOPLE.items()])
        people += _ENTRY.format(name="shared1", base=BASE, password="x").replace("shared1@", "shared@")
        people += _ENTRY.format(name="shared2", base=BASE, password="x").replace("shared2@", "shared@")
        ldif = (
            f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: example\n\n"
            f"dn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n\n"
            f"dn: {SEARCHER}\nobjectClass: person\ncn: searcher\nsn: s\nuserPassword: {SEARCHER_PASSWORD}\n\n{people}"
        )
        slapadd = shutil.which("slapadd", path="/usr/sbin:/usr/bin") or "slapadd"
        subprocess.run([slapadd, "-f", str(config)], input=ldif.encode(), check=True, capture_output=True)

    def start(self) -> None:
        """Open the ports. Ended by ``stop``."""
        urls = (
            f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port} ldapi://{quote(str(self.socket), safe='')}"
        )
        slapd = shutil.which("slapd", path="/usr/sbin:/usr/bin") or "slapd"
        command = [slapd, "-d", "0", "-f", str(self.folder / "slapd.conf"), "-h", urls]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        wait_until(lambda: answers(self.port) and answers(self.tls_port), "slapd opens its ports")

    def stop(self) -> None:
        """End it."""
        process, self.process = self.process, None
        if process is not None:
            process.terminate()
            process.wait(20)
