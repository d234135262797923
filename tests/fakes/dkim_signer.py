"""A signer for tests that signs whatever it is told, by the words of RFC 6376 §3.4 and §3.7, line by line.

It shares no code with ours, so that each checks the other.
"""

import re
from base64 import b64decode, b64encode
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

Private = RSAPrivateKey | Ed25519PrivateKey

# RFC 8463 appendix A.1; these are secrets of nobody.
RSA: Private = load_pem_private_key(  # type: ignore[assignment]  # it is one of RSA
    b"""-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi
Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM
KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB
AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm
6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe
zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy
6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc
uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy
WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd
WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a
licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst
o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe
uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL
-----END RSA PRIVATE KEY-----
""",
    None,
)
ED25519 = Ed25519PrivateKey.from_private_bytes(b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="))

PLAIN = "v=1; a=rsa-sha256; d=example.org; s=sel; c=relaxed/relaxed; h=from:to:subject; bh={bh}; b={b}"
"""A signature without anything special."""


def sign(message: bytes, template: str = PLAIN, private: Private = RSA, *, name: str = "DKIM-Signature: ") -> bytes:
    """The message with a signature on top: the template, with the hash of the body for ``{bh}``, what it takes for
    ``{b}``.
    """
    head, _, body = message.partition(b"\r\n\r\n") if not message.startswith(b"\r\n") else (b"", b"", message[2:])
    header_form, _, body_form = _tag(template, "c", "simple/simple").partition("/")
    hashed = (relaxed_body if body_form == "relaxed" else simple_body)(body)
    limit = _tag(template, "l", "")
    body_hash = sha256(hashed[: int(limit)] if limit.isdecimal() else hashed).digest()
    written = template.replace("{bh}", b64encode(body_hash).decode())
    form = relaxed_field if header_form == "relaxed" else _same
    fields = [field for field in re.split(rb"(?<=\r\n)(?![ \t])", head + b"\r\n") if field]
    data = b"".join(form(field) for field in _chosen(fields, _tag(template, "h", "")))
    own = name.encode() + written.replace("{b}", "").encode()
    data += form(own + b"\r\n")[:-2]
    signature = b64encode(raw_signature(private, sha256(data).digest())).decode()
    return name.encode() + written.replace("{b}", signature).encode() + b"\r\n" + message


def seal(
    message: bytes,
    *,
    domain: str = "example.org",
    signer: tuple[str, Private] = ("sel", RSA),
    algorithm: str = "rsa-sha256",
) -> bytes:
    """The message with one more ARC set on top (RFC 8617 §5.1).

    ``signer`` and ``algorithm`` are for the message signature; all seals are RSA's.
    """
    header = message.partition(b"\r\n\r\n")[0] + b"\r\n"
    fields = [field for field in re.split(rb"(?<=\r\n)(?![ \t])", header) if field]
    number = sum(field.lower().startswith(b"arc-seal") for field in fields) + 1
    tags = (
        f"i={number}; a={algorithm}; d={domain}; s={signer[0]}; c=relaxed/relaxed; h=from:subject; bh={{bh}}; b={{b}}"
    )
    own = sign(message, tags, signer[1], name="ARC-Message-Signature: ").removesuffix(message)
    results = f"ARC-Authentication-Results: i={number}; {domain}; dkim=pass\r\n".encode()
    top = f"ARC-Seal: i={number}; a=rsa-sha256; cv={'pass' if number > 1 else 'none'}; d={domain}; s=sel; b="
    data = b""
    for each in range(1, number):
        for name in ("arc-authentication-results", "arc-message-signature", "arc-seal"):
            pattern = re.compile(rf"{name}:.*\bi={each};".encode(), re.IGNORECASE | re.DOTALL)
            data += b"".join(relaxed_field(field) for field in fields if pattern.match(field))
    data += relaxed_field(results) + relaxed_field(own) + relaxed_field(top.encode() + b"\r\n")[:-2]
    signature = b64encode(raw_signature(RSA, sha256(data).digest())).decode()
    return f"{top}{signature}\r\n".encode() + own + results + message


def raw_signature(private: Private, digest: bytes) -> bytes:
    if isinstance(private, RSAPrivateKey):
        return private.sign(digest, PKCS1v15(), Prehashed(SHA256()))
    return private.sign(digest)


def record(private: Private = RSA, before: str = "v=DKIM1; ") -> str:
    """A key record of a private key, with tags of your own before p=."""
    public = private.public_key()
    if isinstance(private, Ed25519PrivateKey):
        data = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        before += "" if "k=" in before else "k=ed25519; "
    else:
        data = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"{before}p={b64encode(data).decode()}"


def simple_body(body: bytes) -> bytes:
    lines = body.split(b"\r\n")
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines) or b"\r\n"


def relaxed_body(body: bytes) -> bytes:
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def relaxed_field(field: bytes) -> bytes:
    name, _, value = field.partition(b":")
    value = re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip(b" ")
    return name.rstrip(b" \t").lower() + b":" + value + b"\r\n"


def _same(field: bytes) -> bytes:
    return field


def _chosen(fields: list[bytes], names: str) -> list[bytes]:
    left = [(field.partition(b":")[0].strip(b" \t").lower(), field) for field in fields]
    chosen = []
    for name in re.split(r"\s*:\s*", names.strip()):
        for entry in reversed(left):
            if entry[0] == name.lower().encode():
                chosen.append(entry[1])
                left.remove(entry)
                break
    return chosen


def _tag(template: str, name: str, default: str) -> str:
    match = re.search(rf"(?:^|;)\s*{name}\s*=([^;]*)", template)
    return match[1].strip() if match else default
