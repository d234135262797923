"""The certificates of a world in a folder: one for each host, as its ``tls`` says, and two for the policies."""

import datetime
import hashlib
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.world.model import Host, Sts, Tls, Tlsa, World

SHOWN = (Tls.GOOD, Tls.WRONG_NAME, Tls.EXPIRED, Tls.SELF_SIGNED)
"""With these a host has a certificate to show."""


class Papers:
    """``authority`` is what clients are to trust. The files are written when it is made."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder = folder
        self.authority = folder / "authority.pem"
        self._trusted = trustme.CA()
        self._stranger = trustme.CA()
        folder.mkdir(parents=True, exist_ok=True)
        self._trusted.cert_pem.write_to_path(self.authority)
        for host in world.hosts.values():
            if host.tls in SHOWN:
                self._write(host.name, self._issue(host))
        names = [f"mta-sts.{domain.name}" for domain in world.domains if domain.sts is not Sts.NONE]
        if names:
            self._write("policies", self._trusted.issue_cert(*names))
            self._write("strange", self._trusted.issue_cert("someone-else.example"))

    def tlsa(self, host: Host) -> list[str]:
        """The data of its TLSA records, as the zone file has them."""
        return [self._record(host, said) for said in host.tlsa]

    def _issue(self, host: Host) -> trustme.LeafCert:
        match host.tls:
            case Tls.WRONG_NAME:
                return self._trusted.issue_cert("someone-else.example")
            case Tls.EXPIRED:
                yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
                return self._trusted.issue_cert(host.name, not_after=yesterday)
            case Tls.SELF_SIGNED:
                return self._stranger.issue_cert(host.name)
            case _:
                return self._trusted.issue_cert(host.name)

    def _write(self, name: str, issued: trustme.LeafCert) -> None:
        path = self.folder / f"{name}.pem"
        issued.private_key_pem.write_to_path(path)
        for blob in issued.cert_chain_pems:
            blob.write_to_path(path, append=True)
        # RFC 7672 §3.1.2: with usage 2 the authority's certificate must be in the chain that is sent.
        self._trusted.cert_pem.write_to_path(path, append=True)

    def _record(self, host: Host, said: Tlsa) -> str:
        match said:
            case Tlsa.KEY:
                return f"3 1 1 {_digest(self._leaf(host))}"
            case Tlsa.AUTHORITY:
                return f"2 1 1 {_digest(self.authority.read_bytes())}"
            case Tlsa.OTHER_KEY:
                return f"3 1 1 {hashlib.sha256(b'another key').hexdigest()}"
            case Tlsa.OTHER_AUTHORITY:
                return f"2 1 1 {hashlib.sha256(b'another authority').hexdigest()}"
            case Tlsa.UNUSABLE:
                return f"0 0 1 {hashlib.sha256(b'a certificate').hexdigest()}"

    def _leaf(self, host: Host) -> bytes:
        """Its certificate; for a host without one a digest of nothing that exists will do."""
        path = self.folder / f"{host.name}.pem"
        return path.read_bytes() if path.exists() else self.authority.read_bytes()


def _digest(pem: bytes) -> str:
    """Of the public key of the first certificate: selector 1, matching type 1 (RFC 6698 §2.1)."""
    certificate = x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERTIFICATE") :])
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key).hexdigest()
