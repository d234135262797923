"""The API of the suppression list: who may, what it answers, and what it says of itself."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.fakes.hand_clock import HandClock
from tests.fakes.metrics import no_metrics
from tests.fakes.suppression_store import MemorySuppressionStore

from postroom.config.road import SuppressionSettings
from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.reputation.model import FOREVER, Origin
from postroom.reputation.noting import of_bounce
from postroom.web.api.access import read_token
from postroom.web.api.application import make_api
from postroom.web.api.suppressions import SuppressionDesk, suppression_routes
from postroom.web.app import Health, make_app

NOW = 1_800_000_000.0
TOKEN = b"a-token-that-nobody-guesses"
BEARER = "Bearer a-token-that-nobody-guesses"
RITA = of_bounce(
    SuppressionSettings(), "example.org", Address.parse("rita@far.example"), Cause.MAILBOX_UNKNOWN, reason="no",
    now=NOW, queue_id=0,
)  # fmt: skip
PATH = "/api/v1/suppressions"


class Api:
    """The web application with the API in it, asked as the ASGI server would ask it."""

    def __init__(self) -> None:
        self.store = MemorySuppressionStore()
        self.started = True
        desk = SuppressionDesk(lambda: self.store if self.started else None, self.is_local, 1, HandClock(NOW))

        async def health() -> Health:
            return Health()

        self.app = make_app(health, no_metrics, None, make_api([suppression_routes(desk)], TOKEN))

    async def is_local(self, domain: str) -> bool:
        return domain == "example.org"

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        authorization: str | None = BEARER,
        query: str = "",
        raw: bytes | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, body as JSON, header."""
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        headers = [(b"content-type", b"application/json")]
        if authorization is not None:
            headers.append((b"authorization", authorization.encode()))
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": quote(path).encode(),
            "query_string": query.encode(), "headers": headers, "http_version": "1.1", "scheme": "http",
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8025), "root_path": "",
        }  # fmt: skip
        pieces = [data[at : at + 50_000] for at in range(0, len(data), 50_000)] or [b""]
        sent: list[Any] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        said = b"".join(message.get("body", b"") for message in sent[1:])
        headers_said = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], json.loads(said) if said else None, headers_said


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {TOKEN.decode()}",
        TOKEN.decode(),
        BEARER + "x",
        BEARER[:-1],
    ],
)
@pytest.mark.parametrize("path", [PATH, "/api/v1/openapi.json", "/api/v1/nothing"])
async def test_nothing_without_the_token(api: Api, authorization: str | None, path: str) -> None:
    status, body, headers = await api.ask("GET", path, authorization=authorization)
    assert status == 401
    assert "token" in body["error"]
    assert headers["www-authenticate"] == "Bearer"


async def test_metrics_and_health_need_none(api: Api) -> None:
    assert (await api.ask("GET", "/healthz", authorization=None))[0] == 200


async def test_an_address_is_added_found_listed_and_removed(api: Api) -> None:
    new = {"sender_domain": "Example.org", "recipient": "Rita@far.example", "reason": "asked us", "seconds": 86400}
    status, entry, _ = await api.ask("POST", PATH, new)
    assert status == 201
    assert entry == {
        "sender_domain": "example.org",
        "recipient": "Rita@far.example",
        "origin": "manual",
        "cause": "manual",
        "since": "2027-01-15T08:00:00.000Z",
        "latest": "2027-01-15T08:00:00.000Z",
        "until": "2027-01-16T08:00:00.000Z",
        "count": 1,
        "stands": True,
        "reason": "asked us",
        "queue_id": "",
    }
    assert (await api.ask("GET", f"{PATH}/example.org/rita@far.example"))[:2] == (200, entry)
    assert (await api.ask("GET", PATH))[1] == {"entries": [entry], "next": ""}
    assert (await api.ask("DELETE", f"{PATH}/example.org/RITA@far.example"))[:2] == (204, None)
    status, body, _ = await api.ask("DELETE", f"{PATH}/example.org/rita@far.example")
    assert (status, body) == (404, {"error": "there is no such entry"})
    assert (await api.ask("GET", f"{PATH}/example.org/rita@far.example"))[0] == 404
    assert api.store.listed == {}


async def test_without_seconds_it_is_for_good(api: Api) -> None:
    await api.ask("POST", PATH, {"sender_domain": "example.org", "recipient": "rita@far.example"})
    (one,) = api.store.listed.values()
    assert (one.until, one.origin) == (FOREVER, Origin.MANUAL)


async def test_addresses_with_strange_letters_have_paths_too(api: Api) -> None:
    await api.ask("POST", PATH, {"sender_domain": "example.org", "recipient": "a/b+c?d@far.example"})
    assert (await api.ask("GET", f"{PATH}/example.org/a/b+c?d@far.example"))[0] == 200
    assert (await api.ask("DELETE", f"{PATH}/example.org/a/b+c?d@far.example"))[0] == 204


async def test_page_after_page(api: Api) -> None:
    for number in range(5):
        await api.ask("POST", PATH, {"sender_domain": "example.org", "recipient": f"u{number}@far.example"})
    seen, after = [], ""
    for _ in range(3):
        _, page, _ = await api.ask("GET", PATH, query=f"limit=2&after={quote(after)}")
        seen += [entry["recipient"] for entry in page["entries"]]
        after = page["next"]
    assert seen == [f"u{number}@far.example" for number in range(5)]
    assert after == ""


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("sender_domain=example.org", 1),
        ("sender_domain=other.example", 0),
        ("recipient=RITA@far.example", 1),
        ("recipient_domain=far.example&cause=mailbox_unknown", 1),
        ("cause=bounce", 1),
        ("origin=complaint", 0),
    ],
)
async def test_listed_by_what_is_asked_for(api: Api, query: str, count: int) -> None:
    await api.store.put([RITA])
    assert len((await api.ask("GET", PATH, query=query))[1]["entries"]) == count


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"sender_domain": "other.example", "recipient": "rita@far.example"}, 400),
        ({"sender_domain": "example.org", "recipient": "rita"}, 400),
        ({"sender_domain": "ex_ample", "recipient": "rita@far.example"}, 400),
        ({"sender_domain": "example.org"}, 422),
        ({"sender_domain": "example.org", "recipient": "rita@far.example", "seconds": 0}, 422),
        ({"sender_domain": "example.org", "recipient": "rita@far.example", "seconds": 1e300}, 422),
        ({"sender_domain": "example.org", "recipient": "rita@far.example", "extra": 1}, 422),
        ({"sender_domain": "example.org", "recipient": ["rita@far.example"]}, 422),
        ({"sender_domain": "example.org", "recipient": "x" * 2000}, 422),
        ([], 422),
    ],
)
async def test_what_makes_no_sense_is_refused_as_json(api: Api, body: object, status: int) -> None:
    found, said, _ = await api.ask("POST", PATH, body)
    assert found == status
    assert said["error"]
    assert api.store.listed == {}


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "recipient=rita", "origin=rumour"])
async def test_questions_that_make_no_sense(api: Api, query: str) -> None:
    status, said, _ = await api.ask("GET", PATH, query=query)
    assert status in (400, 422)
    assert said["error"]


async def test_bodies_that_are_no_json_or_too_long(api: Api) -> None:
    assert (await api.ask("POST", PATH, raw=b"{"))[0] == 422
    status, said, _ = await api.ask("POST", PATH, raw=b"x" * 200_000)
    assert status == 413
    assert said["error"]


async def test_other_paths_and_methods_are_refused_as_json(api: Api) -> None:
    assert (await api.ask("GET", "/api/v1/nothing"))[:2] == (404, {"error": "Not Found"})
    assert (await api.ask("PUT", PATH))[:2] == (405, {"error": "Method Not Allowed"})


async def test_a_store_that_fails_and_a_server_that_starts(api: Api) -> None:
    api.store.unavailable = True
    status, said, _ = await api.ask("GET", PATH)
    assert status == 503
    assert "store" in said["error"]
    api.started = False
    assert (await api.ask("GET", PATH))[0] == 503


async def test_it_describes_itself(api: Api) -> None:
    status, description, _ = await api.ask("GET", "/api/v1/openapi.json")
    assert status == 200
    assert description["openapi"].startswith("3.")
    assert set(description["paths"]) == {"/suppressions", "/suppressions/{sender_domain}/{recipient}"}


def test_a_token_is_read_from_the_first_line(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(TOKEN + b"\nsecond line\n")
    assert read_token(file) == TOKEN
    for flaw in (b"", b"short\n", b"\xc3\xa9" * 20, b"   \n" + TOKEN):
        file.write_bytes(flaw)
        with pytest.raises(ValueError, match="token"):
            read_token(file)
