"""The port by HTTPS shows the mail ports' certificates, by name, and follows them."""

import asyncio
import ssl

from cryptography import x509
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from postroom.config.pages import HttpsSettings
from postroom.net.certificates import Certificate, host_names, self_signed
from postroom.web.app import make_public_app
from postroom.web.https import HttpsContexts
from postroom.web.server import WebServer

NOW = 1_790_000_000.0


async def shown(port: int, name: str) -> tuple[str, ...]:
    """The names in the certificate that a client gets that asks for ``name``, and that HTTP answers behind it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200"), answer
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return host_names(x509.load_der_x509_certificate(certificate))


async def test_certificates_are_chosen_by_name_and_followed() -> None:
    certificates: list[tuple[Certificate, ...]] = [
        (self_signed("mail.example.org", NOW, 900), self_signed("mta-sts.example.org", NOW, 900))
    ]
    router = APIRouter()

    @router.get("/")
    async def page() -> PlainTextResponse:
        return PlainTextResponse("here")

    settings = HttpsSettings(enabled=True, address="127.0.0.1", port=0)
    contexts = HttpsContexts(lambda: certificates[-1])
    server = WebServer(make_public_app(router), settings, lambda: contexts.context)
    _, port = server.open()
    await server.start()
    try:
        assert await shown(port, "mta-sts.example.org") == ("mta-sts.example.org",)
        assert await shown(port, "other.example.org") == ("mail.example.org",)
        certificates.append((self_signed("new.example.org", NOW, 900),))
        assert await shown(port, "mta-sts.example.org") == ("new.example.org",)
    finally:
        await server.stop()
